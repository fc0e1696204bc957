//! Resets of counters.

use super::arithmetic::outside;
use super::{Bar, Hint, Histogram};

impl Histogram {
    /// Whether the counter began anew since `previous`: by the hint if there is one, else where
    /// some count fell or the resolution became finer.
    #[expect(clippy::float_cmp, reason = "a threshold that was moved is another number")]
    pub fn is_reset_since(&self, previous: &Self) -> bool {
        match self.hint {
            Hint::Reset => return true,
            Hint::NotReset => return false,
            Hint::Unknown | Hint::Gauge => {}
        }
        if self.count < previous.count || self.is_custom() != previous.is_custom() {
            return true;
        }
        if self.is_custom() {
            return if self.bounds == previous.bounds {
                fell(&self.positive, &previous.positive)
            } else {
                self.fell_in_shared_bounds(previous)
            };
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let threshold = self.zero_threshold;
        let (zero_count, moved) = if threshold == previous.zero_threshold {
            (previous.zero_count, threshold)
        } else {
            previous.zero_with(threshold)
        };
        // Where a bucket was cut the zero bucket cannot be compared.
        if moved != threshold || self.zero_count < zero_count {
            return true;
        }
        let sides = [(&self.positive, &previous.positive), (&self.negative, &previous.negative)];
        sides.into_iter().any(|(now, before)| {
            let now = outside(now, self.schema, self.schema, threshold);
            let before = outside(before, previous.schema, self.schema, threshold);
            fell(&now, &before)
        })
    }

    /// Whether this can follow `previous` as one run of a counter, in which Prometheus' storage
    /// says of every sample but the first that there was no reset.
    #[expect(clippy::float_cmp, reason = "a threshold that was moved is another number")]
    pub fn continues(&self, previous: &Self) -> bool {
        if self.hint == Hint::Reset || self.hint == Hint::Gauge || previous.hint == Hint::Gauge {
            return false;
        }
        if previous.is_stale() || self.is_stale() {
            return false;
        }
        self.schema == previous.schema
            && self.zero_threshold == previous.zero_threshold
            && self.bounds == previous.bounds
            && self.count >= previous.count
            && self.zero_count >= previous.zero_count
            && !fell(&self.positive, &previous.positive)
            && !fell(&self.negative, &previous.negative)
    }
}

/// Whether some bucket holds less than before, or is no longer there.
fn fell(now: &[Bar], before: &[Bar]) -> bool {
    let mut rest = now.iter().peekable();
    before.iter().any(|bar| {
        while rest.next_if(|now| now.index < bar.index).is_some() {}
        match rest.peek() {
            Some(now) if now.index == bar.index => now.count < bar.count,
            _ => bar.count != 0.0,
        }
    })
}
