//! Reads the samples of one series, out of all chunks that it stands in.

use narthex_model::{TimeRange, Timestamp, is_absent};

use super::chunk::ChunkView;
use super::fault::Fault;
use super::format::ChunkRecord;
use super::reader::Block;
use super::select::SeriesIndex;
use crate::codec::{ChunkKey, Decoder};
use crate::{RowSeq, Samples};

/// Memory that reading uses again and again, and the times of the chunk that was read last: the
/// next series most often stands in the same one.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(super) decoder: Decoder,
    values: Vec<f64>,
    placements: Vec<(u32, u32)>,
    /// Of which chunk `times` are, if of any.
    last: Option<LastChunk>,
    times: Vec<Timestamp>,
    seqs: Vec<RowSeq>,
    several: Vec<(Timestamp, RowSeq, f64)>,
}

/// What was found good of the chunk that was read last.
#[derive(Clone, Copy, Debug)]
struct LastChunk {
    key: ChunkKey,
    head_offset: u64,
    group: Option<usize>,
}

impl Block {
    /// Appends the samples of a series in `range` to `out`: in order of time, each instant once,
    /// the row stored first winning; staleness markers included. What is damaged is left out and
    /// named in `out.warnings`.
    pub(crate) fn read_with(
        &self,
        series: SeriesIndex,
        range: TimeRange,
        scratch: &mut Scratch,
        out: &mut Samples,
    ) {
        let mut placements = std::mem::take(&mut scratch.placements);
        let found = self.series(series.0).and_then(|record| record.placements(&mut placements));
        if let Err(fault) = found {
            self.warn(fault, &mut out.warnings);
        } else if let &[placement] = placements.as_slice() {
            self.read_placement(placement, range, scratch, out);
        } else {
            self.read_several(&placements, range, scratch, out);
        }
        scratch.placements = placements;
    }

    /// Most series stand in one layout: its chunks follow each other in time.
    fn read_placement(
        &self,
        placement: (u32, u32),
        range: TimeRange,
        scratch: &mut Scratch,
        out: &mut Samples,
    ) {
        let from = out.times.len();
        self.for_each_chunk(placement, range, |number, record, column| {
            match self.read_column(number, record, column, scratch) {
                Ok(()) => {
                    let last = out.times.get(from..).and_then(<[_]>::last).copied();
                    let (times, values) = scratch.within(range, last);
                    append_present(times, values, out);
                }
                Err(fault) => self.warn(fault, &mut out.warnings),
            }
        })
        .unwrap_or_else(|fault| self.warn(fault, &mut out.warnings));
    }

    /// A series in several layouts: their samples are put in order.
    fn read_several(
        &self,
        placements: &[(u32, u32)],
        range: TimeRange,
        scratch: &mut Scratch,
        out: &mut Samples,
    ) {
        let mut several = std::mem::take(&mut scratch.several);
        several.clear();
        for &placement in placements {
            self.for_each_chunk(placement, range, |number, record, column| {
                let read = self.read_column(number, record, column, scratch);
                if let Err(fault) = read.and_then(|()| self.read_seqs(record, scratch)) {
                    return self.warn(fault, &mut out.warnings);
                }
                let rows = scratch.times.iter().zip(&scratch.values).zip(&scratch.seqs);
                let kept =
                    rows.filter(|((at, value), _)| range.contains(**at) && !is_absent(**value));
                several.extend(kept.map(|((&at, &value), &seq)| (at, seq, value)));
            })
            .unwrap_or_else(|fault| self.warn(fault, &mut out.warnings));
        }
        several.sort_by_key(|&(at, seq, _)| (at, seq));
        several.dedup_by_key(|&mut (at, ..)| at);
        out.times.extend(several.iter().map(|&(at, ..)| at));
        out.values.extend(several.iter().map(|&(.., value)| value));
        scratch.several = several;
    }

    /// Calls `visit` with each chunk that holds rows of the column in `range`, by time: its
    /// number, its record, and the column's position in it.
    pub(super) fn for_each_chunk(
        &self,
        (layout, column): (u32, u32),
        range: TimeRange,
        mut visit: impl FnMut(u32, ChunkRecord, usize),
    ) -> Result<(), Fault> {
        let chunks = self.meta().chunks;
        let (mut low, mut high) = (0, chunks);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.record(middle)?.layout < layout {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        for number in low..chunks {
            let record = self.record(number)?;
            if record.layout != layout || record.times.start > range.end {
                break;
            }
            let within = column.checked_sub(record.first_column).filter(|&c| c < record.columns);
            if let Some(within) = within
                && record.times.overlaps(range)
            {
                visit(number, record, within as usize);
            }
        }
        Ok(())
    }

    /// Reads the times of a chunk and the values of a column into the scratch.
    fn read_column(
        &self,
        number: u32,
        record: ChunkRecord,
        column: usize,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        let key = (self.serial(), number);
        let view = match scratch.last.take() {
            Some(last) if last.key == key => {
                let view = ChunkView::reopen(self.bytes(), self.id(), record, last.head_offset)?;
                view.assume_checked(last.group);
                view
            }
            _ => {
                let view = ChunkView::open(self.bytes(), self.id(), record)?;
                view.times(&mut scratch.times)?;
                view
            }
        };
        scratch.values.clear();
        let result = view.column(key, column, &mut scratch.decoder, &mut scratch.values);
        let (head_offset, group) = (view.head_offset(), view.checked());
        scratch.last = Some(LastChunk { key, head_offset, group });
        result
    }

    /// Reads the places of a chunk's rows into the scratch; if they were not kept, the first
    /// row's stands for all.
    fn read_seqs(&self, record: ChunkRecord, scratch: &mut Scratch) -> Result<(), Fault> {
        let view = ChunkView::open(self.bytes(), self.id(), record)?;
        view.seqs(&mut scratch.seqs)?;
        scratch.seqs.resize(record.rows as usize, record.seqs.0);
        Ok(())
    }

    /// Adds a warning, once, and counts the fault.
    pub(super) fn warn(&self, fault: Fault, warnings: &mut Vec<String>) {
        let warning = format!("some samples are left out: {}", self.error(fault));
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}

/// Appends the rows that have a sample.
fn append_present(times: &[Timestamp], values: &[f64], out: &mut Samples) {
    // The common case, without a branch per row.
    if !values.iter().fold(false, |any, &value| any | is_absent(value)) {
        out.times.extend_from_slice(times);
        out.values.extend_from_slice(values);
        return;
    }
    for (&at, &value) in times.iter().zip(values) {
        if !is_absent(value) {
            out.times.push(at);
            out.values.push(value);
        }
    }
}

impl Scratch {
    /// The times in `range` and after `last`, and their values.
    fn within(&self, range: TimeRange, last: Option<Timestamp>) -> (&[Timestamp], &[f64]) {
        let start = self
            .times
            .partition_point(|&at| at < range.start || last.is_some_and(|last| at <= last));
        let end = self.times.partition_point(|&at| at <= range.end).max(start);
        let part = (self.times.get(start..end), self.values.get(start..end));
        (part.0.unwrap_or(&[]), part.1.unwrap_or(&[]))
    }
}
