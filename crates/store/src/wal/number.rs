//! Values as small numbers: a decimal mantissa against the column's mantissa in the base row.
//!
//! Exporters print most values as short decimals, so `value == mantissa / 10^exponent` holds
//! exactly for a small exponent, and the mantissa's difference to the one in the base row is a
//! small integer. What is no short decimal is kept by its bits.

use narthex_model::{ABSENT, STALE};

use super::varint::{self, Fields, unzigzag, zigzag};

/// Most bytes that one value takes.
pub(super) const CODE_BYTES_MAX: usize = 2 + varint::VARINT_BYTES_MAX;

/// Largest decimal exponent that is tried.
const EXPONENT_MAX: u8 = 12;
/// The exponent of a column whose values are no short decimals.
const RAW: u8 = 0xff;

/// A code of this number says that a form follows.
const ESCAPE: u64 = 0;
const FORM_RAW: u8 = 0xf0;
const FORM_STALE: u8 = 0xf1;
const FORM_ABSENT: u8 = 0xf2;

const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Adding it to a number of less than 2^51 rounds that to an integer, which then stands in the
/// lowest bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
const MANTISSA_LIMIT: f64 = 2_251_799_813_685_248.0;

/// What a column's next values are encoded against. Packed, for there is one for every column.
#[repr(Rust, packed(2))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Predictor {
    /// The mantissa of the base row's value; for a raw column, that value's bits.
    mantissa: i64,
    exponent: u8,
    /// The largest exponent that a value has needed since the last row against nothing. Only the
    /// encoder uses it.
    hint: u8,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A difference to the predictor, as its code.
    Near(u64),
    /// A mantissa with its own exponent.
    Decimal {
        exponent: u8,
        mantissa: i64,
    },
    Raw,
    Stale,
    Absent,
}

#[inline]
#[expect(clippy::indexing_slicing, reason = "four bits index sixteen numbers")]
fn power(exponent: u8) -> f64 {
    POWERS[usize::from(exponent & 15)]
}

/// The mantissa with which `value` is exactly `mantissa / 10^exponent`.
#[inline]
fn mantissa(value: f64, exponent: u8) -> Option<i64> {
    let scaled = value * power(exponent);
    // Not a number fails this comparison too.
    if scaled.abs() < MANTISSA_LIMIT {
        let bits = (scaled + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits());
        let mantissa = bits.cast_signed();
        if decimal(mantissa, exponent).to_bits() == value.to_bits() {
            return Some(mantissa);
        }
    }
    None
}

/// Exact within the range that [`mantissa`] gives, for both operands are, and a division rounds
/// correctly. Any other input gives some number.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "mantissas are below 2^51")]
fn decimal(mantissa: i64, exponent: u8) -> f64 {
    mantissa as f64 / power(exponent)
}

fn shortest(value: f64, from: u8) -> Option<(u8, i64)> {
    (from..=EXPONENT_MAX).find_map(|exponent| Some((exponent, mantissa(value, exponent)?)))
}

impl Predictor {
    /// Writes `value` at `at` and returns the place behind. There must be room for
    /// [`CODE_BYTES_MAX`] bytes.
    #[inline]
    pub(super) fn encode(&mut self, value: f64, out: &mut [u8], at: usize) -> usize {
        if self.exponent != RAW
            && let Some(mantissa) = mantissa(value, self.exponent)
        {
            return varint::put(out, at, zigzag(mantissa.wrapping_sub(self.mantissa)) + 1);
        }
        self.encode_rare(value, out, at)
    }

    #[cold]
    #[inline(never)]
    fn encode_rare(&mut self, value: f64, out: &mut [u8], at: usize) -> usize {
        let form = self.form(value, 0);
        if let Form::Decimal { exponent, .. } = form {
            self.hint = self.hint.max(exponent);
        }
        form.put(value, out, at)
    }

    /// Writes `value` as [`Predictor::encode`] does, for a row that becomes the base: prefers the
    /// exponent that the column will need.
    pub(super) fn encode_base(self, value: f64, out: &mut [u8], at: usize) -> usize {
        self.base_form(value).put(value, out, at)
    }

    /// What the predictor is after a base row with `value` was written or read.
    pub(super) fn after_base(self, value: f64) -> Self {
        self.after(self.base_form(value), value)
    }

    /// Forgets the base, but not what exponent the column needs.
    pub(super) fn reset(self) -> Self {
        Self { mantissa: 0, exponent: 0, hint: self.hint }
    }

