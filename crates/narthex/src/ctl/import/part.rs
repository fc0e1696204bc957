//! Where samples come from: blocks, the head of a Prometheus, text that was read.

use std::fmt::Debug;

use narthex_model::{Labels, TimeRange};
use narthex_prometheus_tsdb::index::ChunkMeta;
use narthex_prometheus_tsdb::{Encoding, xor};

/// A set of series with their chunks.
pub(super) trait Part: Debug {
    /// The times of its first and last sample.
    fn times(&self) -> TimeRange;

    /// About how many samples it has.
    fn samples(&self) -> u64;

    /// All its series, by names of its own.
    fn handles(&self) -> Result<Vec<u64>, String>;

    /// The labels of a series; its chunks go to `chunks`, which is cleared first.
    fn series(&self, handle: u64, chunks: &mut Vec<ChunkMeta>) -> Result<Labels, String>;

    /// A chunk that [`Part::series`] named.
    fn chunk(&self, reference: u64) -> Result<(Encoding, &[u8]), String>;

    /// The times, both ends included, that were deleted of a series.
    fn deleted(&self, handle: u64) -> &[(i64, i64)];
}

/// What could not be taken over.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Samples that are native histograms.
    pub(super) histograms: u64,
    /// Chunks and series that are damaged.
    pub(super) damaged: u64,
    /// What was wrong with the first of them.
    pub(super) first: Option<String>,
}

impl LeftOut {
    /// Notes something damaged.
    pub(super) fn damaged(&mut self, what: String) {
        self.damaged += 1;
        self.first.get_or_insert(what);
    }
}

/// A series of one part.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    /// The part.
    pub(super) part: &'a dyn Part,
    /// Its name for the series.
    pub(super) handle: u64,
    /// The chunks that have samples in the range asked for.
    pub(super) chunks: Vec<ChunkMeta>,
}

/// Reads the samples in `range` of one series out of all parts that have it into `out`, which is
/// cleared first: in order of time, each instant once, the first part winning.
pub(super) fn read(
    slots: &[Slot<'_>],
    range: TimeRange,
    left_out: &mut LeftOut,
    out: &mut Vec<(i64, f64)>,
) {
    out.clear();
    let (start, end) = (range.start.0, range.end.0);
    for slot in slots {
        let deleted = slot.part.deleted(slot.handle);
        for meta in &slot.chunks {
            if meta.times.1 < start || meta.times.0 > end {
                continue;
            }
            let first_seen = meta.times.0 >= start;
            let (encoding, data) = match slot.part.chunk(meta.reference) {
                Ok(found) => found,
                Err(error) if first_seen => {
                    left_out.damaged(error);
                    continue;
                }
                Err(_) => continue,
            };
            if encoding != Encoding::Xor {
                // A chunk may lie in several ranges, and is counted where it begins.
                let count = xor::count(data).unwrap_or(0);
                left_out.histograms += if first_seen { count.into() } else { 0 };
                continue;
            }
            let gone = |at: i64| deleted.iter().any(|&(from, to)| from <= at && at <= to);
            let read = xor::decode(data, |at, value| {
                if start <= at && at <= end && !(gone(at)) {
                    out.push((at, value));
                }
            });
            if let Err(error) = read {
                left_out.damaged(error.to_string());
            }
        }
    }
    if !out.is_sorted_by(|a, b| a.0 < b.0) {
        out.sort_by_key(|&(at, _)| at);
        out.dedup_by_key(|&mut (at, _)| at);
    }
}
