//! What is told about the queues on `/metrics`.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use narthex_model::Timestamp;
use narthex_store::RowSeq;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::answer::Reason;
use crate::exemplars::{self, ExemplarStats};
use crate::ledger::{Ledger, Offer, Refused};

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
    /// The same by reason, in the order of [`Reason::ALL`].
    pub refused: [u64; Reason::ALL.len()],
    /// Samples of requests that the receiver refused because it had stored them before, by an
    /// attempt whose answer was lost.
    pub samples_repeated: u64,
    /// Samples sent again after a failure that may pass (`samples_retried_total`).
    pub samples_retried: u64,
    /// Samples of series that relabelling drops (`samples_dropped_total{reason="dropped_series"}`).
    pub dropped_by_relabelling: u64,
    /// Samples older than the limit (`samples_dropped_total{reason="too_old"}`).
    pub dropped_too_old: u64,
    /// Samples of series that the store had forgotten
    /// (`samples_dropped_total{reason="unintentionally_dropped_series"}`).
    pub dropped_unknown: u64,
    /// Histograms with custom buckets that protocol 1.0 has no place for
    /// (`samples_dropped_total{reason="nhcb_in_rw1_not_supported"}`).
    pub dropped_custom: u64,
    /// Native histograms sent, each attempt counted (`histograms_total`).
    pub histograms: u64,
    /// Native histograms that the receiver refused for good (`histograms_failed_total`).
    pub histograms_failed: u64,
    /// Native histograms sent again after a failure that may pass (`histograms_retried_total`).
    pub histograms_retried: u64,
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
    /// The row of the store up to which all are done with.
    pub place: RowSeq,
    /// Rows of the store that were not accepted yet.
    pub rows_behind: u64,
    /// Bytes that sending those will take, estimated by the rows sent so far.
    pub bytes_behind: u64,
    /// How old the oldest row is that was not accepted yet; zero when all were.
    pub lag: Duration,
    /// Samples accepted in a second, of late.
    pub samples_per_second: f64,
    /// The last trouble, and when it was.
    pub last_error: Option<(Timestamp, String)>,
    /// What the receiver refused for good, the oldest time first.
    pub refused_times: Vec<Refused>,
    /// How many stretches of time wait to be offered again.
    pub offers: usize,
    /// Requests per bucket of [`DURATION_BUCKETS`], not cumulated; the last has no bound
    /// (`sent_batch_duration_seconds`).
    pub duration_counts: [u64; DURATION_BUCKETS.len() + 1],
    /// Seconds that all requests took.
    pub duration_sum: f64,
    /// Bytes that the encoded labels and templates take in memory.
    pub cache_bytes: u64,
    /// Exemplars.
    pub exemplars: ExemplarStats,
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
    pub(crate) dropped_custom: AtomicU64,
    pub(crate) histograms: AtomicU64,
    pub(crate) histograms_failed: AtomicU64,
    pub(crate) histograms_retried: AtomicU64,
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
    /// The row up to which all are done with.
    pub(crate) place: AtomicU64,
    /// Its time; 0 for not known.
    pub(crate) acked_ms: AtomicI64,
    /// Rows that were sent since the start, and bytes of the requests that they took.
    pub(crate) rows_sent: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    /// Rows behind `place` that were sent ahead.
    pub(crate) rows_ahead: AtomicU64,
    pub(crate) samples_repeated: AtomicU64,
    pub(crate) cache_bytes: AtomicU64,
    pub(crate) refused: [AtomicU64; Reason::ALL.len()],
    pub(crate) exemplars: exemplars::Counters,
    pub(crate) durations: Mutex<Durations>,
    board: Mutex<Board>,
}

/// What is told to people about a queue, and asked of it.
#[derive(Debug, Default)]
struct Board {
    last_error: Option<(Timestamp, String)>,
    refused: Vec<Refused>,
    offers: usize,
    /// What the queue has not looked at yet.
    inbox: Vec<Offer>,
    rate: Option<Rate>,
}

/// Samples a second, with what is longer ago counting less.
#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: f64,
    since: Instant,
    samples: u64,
}

