//! Block files: sealed windows of time, immutable and mapped.
//!
//! A block holds **chunks** (rows of one layout: the times once, then one blob per column), an
//! **index** (symbols, series, postings) and a **footer** that says where everything is. The
//! footer is there twice; every other part carries checksums over small pieces, so that a damaged
//! byte costs one piece, is noticed before anything computed from it is served, and the rest
//! serves. Nothing of the index is copied to memory: it is read from the map.
//!
//! [`Writer`] makes a block, column by column; [`Block`] reads it; [`Merger`] joins blocks of
//! adjacent windows. `FORMAT.md` draws the bytes.

mod chunk;
mod entries;
mod fault;
mod format;
mod index;
mod join;
mod mend;
mod merge;
mod parity;
mod postings;
mod prune;
mod read;
mod reader;
mod rows;
mod section;
mod select;
mod sizes;
mod symbols;
mod tail;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use narthex_model::TimeRange;

use crate::RowSeq;

pub use entries::BlockEntry;
pub(crate) use mend::Patch;
pub(crate) use merge::{Merger, merge};
pub use reader::Block;
#[cfg(test)]
pub(crate) use reader::ChunkInfo;
pub(crate) use reader::Scratch;
pub(crate) use rows::{Slice, Strip};
pub(crate) use select::{Found, SeriesIndex};
pub use sizes::BlockSizes;
pub(crate) use writer::{ChunkHead, Writer};

/// What a block is about, as its footer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The window of time that was sealed; later blocks may hold rows of it that came late.
    pub window: TimeRange,
    /// The times of the first and the last row; an empty range if there is no row.
    pub times: TimeRange,
    /// The first row in the order of all rows, as given to [`Writer::finish`].
    pub first_seq: RowSeq,
    /// The last row in the order of all rows, as given to [`Writer::finish`].
    pub last_seq: RowSeq,
    /// Samples that are present, staleness markers included.
    pub samples: u64,
    /// Series with at least one sample.
    pub series: u32,
    /// Chunks.
    pub chunks: u32,
    /// Length of the file in bytes.
    pub bytes: u64,
}

/// What the caller of [`Writer::finish`] knows about a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish {
    /// The window of time that was sealed.
    pub window: TimeRange,
    /// The first row in the order of all rows that the block may hold.
    pub first_seq: RowSeq,
    /// The last one.
    pub last_seq: RowSeq,
}
