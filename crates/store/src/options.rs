//! How a store is set up.

use std::time::Duration;

/// Default length of the window of time that one block covers, in milliseconds.
pub(crate) const WINDOW_MS: i64 = 2 * 3_600_000;

/// Default limit of series held in the head.
pub(crate) const SERIES_MAX: usize = 5_000_000;

/// Limit of columns of one layout.
pub(crate) const COLUMNS_MAX: usize = 10_000_000;

/// Limit of the encoded labels of one series, in bytes.
pub(crate) const LABELS_BYTES_MAX: usize = 1 << 20;

/// How far ahead of the clock a row may lie, in milliseconds.
pub(crate) const AHEAD_MS_MAX: i64 = 10 * 60_000;

/// Default limit of the log's size while a cursor holds it, in bytes.
pub(crate) const WAL_BYTES_MAX: u64 = 256 << 20;

/// A day: a sample is written again once on its first day, and once more on its third.
pub(crate) const MERGE_WINDOWS: i64 = 12;

/// A chunk file is worth its while from so many bytes of memory on that it frees.
pub(crate) const CHUNK_FILE_BYTES_MIN: usize = 1 << 20;

/// Fewer columns of ended layouts are not worth a block of their own.
pub(crate) const SPILL_COLUMNS_MIN: usize = 1024;

/// Limits and intervals of a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of the window of time that one block covers, in milliseconds; windows start at
    /// whole multiples of it since 1970. Only tests change it.
    pub window_ms: i64,
    /// How many series the head holds at most; resolving one more is refused.
    pub series_max: usize,
    /// How far ahead of the clock a row may lie, in milliseconds.
    pub ahead_ms_max: i64,
    /// Size at which a segment of the write-ahead log is closed, in bytes.
    pub wal_segment_bytes_max: u64,
    /// Whether each row is made durable before it can be seen; else [`crate::Store::sync`] does it
    /// for all at once.
    pub sync_each_row: bool,
    /// What the log may take, in bytes, for cursors that have not passed its rows; with a retention
    /// by size, half of that limit if it is less. Rows that are in no block yet are always kept,
    /// and rows in blocks are read from there.
    pub wal_bytes_max: u64,
    /// How many windows a merged block covers, and larger ones thrice as many, within a tenth of
    /// the retention. Only tests change it.
    pub merge_windows: i64,
    /// How much memory the rows of open windows must free before they go to a file, in bytes.
    pub chunk_file_bytes_min: usize,
    /// How many columns of layouts that ended may stay in memory, beside as many as the live
    /// ones have, before they go to a block. Only tests change it.
    pub spill_columns_min: usize,
    /// What is kept.
    pub retention: Retention,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window_ms: WINDOW_MS,
            series_max: SERIES_MAX,
            ahead_ms_max: AHEAD_MS_MAX,
            wal_segment_bytes_max: 32 << 20,
            sync_each_row: false,
            wal_bytes_max: WAL_BYTES_MAX,
            merge_windows: MERGE_WINDOWS,
            chunk_file_bytes_min: CHUNK_FILE_BYTES_MIN,
            spill_columns_min: SPILL_COLUMNS_MIN,
            retention: Retention::default(),
        }
    }
}

/// What is kept; whichever limit bites first decides. Whole blocks go, oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// A block goes when the newest block ends this much later than it. `None`: no such limit.
    pub age: Option<Duration>,
    /// Blocks, log and the files of the open window together take at most this many bytes. `None`: no such limit.
    pub bytes: Option<u64>,
}
