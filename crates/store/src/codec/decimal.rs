//! Values as decimal mantissas: `value = mantissa / 10^exponent`, exactly to the last bit.

use super::column::kind::EXPONENT_MAX;

/// Mantissas stay below this, where every integer is an f64.
pub(super) const MANTISSA_LIMIT: i64 = 1 << 53;

const POWERS: [f64; EXPONENT_MAX as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// 10^`exponent`; the largest power for exponents beyond [`EXPONENT_MAX`].
#[inline]
pub(super) fn power(exponent: u8) -> f64 {
    POWERS.get(usize::from(exponent)).copied().unwrap_or(1e18)
}

/// `mantissa / 10^exponent`, correctly rounded; -0.0 never comes out of it.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "mantissas of a well-formed blob are below 2^53")]
pub(super) fn value_of(mantissa: i64, power: f64) -> f64 {
    mantissa as f64 / power
}

/// The integer nearest to `value * power`, whether or not it gives `value` back.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the conversion saturates; callers check")]
pub(super) fn nearest(value: f64, power: f64) -> i64 {
    // Adding and taking away 1.5 * 2^52 rounds to an integer without a call into libm.
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    let scaled = value * power;
    if scaled.abs() < 2_251_799_813_685_248.0 {
        ((scaled + ROUNDER) - ROUNDER) as i64
    } else {
        scaled as i64
    }
}

/// The mantissa of `value` at an exponent, if it is exact. Goes through the integer, for else
/// -0.0 would pass as 0.
#[inline]
pub(super) fn mantissa(value: f64, power: f64) -> Option<i64> {
    let mantissa = nearest(value, power);
    let exact = value_of(mantissa, power).to_bits() == value.to_bits();
    // Both bounds by themselves: the least integer has no absolute value.
    let fits = -MANTISSA_LIMIT < mantissa && mantissa < MANTISSA_LIMIT;
    (exact && fits).then_some(mantissa)
}

/// The smallest exponent from `start` on at which `value` is exact.
pub(super) fn exponent_of(value: f64, start: u8) -> Option<u8> {
    decimal_of(value, start).map(|(exponent, _)| exponent)
}

/// The same with the mantissa.
pub(super) fn decimal_of(value: f64, start: u8) -> Option<(u8, i64)> {
    (start..=EXPONENT_MAX).find_map(|exponent| Some((exponent, mantissa(value, power(exponent))?)))
}
