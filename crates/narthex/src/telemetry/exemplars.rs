//! The exemplars kept and sent, under Prometheus' names.

use narthex_remote::QueueStats;
use narthex_store::exemplars::ExemplarStats;

use super::text::Page;

/// Writes the figures of the exemplars.
pub fn exemplars(page: &mut Page, stats: &ExemplarStats) {
    for (name, kind, help, value) in [
        (
            "prometheus_tsdb_exemplar_exemplars_appended_total",
            "counter",
            "Total number of appended exemplars.",
            stats.appended,
        ),
        (
            "prometheus_tsdb_exemplar_exemplars_in_storage",
            "gauge",
            "Number of exemplars currently in circular storage.",
            stats.exemplars,
        ),
        (
            "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
            "gauge",
            "Number of series with exemplars currently in circular storage.",
            stats.series,
        ),
        (
            "prometheus_tsdb_exemplar_max_exemplars",
            "gauge",
            "Total number of exemplars the exemplar storage can store, resizeable.",
            stats.max,
        ),
        (
            "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
            "counter",
            "Total number of out of order exemplar ingestion failed attempts.",
            stats.out_of_order,
        ),
        (
            "prometheus_remote_storage_exemplars_in_total",
            "counter",
            "Exemplars in to remote storage, compare to exemplars out for queue managers.",
            stats.accepted,
        ),
        (
            "narthex_exemplar_storage_bytes",
            "gauge",
            "Bytes that the exemplars in storage take.",
            stats.bytes,
        ),
    ] {
        page.family(name, kind, help).count(&[], value);
    }
    page.gauge(
        "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
        "The timestamp of the oldest exemplar stored in circular storage. Useful to check for what \
         timerange the current exemplar buffer limit allows. This usually means the last timestamp\
         for all exemplars for a typical setup. This is not true though if one of the series \
         timestamp is in future compared to rest series.",
        stats.oldest.map_or(0.0, narthex_model::Timestamp::seconds),
    );
}

type Get = fn(&narthex_remote::ExemplarStats) -> u64;

#[rustfmt::skip]
const SENT: &[(&str, &str, &str, Get)] = &[
    ("prometheus_remote_storage_exemplars_total", "counter", "Total number of exemplars sent to remote storage.", |e| e.sent),
    ("prometheus_remote_storage_exemplars_failed_total", "counter", "Total number of exemplars which failed on send to remote storage, non-recoverable errors.", |e| e.failed),
    ("prometheus_remote_storage_exemplars_retried_total", "counter", "Total number of exemplars which failed on send to remote storage but were retried because the send error was recoverable.", |e| e.retried),
    ("prometheus_remote_storage_exemplars_pending", "gauge", "The number of exemplars pending in the queues shards to be sent to the remote storage.", |e| e.pending),
];

/// Writes the figures of the exemplars that the queues send.
pub fn sent_exemplars(page: &mut Page, queues: &[QueueStats]) {
    if queues.is_empty() {
        return;
    }
    for (name, kind, help, get) in SENT {
        let mut family = page.family(name, kind, help);
        for queue in queues {
            let labels = [("remote_name", queue.name.as_str()), ("url", &queue.url)];
            family.count(&labels, get(&queue.exemplars));
        }
    }
    let help = "Total number of exemplars which were dropped after being read from the WAL before \
                being sent via remote write, either via relabelling, due to being too old or \
                unintentionally because of an unknown reference ID.";
    let name = "prometheus_remote_storage_exemplars_dropped_total";
    let mut family = page.family(name, "counter", help);
    for queue in queues {
        for (reason, count) in [
            ("dropped_series", queue.exemplars.dropped_by_relabelling),
            ("too_old", queue.exemplars.dropped_too_old),
            ("unintentionally_dropped_series", queue.exemplars.lost),
        ] {
            let labels =
                [("reason", reason), ("remote_name", queue.name.as_str()), ("url", &queue.url)];
            family.count(&labels, count);
        }
    }
}
