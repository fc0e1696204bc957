//! The store, under the names of Prometheus' own storage.

use std::time::Duration;

use narthex_model::Timestamp;
use narthex_store::Stats;

use super::text::Page;

type Get = fn(&Stats) -> u64;

#[rustfmt::skip]
const GAUGES: &[(&str, &str, Get)] = &[
    ("prometheus_tsdb_head_series", "Total number of series in the head block.", |s| s.head_series),
    ("prometheus_tsdb_head_chunks", "Total number of chunks in the head block.", |s| s.head_chunks),
    ("prometheus_tsdb_head_chunks_storage_size_bytes", "Size of the head's chunks.", |s| s.head_chunk_bytes),
    ("prometheus_tsdb_symbol_table_size_bytes", "Size of symbol table in memory for loaded blocks", |s| s.symbol_bytes),
    ("prometheus_tsdb_blocks_loaded", "Number of currently loaded data blocks", |s| s.blocks),
    ("prometheus_tsdb_storage_blocks_bytes", "The number of bytes that are currently used for local storage by all blocks.", |s| s.block_bytes),
    ("prometheus_tsdb_wal_storage_size_bytes", "Size of the write log directory.", |s| s.wal.bytes),
    ("prometheus_tsdb_wal_segment_current", "Write log segment index that TSDB is currently writing to.", |s| s.wal.segment_current),
    ("prometheus_tsdb_retention_limit_bytes", "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled", |s| s.retention_bytes.unwrap_or(0)),
    ("prometheus_tsdb_retention_limit_seconds", "How long to retain samples in storage.", |s| s.retention_age.unwrap_or_default().as_secs()),
    ("prometheus_tsdb_clean_start", "1: the data folder was free and is locked.", |_| 1),
    ("narthex_store_layouts", "Layouts that may still get rows.", |s| s.layouts),
];

#[rustfmt::skip]
const COUNTERS: &[(&str, &str, Get)] = &[
    ("prometheus_tsdb_head_series_created_total", "Total number of series created in the head", |s| s.series_created),
    ("prometheus_tsdb_head_series_removed_total", "Total number of series removed in the head", |s| s.series_removed),
    ("prometheus_tsdb_compactions_total", "Total number of compactions that were executed for the partition.", |s| s.seals),
    ("prometheus_tsdb_compactions_failed_total", "Total number of compactions that failed for the partition.", |s| s.seals_failed),
    ("prometheus_tsdb_reloads_failures_total", "Blocks that were damaged and set aside.", |s| s.blocks_damaged),
    ("prometheus_tsdb_time_retentions_total", "The number of times that blocks were deleted because the maximum time limit was exceeded.", |s| s.blocks_removed_by_age),
    ("prometheus_tsdb_size_retentions_total", "The number of times that blocks were deleted because the maximum number of bytes was exceeded.", |s| s.blocks_removed_by_size),
    ("prometheus_tsdb_wal_corruptions_total", "Total number of WAL corruptions.", |s| s.wal.corruptions),
    ("prometheus_tsdb_wal_writes_failed_total", "Total number of write log writes that failed.", |s| s.wal.failures),
    ("prometheus_tsdb_wal_record_parts_bytes_written_total", "Total number of record part bytes written.", |s| s.wal.bytes_written),
    ("narthex_wal_segments_removed_total", "Segments of the log that were removed.", |s| s.wal.segments_removed),
    ("narthex_wal_rows_lost_total", "Rows removed from the log before a receiver had them.", |s| s.wal.rows_lost),
    ("narthex_scrub_bytes_total", "Bytes of blocks in which damage was looked for.", |s| s.scrub_bytes),
    ("narthex_scrub_blocks_total", "Blocks that were looked at as a whole.", |s| s.scrub_blocks),
    ("narthex_blocks_mended_total", "Damaged blocks that were mended.", |s| s.blocks_mended),
    ("narthex_scrub_damaged_total", "Damaged places found in blocks; the log names them.", |s| s.scrub_damaged),
    ("narthex_store_rows_appended_total", "Rows appended: one per scrape.", |s| s.rows_appended),
    ("narthex_store_series_limited_total", "Series refused by the series limit.", |s| s.series_limited),
];

