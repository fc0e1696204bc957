//! Numbers as Go's `ParseFloat` reads them, and as the `le` and `quantile` labels spell them.

use std::borrow::Cow;

use narthex_model::number::GoFloat;
use narthex_model::sample::NORMAL_NAN;

/// Powers of ten that an `f64` holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The largest integer up to which an `f64` holds every integer.
const EXACT_MAX: u64 = 1 << 53;

/// Reads the decimal number at the start of `text` if it is short enough to be exact, with its
/// length. The caller looks at what follows it.
///
/// A mantissa below 2^53 and a power of ten up to 22 are both exact, so one multiplication or
/// division rounds once and the result is the nearest `f64`.
#[expect(clippy::inline_always, reason = "a call costs a tenth of the work on the hot path")]
#[inline(always)]
pub(crate) fn short_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let Significand { mantissa, len, digits, fraction } = significand(text.get(start..)?);
    // Nineteen digits never overflow the mantissa.
    if digits.wrapping_sub(1) >= 19 || mantissa > EXACT_MAX {
        return None;
    }
    let mut at = start + len;
    let mut scale = -i32::try_from(fraction).ok()?;
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let (exponent, len) = exponent(text.get(at + 1..)?)?;
        at += 1 + len;
        scale += exponent;
    }
    let mut value = u64_to_f64(mantissa);
    if scale != 0 {
        let power = *POWERS.get(scale.unsigned_abs() as usize)?;
        value = if scale < 0 { value / power } else { value * power };
    }
    Some((if negative { -value } else { value }, at))
}

/// Digits with a point somewhere among them, or none.
#[derive(Debug)]
struct Significand {
    /// The digits as one number, modulo 2^64.
    mantissa: u64,
    /// Bytes taken.
    len: usize,
    digits: usize,
    /// Digits after the point.
    fraction: usize,
}

/// Reads the digits at the start of `text`. The first eight bytes are read as one word: the point
/// is taken out of it, the digits are moved to its end and summed pairwise.
#[expect(clippy::inline_always, reason = "a call costs a tenth of the work on the hot path")]
#[inline(always)]
fn significand(text: &[u8]) -> Significand {
    let Some(chunk) = text.first_chunk() else { return long_significand(text) };
    let (word, others) = digit_word(*chunk);
    let whole = (others.trailing_zeros() / 8) as usize;
    if whole == 8 {
        return long_significand(text);
    }
    if text.get(whole) != Some(&b'.') {
        let mantissa = if whole == 0 { 0 } else { eight_digits(word << (64 - 8 * whole)) };
        return Significand { mantissa, len: whole, digits: whole, fraction: 0 };
    }
    let below = (1u64 << (8 * whole)) - 1;
    let word = (word & below) | ((word >> 8) & !below);
    // The last byte is free now and ends the digits of this word.
    let others = ((others >> 8) & !below) | 1 << 63;
    let digits = (others.trailing_zeros() / 8) as usize;
    let mut mantissa = if digits == 0 { 0 } else { eight_digits(word << (64 - 8 * digits)) };
    let mut more = 0;
    if digits == 7 {
        more = take_digits(text.get(8..).unwrap_or_default(), &mut mantissa);
    }
    let (len, digits) = (digits + 1 + more, digits + more);
    Significand { mantissa, len, digits, fraction: digits - whole }
}

/// [`significand`] for numbers of eight whole digits and more, and near the end of the body.
fn long_significand(text: &[u8]) -> Significand {
    let mut mantissa = 0;
    let whole = take_digits(text, &mut mantissa);
    if text.get(whole) != Some(&b'.') {
        return Significand { mantissa, len: whole, digits: whole, fraction: 0 };
    }
    let fraction = take_digits(text.get(whole + 1..).unwrap_or_default(), &mut mantissa);
    Significand { mantissa, len: whole + 1 + fraction, digits: whole + fraction, fraction }
}

