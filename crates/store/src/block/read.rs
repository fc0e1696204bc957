//! Reads the samples of one series, out of all chunks that it stands in.

use narthex_model::{TimeRange, Timestamp, is_absent};

use super::chunk::{ChunkView, Places};
use super::fault::Fault;
use super::format::ChunkRecord;
use super::reader::Block;
use super::select::SeriesIndex;
use crate::codec::{Decoder, Memory, Presence};
use crate::{RowSeq, Samples};

/// How many chunks are remembered: as many as a series has in a week, so that the times of each are
/// decoded once for all series that are read one after the other.
const CHUNKS_KNOWN: usize = 96;

/// How many rows these may have together: up to 32 bytes each.
const ROWS_KNOWN: usize = 1 << 16;

/// A chunk of the same layout that was asked for so recently, counted in chunks, is one of a longer
/// row of them that is gone through again and again: were each to take the place of the oldest, all
/// would be gone whenever they are asked for.
const RECENT: u64 = 16 * CHUNKS_KNOWN as u64;

/// Memory that reading uses again and again, and what was found of the chunks that were read last:
/// the next series most often stands in the same ones.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(super) decoder: Decoder,
    values: Vec<f64>,
    placements: Vec<(u32, u32)>,
    known: Known,
    seqs: Vec<RowSeq>,
    several: Vec<(Timestamp, RowSeq, f64)>,
}

/// The chunks that are remembered.
#[derive(Debug, Default)]
struct Known {
    chunks: Vec<KnownChunk>,
    /// How many rows they have together.
    rows: usize,
    /// Where the chunk stands that was asked for last.
    last: usize,
    /// How often one was asked for.
    asked: u64,
}

/// What was found good of a chunk.
#[derive(Debug, Default)]
struct KnownChunk {
    /// The block's serial and the chunk's number; `None` while nothing is known.
    key: Option<(u64, u32)>,
    /// When it was asked for last, by [`Known::asked`].
    used: u64,
    layout: u32,
    rows: usize,
    head_offset: u64,
    places: Places,
    times: Vec<Timestamp>,
    memory: Memory,
}

impl Known {
    /// Where the chunk of a layout is remembered, or is to be; it has so many rows.
    fn place(&mut self, key: (u64, u32), layout: u32, rows: usize) -> Option<&mut KnownChunk> {
        self.asked += 1;
        self.last = self.find(key).unwrap_or_else(|| self.room(layout, rows));
        let chunk = self.chunks.get_mut(self.last)?;
        (chunk.used, chunk.layout) = (self.asked, layout);
        Some(chunk)
    }

    fn find(&self, key: (u64, u32)) -> Option<usize> {
        // Most often it is the one behind the last.
        let is_it = |chunk: &KnownChunk| chunk.key == Some(key);
        let next = (self.last + 1) % self.chunks.len().max(1);
        if self.chunks.get(next).is_some_and(is_it) {
            return Some(next);
        }
        self.chunks.iter().position(is_it)
    }

    /// The place for another chunk of a layout, of so many rows; others give way to it.
    fn room(&mut self, layout: u32, rows: usize) -> usize {
        while !self.chunks.is_empty()
            && (self.chunks.len() >= CHUNKS_KNOWN || self.rows + rows > ROWS_KNOWN)
        {
            let place = self.victim(layout);
            self.rows -= self.chunks.get(place).map_or(0, |chunk| chunk.rows);
            if self.rows + rows <= ROWS_KNOWN {
                // Its memory is used again, unless that is much more than is needed.
                if let Some(chunk) = self.chunks.get_mut(place) {
                    let fits = chunk.times.capacity() <= 2 * rows;
                    let before = std::mem::take(chunk);
                    *chunk = if fits { before } else { KnownChunk::default() };
                    (chunk.key, chunk.rows) = (None, rows);
                }
                self.rows += rows;
                return place;
            }
            self.chunks.swap_remove(place);
        }
        self.rows += rows;
        self.chunks.push(KnownChunk { rows, ..KnownChunk::default() });
        self.chunks.len() - 1
    }

