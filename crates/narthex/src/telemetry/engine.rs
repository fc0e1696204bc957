//! Queries.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use super::text::Page;

/// Observations that a summary's quantiles look back on.
const WINDOW: usize = 256;

/// The parts of a query's life that are timed, in the order of [`Engine::observe`].
const SLICES: [&str; 4] = ["queue_time", "prepare_time", "inner_eval", "result_sort"];

/// What is counted about queries.
#[derive(Debug, Default)]
pub struct Engine {
    /// Queries that run or wait now.
    pub queries: AtomicUsize,
    /// Most queries at the same time.
    pub concurrent_max: AtomicUsize,
    /// Samples that queries read.
    pub samples: AtomicU64,
    /// Queries that ended in a panic.
    pub panics: AtomicU64,
    slices: Mutex<[Window; 4]>,
}

#[derive(Clone, Debug, Default)]
struct Window {
    sum: f64,
    count: u64,
    recent: VecDeque<f64>,
}

impl Engine {
    /// A query has ended: the time it waited, was prepared, was computed and was sorted.
    pub fn observe(&self, times: [Duration; 4]) {
        for (slice, time) in self.slices.lock().iter_mut().zip(times) {
            let seconds = time.as_secs_f64();
            slice.sum += seconds;
            slice.count += 1;
            if slice.recent.len() == WINDOW {
                slice.recent.pop_front();
            }
            slice.recent.push_back(seconds);
        }
    }

    /// Writes the figures.
    #[expect(clippy::cast_precision_loss, reason = "the format knows floats only")]
    pub fn render(&self, page: &mut Page) {
        page.gauge(
            "prometheus_engine_queries",
            "The current number of queries being executed or waiting.",
            self.queries.load(Relaxed) as f64,
        );
        page.gauge(
            "prometheus_engine_queries_concurrent_max",
            "The max number of concurrent queries.",
            self.concurrent_max.load(Relaxed) as f64,
        );
        page.counter(
            "prometheus_engine_query_samples_total",
            "The total number of samples loaded by all queries.",
            self.samples.load(Relaxed),
        );
        page.counter(
            "narthex_query_panics_total",
            "Queries that ended in a fault of the program.",
            self.panics.load(Relaxed),
        );
        let help = "Query timings";
        let mut family = page.family("prometheus_engine_query_duration_seconds", "summary", help);
        for (slice, window) in SLICES.iter().zip(self.slices.lock().iter()) {
            let mut sorted: Vec<f64> = window.recent.iter().copied().collect();
            sorted.sort_by(f64::total_cmp);
            for (text, percent) in [("0.5", 50), ("0.9", 90), ("0.99", 99)] {
                let at = (sorted.len().saturating_sub(1) * percent).div_ceil(100);
                let value = sorted.get(at).copied().unwrap_or(f64::NAN);
                family.put("", &[("slice", slice), ("quantile", text)], value);
            }
            family.totals(&[("slice", slice)], window.sum, window.count);
        }
    }
}