    /// Forgets what exponents were needed.
    pub(super) fn without_hint(self) -> Self {
        Self { hint: 0, ..self }
    }

    fn base_form(self, value: f64) -> Form {
        if self.exponent == RAW || self.hint <= self.exponent {
            return self.form(value, self.exponent & 15);
        }
        match shortest(value, self.hint) {
            Some((exponent, mantissa)) => Form::Decimal { exponent, mantissa },
            None => self.form(value, 0),
        }
    }

    fn form(self, value: f64, exponent_from: u8) -> Form {
        let bits = value.to_bits();
        if bits == ABSENT.to_bits() {
            return Form::Absent;
        }
        if bits == STALE.to_bits() {
            return Form::Stale;
        }
        if self.exponent == RAW {
            return match (bits ^ self.mantissa.cast_unsigned()).checked_add(1) {
                Some(code) => Form::Near(code),
                None => Form::Raw,
            };
        }
        if let Some(mantissa) = mantissa(value, self.exponent) {
            return Form::Near(zigzag(mantissa.wrapping_sub(self.mantissa)) + 1);
        }
        let wider = shortest(value, exponent_from);
        match wider.or_else(|| if exponent_from > 0 { shortest(value, 0) } else { None }) {
            Some((exponent, mantissa)) => Form::Decimal { exponent, mantissa },
            None => Form::Raw,
        }
    }

    fn after(self, form: Form, value: f64) -> Self {
        match form {
            Form::Near(code) if self.exponent == RAW => {
                let bits = self.mantissa.cast_unsigned() ^ code.wrapping_sub(1);
                Self { mantissa: bits.cast_signed(), ..self }
            }
            Form::Near(code) => {
                let delta = unzigzag(code.wrapping_sub(1));
                Self { mantissa: self.mantissa.wrapping_add(delta), ..self }
            }
            Form::Decimal { exponent, mantissa } => Self { mantissa, exponent, ..self },
            Form::Raw => {
                Self { mantissa: value.to_bits().cast_signed(), exponent: RAW, hint: self.hint }
            }
            Form::Stale | Form::Absent => self,
        }
    }

    /// Reads a value. With it comes the predictor as it is after a base row.
    #[inline]
    pub(super) fn decode(self, fields: &mut Fields<'_>) -> Option<(f64, Self)> {
        let form = Form::take(fields)?;
        let value = match form {
            Form::Near(code) if self.exponent == RAW => {
                f64::from_bits(self.mantissa.cast_unsigned() ^ code.wrapping_sub(1))
            }
            Form::Near(code) => {
                let delta = unzigzag(code.wrapping_sub(1));
                decimal(self.mantissa.wrapping_add(delta), self.exponent)
            }
            Form::Decimal { exponent, mantissa } => decimal(mantissa, exponent),
            Form::Raw => f64::from_bits(fields.u64()?),
            Form::Stale => STALE,
            Form::Absent => ABSENT,
        };
        Some((value, self.after(form, value)))
    }
}

impl Form {
    #[expect(clippy::indexing_slicing, reason = "the caller has made room for the longest form")]
    fn put(self, value: f64, out: &mut [u8], at: usize) -> usize {
        let escaped = |out: &mut [u8], form: u8| {
            let at = varint::put(out, at, ESCAPE);
            out[at] = form;
            at + 1
        };
        match self {
            Self::Near(code) => varint::put(out, at, code),
            Self::Decimal { exponent, mantissa } => {
                let at = escaped(out, exponent);
                varint::put(out, at, zigzag(mantissa))
            }
            Self::Raw => {
                let at = escaped(out, FORM_RAW);
                out[at..at + 8].copy_from_slice(&value.to_bits().to_le_bytes());
                at + 8
            }
            Self::Stale => escaped(out, FORM_STALE),
            Self::Absent => escaped(out, FORM_ABSENT),
        }
    }

    #[inline]
    fn take(fields: &mut Fields<'_>) -> Option<Self> {
        let code = fields.varint()?;
        if code != ESCAPE {
            return Some(Self::Near(code));
        }
        match fields.u8()? {
            FORM_RAW => Some(Self::Raw),
            FORM_STALE => Some(Self::Stale),
            FORM_ABSENT => Some(Self::Absent),
            exponent if exponent <= EXPONENT_MAX => {
                let mantissa = unzigzag(fields.varint()?);
                Some(Self::Decimal { exponent, mantissa })
            }
            _ => None,
        }
    }
}