/// Eight bytes with the value of a digit where one is, and the high bit of each byte set in the
/// second word where none is; bytes after the first that is not ASCII do not count.
#[inline]
fn digit_word(chunk: [u8; 8]) -> (u64, u64) {
    let word = u64::from_le_bytes(chunk) ^ 0x3030_3030_3030_3030;
    let others = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
    (word, others)
}

/// Powers of ten by which [`take_digits`] makes room.
const ROOM: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Appends the digits at the start of `text` to `mantissa`, modulo 2^64; how many they are.
#[inline]
fn take_digits(text: &[u8], mantissa: &mut u64) -> usize {
    let mut taken = 0;
    while let Some(chunk) = text.get(taken..).and_then(<[u8]>::first_chunk) {
        let (word, others) = digit_word(*chunk);
        let len = (others.trailing_zeros() / 8) as usize;
        if len == 0 {
            return taken;
        }
        let room = ROOM.get(len).copied().unwrap_or_default();
        let digits = eight_digits(word << (64 - 8 * len));
        *mantissa = mantissa.wrapping_mul(room).wrapping_add(digits);
        taken += len;
        if len < 8 {
            return taken;
        }
    }
    while let Some(digit) = digit(text, taken) {
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
        taken += 1;
    }
    taken
}

/// The number that eight digits make, the first in the lowest byte.
#[inline]
fn eight_digits(digits: u64) -> u64 {
    let pairs = (digits.wrapping_mul(10).wrapping_add(digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

#[inline]
fn digit(text: &[u8], at: usize) -> Option<u64> {
    let digit = text.get(at)?.wrapping_sub(b'0');
    (digit <= 9).then_some(u64::from(digit))
}

#[expect(clippy::cast_precision_loss, reason = "the caller keeps it at or below 2^53")]
fn u64_to_f64(exact: u64) -> f64 {
    exact as f64
}

/// Reads up to three digits of a signed exponent; more are left to the standard parser.
#[inline]
fn exponent(text: &[u8]) -> Option<(i32, usize)> {
    // As Go prints them: a sign and two digits.
    if let Some(&[sign @ (b'+' | b'-'), tens @ b'0'..=b'9', ones @ b'0'..=b'9', next]) =
        text.first_chunk()
        && !next.is_ascii_digit()
    {
        let exponent = i32::from(tens - b'0') * 10 + i32::from(ones - b'0');
        return Some((if sign == b'-' { -exponent } else { exponent }, 3));
    }
    long_exponent(text)
}

#[cold]
fn long_exponent(text: &[u8]) -> Option<(i32, usize)> {
    let signed = matches!(text.first(), Some(b'+' | b'-'));
    let mut at = usize::from(signed);
    let mut exponent = 0;
    while let Some(digit) = digit(text, at) {
        exponent = exponent * 10 + i32::try_from(digit).ok()?;
        at += 1;
        if at > 4 {
            return None;
        }
    }
    if at == usize::from(signed) {
        return None;
    }
    Some((if text.first() == Some(&b'-') { -exponent } else { exponent }, at))
}

/// Reads a whole token as Prometheus reads a sample's value: Go's spellings but for hexadecimal
/// floats and underscores; out of range is an error; every NaN becomes the ordinary one.
pub(crate) fn value(token: &[u8]) -> Option<f64> {
    if let Some((value, len)) = short_decimal(token)
        && len == token.len()
    {
        return Some(value);
    }
    if token.iter().any(|byte| matches!(byte, b'p' | b'P' | b'_')) {
        return None;
    }
    go_decimal(token)
}

/// Go's `ParseFloat` without hexadecimal floats.
fn go_decimal(token: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(token).ok()?;
    let value: f64 = text.parse().ok()?;
    if value.is_nan() {
        // Go takes no sign before NaN.
        return (token.len() == 3).then_some(NORMAL_NAN);
    }
    // An infinity that was spelt with digits is a number out of range.
    (value.is_finite() || !token.iter().any(u8::is_ascii_digit)).then_some(value)
}

/// Reads a hexadecimal float as Go does: `0x1.8p-3`, the exponent is required.
fn go_hex(text: &str) -> Option<f64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let mut exponent: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() < 10_000)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut bits = 0u64;
    for c in whole.chars().chain(fraction.chars()) {
        // Sixteen digits are far more than a bucket's bound has; longer ones stay as they are.
        bits = bits.checked_mul(16)? | u64::from(c.to_digit(16)?);
    }
    if whole.is_empty() && fraction.is_empty() || bits > EXACT_MAX {
        return None;
    }
    exponent -= 4 * i32::try_from(fraction.len()).ok()?;
    let value = u64_to_f64(bits) * 2f64.powi(exponent);
    value.is_finite().then_some(if negative { -value } else { value })
}

/// Spells the value of an `le` or `quantile` label as Prometheus 3 does, `1` as `1.0`; what is no
/// number stays as it is.
pub(crate) fn normalised(text: &str) -> Cow<'_, str> {
    match go_decimal(text.as_bytes()).or_else(|| go_hex(text)) {
        Some(value) => Cow::Owned(openmetrics_float(value)),
        None => Cow::Borrowed(text),
    }
}

