//! A segment of a request that is compressed once and patched at each row.
//!
//! The request of a row differs from that of the row before in its values and its timestamp
//! only. So the segment is compressed once, by a compressor that knows where those bytes are:
//! every value stays a literal and is the source of no copy; the timestamp is a literal where it
//! stands first, and copies of it follow whatever is patched in there. From then on a row costs
//! one copy of the compressed bytes and eight bytes stored per sample.
//!
//! Snappy's copies reach back a relative distance, and Protocol Buffers messages concatenate:
//! so segments may stand one after another in any order behind one length.

use crate::encode::TimeBytes;
use crate::layout::Mask;

/// Farthest distance of a copy with a two-byte offset.
const DISTANCE_MAX: usize = 65_535;

/// Shortest match worth a copy.
const MATCH_MIN: usize = 4;

/// Places that are compared in search of the longest match.
const CHAIN_MAX: usize = 48;

/// Bits of the table of places.
const TABLE_BITS: u32 = 13;

/// Where a column has no value.
const NO_HOLE: u32 = u32::MAX;

/// First symbol that stands for a byte of the timestamp.
const TIME_SYMBOL: u32 = 1 << 16;

/// First symbol that stands for a byte of a value. Each is used once, so that none is matched.
const VALUE_SYMBOL: u32 = 1 << 17;

/// A compressed segment with holes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    /// Snappy elements, with the values of the row before.
    elements: Vec<u8>,
    /// Length of what they stand for.
    raw_len: usize,
    /// Where the values are to be written: first in order, then by column, see [`Template::spread`].
    holes: Vec<u32>,
    /// Where which byte of the timestamp is to be written.
    times: Vec<(u32, u8)>,
    /// Length of the timestamp's varint, for which alone the template is good.
    time_len: usize,
}

/// Makes templates; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub(crate) struct TemplateMaker {
    symbols: Vec<u32>,
    /// Per hash: the last place with it, plus one.
    table: Vec<u32>,
    /// Per place: the place before with the same hash, plus one.
    before: Vec<u32>,
}

impl Template {
    /// Whether timestamps of this length fit.
    pub(crate) fn fits(&self, at: &TimeBytes) -> bool {
        self.time_len == at.len()
    }

    /// How many values the template has holes for.
    #[cfg(test)]
    pub(crate) fn values_len(&self) -> usize {
        self.holes.len()
    }

    /// Bytes that the template takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.elements.capacity() + 4 * self.holes.capacity() + 8 * self.times.capacity()
    }

    /// Length of the segment before compression.
    pub(crate) fn raw_len(&self) -> usize {
        self.raw_len
    }

    /// Says which columns the values belong to: one bit each of `mask`, in order.
    pub(crate) fn spread(&mut self, mask: Mask) {
        let mut holes = std::mem::take(&mut self.holes).into_iter();
        let columns = (Mask::BITS - mask.leading_zeros()) as usize;
        let of = |column: usize| if mask >> column & 1 == 1 { holes.next() } else { None };
        self.holes = (0..columns).map(of).map(|hole| hole.unwrap_or(NO_HOLE)).collect();
    }

    /// Puts the value of `column` in; `false` when the segment does not have it.
    #[inline]
    pub(crate) fn set(&mut self, column: usize, value: f64) -> bool {
        let hole = self.holes.get(column).map_or(usize::MAX, |&hole| hole as usize);
        let hole = self.elements.get_mut(hole..).and_then(<[u8]>::first_chunk_mut::<8>);
        let Some(hole) = hole else { return false };
        *hole = value.to_le_bytes();
        true
    }

    /// Appends the segment with the values that were put in, and `at`, which must fit.
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, at: &TimeBytes) {
        debug_assert!(self.fits(at), "the template was made for another length of time");
        let time = at.as_slice();
        for &(offset, index) in &self.times {
            if let (Some(slot), Some(&byte)) =
                (self.elements.get_mut(offset as usize), time.get(usize::from(index)))
            {
                *slot = byte;
            }
        }
        out.extend_from_slice(&self.elements);
    }
}

