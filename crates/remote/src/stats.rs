//! What is told about the queues on `/metrics`.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use narthex_model::Timestamp;
use parking_lot::Mutex;

/// Upper bounds of the buckets of `sent_batch_duration_seconds`, in seconds, as Prometheus has
/// them; one more bucket has no bound.
pub const DURATION_BUCKETS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0];

/// The figures of one queue. Names in parentheses are those of
/// `prometheus_remote_storage_...{remote_name, url}`.
#[derive(Clone, Debug, Default)]
pub struct QueueStats {
    /// `remote_name`: the name in the configuration, or one derived from the address.
    pub name: String,
    /// `url`, with a password masked.
    pub url: String,
    /// Samples sent, each attempt counted (`samples_total`).
    pub samples: u64,
    /// Samples that the receiver refused for good (`samples_failed_total`).
    pub samples_failed: u64,
    /// Samples sent again after a failure that may pass (`samples_retried_total`).
    pub samples_retried: u64,
    /// Samples of series that relabelling drops (`samples_dropped_total{reason="dropped_series"}`).
    pub dropped_by_relabelling: u64,
    /// Samples older than the limit (`samples_dropped_total{reason="too_old"}`).
    pub dropped_too_old: u64,
    /// Samples of series that the store had forgotten
    /// (`samples_dropped_total{reason="unintentional_dropped_series"}`).
    pub dropped_unknown: u64,
    /// Samples read but not yet accepted (`samples_pending`).
    pub samples_pending: u64,
    /// Compressed bytes sent (`bytes_total`).
    pub bytes: u64,
    /// Families sent (`metadata_total`).
    pub metadata: u64,
    /// Families refused for good (`metadata_failed_total`).
    pub metadata_failed: u64,
    /// Families sent again (`metadata_retried_total`).
    pub metadata_retried: u64,
    /// Compressed bytes of metadata sent (`metadata_bytes_total`).
    pub metadata_bytes: u64,
    /// Newest time accepted by the receiver (`queue_highest_sent_timestamp_seconds`).
    pub highest_sent: Option<Timestamp>,
    /// Newest time in the store (`queue_highest_timestamp_seconds`; the greatest of all queues is
    /// `highest_timestamp_in_seconds`).
    pub highest: Option<Timestamp>,
    /// Requests at a time (`shards`, `shards_desired`): order asks for one.
    pub shards: u64,
    /// `shards_max`, from the configuration.
    pub shards_max: u64,
    /// `shards_min`, from the configuration.
    pub shards_min: u64,
    /// `shard_capacity`, from the configuration.
    pub shard_capacity: u64,
    /// `max_samples_per_send`, from the configuration.
    pub max_samples_per_send: u64,
    /// Rows that the store no longer had when they were due.
    pub rows_lost: u64,
    /// Rows of the store that were not accepted yet.
    pub rows_behind: u64,
    /// Requests per bucket of [`DURATION_BUCKETS`], not cumulated; the last has no bound
    /// (`sent_batch_duration_seconds`).
    pub duration_counts: [u64; DURATION_BUCKETS.len() + 1],
    /// Seconds that all requests took.
    pub duration_sum: f64,
    /// Bytes that the encoded labels and templates take in memory.
    pub cache_bytes: u64,
}

/// The counters of one queue, written by its task.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) samples: AtomicU64,
    pub(crate) samples_failed: AtomicU64,
    pub(crate) samples_retried: AtomicU64,
    pub(crate) dropped_by_relabelling: AtomicU64,
    pub(crate) dropped_too_old: AtomicU64,
    pub(crate) dropped_unknown: AtomicU64,
    pub(crate) samples_pending: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) metadata: AtomicU64,
    pub(crate) metadata_failed: AtomicU64,
    pub(crate) metadata_retried: AtomicU64,
    pub(crate) metadata_bytes: AtomicU64,
    /// 0 for none yet.
    pub(crate) highest_sent_ms: AtomicI64,
    /// 0 for none yet.
    pub(crate) highest_ms: AtomicI64,
    pub(crate) rows_lost: AtomicU64,
    pub(crate) acked_seq: AtomicU64,
    pub(crate) cache_bytes: AtomicU64,
    pub(crate) durations: Mutex<Durations>,
}

/// The histogram of request durations.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    counts: [u64; DURATION_BUCKETS.len() + 1],
    sum: f64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn took(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = DURATION_BUCKETS.partition_point(|&bound| bound < seconds);
        let mut durations = self.durations.lock();
        durations.sum += seconds;
        if let Some(count) = durations.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Writes the counters into `stats`.
    pub(crate) fn fill(&self, stats: &mut QueueStats) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let time =
            |ms: &AtomicI64| Some(ms.load(Ordering::Relaxed)).filter(|&ms| ms != 0).map(Timestamp);
        stats.samples = get(&self.samples);
        stats.samples_failed = get(&self.samples_failed);
        stats.samples_retried = get(&self.samples_retried);
        stats.dropped_by_relabelling = get(&self.dropped_by_relabelling);
        stats.dropped_too_old = get(&self.dropped_too_old);
        stats.dropped_unknown = get(&self.dropped_unknown);
        stats.samples_pending = get(&self.samples_pending);
        stats.bytes = get(&self.bytes);
        stats.metadata = get(&self.metadata);
        stats.metadata_failed = get(&self.metadata_failed);
        stats.metadata_retried = get(&self.metadata_retried);
        stats.metadata_bytes = get(&self.metadata_bytes);
        stats.highest_sent = time(&self.highest_sent_ms);
        stats.highest = time(&self.highest_ms);
        stats.rows_lost = get(&self.rows_lost);
        stats.cache_bytes = get(&self.cache_bytes);
        let durations = self.durations.lock();
        stats.duration_counts = durations.counts;
        stats.duration_sum = durations.sum;
    }
}
