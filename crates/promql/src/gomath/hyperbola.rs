//! Hyperbolic functions and their inverses.

use std::f64::consts::LN_2;

use super::exponential::exp;
use super::logarithm::{ln, ln_1p};
use super::{odd, polynomial};

/// Coefficients of Hart and Cheney, number 2029.
const SINE_ABOVE: [f64; 4] = [
    -0.263_056_321_339_749_706_281_948_9e2,
    -0.289_421_135_598_956_380_728_466_036_6e4,
    -0.899_127_202_203_950_935_539_801_351_1e5,
    -0.630_767_364_049_771_699_118_478_725_1e6,
];

const SINE_BELOW: [f64; 4] = [
    1.0,
    -0.173_678_953_558_233_699_533_450_911e3,
    0.152_151_737_879_001_907_069_648_517_6e5,
    -0.630_767_364_049_771_699_121_207_727_7e6,
];

const TANGENT_ABOVE: [f64; 3] = [
    -9.643_991_794_250_522_386_28e-1,
    -9.928_772_310_019_185_865_64e1,
    -1.614_687_684_417_084_479_52e3,
];

const TANGENT_BELOW: [f64; 4] = [
    1.0,
    1.128_116_784_916_329_314_02e2,
    2.235_488_390_601_004_485_83e3,
    4.844_063_053_251_254_860_48e3,
];

/// From here on e^-x does not matter.
const LARGE: f64 = 21.0;

/// 2^28: from here on 1 does not matter beside the square, and below its inverse neither does the
/// square beside 1.
const TWO_28: f64 = 268_435_456.0;

pub(crate) fn sinh(x: f64) -> f64 {
    odd(x, |x| {
        if x > LARGE {
            exp(x) * 0.5
        } else if x > 0.5 {
            let grown = exp(x);
            (grown - 1.0 / grown) * 0.5
        } else {
            let square = x * x;
            polynomial(square, &SINE_ABOVE) * x / polynomial(square, &SINE_BELOW)
        }
    })
}

pub(crate) fn cosh(x: f64) -> f64 {
    let x = x.abs();
    let grown = exp(x);
    if x > LARGE { grown * 0.5 } else { (grown + 1.0 / grown) * 0.5 }
}

pub(crate) fn tanh(x: f64) -> f64 {
    /// The logarithm of 2^127.
    const MAX: f64 = 8.802_969_193_111_305_429_598_8e1;
    let size = x.abs();
    if size > 0.5 * MAX {
        return if x < 0.0 { -1.0 } else { 1.0 };
    }
    if size >= 0.625 {
        let value = 1.0 - 2.0 / (exp(2.0 * size) + 1.0);
        return if x < 0.0 { -value } else { value };
    }
    if x == 0.0 {
        return x;
    }
    let square = x * x;
    x + x * square * polynomial(square, &TANGENT_ABOVE) / polynomial(square, &TANGENT_BELOW)
}

pub(crate) fn asinh(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    odd(x, |x| {
        if x > TWO_28 {
            ln(x) + LN_2
        } else if x > 2.0 {
            ln(2.0 * x + 1.0 / ((x * x + 1.0).sqrt() + x))
        } else if x < 1.0 / TWO_28 {
            x
        } else {
            ln_1p(x + x * x / (1.0 + (1.0 + x * x).sqrt()))
        }
    })
}

pub(crate) fn acosh(x: f64) -> f64 {
    if x < 1.0 || x.is_nan() {
        f64::NAN
    } else if x >= TWO_28 {
        ln(x) + LN_2
    } else if x > 2.0 {
        ln(2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt()))
    } else if x > 1.0 {
        let more = x - 1.0;
        ln_1p(more + (2.0 * more + more * more).sqrt())
    } else {
        0.0
    }
}

pub(crate) fn atanh(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 1.0 {
        return f64::NAN;
    }
    odd(x, |x| {
        if x >= 1.0 {
            f64::INFINITY
        } else if x < 1.0 / TWO_28 {
            x
        } else if x < 0.5 {
            let twice = x + x;
            0.5 * ln_1p(twice + twice * x / (1.0 - x))
        } else {
            0.5 * ln_1p((x + x) / (1.0 - x))
        }
    })
}
