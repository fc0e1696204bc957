//! The index of a block that is being written: which series there are and where their columns
//! stand. Held in memory until the block is finished, but for what comes from other blocks as it
//! is; readers work on the bytes in the map.
#![expect(
    clippy::cast_possible_truncation,
    reason = "numbers of series and labels are below 2^32, as SeriesRef is"
)]

use std::collections::HashMap;

use narthex_model::{Hashing, Labels, TimeRange, Timestamp};

use super::format::{ChunkRecord, GROUP, LayoutRecord, NameRecord, put_u32};
use super::postings::PostingsWriter;
use super::reader::Block;
use super::symbols::{SymbolEncoder, SymbolTable};
use super::tail::Tail;
use super::{Meta, join};
use crate::codec::wire::{put_signed, put_varint};
use crate::fs::FileView;
use crate::{Error, LayoutRef, RowSeq, SeriesRef, SourceRef};

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
    /// Those that were told.
    columns: Vec<SeriesRef>,
    /// Which columns have at least one sample in the block.
    present: Vec<bool>,
}

impl IndexBuilder {
    /// Tells the labels of a series.
    pub(super) fn add_series(&mut self, series: SeriesRef, labels: &Labels) {
        self.labels.entry(series).or_insert_with(|| labels.clone());
    }

    /// The position of a layout, whose columns so far are `columns`; none if another block tells.
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

    /// The position of a layout that has chunks in the block.
    pub(super) fn position(&self, layout: LayoutRef) -> Option<u32> {
        self.positions.get(&layout).map(|&position| position as u32)
    }

    /// How many layouts there are.
    pub(super) fn layout_count(&self) -> usize {
        self.layouts.len()
    }

    /// Notes that a column has a sample.
    pub(super) fn mark_present(&mut self, layout: usize, column: usize) {
        let layout = self.layouts.get_mut(layout);
        if let Some(present) = layout.and_then(|layout| layout.present.get_mut(column)) {
            *present = true;
        }
    }

    /// Writes the index and the footer, with what the index of each of `parts` says.
    pub(super) fn write(
        &mut self,
        parts: &[&Block],
        tail: Tail<'_>,
        meta: Meta,
    ) -> Result<Meta, Error> {
        let mut chunks = std::mem::take(&mut self.chunks);
        chunks.sort_by_key(|chunk| (chunk.layout, chunk.times.start, chunk.first_column));
        if parts.is_empty() {
            return self.write_own(&chunks, tail, meta);
        }
        let own = self.take_block()?;
        let all: Vec<&Block> = [&own].into_iter().chain(parts.iter().copied()).collect();
        join::write(self, &all, &chunks, tail, meta)
    }

    /// What was told here, as a block in memory that has an index and no chunks.
    fn take_block(&mut self) -> Result<Block, Error> {
        let none = TimeRange::new(Timestamp::MAX, Timestamp::MIN);
        let (first_seq, last_seq) = (RowSeq(0), RowSeq(0));
        let (samples, series, chunks, bytes) = (0, 0, 0, 0);
        let meta =
            Meta { window: none, times: none, first_seq, last_seq, samples, series, chunks, bytes };
        let mut bytes = Vec::new();
        let mut write = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        self.write_own(&[], Tail::new(0, 0, &mut write), meta)?;
        self.labels = Map::default();
        Block::open("memory", FileView::owned(bytes))
    }

    /// Writes what was told here.
    fn write_own(
        &self,
        chunks: &[ChunkRecord],
        mut tail: Tail<'_>,
        meta: Meta,
    ) -> Result<Meta, Error> {
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
        let mut symbol_encoder = SymbolEncoder::default();
        for symbol in symbols.sorted() {
            tail.put(symbol_encoder.encode(symbol.as_bytes()))?;
        }
        tail.end_section()?;
        let (mut pairs, mut places, mut postings) = (Vec::new(), Vec::new(), Vec::new());
        let mut encoder = SeriesEncoder::default();
        for (number, &(labels, reference, placed)) in (0u32..).zip(&series) {
            pairs.clear();
            pairs.extend(labels.iter().map(|(n, v)| (symbols.number(n), symbols.number(v))));
            postings.extend(pairs.iter().map(|&(name, value)| (name, value, number)));
            places.clear();
            places.extend(placed.iter().map(|&(_, layout, column)| (layout, column)));
            tail.put(encoder.encode(reference, &pairs, &places))?;
        }
        tail.end_section()?;
        let layouts = self.write_columns(&mut tail)?;
        tail.end_section()?;
        postings.sort_unstable();
        let (postings, names) = PostingsWriter::of(&postings)?;
        let starts = (&symbol_encoder.starts, &encoder);
        let directory = Directory::new(chunks, &layouts, &names, starts)?;
        tail.finish(postings, &directory, meta)
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

    /// Writes the lists of the layouts' columns.
    fn write_columns(&self, tail: &mut Tail<'_>) -> Result<Vec<LayoutRecord>, Error> {
        let (mut list, mut records, mut offset) = (Vec::new(), Vec::new(), 0);
        for layout in &self.layouts {
            list.clear();
            let mut before = 0;
            for series in &layout.columns {
                put_signed(&mut list, i64::from(series.get()) - before);
                before = i64::from(series.get());
            }
            tail.put(&list)?;
            records.push(LayoutRecord {
                layout: layout.reference.0,
                source: layout.source.0,
                columns: layout.columns.len() as u32,
                offset,
                bytes: list.len() as u32,
            });
            offset += list.len() as u64;
        }
        Ok(records)
    }
}

/// Where the groups of a section's entries begin.
#[derive(Debug, Default)]
pub(super) struct Starts {
    pub(super) count: u32,
    places: Vec<u64>,
    end: u64,
}

impl Starts {
    /// Whether the next entry is the first of its group.
    pub(super) fn at_group(&self) -> bool {
        self.count.is_multiple_of(GROUP)
    }

