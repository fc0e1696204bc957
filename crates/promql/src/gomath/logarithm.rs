//! Logarithms, after FreeBSD's libm.

use std::f64::consts::{FRAC_1_SQRT_2, LOG2_E, LOG10_E};

use crate::power::split;

const LN_2_HIGH: f64 = 6.931_471_803_691_238_164_90e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;

/// Coefficients of the series of `ln((1 + s) / (1 - s))`, lowest power first.
const SERIES: [f64; 7] = [
    6.666_666_666_666_735_130e-1,
    3.999_999_999_940_941_908e-1,
    2.857_142_874_366_239_149e-1,
    2.222_219_843_214_978_396e-1,
    1.818_357_216_161_805_012e-1,
    1.531_383_769_920_937_332e-1,
    1.479_819_860_511_658_591e-1,
];

pub(crate) fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x < 0.0 {
        return f64::NAN;
    }
    let bits = x.to_bits();
    // The bits are taken apart as those of a normal number, even if it is none.
    let mut fraction = f64::from_bits(bits & MANTISSA | 0.5_f64.to_bits());
    let mut exponent = f64::from(u16::try_from(bits >> 52).unwrap_or(0)) - 1022.0;
    if fraction <= FRAC_1_SQRT_2 {
        exponent -= 1.0;
        fraction *= 2.0;
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let square = s * s;
    let fourth = square * square;
    let [l1, l2, l3, l4, l5, l6, l7] = SERIES;
    let odd = square * (l1 + fourth * (l3 + fourth * (l5 + fourth * l7)));
    let even = fourth * (l2 + fourth * (l4 + fourth * l6));
    let half = 0.5 * f * f;
    let inner = s * (half + (odd + even)) + exponent * LN_2_LOW;
    exponent * LN_2_HIGH - ((half - inner) - f)
}

#[expect(clippy::cast_precision_loss, reason = "exponents are small")]
pub(crate) fn log2(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return ln(x);
    }
    let (fraction, exponent) = split(x);
    if fraction.to_bits() == 0.5_f64.to_bits() {
        return (exponent - 1) as f64;
    }
    ln(fraction) * LOG2_E + exponent as f64
}

pub(crate) fn log10(x: f64) -> f64 {
    ln(x) * LOG10_E
}

/// `ln(1 + x)`, exact near zero.
pub(super) fn ln_1p(x: f64) -> f64 {
    const SQRT_2_LESS_1: f64 = 4.142_135_623_730_950_488_017e-1;
    const HALF_SQRT_2_LESS_1: f64 = -2.928_932_188_134_524_755_992e-1;
    const SMALL: f64 = 1.0 / 536_870_912.0;
    const TINY: f64 = 1.0 / 18_014_398_509_481_984.0;
    if x < -1.0 || x.is_nan() {
        return f64::NAN;
    }
    if x.to_bits() == (-1.0_f64).to_bits() {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    if x.abs() < SMALL {
        return if x.abs() < TINY { x } else { x - x * x * 0.5 };
    }
    if x.abs() < SQRT_2_LESS_1 && x > HALF_SQRT_2_LESS_1 {
        let half = 0.5 * x * x;
        let (s, rest) = series_of(x);
        return x - (half - s * (half + rest));
    }
    let (exponent, correction, f, is_tiny) = scaled(x);
    let half = 0.5 * f * f;
    if is_tiny {
        if f == 0.0 {
            return exponent * LN_2_HIGH + (correction + exponent * LN_2_LOW);
        }
        let rest = half * (1.0 - 0.666_666_666_666_666_66 * f);
        return exponent * LN_2_HIGH - ((rest - (exponent * LN_2_LOW + correction)) - f);
    }
    let (s, rest) = series_of(f);
    let inner = s * (half + rest) + (exponent * LN_2_LOW + correction);
    exponent * LN_2_HIGH - ((half - inner) - f)
}

fn series_of(f: f64) -> (f64, f64) {
    let s = f / (2.0 + f);
    let square = s * s;
    let rest = SERIES.iter().rev().copied().reduce(|sum, next| next + square * sum);
    (s, square * rest.unwrap_or(0.0))
}

/// `1 + x` as `(1 + f) * 2^exponent`: the exponent, what was lost by the addition, `f`, and
/// whether that is next to nothing.
#[expect(clippy::cast_precision_loss, reason = "exponents are small")]
fn scaled(x: f64) -> (f64, f64, f64, bool) {
    const TWO_53: f64 = 9_007_199_254_740_992.0;
    const SQRT_2: u64 = 0x0006_a09e_667f_3bcd;
    let (sum, mut correction) = if x.abs() < TWO_53 { (1.0 + x, 0.0) } else { (x, 0.0) };
    let mut exponent = (sum.to_bits() >> 52).cast_signed() - 1023;
    if x.abs() < TWO_53 {
        correction = if exponent > 0 { 1.0 - (sum - x) } else { x - (sum - 1.0) };
        correction /= sum;
    }
    let mantissa = sum.to_bits() & 0x000f_ffff_ffff_ffff;
    let (scaled, rest) = if mantissa < SQRT_2 {
        (f64::from_bits(mantissa | 0x3ff0_0000_0000_0000), mantissa)
    } else {
        exponent += 1;
        let rest = (0x0010_0000_0000_0000 - mantissa) >> 2;
        (f64::from_bits(mantissa | 0x3fe0_0000_0000_0000), rest)
    };
    if exponent == 0 {
        correction = 0.0;
    }
    (exponent as f64, correction, scaled - 1.0, rest == 0)
}
