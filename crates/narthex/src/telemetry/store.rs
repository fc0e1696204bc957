//! The store, under the names of Prometheus' own storage.

use narthex_store::Stats;
use std::time::Duration;

use super::text::Page;

/// Writes the figures of the store.
#[expect(clippy::cast_precision_loss, reason = "the format knows floats only")]
pub fn store(page: &mut Page, stats: &Stats) {
    let head = [
        (
            "prometheus_tsdb_head_series",
            "Total number of series in the head block.",
            stats.head_series,
        ),
        (
            "prometheus_tsdb_head_chunks",
            "Total number of chunks in the head block.",
            stats.head_chunks,
        ),
        (
            "prometheus_tsdb_head_chunks_storage_size_bytes",
            "Size of the head's chunks.",
            stats.head_chunk_bytes,
        ),
        (
            "prometheus_tsdb_symbol_table_size_bytes",
            "Size of symbol table in memory for loaded blocks",
            stats.symbol_bytes,
        ),
        ("prometheus_tsdb_blocks_loaded", "Number of currently loaded data blocks", stats.blocks),
        (
            "prometheus_tsdb_storage_blocks_bytes",
            "The number of bytes that are currently used for local storage by all blocks.",
            stats.block_bytes,
        ),
        (
            "prometheus_tsdb_wal_storage_size_bytes",
            "Size of the write log directory.",
            stats.wal.bytes,
        ),
        (
            "prometheus_tsdb_wal_segment_current",
            "Write log segment index that TSDB is currently writing to.",
            stats.wal.segment_current,
        ),
        (
            "prometheus_tsdb_retention_limit_bytes",
            "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled",
            stats.retention_bytes.unwrap_or(0),
        ),
        ("narthex_store_layouts", "Layouts that may still get rows.", stats.layouts),
    ];
    for (name, help, value) in head {
        page.gauge(name, help, value as f64);
    }
    let seconds = stats.retention_age.unwrap_or_default().as_secs_f64();
    let name = "prometheus_tsdb_retention_limit_seconds";
    page.gauge(name, "How long to retain samples in storage.", seconds);
    page.gauge("prometheus_tsdb_clean_start", "1: the data folder was free and is locked.", 1.0);
    let name = "prometheus_tsdb_data_replay_duration_seconds";
    page.gauge(name, "Time taken to replay the data on disk.", stats.replay_time.as_secs_f64());
    times(page, stats);
    counters(page, stats);
    samples(page, stats);
    summary(
        page,
        "prometheus_tsdb_wal_fsync_duration_seconds",
        "Duration of write log fsync.",
        stats.wal.sync_time,
        stats.wal.syncs,
    );
    summary(
        page,
        "prometheus_tsdb_compaction_duration_seconds",
        "Duration of compaction runs",
        stats.seal_time,
        stats.seals,
    );
}

#[expect(clippy::cast_precision_loss, reason = "the format knows floats only")]
fn times(page: &mut Page, stats: &Stats) {
    // What Prometheus shows of an empty head.
    let (start, end) = stats
        .head_range
        .map_or((i64::MAX, i64::MIN), |range| (range.start.millis(), range.end.millis()));
    let lowest = stats.lowest.map_or(0, narthex_model::Timestamp::millis);
    for (name, in_seconds, help, ms) in [
        (
            "prometheus_tsdb_head_min_time",
            "prometheus_tsdb_head_min_time_seconds",
            "Minimum time bound of the head block.",
            start,
        ),
        (
            "prometheus_tsdb_head_max_time",
            "prometheus_tsdb_head_max_time_seconds",
            "Maximum timestamp of the head block.",
            end,
        ),
        (
            "prometheus_tsdb_lowest_timestamp",
            "prometheus_tsdb_lowest_timestamp_seconds",
            "Lowest timestamp value stored in the database.",
            lowest,
        ),
    ] {
        page.gauge(name, help, ms as f64);
        page.gauge(in_seconds, help, (ms / 1000) as f64);
    }
}

fn counters(page: &mut Page, stats: &Stats) {
    let wal = &stats.wal;
    for (name, help, value) in [
        (
            "prometheus_tsdb_head_series_created_total",
            "Total number of series created in the head",
            stats.series_created,
        ),
        (
            "prometheus_tsdb_head_series_removed_total",
            "Total number of series removed in the head",
            stats.series_removed,
        ),
        (
            "prometheus_tsdb_compactions_total",
            "Total number of compactions that were executed for the partition.",
            stats.seals,
        ),
        (
            "prometheus_tsdb_compactions_failed_total",
            "Total number of compactions that failed for the partition.",
            stats.seals_failed,
        ),
        (
            "prometheus_tsdb_reloads_failures_total",
            "Blocks that were damaged and set aside.",
            stats.blocks_damaged,
        ),
        (
            "prometheus_tsdb_time_retentions_total",
            "The number of times that blocks were deleted because the maximum time limit was exceeded.",
            stats.blocks_removed_by_age,
        ),
        (
            "prometheus_tsdb_size_retentions_total",
            "The number of times that blocks were deleted because the maximum number of bytes was exceeded.",
            stats.blocks_removed_by_size,
        ),
        (
            "prometheus_tsdb_wal_corruptions_total",
            "Total number of WAL corruptions.",
            wal.corruptions,
        ),
        (
            "prometheus_tsdb_wal_writes_failed_total",
            "Total number of write log writes that failed.",
            wal.failures,
        ),
        (
            "prometheus_tsdb_wal_record_parts_bytes_written_total",
            "Total number of record part bytes written.",
            wal.bytes_written,
        ),
        (
            "narthex_wal_segments_removed_total",
            "Segments of the log that were removed.",
            wal.segments_removed,
        ),
        (
            "narthex_wal_rows_lost_total",
            "Rows removed from the log before a receiver had them.",
            wal.rows_lost,
        ),
        (
            "narthex_store_rows_appended_total",
            "Rows appended: one per scrape.",
            stats.rows_appended,
        ),
        (
            "narthex_store_series_limited_total",
            "Series refused by the series limit.",
            stats.series_limited,
        ),
    ] {
        page.counter(name, help, value);
    }
}

fn samples(page: &mut Page, stats: &Stats) {
    let float: &[(&str, &str)] = &[("type", "float")];
    for (name, help, value) in [
        (
            "prometheus_tsdb_head_samples_appended_total",
            "Total number of appended samples.",
            stats.samples_appended,
        ),
        (
            "prometheus_tsdb_out_of_order_samples_total",
            "Total number of out of order samples ingestion failed attempts due to out of order being disabled.",
            stats.samples_out_of_order,
        ),
        (
            "prometheus_tsdb_out_of_bound_samples_total",
            "Total number of out of bound samples ingestion failed attempts with out of order support disabled.",
            stats.samples_too_far_ahead,
        ),
        (
            "prometheus_tsdb_too_old_samples_total",
            "Total number of samples that were too old.",
            stats.samples_too_old,
        ),
        (
            "narthex_store_duplicate_samples_total",
            "Samples refused for their layout had a row at the same time.",
            stats.samples_duplicate,
        ),
    ] {
        page.family(name, "counter", help).count(float, value);
    }
}

#[expect(clippy::cast_precision_loss, reason = "the format knows floats only")]
fn summary(page: &mut Page, name: &'static str, help: &str, sum: Duration, count: u64) {
    let mut family = page.family(name, "summary", help);
    family.put("_sum", &[], sum.as_secs_f64()).put("_count", &[], count as f64);
}