    /// Counts an entry.
    pub(super) fn add(&mut self, bytes: usize) {
        if self.at_group() {
            self.places.push(self.end);
        }
        self.count += 1;
        self.end += bytes as u64;
    }

    /// Appends where each group begins, and where the last one ends.
    fn put(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        for &start in self.places.iter().chain([&self.end]) {
            let start = u32::try_from(start).map_err(|_| Error::Exhausted("bytes of an index"))?;
            put_u32(out, start);
        }
        Ok(())
    }
}

/// Encodes series, which come in order of their labels.
#[derive(Debug, Default)]
pub(super) struct SeriesEncoder {
    starts: Starts,
    /// The label names that series have, in their order.
    shapes: Map<Vec<u32>, u32>,
    shape_ends: Vec<u32>,
    shape_bytes: Vec<u8>,
    names: Vec<u32>,
    record: Vec<u8>,
    framed: Vec<u8>,
}

impl SeriesEncoder {
    /// The entry of the next series: symbols of its labels' names and values, and where it stands.
    pub(super) fn encode(
        &mut self,
        reference: SeriesRef,
        pairs: &[(u32, u32)],
        placed: &[(u32, u32)],
    ) -> &[u8] {
        self.names.clear();
        self.names.extend(pairs.iter().map(|pair| pair.0));
        let shape = self.shape();
        let record = &mut self.record;
        record.clear();
        put_varint(record, u64::from(reference.get()));
        put_varint(record, u64::from(shape));
        for &(_, value) in pairs {
            put_varint(record, u64::from(value));
        }
        put_varint(record, placed.len() as u64);
        for &(layout, column) in placed {
            put_varint(record, u64::from(layout));
            put_varint(record, u64::from(column));
        }
        self.framed.clear();
        put_varint(&mut self.framed, record.len() as u64);
        self.framed.extend_from_slice(record);
        self.starts.add(self.framed.len());
        &self.framed
    }

    fn shape(&mut self) -> u32 {
        if let Some(&shape) = self.shapes.get(self.names.as_slice()) {
            return shape;
        }
        let shape = self.shapes.len() as u32;
        self.shapes.insert(self.names.clone(), shape);
        for &name in &self.names {
            put_varint(&mut self.shape_bytes, u64::from(name));
        }
        self.shape_ends.push(self.shape_bytes.len() as u32);
        shape
    }
}

/// What the footer says of the index.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) series: u32,
    pub(super) symbols: u32,
    pub(super) layouts: u32,
    pub(super) names: u32,
    pub(super) shapes: u32,
    pub(super) shape_bytes: u32,
    /// The arrays, one after the other, in the order in which `format::Arrays` finds them.
    pub(super) arrays: Vec<u8>,
}

impl Directory {
    pub(super) fn new(
        chunks: &[ChunkRecord],
        layouts: &[LayoutRecord],
        names: &[NameRecord],
        (symbols, series): (&Starts, &SeriesEncoder),
    ) -> Result<Self, Error> {
        let mut arrays = Vec::new();
        let out = &mut arrays;
        for chunk in chunks {
            chunk.put(out);
        }
        for layout in layouts {
            layout.put(out);
        }
        for name in names {
            name.put(out);
        }
        symbols.put(out)?;
        series.starts.put(out)?;
        series.shape_ends.iter().for_each(|&end| put_u32(out, end));
        out.extend_from_slice(&series.shape_bytes);
        Ok(Self {
            series: series.starts.count,
            symbols: symbols.count,
            layouts: layouts.len() as u32,
            names: names.len() as u32,
            shapes: series.shape_ends.len() as u32,
            shape_bytes: series.shape_bytes.len() as u32,
            arrays,
        })
    }
}
