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
use super::{Finish, Meta};
use crate::{Error, LayoutRef, RowSeq, SeriesRef, SourceRef};

/// Writes what all `blocks` hold, given in order of time, as one block with the name `path`. What
/// it saves is the index, which they have in common; the chunks are taken as they are, one at a
/// time, so that no more memory is needed than for the index and one chunk.
///
/// A damaged group of columns is copied so that it is still found damaged. A block whose index or
/// chunk heads are damaged is not merged: an error tells, and nothing has changed.
pub(crate) fn merge(blocks: &[&Block], mut writer: Writer, path: &str) -> Result<Meta, Error> {
    let mut finish = Finish {
        window: TimeRange::new(Timestamp::MAX, Timestamp::MIN),
        first_seq: RowSeq(u64::MAX),
        last_seq: RowSeq(0),
    };
    for block in blocks {
        let meta = block.meta();
        finish.window.start = finish.window.start.min(meta.window.start);
        finish.window.end = finish.window.end.max(meta.window.end);
        // Imported rows have no place.
        if meta.last_seq > RowSeq(0) {
            finish.first_seq = finish.first_seq.min(meta.first_seq);
        }
        finish.last_seq = finish.last_seq.max(meta.last_seq);
        copy_series(block, &mut writer)?;
        copy_chunks(block, &mut writer)?;
        writer.add_samples(meta.samples);
    }
    finish.first_seq = finish.first_seq.min(finish.last_seq);
    writer.finish(&finish, path)
}

/// A layout and its columns.
type Layout = ((LayoutRef, SourceRef), Vec<SeriesRef>);

fn layout(block: &Block, position: u32) -> Result<Layout, Error> {
    let record = block.layout_record(position).map_err(|fault| block.error(fault))?;
    let layout = LayoutRef(record.layout);
    Ok(((layout, SourceRef(record.source)), block.layout_columns(layout)?))
}

fn copy_series(block: &Block, writer: &mut Writer) -> Result<(), Error> {
    let mut layouts: Vec<Option<Layout>> = Vec::new();
    let mut placements = Vec::new();
    for index in 0..block.series_count() {
        let record = block.series(index).map_err(|fault| block.error(fault))?;
        writer.add_series(record.series, &block.labels(SeriesIndex(index))?);
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

fn copy_chunks(block: &Block, writer: &mut Writer) -> Result<(), Error> {
    let mut current: Option<(u32, Layout)> = None;
    for number in 0..block.meta().chunks {
        let error = |fault: Fault| block.error(fault);
        let record = block.record(number).map_err(error)?;
        if current.as_ref().is_none_or(|(position, _)| *position != record.layout) {
            current = Some((record.layout, layout(block, record.layout)?));
        }
        let Some((_, ((name, source), columns))) = &current else { continue };
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
    Ok(())
}
