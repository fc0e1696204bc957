//! Where the bytes of a block go.

use super::chunk::ChunkView;
use super::format::{ChunkRecord, Footer, HEAD_TWICE, HEADER_BYTES, LayoutRecord, TAIL_BYTES};
use super::reader::Block;
use crate::Error;

/// How many bytes of a block each of its parts takes; they add up to the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockSizes {
    /// The columns' values.
    pub values: u64,
    /// The times of the rows.
    pub times: u64,
    /// The rows' places in the order of all rows.
    pub places: u64,
    /// What finds a column in a chunk: heads but for times and places, lengths, records.
    pub directory: u64,
    /// The heads of chunks once more.
    pub copies: u64,
    /// The checksums of chunks.
    pub checksums: u64,
    /// The strings of the index, with the checksums of their pages; so are those below.
    pub symbols: u64,
    /// The series and where their columns stand.
    pub series: u64,
    /// The columns of layouts.
    pub layouts: u64,
    /// Which series have which label.
    pub postings: u64,
    /// Header and footers but for what belongs to parts above, and the parity of the index.
    pub footers: u64,
    /// Zeros between the parts.
    pub padding: u64,
}

impl BlockSizes {
    /// What the index takes of it: all that depends on the series and not on the samples.
    pub fn index(&self) -> u64 {
        self.symbols + self.series + self.layouts + self.postings
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        let chunks = self.values + self.times + self.places + self.directory;
        chunks + self.copies + self.checksums + self.index() + self.footers + self.padding
    }

    /// Adds those of another block.
    pub fn add(&mut self, other: &Self) {
        self.values += other.values;
        self.times += other.times;
        self.places += other.places;
        self.directory += other.directory;
        self.copies += other.copies;
        self.checksums += other.checksums;
        self.symbols += other.symbols;
        self.series += other.series;
        self.layouts += other.layouts;
        self.postings += other.postings;
        self.footers += other.footers;
        self.padding += other.padding;
    }
}

impl Block {
    /// Where the bytes of the block go. Reads the heads of all chunks.
    pub fn sizes(&self) -> Result<BlockSizes, Error> {
        let mut sizes = BlockSizes::default();
        let [symbols, series, layouts, postings] = self.section_bytes();
        (sizes.symbols, sizes.series) = (symbols, series);
        (sizes.layouts, sizes.postings) = (layouts, postings);
        for number in 0..self.meta().chunks {
            self.add_chunk(number, &mut sizes)?;
        }
        // Both footers hold the arrays.
        let arrays = self.array_bytes();
        sizes.directory += 2 * arrays.chunks;
        sizes.layouts += 2 * arrays.layouts;
        sizes.postings += 2 * arrays.names;
        sizes.symbols += 2 * arrays.symbol_groups;
        sizes.series += 2 * arrays.series;
        let parity = self.parity_span().bytes;
        sizes.footers = (HEADER_BYTES + 2 * (Footer::BYTES + TAIL_BYTES)) as u64;
        sizes.footers += if parity == 0 { 0 } else { parity + 4 };
        sizes.padding = self.meta().bytes.saturating_sub(sizes.total());
        Ok(sizes)
    }

    fn add_chunk(&self, number: u32, sizes: &mut BlockSizes) -> Result<(), Error> {
        let record = self.record(number).map_err(|fault| self.error(fault))?;
        let view = ChunkView::open(self.bytes(), self.id(), record);
        let view = view.map_err(|fault| self.error(fault))?;
        let (times, places) = view.head_lengths().map_err(|fault| self.error(fault))?;
        let mut values = 0;
        for column in 0..record.columns as usize {
            values += view.blob_len(column).map_err(|fault| self.error(fault))?;
        }
        let head = u64::from(record.head_bytes);
        sizes.values += values;
        sizes.times += times;
        sizes.places += places;
        let sums = 4 * (u64::from(record.groups) + 1);
        sizes.checksums += sums;
        sizes.directory += head + u64::from(record.data_bytes) - sums - values - times - places;
        if record.flags & HEAD_TWICE != 0 {
            sizes.copies += head;
        }
        Ok(())
    }
}

/// What the arrays of one footer take.
pub(super) struct ArrayBytes {
    pub(super) chunks: u64,
    pub(super) layouts: u64,
    pub(super) names: u64,
    pub(super) symbol_groups: u64,
    pub(super) series: u64,
}

impl ArrayBytes {
    /// Of a footer with so many chunks and layouts, and these places of arrays.
    pub(super) fn new(chunks: u32, layouts: u32, arrays: &super::format::Arrays) -> Self {
        Self {
            chunks: u64::from(chunks) * ChunkRecord::BYTES as u64,
            layouts: u64::from(layouts) * LayoutRecord::BYTES as u64,
            names: (arrays.symbol_groups - arrays.names) as u64,
            symbol_groups: (arrays.series_groups - arrays.symbol_groups) as u64,
            series: (arrays.end - arrays.series_groups) as u64,
        }
    }
}
