//! The index of a block that is being written: which series there are and where their columns
//! stand. Held in memory until the block is finished; readers work on the bytes in the map.
#![expect(
    clippy::cast_possible_truncation,
    reason = "numbers of series and labels are below 2^32, as SeriesRef is"
)]

use std::collections::HashMap;

use narthex_model::{Hashing, Labels};

use super::format::{ChunkRecord, GROUP, LayoutRecord, NameRecord, put_u32};
use super::postings;
use super::symbols::SymbolTable;
use crate::codec::wire::{put_signed, put_varint};
use crate::{Error, LayoutRef, SeriesRef, SourceRef};

type Map<K, V> = HashMap<K, V, Hashing>;

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    pub(super) chunks: Vec<ChunkRecord>,
    labels: Map<SeriesRef, Labels>,
    layouts: Vec<Layout>,
    positions: Map<LayoutRef, usize>,
}

#[derive(Debug)]
struct Layout {
    reference: LayoutRef,
    source: SourceRef,
    columns: Vec<SeriesRef>,
    /// Which columns have at least one sample in the block.
    present: Vec<bool>,
}

/// The finished index as bytes.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Symbols, series, columns, postings; without their checksums.
    pub(super) sections: [Vec<u8>; 4],
    /// The arrays of the footer, one after the other.
    pub(super) arrays: Vec<u8>,
    pub(super) series: u32,
    pub(super) symbols: u32,
    pub(super) layouts: u32,
    pub(super) names: u32,
    pub(super) shapes: u32,
    pub(super) shape_bytes: u32,
}

impl IndexBuilder {
    /// Tells the labels of a series.
    pub(super) fn add_series(&mut self, series: SeriesRef, labels: &Labels) {
        self.labels.entry(series).or_insert_with(|| labels.clone());
    }

    /// The position of a layout, whose columns so far are `columns`.
    pub(super) fn layout(
        &mut self,
        layout: LayoutRef,
        source: SourceRef,
        columns: &[SeriesRef],
    ) -> usize {
        let next = self.layouts.len();
        let position = *self.positions.entry(layout).or_insert(next);
        if position == next {
            let (columns, present) = (Vec::new(), Vec::new());
            self.layouts.push(Layout { reference: layout, source, columns, present });
        }
        if let Some(known) = self.layouts.get_mut(position) {
            let new = columns.get(known.columns.len()..).unwrap_or(&[]);
            known.columns.extend_from_slice(new);
            known.present.resize(known.columns.len(), false);
        }
        position
    }

    /// Notes that a column has a sample.
    pub(super) fn mark_present(&mut self, layout: usize, column: usize) {
        let layout = self.layouts.get_mut(layout);
        if let Some(present) = layout.and_then(|layout| layout.present.get_mut(column)) {
            *present = true;
        }
    }

    /// Makes the bytes.
    pub(super) fn build(&mut self) -> Result<Index, Error> {
        self.chunks.sort_by_key(|chunk| (chunk.layout, chunk.times.start, chunk.first_column));
        let placements = self.placements();
        let mut series = Vec::new();
        for placed in placements.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(reference, ..)) = placed.first() else { continue };
            let labels = self.labels.get(&reference).ok_or(Error::UnknownSeries(reference))?;
            series.push((labels, reference, placed));
        }
        series.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let strings = series.iter().flat_map(|(labels, ..)| labels.iter());
        let symbols = SymbolTable::new(strings.flat_map(|(name, value)| [name, value]));
        let mut parts = SeriesParts::default();
        for (number, &(labels, reference, placed)) in (0..).zip(&series) {
            parts.add(number, labels, reference, placed, &symbols);
        }
        parts.starts.push(parts.records.len() as u64);
        parts.postings.sort_unstable();
        let encoded = postings::encode(&parts.postings);
        let (posting_bytes, names) = encoded.ok_or(Error::Exhausted("postings of a block"))?;
        let (symbol_bytes, symbol_starts) = symbols.encode();
        let (column_bytes, layouts) = self.columns();
        let counts = (series.len(), symbols.len());
        let mut index = parts.counts(counts, &names, &layouts);
        index.arrays(&self.chunks, &layouts, &names, &symbol_starts, &parts)?;
        index.sections = [symbol_bytes, parts.records, column_bytes, posting_bytes];
        Ok(index)
    }

    /// Every column with a sample: series, position of the layout, column; sorted.
    fn placements(&self) -> Vec<(SeriesRef, u32, u32)> {
        let mut placements = Vec::new();
        for (position, layout) in (0..).zip(&self.layouts) {
            for (column, (&series, present)) in
                (0..).zip(layout.columns.iter().zip(&layout.present))
            {
                if *present {
                    placements.push((series, position, column));
                }
            }
        }
        placements.sort_unstable();
        placements
    }

    /// The lists of the layouts' columns.
    fn columns(&self) -> (Vec<u8>, Vec<LayoutRecord>) {
        let (mut out, mut records) = (Vec::new(), Vec::new());
        for layout in &self.layouts {
            let offset = out.len();
            let mut before = 0;
            for series in &layout.columns {
                put_signed(&mut out, i64::from(series.get()) - before);
                before = i64::from(series.get());
            }
            records.push(LayoutRecord {
                layout: layout.reference.0,
                source: layout.source.0,
                columns: layout.columns.len() as u32,
                offset: offset as u64,
                bytes: (out.len() - offset) as u32,
            });
        }
        (out, records)
    }
}