/// Counters with the label `type="float"`, the only type there is.
#[rustfmt::skip]
const SAMPLES: &[(&str, &str, Get)] = &[
    ("prometheus_tsdb_head_samples_appended_total", "Total number of appended samples.", |s| s.samples_appended),
    ("prometheus_tsdb_out_of_order_samples_total", "Total number of out of order samples ingestion failed attempts due to out of order being disabled.", |s| s.samples_out_of_order),
    ("prometheus_tsdb_out_of_bound_samples_total", "Total number of out of bound samples ingestion failed attempts with out of order support disabled.", |s| s.samples_out_of_bounds + s.samples_too_far_ahead),
    ("prometheus_tsdb_too_old_samples_total", "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.", |s| s.samples_too_old),
    ("prometheus_tsdb_head_out_of_order_samples_appended_total", "Total number of appended out of order samples.", |s| s.samples_late),
    ("narthex_store_duplicate_samples_total", "Samples refused for their layout had a row at the same time.", |s| s.samples_duplicate),
];

/// Writes the figures of the store.
pub fn store(page: &mut Page, stats: &Stats) {
    for (kind, table) in [("gauge", GAUGES), ("counter", COUNTERS)] {
        for (name, help, get) in table {
            page.family(name, kind, help).count(&[], get(stats));
        }
    }
    for (name, help, get) in SAMPLES {
        page.family(name, "counter", help).count(&[("type", "float")], get(stats));
    }
    let name = "prometheus_tsdb_data_replay_duration_seconds";
    page.gauge(name, "Time taken to replay the data on disk.", stats.replay_time.as_secs_f64());
    times(page, stats);
    let name = "narthex_scrub_pass_ended_timestamp_seconds";
    let ended = stats.scrub_pass_ended.map_or(0.0, Timestamp::seconds);
    page.gauge(name, "When all blocks had last been looked at; 0 if never yet.", ended);
    let name = "prometheus_tsdb_wal_fsync_duration_seconds";
    summary(page, name, "Duration of write log fsync.", stats.wal.sync_time, stats.wal.syncs);
    let name = "prometheus_tsdb_compaction_duration_seconds";
    summary(page, name, "Duration of compaction runs", stats.seal_time, stats.seals);
}

#[expect(clippy::cast_precision_loss, reason = "the format knows floats only")]
fn times(page: &mut Page, stats: &Stats) {
    // What Prometheus shows of an empty head.
    let (start, end) = stats
        .head_range
        .map_or((i64::MAX, i64::MIN), |range| (range.start.millis(), range.end.millis()));
    let lowest = stats.lowest.map_or(0, Timestamp::millis);
    let mut both = |in_ms, in_seconds, help: &str, ms: i64| {
        page.gauge(in_ms, help, ms as f64);
        page.gauge(in_seconds, help, (ms / 1000) as f64);
    };
    both(
        "prometheus_tsdb_head_min_time",
        "prometheus_tsdb_head_min_time_seconds",
        "Minimum time bound of the head block.",
        start,
    );
    both(
        "prometheus_tsdb_head_max_time",
        "prometheus_tsdb_head_max_time_seconds",
        "Maximum timestamp of the head block.",
        end,
    );
    both(
        "prometheus_tsdb_lowest_timestamp",
        "prometheus_tsdb_lowest_timestamp_seconds",
        "Lowest timestamp value stored in the database.",
        lowest,
    );
}

fn summary(page: &mut Page, name: &'static str, help: &str, sum: Duration, count: u64) {
    page.family(name, "summary", help).totals(&[], sum.as_secs_f64(), count);
}
