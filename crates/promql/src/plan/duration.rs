//! Lengths of time in brackets and behind `offset`: fixed, or computed from the query's step and
//! range.

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
const MS_MAX: f64 = 9_223_372_036_854.0;

impl Length {
    /// Makes a length that must be positive if its place says so, folding what is known.
    pub(super) fn new(arithmetic: Arithmetic, positive: bool) -> Result<Self, String> {
        let computed = Self::Computed { arithmetic: Box::new(arithmetic), positive };
        match &computed {
            Self::Computed { arithmetic, .. } if arithmetic.is_constant() => {
                computed.resolve(QueryTimes { step_ms: 0, range_ms: 0 }).map(Self::Fixed)
            }
            _ => Ok(computed),
        }
    }

    /// The length in milliseconds.
    ///
    /// # Errors
    /// A text if it cannot be computed, is out of range, or not positive where it must be.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
    pub fn resolve(&self, times: QueryTimes) -> Result<i64, String> {
        let (arithmetic, positive) = match self {
            Self::Fixed(ms) => return Ok(*ms),
            Self::Computed { arithmetic, positive } => (arithmetic, *positive),
        };
        // Through whole nanoseconds: 1.001 s are 1001 ms.
        let ms = (arithmetic.seconds(times)? * 1e9).round() / 1e6;
        if ms.is_nan() || ms.abs() > MS_MAX {
            return Err("duration out of range".to_owned());
        }
        let ms = ms as i64;
        if positive && ms <= 0 {
            return Err("duration must be greater than 0".to_owned());
        }
        Ok(ms)
    }
}

impl Arithmetic {
    fn is_constant(&self) -> bool {
        match self {
            Self::Seconds(_) => true,
            Self::Step | Self::Range => false,
            Self::Negate(inner) => inner.is_constant(),
            Self::Min(a, b) | Self::Max(a, b) | Self::Binary(_, a, b) => {
                a.is_constant() && b.is_constant()
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "steps and ranges are far below 2^53 ms")]
    fn seconds(&self, times: QueryTimes) -> Result<f64, String> {
        Ok(match self {
            Self::Seconds(seconds) => *seconds,
            Self::Step => times.step_ms as f64 / 1000.0,
            Self::Range => times.range_ms as f64 / 1000.0,
            Self::Negate(inner) => -inner.seconds(times)?,
            Self::Min(a, b) => a.seconds(times)?.min(b.seconds(times)?),
            Self::Max(a, b) => a.seconds(times)?.max(b.seconds(times)?),
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
                    _ => a.powf(b),
                }
            }
        })
    }
}
