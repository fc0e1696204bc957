//! Sine, cosine, tangent and their inverses, after Cephes.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use super::reduce::eighths;
use super::{odd, polynomial};

/// Coefficients of the sine's series within an eighth of the circle.
const SINE: [f64; 6] = [
    1.589_623_015_765_465_680_60e-10,
    -2.505_074_776_285_780_728_66e-8,
    2.755_731_362_138_572_452_13e-6,
    -1.984_126_982_958_953_859_96e-4,
    8.333_333_333_322_118_588_78e-3,
    -1.666_666_666_666_663_072_95e-1,
];

/// Coefficients of the cosine's.
const COSINE: [f64; 6] = [
    -1.135_853_652_138_768_173_00e-11,
    2.087_570_084_197_473_167_78e-9,
    -2.755_731_417_929_673_881_12e-7,
    2.480_158_728_885_170_453_48e-5,
    -1.388_888_888_887_305_641_16e-3,
    4.166_666_666_666_659_292_18e-2,
];

const TANGENT_ABOVE: [f64; 3] = [
    -1.309_369_391_813_837_342_05e4,
    1.153_516_648_385_874_161_40e6,
    -1.795_652_519_764_848_779_88e7,
];

const TANGENT_BELOW: [f64; 5] = [
    1.0,
    1.368_129_634_706_929_546_78e4,
    -1.320_892_344_402_109_674_47e6,
    2.500_838_018_233_579_158_39e7,
    -5.386_957_559_294_546_298_81e7,
];

const ARC_ABOVE: [f64; 5] = [
    -8.750_608_600_031_904_122_785e-1,
    -1.615_753_718_733_365_076_637e1,
    -7.500_855_792_314_704_667_340e1,
    -1.228_866_684_490_136_173_410e2,
    -6.485_021_904_942_025_371_773e1,
];

const ARC_BELOW: [f64; 6] = [
    1.0,
    2.485_846_490_142_306_297_962e1,
    1.650_270_098_316_988_542_046e2,
    4.328_810_604_912_902_668_951e2,
    4.853_903_996_359_136_964_868e2,
    1.945_506_571_482_613_964_425e2,
];

/// What pi / 2 is larger than its nearest number.
const HALF_PI_REST: f64 = 6.123_233_995_736_765_886_130e-17;

fn near_sine(z: f64) -> f64 {
    let square = z * z;
    z + z * square * polynomial(square, &SINE)
}

fn near_cosine(z: f64) -> f64 {
    let square = z * z;
    1.0 - 0.5 * square + square * square * polynomial(square, &COSINE)
}

pub(crate) fn sin(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    odd(x, |x| {
        let (eighths, rest) = eighths(x);
        let value = if matches!(eighths & 3, 1 | 2) { near_cosine(rest) } else { near_sine(rest) };
        if eighths > 3 { -value } else { value }
    })
}

pub(crate) fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (eighths, rest) = eighths(x.abs());
    let quarter = eighths & 3;
    let value = if matches!(quarter, 1 | 2) { near_sine(rest) } else { near_cosine(rest) };
    if (eighths > 3) == (quarter > 1) { value } else { -value }
}

pub(crate) fn tan(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    odd(x, |x| {
        let (eighths, rest) = eighths(x);
        let square = rest * rest;
        let value = if square > 1e-14 {
            let above = square * polynomial(square, &TANGENT_ABOVE);
            rest + rest * (above / polynomial(square, &TANGENT_BELOW))
        } else {
            rest
        };
        if eighths & 2 == 2 { -1.0 / value } else { value }
    })
}

/// The arc tangent from 0 to 0.66.
fn near_arc(x: f64) -> f64 {
    let square = x * x;
    let share = square * polynomial(square, &ARC_ABOVE) / polynomial(square, &ARC_BELOW);
    x * share + x
}

/// The arc tangent of what is not negative.
fn arc(x: f64) -> f64 {
    const TAN_3_EIGHTHS: f64 = 2.414_213_562_373_095_048_80;
    if x <= 0.66 {
        return near_arc(x);
    }
    if x > TAN_3_EIGHTHS {
        return FRAC_PI_2 - near_arc(1.0 / x) + HALF_PI_REST;
    }
    FRAC_PI_4 + near_arc((x - 1.0) / (x + 1.0)) + 0.5 * HALF_PI_REST
}

pub(crate) fn atan(x: f64) -> f64 {
    if x == 0.0 { x } else { odd(x, arc) }
}

pub(crate) fn asin(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    odd(x, |x| {
        if x > 1.0 {
            return f64::NAN;
        }
        let other = (1.0 - x * x).sqrt();
        if x > 0.7 { FRAC_PI_2 - arc(other / x) } else { arc(x / other) }
    })
}

pub(crate) fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

pub(crate) fn atan2(y: f64, x: f64) -> f64 {
    if y.is_nan() || x.is_nan() {
        return f64::NAN;
    }
    if y == 0.0 || x == 0.0 || y.is_infinite() || x.is_infinite() {
        // All libraries agree on these.
        return y.atan2(x);
    }
    let quotient = atan(y / x);
    if x >= 0.0 {
        quotient
    } else if quotient <= 0.0 {
        quotient + PI
    } else {
        quotient - PI
    }
}