impl TemplateMaker {
    /// Compresses `raw`, whose values stand at the offsets `values`, each with its timestamp, of
    /// `time_len` bytes, one byte behind it.
    pub(crate) fn make(&mut self, raw: &[u8], values: &[usize], time_len: usize) -> Template {
        self.symbols.clear();
        self.symbols.extend(raw.iter().map(|&byte| u32::from(byte)));
        let mut fresh = VALUE_SYMBOL;
        for &offset in values {
            for symbol in self.symbols.iter_mut().skip(offset).take(8) {
                *symbol = fresh;
                fresh += 1;
            }
            let time = self.symbols.iter_mut().skip(offset + 9).take(time_len);
            for (symbol, index) in time.zip(TIME_SYMBOL..) {
                *symbol = index;
            }
        }
        self.table.clear();
        self.table.resize(1 << TABLE_BITS, 0);
        self.before.clear();
        self.before.resize(raw.len(), 0);
        let mut template = Template { raw_len: raw.len(), time_len, ..Template::default() };
        let (mut at, mut literal) = (0, 0);
        while at < raw.len() {
            let (len, distance) = self.longest(at);
            self.note(at);
            // A copy that begins one byte later may reach so much further that it is worth it.
            if len < MATCH_MIN || self.longest(at + 1).0 > len + 1 {
                at += 1;
                continue;
            }
            self.put_literal(&mut template, literal..at);
            put_copy(&mut template.elements, len, distance);
            for place in at + 1..at + len {
                self.note(place);
            }
            at += len;
            literal = at;
        }
        self.put_literal(&mut template, literal..at);
        template.elements.shrink_to_fit();
        template.holes.shrink_to_fit();
        template.times.shrink_to_fit();
        template
    }

    /// The longest earlier match of what starts at `at`, and how far back it starts.
    fn longest(&self, at: usize) -> (usize, usize) {
        let here = self.symbols.get(at..).unwrap_or_default();
        let Some(hash) = hash(here) else { return (0, 0) };
        let mut place = self.table.get(hash).copied().unwrap_or(0) as usize;
        let mut best = (0, 0);
        for _ in 0..CHAIN_MAX {
            if place == 0 || at - (place - 1) > DISTANCE_MAX {
                break;
            }
            let there = self.symbols.get(place - 1..).unwrap_or_default();
            let len = here.iter().zip(there).take_while(|(a, b)| a == b).count();
            if len > best.0 {
                best = (len, at - (place - 1));
            }
            place = self.before.get(place - 1).copied().unwrap_or(0) as usize;
        }
        best
    }

    fn note(&mut self, at: usize) {
        let Some(hash) = self.symbols.get(at..).and_then(hash) else { return };
        if let (Some(last), Some(before)) = (self.table.get_mut(hash), self.before.get_mut(at)) {
            *before = *last;
            // A segment is far shorter than 4 GiB, see the limits of `layout`.
            *last = u32::try_from(at + 1).unwrap_or(0);
        }
    }

    fn put_literal(&self, template: &mut Template, range: std::ops::Range<usize>) {
        let Some(symbols) = self.symbols.get(range) else { return };
        if symbols.is_empty() {
            return;
        }
        put_literal_tag(&mut template.elements, symbols.len());
        for &symbol in symbols {
            let offset = u32::try_from(template.elements.len()).unwrap_or(u32::MAX);
            if symbol >= VALUE_SYMBOL {
                if (symbol - VALUE_SYMBOL).is_multiple_of(8) {
                    template.holes.push(offset);
                }
                template.elements.push(0);
            } else if symbol >= TIME_SYMBOL {
                template.times.push((offset, low_byte(symbol - TIME_SYMBOL)));
                template.elements.push(0);
            } else {
                template.elements.push(low_byte(symbol));
            }
        }
    }
}

fn hash(symbols: &[u32]) -> Option<usize> {
    let first = symbols.first_chunk::<MATCH_MIN>()?;
    let mixed = first
        .iter()
        .fold(0u32, |mixed, &symbol| (mixed.rotate_left(5) ^ symbol).wrapping_mul(0x9e37_79b1));
    Some((mixed >> (32 - TABLE_BITS)) as usize)
}

/// The byte that a symbol below 256 stands for.
fn low_byte(symbol: u32) -> u8 {
    let [low, ..] = symbol.to_le_bytes();
    low
}

/// Appends the tag of a literal of `len` bytes, at least one.
fn put_literal_tag(out: &mut Vec<u8>, len: usize) {
    let [a, b, c, d, ..] = (len - 1).to_le_bytes();
    match len - 1 {
        0..60 => out.push(a << 2),
        60..=0xff => out.extend_from_slice(&[60 << 2, a]),
        0x100..=0xffff => out.extend_from_slice(&[61 << 2, a, b]),
        0x1_0000..=0xff_ffff => out.extend_from_slice(&[62 << 2, a, b, c]),
        _ => out.extend_from_slice(&[63 << 2, a, b, c, d]),
    }
}

/// Appends copies that together repeat `len` bytes from `distance` back.
fn put_copy(out: &mut Vec<u8>, mut len: usize, distance: usize) {
    let [low, high, ..] = distance.to_le_bytes();
    while len > 0 {
        if (4..12).contains(&len) && distance < 2048 {
            let [short, ..] = (len - 4).to_le_bytes();
            out.extend_from_slice(&[high << 5 | short << 2 | 1, low]);
            return;
        }
        // A rest of one to three bytes would need a copy as long as one of 64.
        let take = if len > 64 && len < 68 { 60 } else { len.min(64) };
        let [short, ..] = (take - 1).to_le_bytes();
        out.extend_from_slice(&[short << 2 | 2, low, high]);
        len -= take;
    }
}

#[cfg(test)]
mod tests;
