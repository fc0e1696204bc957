//! Encoding at little cost, for the head's small chunks: on the stack, one look at each value.

use narthex_model::{ABSENT, is_absent};

use super::column::kind;
use super::decimal::{decimal_of, exponent_of, mantissa, power};
use super::sequence::encode_fast;
use super::wire::put_signed;
use super::{holes, special, to_ordered};

/// The most rows that [`encode`] takes.
pub(super) const ROWS_MAX: usize = 64;
/// So few rows make do with less room on the stack, which takes time to clear: those of a chunk in
/// memory.
const FEW_ROWS: usize = 8;

/// Appends the blob of at most [`ROWS_MAX`] values.
pub(super) fn encode(values: &[f64], out: &mut Vec<u8>) {
    debug_assert!(values.len() <= ROWS_MAX);
    let Some(&first) = values.first() else {
        holes::encode(values, out);
        return;
    };
    // Most columns do not change in so few rows: one look without a branch per value.
    let differ = values.iter().fold(0, |any, &v| any | (v.to_bits() ^ first.to_bits()));
    if differ == 0 && !is_absent(first) {
        return encode_constant(first, out);
    }
    if !values.iter().fold(false, |any, &value| any | is_absent(value)) {
        return encode_varying_rows(values, out);
    }
    if !holes::encode(values, out) {
        return;
    }
    let mut buffer = [ABSENT; ROWS_MAX];
    let mut count = 0;
    for (slot, &value) in buffer.iter_mut().zip(values.iter().filter(|&&v| !is_absent(v))) {
        *slot = value;
        count += 1;
    }
    let present = buffer.get(..count).unwrap_or(&[]);
    let Some(&first) = present.first() else { return };
    let differ = present.iter().fold(0, |any, &v| any | (v.to_bits() ^ first.to_bits()));
    if differ == 0 {
        return encode_constant(first, out);
    }
    encode_varying_rows(present, out);
}

/// Appends a constant.
pub(super) fn encode_constant(value: f64, out: &mut Vec<u8>) {
    // Most are integers. Of special values not even -0.0 is exact at any exponent.
    let exact = mantissa(value, 1.0)
        .map(|mantissa| (0, mantissa))
        .or_else(|| if special::is_special(value) { None } else { decimal_of(value, 1) });
    if let Some((exponent, mantissa)) = exact {
        out.push(kind::head(kind::CONST, exponent));
        put_signed(out, mantissa);
    } else {
        out.push(kind::head(kind::CONST, kind::EXPONENT_RAW));
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

/// Appends values that are not all equal, without holes.
fn encode_varying_rows(values: &[f64], out: &mut Vec<u8>) {
    if values.len() <= FEW_ROWS {
        encode_varying::<FEW_ROWS>(values, out);
    } else {
        encode_varying::<ROWS_MAX>(values, out);
    }
}

/// Appends at most `N` values that are not all equal.
fn encode_varying<const N: usize>(values: &[f64], out: &mut Vec<u8>) {
    let mut integers = [0i64; N];
    let mut residuals = [0u64; N];
    let start = out.len();
    // A special value is exact at no exponent, so it need not be looked for before.
    let exponent = decimals(values, &mut integers);
    let special = exponent.is_none() && values.iter().any(|&value| special::is_special(value));
    let exponent = match special {
        true => decimals_and_specials(values, &mut integers),
        false => exponent,
    };
    if let Some(exponent) = exponent {
        out.push(kind::head(kind::DEC, exponent));
        let integers = integers.get(..values.len()).unwrap_or(&[]);
        encode_fast(integers, special, &mut residuals, out);
        if special {
            special::encode(values, out);
        }
    } else {
        for (integer, &value) in integers.iter_mut().zip(values) {
            *integer = to_ordered(value);
        }
        out.push(kind::head(kind::BITS, 0));
        let integers = integers.get(..values.len()).unwrap_or(&[]);
        encode_fast(integers, false, &mut residuals, out);
    }
    if out.len() - start > 1 + values.len() * 8 {
        out.truncate(start);
        encode_raw(values, out);
    }
}

/// Appends eight bytes per value.
pub(super) fn encode_raw(values: &[f64], out: &mut Vec<u8>) {
    out.push(kind::head(kind::RAW, 0));
    out.extend(values.iter().flat_map(|value| value.to_bits().to_le_bytes()));
}

/// The mantissas of values of which none is special, and their exponent.
fn decimals(values: &[f64], mantissas: &mut [i64]) -> Option<u8> {
    let mut exponent = 0;
    'exponent: loop {
        let power = power(exponent);
        for (slot, &value) in mantissas.iter_mut().zip(values) {
            let Some(mantissa) = mantissa(value, power) else {
                exponent = exponent_of(value, exponent + 1)?;
                continue 'exponent;
            };
            *slot = mantissa;
        }
        return Some(exponent);
    }
}

/// As [`decimals`]; at a special value the mantissa before is repeated.
fn decimals_and_specials(values: &[f64], mantissas: &mut [i64]) -> Option<u8> {
    let normal = values.iter().copied().find(|&value| !special::is_special(value)).unwrap_or(0.0);
    let mut filled = [normal; ROWS_MAX];
    let mut last = normal;
    for (slot, &value) in filled.iter_mut().zip(values) {
        if !special::is_special(value) {
            last = value;
        }
        *slot = last;
    }
    decimals(filled.get(..values.len())?, mantissas)
}