/// As Go prints a float, but one that has neither point nor exponent gets `.0`.
fn openmetrics_float(value: f64) -> String {
    let text = GoFloat(value).to_string();
    let is_whole = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if is_whole { text + ".0" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(token: &str) -> Option<u64> {
        value(token.as_bytes()).map(f64::to_bits)
    }

    #[test]
    fn takes_the_spellings_go_takes() {
        for (token, want) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("1.", 1.0),
            ("1.e2", 100.0),
            ("1E+05", 1e5),
            ("1e-07", 1e-7),
            ("5e-324", 5e-324),
            ("1e-400", 0.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("18446744073709551615", 18_446_744_073_709_551_615.0),
            ("184467440737095516150000", 184_467_440_737_095_516_150_000.0),
            ("0.30000000000000004", 0.1 + 0.2),
            ("1.7976931348623157e308", f64::MAX),
            ("inf", f64::INFINITY),
            ("+Inf", f64::INFINITY),
            ("-iNfInItY", f64::NEG_INFINITY),
            ("nan", NORMAL_NAN),
            ("NaN", NORMAL_NAN),
            ("000000000000000000000000000001", 1.0),
        ] {
            assert_eq!(bits(token), Some(want.to_bits()), "{token}");
        }
    }

    #[test]
    fn refuses_what_prometheus_refuses() {
        for token in [
            "", "-", "+", ".", "e5", "1e", "1e+", "1e999", "-1e999", "+nan", "-NaN", "0x10",
            "0x1p3", "1_000", "1 ", "1\r", "1.2.3", "--1", "+-1", "infi", "infinit", "1e5.5", "1d",
            "\u{661}",
        ] {
            assert_eq!(bits(token), None, "{token}");
        }
    }

    #[test]
    fn bounds_are_spelt_as_prometheus_3_spells_them() {
        for (from, to) in [
            ("1", "1.0"),
            ("0", "0.0"),
            ("-1", "-1.0"),
            ("1000000", "1e+06"),
            ("25000", "25000.0"),
            ("0.00001", "1e-05"),
            ("0.0001", "0.0001"),
            ("123456789", "1.23456789e+08"),
            ("0x1p3", "8.0"),
            ("+Inf", "+Inf"),
            ("inf", "+Inf"),
            ("nan", "NaN"),
            ("2.50", "2.5"),
            ("x", "x"),
            ("", ""),
            ("1e999", "1e999"),
        ] {
            assert_eq!(normalised(from), to);
        }
    }

    proptest! {
        #[test]
        fn short_decimals_are_the_nearest_float(value in -1e18..1e18f64, places in 0usize..12) {
            let text = format!("{value:.places$}");
            prop_assert_eq!(bits(&text), Some(text.parse::<f64>().unwrap().to_bits()));
        }

        #[test]
        fn any_bits_survive_printing(pattern: u64) {
            let value = f64::from_bits(pattern);
            prop_assume!(value.is_finite());
            prop_assert_eq!(bits(&format!("{value:e}")), Some(pattern));
            prop_assert_eq!(bits(&format!("{value}")), Some(pattern));
        }
    }
}
