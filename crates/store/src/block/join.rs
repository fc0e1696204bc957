//! The index of a block that is made of others: their indices are sorted, so each is read from its
//! beginning to its end, and what comes of them is written at once. In memory are the new numbers
//! of symbols and series, and the postings.

use super::Meta;
use super::fault::Fault;
use super::format::{ChunkRecord, LayoutRecord, NameRecord};
use super::index::{Directory, IndexBuilder, SeriesEncoder, Starts};
use super::postings::{PostingsWriter, Values};
use super::reader::Block;
use super::symbols::{SymbolCursor, SymbolEncoder};
use super::tail::Tail;
use crate::{Error, LayoutRef, SeriesRef};

/// A block that is taken in.
#[derive(Debug)]
struct Part<'a> {
    block: &'a Block,
    /// Per layout of the block its position in the new one; `None` if that has no chunk of it.
    layouts: Vec<Option<u32>>,
    /// The new numbers of its symbols and of its series: rising, as the old ones are.
    symbols: Vec<u32>,
    series: Vec<u32>,
}

/// Writes the index and the footer of a block that holds what `blocks` hold. `index` names its
/// layouts, and `chunks` are its chunks, in order.
pub(super) fn write(
    index: &IndexBuilder,
    blocks: &[&Block],
    chunks: &[ChunkRecord],
    mut tail: Tail<'_>,
    meta: Meta,
) -> Result<Meta, Error> {
    let parts = blocks.iter().map(|block| Part::new(block, index));
    let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
    let symbols = join_symbols(&mut parts, &mut tail)?;
    tail.end_section()?;
    let series = join_series(&mut parts, &mut tail)?;
    tail.end_section()?;
    let layouts = join_columns(&parts, index.layout_count(), &mut tail)?;
    tail.end_section()?;
    let (postings, names) = join_postings(&parts)?;
    drop(parts);
    let directory = Directory::new(chunks, &layouts, &names, (&symbols, &series))?;
    tail.finish(postings, &directory, meta)
}

impl<'a> Part<'a> {
    fn new(block: &'a Block, index: &IndexBuilder) -> Result<Self, Error> {
        let layout = |number| {
            let record = block.layout_record(number).map_err(|fault| block.error(fault))?;
            Ok(index.position(LayoutRef(record.layout)))
        };
        let layouts = (0..block.layout_count()).map(layout).collect::<Result<_, Error>>()?;
        Ok(Self { block, layouts, symbols: Vec::new(), series: Vec::new() })
    }

    fn symbol(&self, old: u32) -> Result<u32, Fault> {
        let new = self.symbols.get(old as usize).copied();
        new.ok_or(Fault::new(0, "a label beyond the last symbol"))
    }
}

/// The position of the least of some things, the first of equal ones; `None` is no thing.
fn least<T: Ord>(things: impl Iterator<Item = Option<T>>) -> Option<usize> {
    let things = things.enumerate().filter_map(|(at, thing)| Some((thing?, at)));
    things.min().map(|(_, at)| at)
}

fn join_symbols(parts: &mut [Part<'_>], tail: &mut Tail<'_>) -> Result<Starts, Error> {
    let mut cursors = Vec::new();
    for part in &*parts {
        let mut cursor = SymbolCursor::new(part.block);
        let ends = part.block.symbol_count() == 0;
        if !ends {
            cursor.get(0).map_err(|fault| part.block.error(fault))?;
        }
        cursors.push((cursor, ends));
    }
    let mut encoder = SymbolEncoder::default();
    let mut symbol = Vec::new();
    loop {
        let texts = cursors.iter().map(|(cursor, ends)| (!ends).then(|| cursor.text()));
        let Some((next, _)) = least(texts).and_then(|at| cursors.get(at)) else { break };
        symbol.clear();
        symbol.extend_from_slice(next.text());
        let number = encoder.starts.count;
        for (part, (cursor, ends)) in parts.iter_mut().zip(&mut cursors) {
            if *ends || cursor.text() != symbol {
                continue;
            }
            part.symbols.push(number);
            let next = u32::try_from(part.symbols.len()).unwrap_or(u32::MAX);
            *ends = next >= part.block.symbol_count();
            if !*ends {
                cursor.get(next).map_err(|fault| part.block.error(fault))?;
            }
        }
        tail.put(encoder.encode(&symbol))?;
    }
    Ok(encoder.starts)
}

/// The next series of a block, with new numbers.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    /// Names and values of its labels: in the order of these are the series.
    pairs: Vec<(u32, u32)>,
    series: u32,
    placed: Vec<(u32, u32)>,
    /// There is none.
    ends: bool,
}

impl Next {
    fn key(&self) -> (&[(u32, u32)], u32) {
        (&self.pairs, self.series)
    }

    /// Goes on to the series of `part` that has no new number yet.
    fn read(&mut self, part: &Part<'_>) -> Result<(), Error> {
        self.try_read(part).map_err(|fault| part.block.error(fault))
    }

    fn try_read(&mut self, part: &Part<'_>) -> Result<(), Fault> {
        let index = u32::try_from(part.series.len()).unwrap_or(u32::MAX);
        self.ends = index >= part.block.series_count();
        if self.ends {
            return Ok(());
        }
        let record = part.block.series(index)?;
        self.series = record.series.get();
        self.pairs.clear();
        record.labels(|name, value| {
            self.pairs.push((part.symbol(name)?, part.symbol(value)?));
            Ok(())
        })?;
        record.placements(&mut self.placed)?;
        for (layout, _) in &mut self.placed {
            let new = part.layouts.get(*layout as usize).copied().flatten();
            *layout = new.ok_or(Fault::new(0, "a series in a layout without chunks"))?;
        }
        Ok(())
    }
}