/// What is gathered series by series.
#[derive(Debug, Default)]
struct SeriesParts {
    records: Vec<u8>,
    starts: Vec<u64>,
    postings: Vec<postings::Posting>,
    /// The label names that series have, in their order.
    shapes: Map<Vec<u32>, u32>,
    shape_ends: Vec<u32>,
    shape_bytes: Vec<u8>,
    record: Vec<u8>,
}

impl SeriesParts {
    fn add(
        &mut self,
        number: u32,
        labels: &Labels,
        reference: SeriesRef,
        placed: &[(SeriesRef, u32, u32)],
        symbols: &SymbolTable<'_>,
    ) {
        if number.is_multiple_of(GROUP) {
            self.starts.push(self.records.len() as u64);
        }
        let names: Vec<u32> = labels.iter().map(|(name, _)| symbols.number(name)).collect();
        let shape = self.shape(&names);
        let record = &mut self.record;
        record.clear();
        put_varint(record, u64::from(reference.get()));
        put_varint(record, u64::from(shape));
        for ((_, value), &name) in labels.iter().zip(&names) {
            let value = symbols.number(value);
            put_varint(record, u64::from(value));
            self.postings.push((name, value, number));
        }
        put_varint(record, placed.len() as u64);
        for &(_, layout, column) in placed {
            put_varint(record, u64::from(layout));
            put_varint(record, u64::from(column));
        }
        put_varint(&mut self.records, record.len() as u64);
        self.records.extend_from_slice(record);
    }

    fn shape(&mut self, names: &[u32]) -> u32 {
        if let Some(&shape) = self.shapes.get(names) {
            return shape;
        }
        let shape = self.shapes.len() as u32;
        self.shapes.insert(names.to_vec(), shape);
        for &name in names {
            put_varint(&mut self.shape_bytes, u64::from(name));
        }
        self.shape_ends.push(self.shape_bytes.len() as u32);
        shape
    }

    fn counts(
        &self,
        (series, symbols): (usize, usize),
        names: &[NameRecord],
        layouts: &[LayoutRecord],
    ) -> Index {
        Index {
            series: series as u32,
            symbols: symbols as u32,
            layouts: layouts.len() as u32,
            names: names.len() as u32,
            shapes: self.shape_ends.len() as u32,
            shape_bytes: self.shape_bytes.len() as u32,
            ..Index::default()
        }
    }
}

impl Index {
    /// Fills the arrays in the order in which `format::Arrays` finds them.
    fn arrays(
        &mut self,
        chunks: &[ChunkRecord],
        layouts: &[LayoutRecord],
        names: &[NameRecord],
        symbol_starts: &[u64],
        parts: &SeriesParts,
    ) -> Result<(), Error> {
        let out = &mut self.arrays;
        for chunk in chunks {
            chunk.put(out);
        }
        for layout in layouts {
            layout.put(out);
        }
        for name in names {
            name.put(out);
        }
        for &start in symbol_starts.iter().chain(&parts.starts) {
            let start = u32::try_from(start).map_err(|_| Error::Exhausted("bytes of an index"))?;
            put_u32(out, start);
        }
        parts.shape_ends.iter().for_each(|&end| put_u32(out, end));
        out.extend_from_slice(&parts.shape_bytes);
        Ok(())
    }
}
