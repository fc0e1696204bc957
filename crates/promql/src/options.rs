//! How a query is to be computed, and within which limits.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use narthex_model::Clock;

use crate::memory::SharedMemory;

/// Default of [`Options::lookback`].
pub const LOOKBACK: Duration = Duration::from_secs(300);

/// Default of [`Options::max_samples`].
pub const SAMPLES_MAX: usize = 50_000_000;

/// Default of [`Options::memory_bytes_max`].
pub const MEMORY_BYTES_MAX: usize = 1 << 30;

/// Default of [`Options::timeout`].
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Which Prometheus is followed where its releases answer differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// 3.5, the release that is supported for long.
    #[default]
    V3_5,
    /// The newest, which is 3.14.
    Newest,
}

/// How a query is to be computed, and within which limits.
#[derive(Clone, Debug)]
pub struct Options {
    /// How far back an instant selector looks for a sample (`--query.lookback-delta`).
    pub lookback: Duration,
    /// How many samples a query may hold in memory at once (`--query.max-samples`).
    pub max_samples: usize,
    /// How many bytes a query may hold in memory at once, samples and labels.
    pub memory_bytes_max: usize,
    /// What this query shares with all others; without it only its own limit counts.
    pub memory: Option<Arc<SharedMemory>>,
    /// How long a query may take (`--query.timeout`). Needs `clock`.
    pub timeout: Duration,
    /// Whether experimental functions and aggregators may be used.
    pub experimental: bool,
    /// The step of a subquery that names none: the global evaluation interval.
    pub default_step: Duration,
    /// Whether samples are counted for each step, too.
    pub per_step_stats: bool,
    /// Whether metric names are dropped at the end of the evaluation rather than at once.
    pub delayed_name_removal: bool,
    /// Which Prometheus is followed where its releases answer differently.
    pub release: Release,
    /// The clock that the timeout is measured with; without one there is no timeout.
    pub clock: Option<Arc<dyn Clock>>,
    /// Set to stop the query: it ends with [`crate::Error::Canceled`] soon after.
    pub canceled: Option<Arc<AtomicBool>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lookback: LOOKBACK,
            max_samples: SAMPLES_MAX,
            memory_bytes_max: MEMORY_BYTES_MAX,
            memory: None,
            timeout: TIMEOUT,
            experimental: false,
            default_step: Duration::from_secs(60),
            per_step_stats: false,
            delayed_name_removal: false,
            release: Release::default(),
            clock: None,
            canceled: None,
        }
    }
}
