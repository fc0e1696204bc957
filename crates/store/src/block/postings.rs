//! Which series have a label: sorted lists of series, one per name and value.

use super::fault::Fault;
use super::format::{NameRecord, SINGLE, put_u32};
use super::reader::Block;
use crate::Error;
use crate::codec::Damaged;
use crate::codec::wire::{Reader, put_varint};

/// Length of a value's entry.
const ENTRY_BYTES: u64 = 8;
/// The most bytes before a list's series.
const LIST_HEAD_BYTES_MAX: u64 = 20;

/// There are too many bytes of postings.
const EXHAUSTED: Error = Error::Exhausted("postings of a block");

/// One label of one series: name, value, series.
pub(super) type Posting = (u32, u32, u32);

/// Writes the section: name after name, value after value, in order of their symbols.
#[derive(Debug, Default)]
pub(super) struct PostingsWriter {
    names: Vec<NameRecord>,
    entries: Vec<u8>,
    lists: Vec<u8>,
    gaps: Vec<u8>,
}

impl PostingsWriter {
    /// The section's bytes, and the names. `postings` are sorted.
    pub(super) fn of(postings: &[Posting]) -> Result<(Vec<u8>, Vec<NameRecord>), Error> {
        let (mut writer, mut list) = (Self::default(), Vec::new());
        for of_name in postings.chunk_by(|a, b| a.0 == b.0) {
            for of_value in of_name.chunk_by(|a, b| a.1 == b.1) {
                let Some(&(name, value, _)) = of_value.first() else { continue };
                if writer.names.last().is_none_or(|record| record.symbol != name) {
                    writer.begin_name(name)?;
                }
                list.clear();
                list.extend(of_value.iter().map(|posting| posting.2));
                writer.add(value, &list)?;
            }
        }
        writer.finish()
    }

    /// The values that follow belong to this name.
    pub(super) fn begin_name(&mut self, symbol: u32) -> Result<(), Error> {
        let offset = u32::try_from(self.entries.len()).map_err(|_| EXHAUSTED)?;
        self.names.push(NameRecord { symbol, values: 0, offset });
        Ok(())
    }

    /// Adds a value and its series, which rise.
    pub(super) fn add(&mut self, value: u32, series: &[u32]) -> Result<(), Error> {
        // Where the lists begin shows when the entries before them are all there.
        let place = if let &[single] = series {
            single | SINGLE
        } else {
            let place = u32::try_from(self.lists.len()).ok();
            let place = place.filter(|place| place & SINGLE == 0).ok_or(EXHAUSTED)?;
            self.put_list(series);
            place
        };
        put_u32(&mut self.entries, value);
        put_u32(&mut self.entries, place);
        if let Some(name) = self.names.last_mut() {
            name.values += 1;
        }
        Ok(())
    }

    fn put_list(&mut self, list: &[u32]) {
        let (low, high) = (list.first().copied(), list.last().copied());
        let (low, high) = (low.unwrap_or(0), high.unwrap_or(0));
        let run = u64::from(high) - u64::from(low) + 1 == list.len() as u64;
        put_varint(&mut self.lists, (list.len() as u64) << 1 | u64::from(run));
        if run {
            put_varint(&mut self.lists, u64::from(low));
            return;
        }
        self.gaps.clear();
        let mut next = 0;
        for &series in list {
            put_varint(&mut self.gaps, u64::from(series - next));
            next = series + 1;
        }
        put_varint(&mut self.lists, self.gaps.len() as u64);
        self.lists.append(&mut self.gaps);
    }

    /// The section's bytes, and the names.
    pub(super) fn finish(mut self) -> Result<(Vec<u8>, Vec<NameRecord>), Error> {
        let end = u32::try_from(self.entries.len() + self.lists.len());
        if end.map_or(true, |end| end & SINGLE != 0) {
            return Err(EXHAUSTED);
        }
        let start = u32::try_from(self.entries.len()).map_err(|_| EXHAUSTED)?;
        for [.., a, b, c, d] in self.entries.as_chunks_mut::<8>().0 {
            let place = u32::from_le_bytes([*a, *b, *c, *d]);
            if place & SINGLE == 0 {
                [*a, *b, *c, *d] = (place + start).to_le_bytes();
            }
        }
        self.entries.append(&mut self.lists);
        Ok((self.entries, self.names))
    }
}

