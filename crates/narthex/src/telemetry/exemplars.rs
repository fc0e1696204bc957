//! The exemplars kept, under Prometheus' names.

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
