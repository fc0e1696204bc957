//! Powers as Go computes them: of whole exponents by squaring, so that the last digits are the
//! same as in Prometheus.

use crate::gomath::{exp, ln};

/// `base` to the power of `exponent`, with the special cases of Go's `math.Pow`.
#[expect(clippy::float_cmp, reason = "special cases are exact")]
pub(crate) fn power(base: f64, exponent: f64) -> f64 {
    let special =
        base == 1.0 || base == 0.0 || exponent == 0.0 || !base.is_finite() || !exponent.is_finite();
    if special {
        // Both follow IEEE 754 here.
        return base.powf(exponent);
    }
    if exponent == 1.0 {
        return base;
    }
    if exponent.abs() == 0.5 {
        return if exponent > 0.0 { base.sqrt() } else { 1.0 / base.sqrt() };
    }
    let (mut whole, mut part) = (exponent.abs().trunc(), exponent.abs().fract());
    if part != 0.0 && base < 0.0 {
        return f64::NAN;
    }
    if whole >= 9_223_372_036_854_775_808.0 {
        return match base {
            -1.0 => 1.0,
            _ if (base.abs() < 1.0) == (exponent > 0.0) => 0.0,
            _ => f64::INFINITY,
        };
    }
    // The result is `scaled` * 2^`shift`.
    let (mut scaled, mut shift) = (1.0, 0_i64);
    if part != 0.0 {
        if part > 0.5 {
            part -= 1.0;
            whole += 1.0;
        }
        scaled = exp(part * ln(base));
    }
    let (mut square, mut square_shift) = split(base);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2^63")]
    let mut bits = whole as u64;
    while bits != 0 {
        if !(-(1 << 12)..=1 << 12).contains(&square_shift) {
            // Too large or too small whatever follows.
            shift += square_shift;
            break;
        }
        if bits & 1 == 1 {
            scaled *= square;
            shift += square_shift;
        }
        square *= square;
        square_shift <<= 1;
        if square < 0.5 {
            square += square;
            square_shift -= 1;
        }
        bits >>= 1;
    }
    if exponent < 0.0 {
        scaled = 1.0 / scaled;
        shift = -shift;
    }
    join(scaled, shift)
}

/// A number as a fraction from 0.5 to 1 and a power of two.
pub(crate) fn split(value: f64) -> (f64, i64) {
    const SUBNORMAL_SHIFT: i64 = 52;
    let (value, extra) = match value.is_normal() {
        true => (value, 0),
        false => (value * 4_503_599_627_370_496.0, -SUBNORMAL_SHIFT),
    };
    let bits = value.to_bits();
    let exponent = ((bits >> 52 & 0x7ff).cast_signed()) - 1022 + extra;
    (f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52), exponent)
}

/// `value` times a power of two.
fn join(value: f64, shift: i64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let (fraction, exponent) = split(value);
    let exponent = exponent.saturating_add(shift);
    let with = |exponent: i64| {
        let field = u64::try_from(exponent + 1022).unwrap_or(0);
        f64::from_bits(fraction.to_bits() & !(0x7ff << 52) | field << 52)
    };
    match exponent {
        ..-1075 => 0.0_f64.copysign(value),
        // Subnormal: rounded once, by the multiplication.
        -1075..-1021 => with(exponent + 53) * (1.0 / 9_007_199_254_740_992.0),
        -1021..=1024 => with(exponent),
        _ => f64::INFINITY.copysign(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_go() {
        for (base, exponent, want) in [
            // Go: math.Pow(31, 31), which the correctly rounded result exceeds in the last digit.
            (31.0, 31.0, 1.706_917_413_072_323_4e46),
            (2.0, 10.0, 1024.0),
            (2.0, -1074.0, 5e-324),
            (2.0, -1080.0, 0.0),
            (2.0, 1024.0, f64::INFINITY),
            (-2.0, 3.0, -8.0),
            (-8.0, 1e300, f64::INFINITY),
            (0.5, 1e300, 0.0),
            (5e-324, 0.5, 5e-324_f64.sqrt()),
            (9.0, -0.5, 1.0 / 3.0),
            (-1.0, 9_007_199_254_740_993.0, 1.0),
        ] {
            let found = power(base, exponent);
            assert_eq!(found.to_bits(), f64::to_bits(want), "{base} ^ {exponent}: {found}");
        }
        assert!(power(-8.0, 1.0 / 3.0).is_nan());
        for (base, exponent) in [(1.5, 2.25), (123.456, -7.89), (1e-10, 3.3), (7.0, 0.01)] {
            let (found, near) = (power(base, exponent), f64::powf(base, exponent));
            assert!((found / near - 1.0).abs() < 1e-14, "{base} ^ {exponent}");
        }
    }
}
