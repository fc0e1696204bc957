//! The store's figures about itself.

use std::time::Duration;

use narthex_model::{TimeRange, Timestamp};

/// Everything that `/metrics` shows of the store. Counters count since the store was opened.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Series in the head now.
    pub head_series: u64,
    /// Chunks in the head now: one per series of a layout and window of time.
    pub head_chunks: u64,
    /// Bytes of compressed chunks and open rows in the head.
    pub head_chunk_bytes: u64,
    /// Times of the oldest and newest sample in the head; `None` while it is empty.
    pub head_range: Option<TimeRange>,
    /// The oldest time a row may still have; `None` while the store is empty.
    pub oldest_accepted: Option<Timestamp>,
    /// Layouts that may still get rows.
    pub layouts: u64,
    /// Series that were created.
    pub series_created: u64,
    /// Series that left the head.
    pub series_removed: u64,
    /// Series refused by the series limit.
    pub series_limited: u64,
    /// Rows appended.
    pub rows_appended: u64,
    /// Samples appended (holes in rows not counted).
    pub samples_appended: u64,
    /// Samples of rows refused as older than the last row of their layout.
    pub samples_out_of_order: u64,
    /// Samples of rows refused for their layout has a row at the same time.
    pub samples_duplicate: u64,
    /// Samples stored out of order, within the window for that.
    pub samples_late: u64,
    /// Samples of rows refused as too old where none may come late.
    pub samples_out_of_bounds: u64,
    /// Samples of rows refused as older than the window for late ones.
    pub samples_too_old: u64,
    /// Samples of rows refused as too far ahead of the clock.
    pub samples_too_far_ahead: u64,
    /// Bytes of label names and values held by the head.
    pub symbol_bytes: u64,
    /// The write-ahead log.
    pub wal: WalStats,
    /// Blocks served now.
    pub blocks: u64,
    /// Bytes of the blocks served now.
    pub block_bytes: u64,
    /// Time of the oldest sample in the store; `None` while it is empty.
    pub lowest: Option<Timestamp>,
    /// Blocks that were damaged and set aside.
    pub blocks_damaged: u64,
    /// Damaged places that queries met in the blocks served now.
    pub block_faults: u64,
    /// Bytes of blocks in which the scrubber has looked for damage.
    pub scrub_bytes: u64,
    /// Blocks that it has looked at as a whole.
    pub scrub_blocks: u64,
    /// Damaged places that it has found.
    pub scrub_damaged: u64,
    /// When it had last looked at all blocks.
    pub scrub_pass_ended: Option<Timestamp>,
    /// Damaged blocks that were written again, mended.
    pub blocks_mended: u64,
    /// Windows sealed into blocks.
    pub seals: u64,
    /// Blocks written of late rows.
    pub late_seals: u64,
    /// Seals that failed (and are tried again).
    pub seals_failed: u64,
    /// Time spent sealing.
    pub seal_time: Duration,
    /// Merges of blocks into larger ones.
    pub merges: u64,
    /// Merges that failed.
    pub merges_failed: u64,
    /// Blocks removed for their age.
    pub blocks_removed_by_age: u64,
    /// Blocks removed for the total size.
    pub blocks_removed_by_size: u64,
    /// The age limit in force.
    pub retention_age: Option<Duration>,
    /// The size limit in force, in bytes.
    pub retention_bytes: Option<u64>,
    /// How long opening the store took, most of it replaying the log.
    pub replay_time: Duration,
}

/// Figures of the write-ahead log.
#[derive(Clone, Debug, Default)]
pub struct WalStats {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Number of segments.
    pub segments: u64,
    /// Number of the segment that is written to.
    pub segment_current: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Syncs that reached the disk.
    pub syncs: u64,
    /// Time spent in those syncs.
    pub sync_time: Duration,
    /// Syncs or writes that failed.
    pub failures: u64,
    /// Damaged places that replay found and stepped over.
    pub corruptions: u64,
    /// Segments removed.
    pub segments_removed: u64,
    /// Rows that were damaged in the log, or that the retention removed although a cursor had not
    /// passed them.
    pub rows_lost: u64,
}

/// What the head's series consist of, for `/api/v1/status/tsdb`. Each list holds the largest
/// first, equal ones by name.
#[derive(Clone, Debug, Default)]
pub struct Cardinality {
    /// Series in the head.
    pub series: u64,
    /// Distinct pairs of label name and value.
    pub label_pairs: u64,
    /// Chunks in the head.
    pub chunks: u64,
    /// Times of the oldest and newest sample in the head; `None` while it is empty.
    pub range: Option<TimeRange>,
    /// Metric names by their number of series.
    pub series_by_metric: Vec<(String, u64)>,
    /// Label names by their number of values.
    pub values_by_label: Vec<(String, u64)>,
    /// Label names by the bytes of their values over all series.
    pub bytes_by_label: Vec<(String, u64)>,
    /// `name=value` pairs by their number of series.
    pub series_by_pair: Vec<(String, u64)>,
}
