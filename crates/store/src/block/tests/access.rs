//! A block seen from close by: its chunks one by one.

use std::cell::RefCell;
use std::collections::BTreeSet;

use narthex_model::{TimeRange, Timestamp};

use super::super::chunk::ChunkView;
use super::super::format::HEAD_TWICE;
use super::super::reader::{Block, Scratch};
use super::super::select::SeriesIndex;
use crate::codec::{Damaged, Decoder, Memory, Peers};
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

    /// The stretches of the file, start and length, that a column of chunk `chunk` needs: the head,
    /// its group, and the groups of the columns it refers to.
    pub(super) fn needed(&self, chunk: u32, column: usize) -> BTreeSet<(u64, u64)> {
        struct Recording<'a>(ChunkView<'a>, RefCell<Vec<usize>>);
        impl Peers for Recording<'_> {
            fn blob(&self, column: usize) -> Result<&[u8], Damaged> {
                self.1.borrow_mut().push(column);
                self.0.blob(column)
            }
        }
        let record = self.record(chunk).unwrap();
        let view = ChunkView::open(self.bytes(), self.id(), record).unwrap();
        let peers = Recording(view, RefCell::default());
        let blob = peers.blob(column).unwrap();
        let rows = record.rows as usize;
        Decoder::default().decode(blob, rows, column, &peers, &mut Vec::new()).unwrap();
        let mut needed = BTreeSet::from([(record.offset, u64::from(record.head_bytes))]);
        for column in peers.1.into_inner() {
            let groups = (0..peers.0.group_count()).map(|group| peers.0.group(group).unwrap());
            let place = groups.filter(|place| usize::from(place.first_column) <= column).last();
            let place = place.unwrap();
            let start = record.data_offset() + u64::from(place.start);
            needed.insert((start, u64::from(place.end - place.start)));
        }
        needed
    }

    /// Where the chunks end and the index begins.
    pub(super) fn chunks_end(&self) -> u64 {
        let records = (0..self.meta().chunks).map(|chunk| self.record(chunk).unwrap());
        let ends = records.map(|record| {
            let copy = if record.flags & HEAD_TWICE == 0 { 0 } else { record.head_bytes };
            record.data_offset() + u64::from(record.data_bytes) + u64::from(copy)
        });
        ends.max().unwrap()
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
