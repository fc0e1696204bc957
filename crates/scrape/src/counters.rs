//! What the scraping side counts, for the program's own metrics.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use narthex_model::Timestamp;
use parking_lot::Mutex;

use crate::cycle::Refused;
use crate::error::ScrapeError;

/// Observations that a summary's quantiles look back on.
const WINDOW: usize = 256;

/// Counters of all pools together. They only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Scrapes that were tried.
    pub scrapes: AtomicU64,
    /// Samples that went into rows.
    pub samples: AtomicU64,
    /// Scrapes that broke `sample_limit`.
    pub sample_limit: AtomicU64,
    /// Scrapes that broke `body_size_limit`.
    pub body_size_limit: AtomicU64,
    /// Samples that came twice for one time with different values.
    pub duplicate: AtomicU64,
    /// Samples older than the last of their series.
    pub out_of_order: AtomicU64,
    /// Samples too old or too far ahead.
    pub out_of_bounds: AtomicU64,
    /// Exemplars older than the newest of their series.
    pub late_exemplars: AtomicU64,
    /// Pool synchronisations that broke `target_limit`.
    pub target_limit: AtomicU64,
    /// Discovered targets that could not be made into a target.
    pub sync_failed: AtomicU64,
    /// Rows that the store failed to take, by its own fault.
    pub store_failed: AtomicU64,
    /// Reloads of a pool.
    pub reloads: AtomicU64,
    /// By job: scrapes that were refused for their number of series.
    series_limited: Mutex<BTreeMap<String, u64>>,
    /// Per configured interval, in ms: how far apart scrapes really were, in seconds.
    intervals: Mutex<BTreeMap<u64, Summary>>,
}

/// A summary over the last observations.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Sum of all observations.
    pub sum: f64,
    /// How many there were.
    pub count: u64,
    recent: VecDeque<f32>,
}

impl Summary {
    /// Adds one observation.
    pub fn observe(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        #[expect(clippy::cast_possible_truncation, reason = "a quantile needs no more digits")]
        self.recent.push_back(value as f32);
    }

    /// The `q`-quantile of the last observations, `None` when there was none.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index below WINDOW"
    )]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let mut sorted: Vec<f32> = self.recent.iter().copied().collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let rank = (q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(rank).copied().map(f64::from)
    }
}

impl Counters {
    pub(crate) fn count_refused(&self, refused: Refused) {
        self.duplicate.fetch_add(refused.duplicate, Relaxed);
        self.out_of_order.fetch_add(refused.out_of_order, Relaxed);
        self.out_of_bounds.fetch_add(refused.out_of_bounds, Relaxed);
        self.late_exemplars.fetch_add(refused.late_exemplars, Relaxed);
    }

    pub(crate) fn count_failure(&self, job: &str, error: &ScrapeError) {
        if error.is_series_limit() {
            *self.series_limited.lock().entry(job.to_owned()).or_default() += 1;
        }
        match error {
            ScrapeError::SampleLimit => self.sample_limit.fetch_add(1, Relaxed),
            ScrapeError::BodyTooLarge => self.body_size_limit.fetch_add(1, Relaxed),
            _ => return,
        };
    }

    pub(crate) fn observe_interval(&self, interval: Duration, from: Timestamp, to: Timestamp) {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let seconds = to.seconds() - from.seconds();
        self.intervals.lock().entry(interval_ms).or_default().observe(seconds);
    }

    /// By job: scrapes that were refused, for there were more series than one target or the store
    /// may have.
    pub fn series_limited(&self) -> BTreeMap<String, u64> {
        self.series_limited.lock().clone()
    }

    /// Actual intervals in seconds by configured interval.
    pub fn intervals(&self) -> Vec<(Duration, Summary)> {
        let intervals = self.intervals.lock();
        intervals.iter().map(|(ms, s)| (Duration::from_millis(*ms), s.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_last_observations() {
        let mut summary = Summary::default();
        assert_eq!(summary.quantile(0.5), None);
        for value in 0..1000 {
            summary.observe(f64::from(value));
        }
        assert_eq!(summary.count, 1000);
        assert_eq!(summary.quantile(0.0), Some(744.0));
        assert_eq!(summary.quantile(1.0), Some(999.0));
    }
}
