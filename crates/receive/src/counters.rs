//! What the receiver counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Answer, Reason};

/// Counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that were read, whatever came of their samples.
    pub requests: AtomicU64,
    /// Requests that failed as a whole.
    pub failed: AtomicU64,
    /// Samples that were stored.
    pub samples: AtomicU64,
    /// Native histograms that were stored.
    pub histograms: AtomicU64,
    /// Exemplars that were taken.
    pub exemplars: AtomicU64,
    /// Exemplars that were older than the newest of their series.
    pub late_exemplars: AtomicU64,
    /// Series that are known.
    pub series: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

impl Counters {
    pub(crate) fn answered(&self, answer: &Answer) {
        self.samples.fetch_add(answer.samples, Relaxed);
        self.histograms.fetch_add(answer.histograms, Relaxed);
        self.exemplars.fetch_add(answer.exemplars, Relaxed);
        self.late_exemplars.fetch_add(answer.late_exemplars, Relaxed);
        for (counter, reason) in self.refused.iter().zip(Reason::ALL) {
            let left_out = answer.refused.of(reason) + answer.outrun.of(reason);
            counter.fetch_add(left_out, Relaxed);
        }
    }

    /// Samples that were refused for `reason`.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused.get(reason as usize).map_or(0, |counter| counter.load(Relaxed))
    }
}