/// The values of one name in an open block.
#[derive(Debug)]
pub(super) struct Values<'a> {
    block: &'a Block,
    name: NameRecord,
}

impl<'a> Values<'a> {
    /// The values of `name`.
    pub(super) fn new(block: &'a Block, name: NameRecord) -> Self {
        Self { block, name }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.name.values
    }

    /// The symbol of the value at position `index`, in rising order, and where its series stand.
    pub(super) fn entry(&self, index: u32) -> Result<(u32, u32), Fault> {
        let start = u64::from(self.name.offset) + u64::from(index) * ENTRY_BYTES;
        let (bytes, place) = self.block.postings_bytes(start, start + ENTRY_BYTES)?;
        let mut reader = Reader::new(bytes);
        let mut field = || reader.u32().map_err(Fault::decoding(place));
        Ok((field()?, field()?))
    }

    /// Where the series of the value with this symbol stand, if the name has that value.
    pub(super) fn find(&self, symbol: u32) -> Result<Option<u32>, Fault> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let (value, place) = self.entry(middle)?;
            match value.cmp(&symbol) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(Some(place)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    /// Appends the series that stand at `place`, sorted among themselves.
    pub(super) fn list(&self, place: u32, out: &mut Vec<u32>) -> Result<(), Fault> {
        let series = self.block.series_count();
        if place & SINGLE != 0 {
            let single = place & !SINGLE;
            if single >= series {
                let offset = self.block.postings_bytes(0, 0)?.1;
                return Err(Fault::new(offset, "posting beyond the last series"));
            }
            out.push(single);
            return Ok(());
        }
        let start = u64::from(place);
        let head_end = (start + LIST_HEAD_BYTES_MAX).min(self.block.postings_len());
        let (head, offset) = self.block.postings_bytes(start, head_end)?;
        let mut reader = Reader::new(head);
        let fault = Fault::decoding(offset);
        let field = reader.varint().map_err(&fault)?;
        let count = u32::try_from(field >> 1).ok().filter(|&count| count <= series);
        let count = count.ok_or(Fault::new(offset, "postings of too many series"))?;
        let second = reader.varint().map_err(&fault)?;
        if field & 1 != 0 {
            let first = u32::try_from(second).ok().filter(|&first| first <= series - count);
            let first = first.ok_or(Fault::new(offset, "postings beyond the last series"))?;
            out.extend(first..first + count);
            return Ok(());
        }
        let start = start + (head.len() - reader.rest().len()) as u64;
        let end = start.saturating_add(second);
        let (gaps, offset) = self.block.postings_bytes(start, end)?;
        decode_gaps(gaps, count, series, out).map_err(Fault::decoding(offset))
    }
}

fn decode_gaps(bytes: &[u8], count: u32, series: u32, out: &mut Vec<u32>) -> Result<(), Damaged> {
    let mut reader = Reader::new(bytes);
    let mut next = 0u32;
    for _ in 0..count {
        let at = next.checked_add(reader.varint_u32()?).filter(|&at| at < series);
        let at = at.ok_or(Damaged("posting beyond the last series"))?;
        out.push(at);
        next = at + 1;
    }
    if reader.is_empty() { Ok(()) } else { Err(Damaged("bytes left over")) }
}

/// Keeps in `set` what also stands in `other`; both are sorted.
pub(super) fn intersect(set: &mut Vec<u32>, other: &[u32]) {
    let mut rest = other.iter().copied().peekable();
    set.retain(|&series| {
        while rest.next_if(|&have| have < series).is_some() {}
        rest.peek() == Some(&series)
    });
}

/// Takes out of `set` what stands in `other`; both are sorted.
pub(super) fn subtract(set: &mut Vec<u32>, other: &[u32]) {
    let mut rest = other.iter().copied().peekable();
    set.retain(|&series| {
        while rest.next_if(|&have| have < series).is_some() {}
        rest.peek() != Some(&series)
    });
}
