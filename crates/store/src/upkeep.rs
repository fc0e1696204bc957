//! What keeps the store small and fast: sealing, retention, shortening the log.

/// What one round of upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Windows sealed into blocks.
    pub sealed: u32,
    /// Blocks removed by the retention.
    pub blocks_removed: u32,
    /// Segments of the log removed.
    pub wal_segments_removed: u32,
    /// Series that left the head.
    pub series_removed: u64,
}
