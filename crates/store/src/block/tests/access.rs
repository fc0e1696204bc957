//! A block seen from close by: its chunks one by one.

use narthex_model::{TimeRange, Timestamp};

use super::super::chunk::ChunkView;
use super::super::format::HEAD_TWICE;
use super::super::reader::{Block, Scratch};
use super::super::select::SeriesIndex;
use crate::codec::{Memory, Peers};
use crate::{Error, RowSeq, Samples};

impl Block {
    /// As [`Block::read_with`], with memory of its own.
    pub(super) fn read(&self, series: SeriesIndex, range: TimeRange, out: &mut Samples) {
        self.read_with(series, range, &mut Scratch::default(), out);
    }

    /// The times of the rows of chunk `chunk` (a position in [`Block::chunks`]) and their places
    /// in the order of all rows (none if that was not kept), in place of what was in the buffers.
    pub(super) fn chunk_rows(
        &self,
        chunk: u32,
        times: &mut Vec<Timestamp>,
        seqs: &mut Vec<RowSeq>,
    ) -> Result<(), Error> {
        let mut read = || {
            let view = ChunkView::open(self.bytes(), self.id(), self.record(chunk)?)?;
            view.times(times)?;
            view.seqs(seqs)
        };
        read().map_err(|fault| self.error(fault))
    }

    /// How many bytes chunk `chunk` takes in the file; 0 if there is no such chunk.
    pub(super) fn chunk_bytes(&self, chunk: u32) -> u64 {
        self.record(chunk).map_or(0, |record| {
            let heads = if record.flags & HEAD_TWICE == 0 { 1 } else { 2 };
            u64::from(record.head_bytes) * heads + u64::from(record.data_bytes)
        })
    }

    /// The values of a column of chunk `chunk`, counted from the chunk's first, one per row, in
    /// place of what was in `out`.
    pub(super) fn chunk_column(
        &self,
        chunk: u32,
        column: u32,
        scratch: &mut Scratch,
        out: &mut Vec<f64>,
    ) -> Result<(), Error> {
        out.clear();
        let mut read = || {
            let view = ChunkView::open(self.bytes(), self.id(), self.record(chunk)?)?;
            let memory = &mut Memory::default();
            view.column(memory, column as usize, &mut scratch.decoder, out)?;
            Ok(())
        };
        read().map_err(|fault| self.error(fault))
    }
}

impl ChunkView<'_> {
    /// The kind of a column's blob.
    pub(super) fn blob_kind(&self, column: usize) -> u8 {
        self.blob(column).map_or(0, |blob| blob.first().map_or(0, |head| head & 7))
    }
}
