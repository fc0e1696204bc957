//! Writing chunks again without what was deleted.

use narthex_model::{Timestamp, is_absent};

use super::chunk::ChunkView;
use super::reader::Block;
use super::writer::{ChunkHead, Writer};
use crate::codec::{Decoder, Memory};
use crate::tombstones::Tombstones;
use crate::{Error, LayoutRef, SeriesRef, SourceRef};

/// Writes the rows of the chunks from number `first` up to `end`, which stand side by side,
/// without what is deleted. Gives the number of samples they had before. Damage is an error.
pub(super) fn copy(
    block: &Block,
    (first, end): (u32, u32),
    (layout, source, columns): (LayoutRef, SourceRef, &[SeriesRef]),
    deleted: &Tombstones,
    writer: &mut Writer,
) -> Result<u64, Error> {
    let error = |fault| block.error(fault);
    let (mut times, mut seqs, mut samples) = (Vec::<Timestamp>::new(), Vec::new(), 0);
    let (mut decoder, mut memory, mut values) = (Decoder::default(), Memory::default(), Vec::new());
    for number in first..end {
        let record = block.record(number).map_err(error)?;
        let view = ChunkView::open(block.bytes(), block.id(), record).map_err(error)?;
        if number == first {
            view.times(&mut times).map_err(error)?;
            view.seqs(&mut seqs).map_err(error)?;
            let head = ChunkHead { layout, source, columns, times: &times, seqs: &seqs };
            writer.begin_chunk(&head)?;
        }
        memory.clear();
        for column in 0..record.columns as usize {
            values.clear();
            view.column(&mut memory, column, &mut decoder, &mut values).map_err(error)?;
            samples += values.iter().filter(|&&value| !is_absent(value)).count() as u64;
            if let Some(&series) = columns.get(record.first_column as usize + column) {
                deleted.blank(series, &times, &mut values);
            }
            writer.column(&values)?;
        }
    }
    Ok(samples)
}
