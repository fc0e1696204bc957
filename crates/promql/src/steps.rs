//! The times at which an expression is computed.

use crate::Error;

/// Evenly spaced times; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// The first, in milliseconds.
    pub(crate) start: i64,
    /// From one to the next, in milliseconds; at least 1.
    pub(crate) step: i64,
    /// How many there are.
    pub(crate) count: usize,
}

impl Steps {
    /// One time.
    pub(crate) fn one(at: i64, step: i64) -> Self {
        Self { start: at, step: step.max(1), count: 1 }
    }

    /// From `start` to `end`, both included; one time at least.
    pub(crate) fn between(start: i64, end: i64, step: i64) -> Result<Self, Error> {
        let step = step.max(1);
        let count = (end.saturating_sub(start).max(0) / step).saturating_add(1);
        let count = usize::try_from(count).map_err(|_| Error::TooManySamples)?;
        Ok(Self { start, step, count })
    }

    /// The time of the step `index`.
    #[expect(clippy::cast_possible_wrap, reason = "a count of steps comes from an i64")]
    pub(crate) fn at(self, index: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(index as i64))
    }

    /// The times.
    pub(crate) fn iter(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |index| self.at(index))
    }
}
