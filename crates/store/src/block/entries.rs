//! What stands in a block, piece by piece, for tools that show it.

use narthex_model::{Labels, TimeRange};

use super::reader::Block;
use super::select::SeriesIndex;
use crate::{Error, LayoutRef, SeriesRef, SourceRef};

/// Something in a block.
#[derive(Debug)]
pub enum BlockEntry<'a> {
    /// A chunk.
    Chunk {
        /// Where it begins, in bytes from the start of the file.
        offset: u64,
        /// Its length in the file, without the second copy of its head.
        bytes: u64,
        /// The layout of its rows.
        layout: LayoutRef,
        /// The source of the layout.
        source: SourceRef,
        /// The times of its first and last row.
        times: TimeRange,
        /// Its rows.
        rows: u32,
        /// The first of its columns in the layout, and how many there are.
        columns: (u32, u32),
    },
    /// A series.
    Series {
        /// Its name in the whole store.
        series: SeriesRef,
        /// Its labels.
        labels: Labels,
        /// Where its samples stand: positions of layouts in the block, and columns of them.
        places: &'a [(u32, u32)],
    },
    /// Something that is damaged, or cannot be read for something else that is.
    Damaged(Error),
}

impl Block {
    /// Calls `visit` with all chunks and then all series.
    pub fn entries(&self, visit: &mut dyn FnMut(BlockEntry<'_>)) {
        for number in 0..self.meta().chunks {
            let entry = self.record(number).and_then(|record| {
                let layout = self.layout_record(record.layout)?;
                Ok(BlockEntry::Chunk {
                    offset: record.offset,
                    bytes: u64::from(record.head_bytes) + u64::from(record.data_bytes),
                    layout: LayoutRef(layout.layout),
                    source: SourceRef(layout.source),
                    times: record.times,
                    rows: record.rows,
                    columns: (record.first_column, record.columns),
                })
            });
            visit(entry.unwrap_or_else(|fault| BlockEntry::Damaged(self.error(fault))));
        }
        let mut places = Vec::new();
        for index in 0..self.series_count() {
            let found = self.series(index).map_err(|fault| self.error(fault));
            let found = found.and_then(|record| {
                record.placements(&mut places).map_err(|fault| self.error(fault))?;
                Ok((record.series, self.labels(SeriesIndex(index))?))
            });
            match found {
                Ok((series, labels)) => {
                    visit(BlockEntry::Series { series, labels, places: &places });
                }
                Err(error) => visit(BlockEntry::Damaged(error)),
            }
        }
    }
}
