//! Times, ranges of time, durations as Prometheus writes them, and the clock's seam.

use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970-01-01 UTC. Negative before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest time there is.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time there is.
    pub const MAX: Self = Self(i64::MAX);

    /// The time in milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The time in seconds, with fraction.
    #[expect(clippy::cast_precision_loss, reason = "exact for all times within 285,000 years")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// This time moved by `millis`, held within the representable times.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// This time moved back by `millis`, held within the representable times.
    #[must_use]
    pub const fn minus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_sub(millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A range of times, both ends included. Empty when `start` is after `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first time in the range.
    pub start: Timestamp,
    /// The last time in the range.
    pub end: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start: Timestamp::MIN, end: Timestamp::MAX };

    /// From `start` to `end`, both included.
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end }
    }

    /// Whether `at` lies in the range.
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at <= self.end
    }

    /// Whether the two ranges share a time.
    pub fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// Where the time comes from: the real clock in the program, a hand-driven one in tests.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock: it can step either way.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment of the process; never goes back.
    fn monotonic(&self) -> Duration;
}

/// Why a duration could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// There was nothing to read.
    #[error("empty duration string")]
    Empty,
    /// No number where one was expected, a unit out of order, or anything else out of form.
    #[error("not a valid duration string: {}", crate::number::GoQuoted(.0))]
    Invalid(String),
    /// The unit is none of y, w, d, h, m, s, ms.
    #[error("unknown unit {} in duration {}", crate::number::GoQuoted(.unit), crate::number::GoQuoted(.text))]
    UnknownUnit {
        /// The unit that was found.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// More than about 292 years.
    #[error("duration out of range")]
    OutOfRange,
}

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads a duration as Prometheus writes it: `0`, or numbers with the units y, w, d, h, m, s, ms,
/// each at most once and in that order (`1h30m`).
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut total_ms = 0u64;
    let mut next_unit = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(invalid());
        }
        let number: u64 = number.parse().map_err(|_| DurationError::OutOfRange)?;
        let unit_len = tail.bytes().take_while(|byte| !byte.is_ascii_digit()).count();
        let (unit, tail) = tail.split_at(unit_len);
        let Some(index) = UNITS.iter().position(|&(name, _)| name == unit) else {
            return Err(match unit {
                "" => invalid(),
                _ => DurationError::UnknownUnit { unit: unit.into(), text: text.into() },
            });
        };
        if index < next_unit {
            return Err(invalid());
        }
        next_unit = index + 1;
        let part = UNITS.get(index).and_then(|&(_, ms)| number.checked_mul(ms));
        total_ms = part
            .and_then(|part| total_ms.checked_add(part))
            .filter(|&ms| ms <= i64::MAX as u64 / 1_000_000)
            .ok_or(DurationError::OutOfRange)?;
        rest = tail;
    }
    Ok(Duration::from_millis(total_ms))
}

/// Prints a duration as Prometheus does: the fewest units that are exact, `0s` for none, and
/// years, weeks and days only when nothing is left over.
pub fn format_duration(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (index, &(name, unit_ms)) in UNITS.iter().enumerate() {
        let exact_only = index < 2;
        if ms >= unit_ms && (!exact_only || ms.is_multiple_of(unit_ms)) {
            out.push_str(&(ms / unit_ms).to_string());
            out.push_str(name);
            ms %= unit_ms;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for (text, ms) in [
            ("0", 0),
            ("1ms", 1),
            ("15s", 15_000),
            ("1h30m", 5_400_000),
            ("30d", 2_592_000_000),
            ("1y", 31_536_000_000),
            ("1w2d", 9 * 86_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(format_duration(Duration::from_millis(9 * 86_400_000)), "9d");
        assert_eq!(format_duration(Duration::from_secs(90)), "1m30s");
        assert_eq!(format_duration(Duration::from_secs(14 * 86_400)), "2w");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(
            parse_duration("5x").unwrap_err().to_string(),
            r#"unknown unit "x" in duration "5x""#
        );
        assert_eq!(parse_duration("").unwrap_err(), DurationError::Empty);
        for bad in ["5", "m", "1m1h", "1m1m", "-1s", "1.5s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_duration("300y").unwrap_err(), DurationError::OutOfRange);
    }
}
