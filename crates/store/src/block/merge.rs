//! Joins blocks of adjacent windows into one.
#![expect(
    clippy::cast_possible_truncation,
    reason = "a chunk has fewer bytes than 2^32, as in the block it comes from"
)]

use narthex_model::{TimeRange, Timestamp};

use super::chunk::ChunkView;
use super::fault::Fault;
use super::reader::Block;
use super::select::SeriesIndex;
use super::writer::{Group, Groups, Writer};
use super::{Finish, Meta, prune};
use crate::tombstones::Tombstones;
use crate::{Error, LayoutRef, RowSeq, SeriesRef, SourceRef};

/// Writes what all `blocks` hold, given in order of time, as one block with the name `path`. See
/// [`Merger`].
pub(crate) fn merge(
    blocks: &[&Block],
    deleted: &Tombstones,
    writer: Writer,
    path: &str,
) -> Result<Meta, Error> {
    let mut merger = Merger::new(writer);
    while !merger.advance(blocks, deleted, u64::MAX)? {}
    merger.finish(blocks, path)
}

/// Joins blocks, a part at a time. What that saves is the index, which they have in common; the
/// chunks are taken as they are, one at a time, and the indices are read side by side, so that
/// little more memory is needed than for one chunk. Only chunks with columns of which something is
/// deleted are written anew, without that; the index of their block is held in memory.
///
/// A damaged group of columns is copied so that it is still found damaged. A block whose index or
/// chunk heads are damaged is not merged: an error tells, and nothing has changed.
#[derive(Debug)]
pub(crate) struct Merger {
    writer: Writer,
    finish: Finish,
    /// The block and the chunk to go on with.
    next: (usize, u32),
    /// Per block so far, whether its index is taken as it is: nothing in it is deleted.
    whole: Vec<bool>,
}

impl Merger {
    pub(crate) fn new(writer: Writer) -> Self {
        let window = TimeRange::new(Timestamp::MAX, Timestamp::MIN);
        let finish = Finish { window, first_seq: RowSeq(u64::MAX), last_seq: RowSeq(0) };
        Self::behind(writer, finish)
    }

    /// For what comes behind the chunks that `writer` has already, of which `finish` tells.
    pub(crate) fn behind(writer: Writer, finish: Finish) -> Self {
        Self { writer, finish, next: (0, 0), whole: Vec::new() }
    }

    /// Copies about `bytes` more of `blocks`, which are the same at every call, in order of time,
    /// as is what is deleted. `true`: that was all.
    pub(crate) fn advance(
        &mut self,
        blocks: &[&Block],
        deleted: &Tombstones,
        bytes: u64,
    ) -> Result<bool, Error> {
        let mut left = bytes;
        while left > 0 {
            let (position, chunk) = self.next;
            let Some(&block) = blocks.get(position) else { return Ok(true) };
            if chunk == 0 {
                self.begin(block, deleted)?;
            }
            let is_whole = self.whole.get(position) == Some(&true);
            let deleted = if is_whole { &Tombstones::default() } else { deleted };
            let from = (block, chunk, is_whole);
            let chunk = copy_chunks(from, deleted, &mut left, &mut self.writer)?;
            let is_done = chunk == block.meta().chunks;
            self.next = if is_done { (position + 1, 0) } else { (position, chunk) };
        }
        Ok(self.next.0 == blocks.len())
    }

    fn begin(&mut self, block: &Block, deleted: &Tombstones) -> Result<(), Error> {
        let (meta, finish) = (block.meta(), &mut self.finish);
        finish.window.start = finish.window.start.min(meta.window.start);
        finish.window.end = finish.window.end.max(meta.window.end);
        // Imported rows have no place.
        if meta.last_seq > RowSeq(0) {
            finish.first_seq = finish.first_seq.min(meta.first_seq);
        }
        finish.last_seq = finish.last_seq.max(meta.last_seq);
        let is_whole = !has_deleted(block, deleted)?;
        self.whole.push(is_whole);
        if !is_whole {
            copy_series(block, deleted, &mut self.writer)?;
        }
        self.writer.add_samples(meta.samples);
        Ok(())
    }

    /// Ends the block, which holds all `blocks` now, and gives it the name `path`.
    pub(crate) fn finish(mut self, blocks: &[&Block], path: &str) -> Result<Meta, Error> {
        self.finish.first_seq = self.finish.first_seq.min(self.finish.last_seq);
        let parts = blocks.iter().zip(&self.whole).filter(|(_, is_whole)| **is_whole);
        let parts: Vec<&Block> = parts.map(|(block, _)| *block).collect();
        self.writer.finish_with(&parts, &self.finish, path)
    }
}

/// A layout and its columns.
type Layout = ((LayoutRef, SourceRef), Vec<SeriesRef>);

