//! Remote write, under Prometheus' names.

use narthex_model::Timestamp;
use narthex_remote::stats::DURATION_BUCKETS;
use narthex_remote::{QueueStats, Reason};
use narthex_store::Stats;

use super::text::Page;

type Get = fn(&QueueStats) -> u64;
type GetTime = fn(&QueueStats) -> Option<Timestamp>;

#[rustfmt::skip]
const COUNTERS: &[(&str, &str, Get)] = &[
    (
        "prometheus_remote_storage_samples_total",
        "Total number of samples sent to remote storage.",
        |q| q.samples,
    ),
    (
        "prometheus_remote_storage_samples_failed_total",
        "Total number of samples which failed on send to remote storage, non-recoverable errors.",
        |q| q.samples_failed,
    ),
    (
        "prometheus_remote_storage_samples_retried_total",
        "Total number of samples which failed on send to remote storage but were retried because the send error was recoverable.",
        |q| q.samples_retried,
    ),
    (
        "prometheus_remote_storage_histograms_total",
        "Total number of histograms sent to remote storage.",
        |q| q.histograms,
    ),
    (
        "prometheus_remote_storage_histograms_failed_total",
        "Total number of histograms which failed on send to remote storage, non-recoverable errors.",
        |q| q.histograms_failed,
    ),
    (
        "prometheus_remote_storage_histograms_retried_total",
        "Total number of histograms which failed on send to remote storage but were retried because the send error was recoverable.",
        |q| q.histograms_retried,
    ),
    (
        "prometheus_remote_storage_bytes_total",
        "The total number of bytes of data (not metadata) sent by the queue after compression.",
        |q| q.bytes,
    ),
    (
        "prometheus_remote_storage_metadata_total",
        "Total number of metadata entries sent to remote storage.",
        |q| q.metadata,
    ),
    (
        "prometheus_remote_storage_metadata_failed_total",
        "Total number of metadata entries which failed on send to remote storage, non-recoverable errors.",
        |q| q.metadata_failed,
    ),
    (
        "prometheus_remote_storage_metadata_retried_total",
        "Total number of metadata entries which failed on send to remote storage but were retried because the send error was recoverable.",
        |q| q.metadata_retried,
    ),
    (
        "prometheus_remote_storage_metadata_bytes_total",
        "The total number of bytes of metadata sent by the queue after compression.",
        |q| q.metadata_bytes,
    ),
    (
        "prometheus_remote_storage_enqueue_retries_total",
        "Total number of times enqueue has failed because a shards queue was full.",
        |_| 0,
    ),
    (
        "narthex_remote_samples_repeated_total",
        "Samples that the receiver refused because it had stored them by a request whose answer was lost.",
        |q| q.samples_repeated,
    ),
    (
        "narthex_remote_rows_lost_total",
        "Rows that the store no longer had when they were due.",
        |q| q.rows_lost,
    ),
];

#[rustfmt::skip]
const GAUGES: &[(&str, &str, Get)] = &[
    (
        "prometheus_remote_storage_samples_pending",
        "The number of samples pending in the queues shards to be sent to the remote storage.",
        |q| q.samples_pending,
    ),
    (
        "prometheus_remote_storage_shards",
        "The number of shards used for parallel sending to the remote storage.",
        |q| q.shards,
    ),
    (
        "prometheus_remote_storage_shards_desired",
        "The number of shards that the queues shard calculation wants to run.",
        |q| q.shards,
    ),
    (
        "prometheus_remote_storage_shards_max",
        "The maximum number of shards that the queue is allowed to run.",
        |q| q.shards_max,
    ),
    (
        "prometheus_remote_storage_shards_min",
        "The minimum number of shards that the queue is allowed to run.",
        |q| q.shards_min,
    ),
    (
        "prometheus_remote_storage_shard_capacity",
        "The capacity of each shard of the queue used for parallel sending to the remote storage.",
        |q| q.shard_capacity,
    ),
    (
        "prometheus_remote_storage_max_samples_per_send",
        "The maximum number of samples to be sent, in a single request, to the remote storage.",
        |q| q.max_samples_per_send,
    ),
    (
        "narthex_remote_rows_behind",
        "Rows of the store that the receiver has not accepted yet.",
        |q| q.rows_behind,
    ),
    (
        "narthex_remote_bytes_behind",
        "Bytes that sending those rows will take, estimated by the rows sent so far.",
        |q| q.bytes_behind,
    ),
    (
        "narthex_remote_refused_ranges",
        "Stretches of time with samples that the receiver refused for good, to be seen with narthex ctl remote status.",
        |q| q.refused_times.len() as u64,
    ),
    (
        "narthex_remote_resends_pending",
        "Stretches of time that wait to be offered to the receiver again.",
        |q| q.offers as u64,
    ),
    ("narthex_remote_cache_bytes", "Memory of encoded labels and request templates.", |q| {
        q.cache_bytes
    }),
];