/// Over how long a rate is measured at least.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// Longest text that is kept of an error.
const ERROR_BYTES_MAX: usize = 2048;

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

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
impl Rate {
    fn begin() -> Self {
        Self { per_second: 0.0, since: Instant::now(), samples: 0 }
    }

    /// Takes `samples` in, at this moment.
    fn add(&mut self, samples: u64) {
        self.samples += samples;
        let elapsed = self.since.elapsed();
        if elapsed >= RATE_WINDOW {
            let per_second = self.samples as f64 / elapsed.as_secs_f64();
            *self = Self { per_second, since: Instant::now(), samples: 0 };
        }
    }

    fn now(mut self) -> f64 {
        self.add(0);
        if self.per_second > 0.0 {
            return self.per_second;
        }
        self.samples as f64 / self.since.elapsed().as_secs_f64().max(1.0)
    }
}

impl Counters {
    pub(crate) fn note_error(&self, now: Timestamp, mut text: String) {
        if text.len() > ERROR_BYTES_MAX {
            let end = (0..=ERROR_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at));
            text.truncate(end.unwrap_or(0));
        }
        self.board.lock().last_error = Some((now, text));
    }

    pub(crate) fn last_error(&self) -> String {
        self.board.lock().last_error.as_ref().map(|(_, text)| text.clone()).unwrap_or_default()
    }

    pub(crate) fn note_refused(&self, reason: Reason, samples: u64) {
        if let Some(counter) = self.refused.get(usize::from(reason.number())) {
            add(counter, samples);
        }
    }

    pub(crate) fn note_sent(&self, samples: u64) {
        self.board.lock().rate.get_or_insert_with(Rate::begin).add(samples);
    }

    /// Shows what the queue remembers.
    pub(crate) fn post_ledger(&self, ledger: &Ledger) {
        let mut board = self.board.lock();
        if board.refused != ledger.refused() {
            board.refused = ledger.refused().to_vec();
        }
        board.offers = ledger.offers().len();
    }

    /// Asks the queue to offer rows again.
    pub(crate) fn put_offer(&self, offer: Offer) {
        self.board.lock().inbox.push(offer);
    }

    pub(crate) fn take_offers(&self) -> Vec<Offer> {
        std::mem::take(&mut self.board.lock().inbox)
    }

    pub(crate) fn took(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = DURATION_BUCKETS.partition_point(|&bound| bound < seconds);
        let mut durations = self.durations.lock();
        durations.sum += seconds;
        if let Some(count) = durations.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Writes into `stats` how far the queue is behind `last`, the store's last row.
    pub(crate) fn fill_backlog(&self, stats: &mut QueueStats, last: RowSeq, now: Timestamp) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let place = get(&self.place);
        stats.rows_behind = last.0.saturating_sub(place + get(&self.rows_ahead));
        let (rows, bytes) = (get(&self.rows_sent).max(1), get(&self.bytes_sent));
        let estimate = u128::from(stats.rows_behind) * u128::from(bytes) / u128::from(rows);
        stats.bytes_behind = u64::try_from(estimate).unwrap_or(u64::MAX);
        let acked = Timestamp(self.acked_ms.load(Ordering::Relaxed));
        stats.place = RowSeq(place);
        if stats.rows_behind > 0 && acked.0 != 0 {
            let age_ms = now.millis().saturating_sub(acked.millis());
            stats.lag = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
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
        stats.dropped_custom = get(&self.dropped_custom);
        stats.histograms = get(&self.histograms);
        stats.histograms_failed = get(&self.histograms_failed);
        stats.histograms_retried = get(&self.histograms_retried);
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
        stats.exemplars = self.exemplars.stats();
        stats.samples_repeated = get(&self.samples_repeated);
        for (count, counter) in stats.refused.iter_mut().zip(&self.refused) {
            *count = get(counter);
        }
        {
            let board = self.board.lock();
            stats.last_error.clone_from(&board.last_error);
            stats.refused_times.clone_from(&board.refused);
            stats.offers = board.offers + board.inbox.len();
            stats.samples_per_second = board.rate.map_or(0.0, Rate::now);
        }
        let durations = self.durations.lock();
        stats.duration_counts = durations.counts;
        stats.duration_sum = durations.sum;
    }
}