    /// Which one gives way to a chunk of a layout.
    fn victim(&self, layout: u32) -> usize {
        let oldest = self.chunks.iter().enumerate().min_by_key(|(_, chunk)| chunk.used);
        match oldest {
            Some((_, chunk)) if chunk.layout == layout && self.asked - chunk.used <= RECENT => {
                self.last.min(self.chunks.len() - 1)
            }
            Some((place, _)) => place,
            None => 0,
        }
    }
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
            let last = out.times.get(from..).and_then(<[_]>::last).copied();
            let whole = range.start <= record.times.start
                && record.times.end <= range.end
                && last.is_none_or(|last| last < record.times.start);
            let read = if whole {
                self.read_whole((number, record), column, scratch, out)
            } else {
                self.read_part((number, record), column, (range, last), scratch, out)
            };
            read.unwrap_or_else(|fault| self.warn(fault, &mut out.warnings));
        })
        .unwrap_or_else(|fault| self.warn(fault, &mut out.warnings));
    }

    /// Decodes a column of a chunk to where its samples are wanted.
    fn read_whole(
        &self,
        chunk: (u32, ChunkRecord),
        column: usize,
        scratch: &mut Scratch,
        out: &mut Samples,
    ) -> Result<(), Fault> {
        let from = out.values.len();
        let known = self.know(chunk, &mut scratch.known)?;
        let decoder = &mut scratch.decoder;
        let presence = self.with_view(chunk.1, known, |view, memory| {
            view.present(memory, column, decoder, &mut out.values)
        })?;
        match presence {
            Presence::All => out.times.extend_from_slice(&known.times),
            Presence::Runs => {
                let mut row = 0;
                for (gap, len) in decoder.runs() {
                    row += gap;
                    out.times.extend_from_slice(known.times.get(row..row + len).unwrap_or(&[]));
                    row += len;
                }
            }
            Presence::Unknown => {
                let values = out.values.get(from..).unwrap_or(&[]);
                let rows = known.times.iter().zip(values);
                let present = rows.filter(|(_, value)| !is_absent(**value));
                out.times.extend(present.map(|(&at, _)| at));
                let mut row = 0;
                out.values.retain(|&value| {
                    row += 1;
                    row <= from || !is_absent(value)
                });
            }
        }
        Ok(())
    }

    /// Appends the samples in `range` and after `last`.
    fn read_part(
        &self,
        chunk: (u32, ChunkRecord),
        column: usize,
        (range, last): (TimeRange, Option<Timestamp>),
        scratch: &mut Scratch,
        out: &mut Samples,
    ) -> Result<(), Fault> {
        let known = self.know(chunk, &mut scratch.known)?;
        scratch.values.clear();
        self.decode(chunk.1, column, known, &mut scratch.decoder, &mut scratch.values)?;
        let early = |at: Timestamp| at < range.start || last.is_some_and(|last| at <= last);
        let start = known.times.partition_point(|&at| early(at));
        let end = known.times.partition_point(|&at| at <= range.end).max(start);
        let times = known.times.get(start..end).unwrap_or(&[]);
        let values = scratch.values.get(start..end).unwrap_or(&[]);
        for (&at, &value) in times.iter().zip(values) {
            if !is_absent(value) {
                out.times.push(at);
                out.values.push(value);
            }
        }
        Ok(())
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
                self.read_rows((number, record), column, range, scratch, &mut several)
                    .unwrap_or_else(|fault| self.warn(fault, &mut out.warnings));
            })
            .unwrap_or_else(|fault| self.warn(fault, &mut out.warnings));
        }
        several.sort_by_key(|&(at, seq, _)| (at, seq));
        several.dedup_by_key(|&mut (at, ..)| at);
        out.times.extend(several.iter().map(|&(at, ..)| at));
        out.values.extend(several.iter().map(|&(.., value)| value));
        scratch.several = several;
    }

    /// Appends the samples of a column in `range` with their places.
    fn read_rows(
        &self,
        chunk: (u32, ChunkRecord),
        column: usize,
        range: TimeRange,
        scratch: &mut Scratch,
        out: &mut Vec<(Timestamp, RowSeq, f64)>,
    ) -> Result<(), Fault> {
        let known = self.know(chunk, &mut scratch.known)?;
        scratch.values.clear();
        self.decode(chunk.1, column, known, &mut scratch.decoder, &mut scratch.values)?;
        ChunkView::open(self.bytes(), self.id(), chunk.1)?.seqs(&mut scratch.seqs)?;
        // If the places were not kept, the first row's stands for all.
        scratch.seqs.resize(chunk.1.rows as usize, chunk.1.seqs.0);
        let rows = known.times.iter().zip(&scratch.values).zip(&scratch.seqs);
        let kept = rows.filter(|((at, value), _)| range.contains(**at) && !is_absent(**value));
        out.extend(kept.map(|((&at, &value), &seq)| (at, seq, value)));
        Ok(())
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

    /// What is known of a chunk; looks at its head if that is nothing yet.
    fn know<'a>(
        &self,
        (number, record): (u32, ChunkRecord),
        all: &'a mut Known,
    ) -> Result<&'a mut KnownChunk, Fault> {
        let key = (self.serial(), number);
        // The place is that of one that is there.
        let known = all
            .place(key, record.layout, record.rows as usize)
            .ok_or(Fault::new(record.offset, "no such chunk"))?;
        if known.key != Some(key) {
            known.key = None;
            let view = ChunkView::open(self.bytes(), self.id(), record)?;
            view.times(&mut known.times)?;
            known.head_offset = view.head_offset();
            known.places = Places::default();
            known.memory.clear();
            known.key = Some(key);
        }
        Ok(known)
    }

    /// Appends the values of a column, one per row.
    fn decode(
        &self,
        record: ChunkRecord,
        column: usize,
        known: &mut KnownChunk,
        decoder: &mut Decoder,
        out: &mut Vec<f64>,
    ) -> Result<(), Fault> {
        self.with_view(record, known, |view, memory| view.column(memory, column, decoder, out))
    }

    /// Calls `read` with a known chunk, and notes where it found columns.
    fn with_view<T>(
        &self,
        record: ChunkRecord,
        known: &mut KnownChunk,
        read: impl FnOnce(&ChunkView<'_>, &mut Memory) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let head_offset = known.head_offset;
        let mut view = ChunkView::reopen(self.bytes(), self.id(), record, head_offset)?;
        view.set_places(std::mem::take(&mut known.places));
        let result = read(&view, &mut known.memory);
        known.places = view.into_places();
        result
    }

    /// Adds a warning, once, and counts the fault.
    pub(super) fn warn(&self, fault: Fault, warnings: &mut Vec<String>) {
        let warning = format!("some samples are left out: {}", self.error(fault));
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the chunks are known when `series` are read that stand in `chunks` each.
    fn hits(known: &mut Known, layout: u32, chunks: std::ops::Range<u32>, series: u32) -> u32 {
        let mut hits = 0;
        for _ in 0..series {
            for number in chunks.clone() {
                let key = (u64::from(layout), number);
                let chunk = known.place(key, layout, 480).unwrap();
                hits += u32::from(chunk.key == Some(key));
                chunk.key = Some(key);
            }
        }
        hits
    }

    #[test]
    fn the_chunks_of_the_series_before_are_known() {
        let mut known = Known::default();
        for layout in 0..100 {
            assert_eq!(hits(&mut known, layout, 0..30, 10), 9 * 30);
        }
        assert_eq!(known.chunks.len(), CHUNKS_KNOWN);
    }

    #[test]
    fn long_chunks_are_fewer() {
        let mut known = Known::default();
        for number in 0..1000 {
            let rows = [480, 7_200, 1, 30_000][number as usize % 4];
            let chunk = known.place((1, number), 1, rows).unwrap();
            assert_eq!((chunk.rows, chunk.key), (rows, None));
            chunk.key = Some((1, number));
            let all: usize = known.chunks.iter().map(|chunk| chunk.rows).sum();
            assert_eq!(all, known.rows);
            assert!(all <= ROWS_KNOWN && known.chunks.len() <= CHUNKS_KNOWN);
        }
    }

    #[test]
    fn most_are_known_of_a_row_that_is_too_long() {
        let mut known = Known::default();
        hits(&mut known, 1, 0..90, 1);
        for layout in 2..5 {
            let hits = hits(&mut known, layout, 0..100, 10);
            assert!(hits > 8 * 90, "{hits}");
        }
        // And of another part of it after a while.
        hits(&mut known, 4, 200..300, 20);
        assert!(hits(&mut known, 4, 200..300, 10) > 9 * 90);
    }
}