fn layout(block: &Block, position: u32) -> Result<Layout, Error> {
    let name = layout_name(block, position)?;
    Ok((name, block.layout_columns(name.0)?))
}

fn layout_name(block: &Block, position: u32) -> Result<(LayoutRef, SourceRef), Error> {
    let record = block.layout_record(position).map_err(|fault| block.error(fault))?;
    Ok((LayoutRef(record.layout), SourceRef(record.source)))
}

/// Whether something is deleted of a series of the block.
fn has_deleted(block: &Block, deleted: &Tombstones) -> Result<bool, Error> {
    if deleted.is_empty() {
        return Ok(false);
    }
    for index in 0..block.series_count() {
        if deleted.names(block.series_ref(SeriesIndex(index))?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn copy_series(block: &Block, deleted: &Tombstones, writer: &mut Writer) -> Result<(), Error> {
    let mut layouts: Vec<Option<Layout>> = Vec::new();
    let mut placements = Vec::new();
    for index in 0..block.series_count() {
        let record = block.series(index).map_err(|fault| block.error(fault))?;
        writer.add_series(record.series, &block.labels(SeriesIndex(index))?);
        if !deleted.of(record.series).is_empty() {
            // What is left of it shows when its chunks are written.
            continue;
        }
        record.placements(&mut placements).map_err(|fault| block.error(fault))?;
        for &(position, column) in &placements {
            block.layout_record(position).map_err(|fault| block.error(fault))?;
            if layouts.len() <= position as usize {
                layouts.resize(position as usize + 1, None);
            }
            let Some(slot) = layouts.get_mut(position as usize) else { continue };
            let (names, columns) = match slot {
                Some(known) => known,
                None => slot.insert(layout(block, position)?),
            };
            writer.mark_present(*names, columns, column as usize);
        }
    }
    Ok(())
}

/// Copies chunks of a block from number `from` on until no bytes are left to copy; gives the number
/// of the next. Of a block that is taken as it is the columns need not be told.
fn copy_chunks(
    (block, from, is_whole): (&Block, u32, bool),
    deleted: &Tombstones,
    left: &mut u64,
    writer: &mut Writer,
) -> Result<u32, Error> {
    let mut current: Option<(u32, Layout)> = None;
    let mut next = from;
    while next < block.meta().chunks && *left > 0 {
        let number = next;
        let error = |fault: Fault| block.error(fault);
        let record = block.record(number).map_err(error)?;
        if current.as_ref().is_none_or(|(position, _)| *position != record.layout) {
            current = Some((
                record.layout,
                match is_whole {
                    true => (layout_name(block, record.layout)?, Vec::new()),
                    false => layout(block, record.layout)?,
                },
            ));
        }
        let Some((_, ((name, source), columns))) = &current else { continue };
        let strip = strip(block, number).map_err(error)?;
        let columns_here = columns.get(..strip.columns as usize).unwrap_or(columns);
        if columns_here.iter().any(|&series| !deleted.of(series).is_empty()) {
            let layout = (*name, *source, columns_here);
            let counted = prune::copy(block, (number, strip.end), layout, deleted, writer)?;
            // The writer counts what is left of them itself.
            writer.remove_samples(counted);
            next = strip.end;
            *left = left.saturating_sub(u64::from(record.data_bytes));
            continue;
        }
        next += 1;
        *left = left.saturating_sub(u64::from(record.data_bytes) + u64::from(record.head_bytes));
        let view = ChunkView::open(block.bytes(), block.id(), record).map_err(error)?;
        let mut data = Vec::with_capacity(record.data_bytes as usize);
        let mut groups = Groups::default();
        for group in 0..view.group_count() {
            let place = view.group(group).map_err(error)?;
            let (bytes, good) = view.group_bytes(place);
            let (start, first_column) = (data.len() as u32, place.first_column);
            data.extend_from_slice(bytes.map_err(error)?);
            let end = data.len() as u32;
            groups.0.push(Group { start, first_column, end, damaged: !good });
        }
        let layout = (*name, *source, columns.as_slice());
        writer.copy_chunk(layout, record, view.head(), (data, groups))?;
    }
    Ok(next)
}

/// Chunks side by side.
struct Strip {
    /// The number behind that of the last chunk.
    end: u32,
    columns: u32,
}

/// The chunks that hold the same rows as the chunk `first`, which has their first columns.
fn strip(block: &Block, first: u32) -> Result<Strip, Fault> {
    let start = block.record(first)?;
    let mut strip = Strip { end: first + 1, columns: start.first_column + start.columns };
    while strip.end < block.meta().chunks {
        let next = block.record(strip.end)?;
        let beside = next.layout == start.layout && next.times == start.times;
        if !beside || next.first_column != strip.columns {
            break;
        }
        strip.columns += next.columns;
        strip.end += 1;
    }
    Ok(strip)
}
