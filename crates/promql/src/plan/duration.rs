//! Lengths of time in brackets and behind `offset`: fixed, or computed from the query's step and
//! range.

use super::Span;
use crate::numeric::{go_max, go_min, seconds};
use crate::power::power;

/// A length of time.
#[derive(Clone, Debug, PartialEq)]
pub enum Length {
    /// So many milliseconds.
    Fixed(i64),
    /// Computed when the query's times are known, then held to the sign that its place asks for.
    Computed {
        /// What is computed, in seconds.
        arithmetic: Box<Arithmetic>,
        /// Whether the place forbids zero and less.
        positive: bool,
        /// Where it stands.
        place: Span,
    },
}

/// An expression of seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Arithmetic {
    /// So many seconds.
    Seconds(f64),
    /// The query's step.
    Step,
    /// The query's end less its start.
    Range,
    /// Of the opposite sign.
    Negate(Box<Self>),
    /// The smaller of two.
    Min(Box<Self>, Box<Self>),
    /// The greater of two.
    Max(Box<Self>, Box<Self>),
    /// One of `+ - * / % ^`.
    Binary(char, Box<Self>, Box<Self>),
}

/// What a computed length may depend on.
#[derive(Clone, Copy, Debug)]
pub struct QueryTimes {
    /// The query's step in milliseconds; 0 for an instant query.
    pub step_ms: i64,
    /// The query's end less its start in milliseconds.
    pub range_ms: i64,
}

/// The greatest length: what fits in 63 bits of nanoseconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

impl Length {
    /// Makes a length that must be positive if its place says so: a number at once, arithmetic when
    /// the query's times are known.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
    pub(super) fn new(arithmetic: Arithmetic, positive: bool, place: Span) -> Result<Self, String> {
        let Some(seconds) = arithmetic.literal() else {
            return Ok(Self::Computed { arithmetic: Box::new(arithmetic), positive, place });
        };
        if seconds.is_nan() || seconds.abs() > SECONDS_MAX {
            return Err("duration out of range".to_owned());
        }
        if positive && seconds <= 0.0 {
            return Err("duration must be greater than 0".to_owned());
        }
        // Through whole nanoseconds: 1.001 s are 1001 ms.
        Ok(Self::Fixed(((seconds * 1e9).round() / 1e6) as i64))
    }

    /// The length in milliseconds.
    ///
    /// # Errors
    /// A text if it cannot be computed, is out of range, or not positive where it must be.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
    pub fn resolve(&self, times: QueryTimes) -> Result<i64, String> {
        let (arithmetic, positive, place) = match self {
            Self::Fixed(ms) => return Ok(*ms),
            Self::Computed { arithmetic, positive, place } => (arithmetic, *positive, *place),
        };
        let wrong = |text: &str| format!("{}:{}: {text}", place.start, place.end);
        let seconds = arithmetic.seconds(times).map_err(|text| wrong(&text))?;
        if !seconds.is_finite() {
            return Err(wrong("duration is NaN or infinite"));
        }
        if positive && seconds <= 0.0 {
            return Err(wrong("duration must be greater than 0"));
        }
        if seconds.abs() > SECONDS_MAX {
            return Err(wrong("duration is out of range"));
        }
        Ok((seconds * 1000.0) as i64)
    }
}

impl Arithmetic {
    /// The number, if it is one, with or without a sign.
    fn literal(&self) -> Option<f64> {
        match self {
            Self::Seconds(seconds) => Some(*seconds),
            Self::Negate(inner) => inner.literal().map(|seconds| -seconds),
            _ => None,
        }
    }

    fn seconds(&self, times: QueryTimes) -> Result<f64, String> {
        Ok(match self {
            Self::Seconds(seconds) => *seconds,
            Self::Step => seconds(times.step_ms),
            Self::Range => seconds(times.range_ms),
            Self::Negate(inner) => -inner.seconds(times)?,
            Self::Min(a, b) => go_min(a.seconds(times)?, b.seconds(times)?),
            Self::Max(a, b) => go_max(a.seconds(times)?, b.seconds(times)?),
            Self::Binary(op, a, b) => {
                let (a, b) = (a.seconds(times)?, b.seconds(times)?);
                match op {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    '/' if b == 0.0 => return Err("division by zero".to_owned()),
                    '/' => a / b,
                    '%' if b == 0.0 => return Err("modulo by zero".to_owned()),
                    '%' => a % b,
                    _ => power(a, b),
                }
            }
        })
    }
}