fn join_series(parts: &mut [Part<'_>], tail: &mut Tail<'_>) -> Result<SeriesEncoder, Error> {
    let mut nexts = Vec::new();
    for part in &*parts {
        let mut next = Next::default();
        next.read(part)?;
        nexts.push(next);
    }
    let mut encoder = SeriesEncoder::default();
    let mut taken = Next::default();
    for number in 0u32.. {
        let keys = nexts.iter().map(|next| (!next.ends).then(|| next.key()));
        let Some(next) = least(keys).and_then(|at| nexts.get_mut(at)) else { break };
        taken.pairs.clone_from(&next.pairs);
        taken.series = next.series;
        taken.placed.clear();
        for (part, next) in parts.iter_mut().zip(&mut nexts) {
            if next.ends || next.key() != taken.key() {
                continue;
            }
            taken.placed.append(&mut next.placed);
            part.series.push(number);
            next.read(part)?;
        }
        taken.placed.sort_unstable();
        taken.placed.dedup();
        if let Some(series) = SeriesRef::new(taken.series) {
            tail.put(encoder.encode(series, &taken.pairs, &taken.placed))?;
        }
    }
    Ok(encoder)
}

/// Each layout's list of columns, as it stands in the block that has most of them: the others have
/// its beginning.
fn join_columns(
    parts: &[Part<'_>],
    layouts: usize,
    tail: &mut Tail<'_>,
) -> Result<Vec<LayoutRecord>, Error> {
    let mut longest: Vec<Option<(&Block, LayoutRecord)>> = vec![None; layouts];
    for part in parts {
        for (number, position) in (0u32..).zip(&part.layouts) {
            let place = position.and_then(|position| longest.get_mut(position as usize));
            let Some(place) = place else { continue };
            let record = part.block.layout_record(number);
            let record = record.map_err(|fault| part.block.error(fault))?;
            if place.is_none_or(|(_, known)| known.columns < record.columns) {
                *place = Some((part.block, record));
            }
        }
    }
    let (mut records, mut offset) = (Vec::with_capacity(layouts), 0);
    for (block, record) in longest.into_iter().flatten() {
        tail.put(block.column_list(&record).map_err(|fault| block.error(fault))?)?;
        records.push(LayoutRecord { offset, ..record });
        offset += u64::from(record.bytes);
    }
    if records.len() != layouts {
        return Err(Error::corrupt("a block", 0, "the columns of a layout", "none"));
    }
    Ok(records)
}

/// A name that a block has: the values are read one after the other.
struct Name<'a> {
    part: &'a Part<'a>,
    values: Values<'a>,
    /// The value that comes next, and how many came before.
    at: u32,
    /// Its new number, and where its series stand; `None` behind the last.
    next: Option<(u32, u32)>,
}

impl<'a> Name<'a> {
    fn new(part: &'a Part<'a>, record: NameRecord) -> Result<Self, Error> {
        let values = Values::new(part.block, record);
        let mut name = Self { part, values, at: 0, next: None };
        name.read()?;
        Ok(name)
    }

    fn read(&mut self) -> Result<(), Error> {
        let error = |fault| self.part.block.error(fault);
        self.next = None;
        if self.at < self.values.len() {
            let (value, place) = self.values.entry(self.at).map_err(error)?;
            self.next = Some((self.part.symbol(value).map_err(error)?, place));
            self.at += 1;
        }
        Ok(())
    }

    /// Appends the series of the next value, and goes on.
    fn take(&mut self, list: &mut Vec<u32>) -> Result<(), Error> {
        let Some((_, place)) = self.next else { return Ok(()) };
        let start = list.len();
        let error = |fault| self.part.block.error(fault);
        self.values.list(place, list).map_err(error)?;
        for series in list.iter_mut().skip(start) {
            let new = self.part.series.get(*series as usize).copied();
            *series = new.ok_or_else(|| error(Fault::new(0, "posting beyond the last series")))?;
        }
        self.read()
    }
}

fn join_postings(parts: &[Part<'_>]) -> Result<(Vec<u8>, Vec<NameRecord>), Error> {
    let mut names = Vec::new();
    for part in parts {
        for record in part.block.names() {
            let record = record.and_then(|record| Ok((part.symbol(record.symbol)?, record)));
            let (symbol, record) = record.map_err(|fault| part.block.error(fault))?;
            names.push((symbol, part, record));
        }
    }
    names.sort_by_key(|&(symbol, ..)| symbol);
    let mut writer = PostingsWriter::default();
    let mut list = Vec::new();
    for group in names.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(symbol, ..)) = group.first() else { continue };
        writer.begin_name(symbol)?;
        let same = group.iter().map(|&(_, part, record)| Name::new(part, record));
        let mut same = same.collect::<Result<Vec<_>, _>>()?;
        while let Some(value) = same.iter().filter_map(|name| Some(name.next?.0)).min() {
            list.clear();
            for name in &mut same {
                if name.next.is_some_and(|(next, _)| next == value) {
                    name.take(&mut list)?;
                }
            }
            list.sort_unstable();
            list.dedup();
            writer.add(value, &list)?;
        }
    }
    writer.finish()
}