#[rustfmt::skip]
const TIMES: &[(&str, &str, GetTime)] = &[
    (
        "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
        "Timestamp from a WAL sample, the highest timestamp successfully sent by this queue, in seconds since epoch.",
        |q| q.highest_sent,
    ),
    (
        "prometheus_remote_storage_queue_highest_timestamp_seconds",
        "Highest timestamp that was enqueued.",
        |q| q.highest,
    ),
];

/// Writes the figures of the queues, and what came in for them.
pub fn remote(page: &mut Page, queues: &[QueueStats], store: &Stats) {
    page.counter(
        "prometheus_remote_storage_samples_in_total",
        "Samples in to remote storage, compare to samples out for queue managers.",
        store.samples_appended,
    );
    page.gauge(
        "prometheus_remote_storage_highest_timestamp_in_seconds",
        "Highest timestamp that has come into the remote storage, in seconds since epoch.",
        store.head_range.map_or(0.0, |range| range.end.seconds().floor()),
    );
    if queues.is_empty() {
        return;
    }
    for (kind, table) in [("counter", COUNTERS), ("gauge", GAUGES)] {
        for (name, help, get) in table {
            let mut family = page.family(name, kind, help);
            for queue in queues {
                family.count(&labels(queue), get(queue));
            }
        }
    }
    for (name, help, get) in TIMES {
        let mut family = page.family(name, "gauge", help);
        for queue in queues {
            family.put("", &labels(queue), get(queue).map_or(0.0, Timestamp::seconds));
        }
    }
    lag(page, queues);
    dropped(page, queues);
    refused(page, queues);
    durations(page, queues);
}

fn labels(queue: &QueueStats) -> [(&str, &str); 2] {
    [("remote_name", &queue.name), ("url", &queue.url)]
}

fn lag(page: &mut Page, queues: &[QueueStats]) {
    let help = "Age of the oldest row that the receiver has not accepted yet.";
    let mut family = page.family("narthex_remote_lag_seconds", "gauge", help);
    for queue in queues {
        family.put("", &labels(queue), queue.lag.as_secs_f64());
    }
}

fn refused(page: &mut Page, queues: &[QueueStats]) {
    let help = "Samples that the receiver refused for good.";
    let mut family = page.family("narthex_remote_samples_refused_total", "counter", help);
    for queue in queues {
        for (reason, count) in Reason::ALL.into_iter().zip(queue.refused) {
            let [name, url] = labels(queue);
            family.count(&[("reason", reason.name()), name, url], count);
        }
    }
}

fn dropped(page: &mut Page, queues: &[QueueStats]) {
    let help = "Total number of samples which were dropped after being read from the WAL before \
                being sent via remote write.";
    let mut family =
        page.family("prometheus_remote_storage_samples_dropped_total", "counter", help);
    for queue in queues {
        for (reason, count) in [
            ("dropped_series", queue.dropped_by_relabelling),
            ("too_old", queue.dropped_too_old),
            ("unintentionally_dropped_series", queue.dropped_unknown),
            ("nhcb_in_rw1_not_supported", queue.dropped_custom),
        ] {
            let [name, url] = labels(queue);
            family.count(&[("reason", reason), name, url], count);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format knows floats only")]
fn durations(page: &mut Page, queues: &[QueueStats]) {
    let help = "Duration of send calls to the remote storage.";
    let name = "prometheus_remote_storage_sent_batch_duration_seconds";
    let mut family = page.family(name, "histogram", help);
    for queue in queues {
        let [name, url] = labels(queue);
        let mut total = 0;
        let bounds = DURATION_BUCKETS.iter().map(ToString::to_string);
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(queue.duration_counts) {
            total += count;
            family.put("_bucket", &[name, url, ("le", &bound)], total as f64);
        }
        family.totals(&[name, url], queue.duration_sum, total);
    }
}
