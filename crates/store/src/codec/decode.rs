//! Reads blobs, following references to other columns.

use std::collections::VecDeque;

use super::column::{Peers, kind};
use super::decimal::{power, value_of};
use super::holes::{self, Runs};
use super::ints::Work;
use super::sequence::Head;
use super::wire::Reader;
use super::{Damaged, ROWS_MAX, from_ordered, special};

const OTHER_ROWS: Damaged = Damaged("reference to a column of other rows");

/// How many columns deep references may go.
pub(super) const DEPTH_MAX: u8 = 8;

/// Decodes blobs; keeps its memory between them.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    runs: Runs,
    work: Work,
    integers: Vec<i64>,
    second: Vec<i64>,
    pool: Vec<Vec<i64>>,
}

/// Mantissas of the columns of one chunk that were read last, oldest first: what the next one
/// refers to is most often among them.
#[derive(Debug, Default)]
pub(crate) struct Memory(VecDeque<(usize, Vec<i64>)>);

/// How many columns are remembered. Most references go to the column before.
const REMEMBERED: usize = 3;

impl Memory {
    /// Forgets the columns, for another chunk.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn get(&self, column: usize) -> Option<&[i64]> {
        let found = self.0.iter().find(|(known, _)| *known == column);
        found.map(|(_, mantissas)| mantissas.as_slice())
    }

    /// Keeps the mantissas of a column; gives memory in exchange.
    fn keep(&mut self, column: usize, mantissas: Vec<i64>) -> Vec<i64> {
        let full = self.0.len() >= REMEMBERED;
        let oldest = if full { self.0.pop_front() } else { None };
        self.0.push_back((column, mantissas));
        oldest.map(|(_, memory)| memory).unwrap_or_default()
    }
}

/// Which rows of a column have values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// All.
    All,
    /// Those that [`Decoder::runs`] tells; only they were appended.
    Runs,
    /// Any: in raw form a hole is a value as any other.
    Unknown,
}

/// A column and the others of its chunk.
struct Place<'a, P: ?Sized> {
    column: usize,
    peers: &'a P,
    /// How many references have led here.
    depth: u8,
}

impl Decoder {
    /// Appends the `rows` values of the blob of column `column` to `out`; on an error `out` is as
    /// before. Rows without a sample become
    /// [`narthex_model::ABSENT`].
    pub(crate) fn decode<P: Peers + ?Sized>(
        &mut self,
        blob: &[u8],
        rows: usize,
        column: usize,
        peers: &P,
        out: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        self.decode_spread(None, blob, (rows, column), peers, out)
    }

    /// As [`Decoder::decode`], for columns of a chunk that are read one after the other: what the
    /// next one is likely to refer to is remembered.
    pub(crate) fn decode_in<P: Peers + ?Sized>(
        &mut self,
        memory: &mut Memory,
        blob: &[u8],
        (rows, column): (usize, usize),
        peers: &P,
        out: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        self.decode_spread(Some(memory), blob, (rows, column), peers, out)
    }

    fn decode_spread<P: Peers + ?Sized>(
        &mut self,
        memory: Option<&mut Memory>,
        blob: &[u8],
        (rows, column): (usize, usize),
        peers: &P,
        out: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        let start = out.len();
        let presence = self.decode_or_restore(memory, blob, (rows, column), peers, out)?;
        if presence == Presence::Runs {
            self.runs.spread(start, rows, out);
        }
        Ok(())
    }

    /// As [`Decoder::decode_in`], but appends no holes where it is known which rows have them.
    pub(crate) fn decode_present_in<P: Peers + ?Sized>(
        &mut self,
        memory: &mut Memory,
        blob: &[u8],
        (rows, column): (usize, usize),
        peers: &P,
        out: &mut Vec<f64>,
    ) -> Result<Presence, Damaged> {
        self.decode_or_restore(Some(memory), blob, (rows, column), peers, out)
    }

    /// After [`Presence::Runs`]: the rows that have values, as (rows left out before, rows).
    pub(crate) fn runs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.runs.iter()
    }

    fn decode_or_restore<P: Peers + ?Sized>(
        &mut self,
        memory: Option<&mut Memory>,
        blob: &[u8],
        (rows, column): (usize, usize),
        peers: &P,
        out: &mut Vec<f64>,
    ) -> Result<Presence, Damaged> {
        let start = out.len();
        let place = Place { column, peers, depth: 0 };
        let result = self.decode_blob(memory, blob, rows, &place, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn decode_blob<P: Peers + ?Sized>(
        &mut self,
        memory: Option<&mut Memory>,
        blob: &[u8],
        rows: usize,
        place: &Place<'_, P>,
        out: &mut Vec<f64>,
    ) -> Result<Presence, Damaged> {
        if rows > ROWS_MAX {
            return Err(Damaged("too many rows"));
        }
        let mut reader = Reader::new(blob);
        let (kind, exponent) = kind::split(reader.byte()?);
        let presence = if kind != kind::HOLES {
            self.decode_present(memory, (kind, exponent), &mut reader, rows, place, out)?;
            if kind == kind::RAW { Presence::Unknown } else { Presence::All }
        } else if exponent == kind::NONE_PRESENT {
            self.runs.clear();
            Presence::Runs
        } else {
            let present = self.runs.read(&mut reader, rows)?;
            let inner = kind::split(reader.byte()?);
            self.decode_present(memory, inner, &mut reader, present, place, out)?;
            Presence::Runs
        };
        if reader.is_empty() { Ok(presence) } else { Err(Damaged("bytes left over")) }
    }

    /// Appends `rows` values that are all present.
    fn decode_present<P: Peers + ?Sized>(
        &mut self,
        memory: Option<&mut Memory>,
        (kind, exponent): (u8, u8),
        reader: &mut Reader<'_>,
        rows: usize,
        place: &Place<'_, P>,
        out: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        let start = out.len();
        match kind {
            kind::CONST => {
                let value = constant(exponent, reader)?;
                out.resize(start + rows, value);
            }
            kind::DEC | kind::REF => {
                let mut mantissas = std::mem::take(&mut self.integers);
                let known = memory.as_deref();
                let result = self.mantissas(known, kind, reader, rows, place, &mut mantissas);
                push_decimals(&mantissas, exponent, out);
                self.integers = match (&result, memory) {
                    (Ok(_), Some(memory)) => memory.keep(place.column, mantissas),
                    _ => mantissas,
                };
                if result? {
                    special::decode(reader, out.get_mut(start..).unwrap_or(&mut []))?;
                }
            }
            kind::ULP => {
                self.sequence(reader, rows)?;
                std::mem::swap(&mut self.integers, &mut self.second);
                self.sequence(reader, rows)?;
                let power = power(exponent);
                out.extend(self.second.iter().zip(&self.integers).map(|(&mantissa, &ulps)| {
                    let bits = value_of(mantissa, power).to_bits();
                    f64::from_bits(bits.wrapping_add_signed(ulps))
                }));
            }
            kind::BITS => {
                self.sequence(reader, rows)?;
                out.extend(self.integers.iter().map(|&ordered| from_ordered(ordered)));
            }
            kind::RAW => {
                let bytes = reader.take(rows * 8)?;
                let (words, _) = bytes.as_chunks();
                out.extend(words.iter().map(|&word| f64::from_bits(u64::from_le_bytes(word))));
            }
            kind::DICT => self.dictionary(reader, rows, out)?,
            _ => return Err(Damaged("holes within holes")),
        }
        Ok(())
    }

    /// Reads a sequence that stands alone into `self.integers`.
    fn sequence(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<(), Damaged> {
        let head = Head::read(reader)?;
        head.decode(reader, count, &[], &mut self.work, &mut self.integers)
    }

    fn dictionary(
        &mut self,
        reader: &mut Reader<'_>,
        rows: usize,
        out: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        let distinct = reader.count(rows)?;
        self.sequence(reader, distinct)?;
        std::mem::swap(&mut self.integers, &mut self.second);
        self.sequence(reader, rows)?;
        for &index in &self.integers {
            let entry = usize::try_from(index).ok().and_then(|index| self.second.get(index));
            out.push(from_ordered(*entry.ok_or(Damaged("no such dictionary entry"))?));
        }
        Ok(())
    }

    /// Reads the mantissas of a [`kind::DEC`] or [`kind::REF`] blob into `out`, replacing what it
    /// held; says whether special values follow.
    fn mantissas<P: Peers + ?Sized>(
        &mut self,
        memory: Option<&Memory>,
        kind: u8,
        reader: &mut Reader<'_>,
        count: usize,
        place: &Place<'_, P>,
        out: &mut Vec<i64>,
    ) -> Result<bool, Damaged> {
        if kind == kind::REF {
            let distance = reader.varint()?;
            let first = reader.signed()?;
            self.with_peer(memory, distance, count, place, |_, peer| {
                let shift = first.wrapping_sub(peer.first().copied().unwrap_or(0));
                out.clear();
                out.extend(peer.iter().map(|&mantissa| mantissa.wrapping_add(shift)));
                Ok(())
            })?;
            return Ok(false);
        }
        let head = Head::read(reader)?;
        match head.predictor_distance() {
            None => head.decode(reader, count, &[], &mut self.work, out)?,
            Some(distance) => self.with_peer(memory, distance, count, place, |work, peer| {
                head.decode(reader, count, peer, work, out)
            })?,
        }
        Ok(head.flag)
    }

    /// Calls `take` with the `count` mantissas of the column `distance` before this one.
    fn with_peer<P: Peers + ?Sized>(
        &mut self,
        memory: Option<&Memory>,
        distance: u64,
        count: usize,
        place: &Place<'_, P>,
        take: impl FnOnce(&mut Work, &[i64]) -> Result<(), Damaged>,
    ) -> Result<(), Damaged> {
        if place.depth >= DEPTH_MAX || distance == 0 {
            return Err(Damaged("references too deep"));
        }
        let distance = usize::try_from(distance).ok();
        let column = distance.and_then(|distance| place.column.checked_sub(distance));
        let column = column.ok_or(Damaged("reference before the first column"))?;
        if let Some(known) = memory.and_then(|memory| memory.get(column)) {
            return if known.len() == count {
                take(&mut self.work, known)
            } else {
                Err(OTHER_ROWS)
            };
        }
        let mut mantissas = self.pool.pop().unwrap_or_default();
        let place = Place { column, peers: place.peers, depth: place.depth + 1 };
        let mut result = self.peer_mantissas(memory, count, &place, &mut mantissas);
        if result.is_ok() {
            result = take(&mut self.work, &mantissas);
        }
        self.pool.push(mantissas);
        result
    }

    fn peer_mantissas<P: Peers + ?Sized>(
        &mut self,
        memory: Option<&Memory>,
        count: usize,
        place: &Place<'_, P>,
        out: &mut Vec<i64>,
    ) -> Result<(), Damaged> {
        let mut reader = Reader::new(place.peers.blob(place.column)?);
        let (mut kind, exponent) = kind::split(reader.byte()?);
        if kind == kind::HOLES && exponent != kind::NONE_PRESENT {
            if holes::decode(&mut reader, ROWS_MAX, |_, _| ())? != count {
                return Err(OTHER_ROWS);
            }
            (kind, _) = kind::split(reader.byte()?);
        }
        if kind != kind::DEC && kind != kind::REF {
            return Err(Damaged("reference to a column without mantissas"));
        }
        self.mantissas(memory, kind, &mut reader, count, place, out).map(drop)
    }
}

fn constant(exponent: u8, reader: &mut Reader<'_>) -> Result<f64, Damaged> {
    match exponent {
        kind::EXPONENT_RAW => reader.u64().map(f64::from_bits),
        _ => reader.signed().map(|mantissa| value_of(mantissa, power(exponent))),
    }
}

/// Appends `mantissas / 10^exponent`.
fn push_decimals(mantissas: &[i64], exponent: u8, out: &mut Vec<f64>) {
    // An integer below 2^51 in the low bits of 1.5 * 2^52 makes that number more by just as much:
    // additions, of which a processor does several at once, in place of conversions.
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    const HALF: i64 = 1 << 51;
    let high = mantissas.iter().fold(0, |high, &m| high | m.wrapping_add(HALF).cast_unsigned());
    if high >= 1 << 52 {
        let power = power(exponent);
        out.extend(mantissas.iter().map(|&mantissa| value_of(mantissa, power)));
        return;
    }
    let convert = |&mantissa: &i64| {
        let bits = ROUNDER.to_bits().wrapping_add(mantissa.cast_unsigned());
        f64::from_bits(bits) - ROUNDER
    };
    if exponent == 0 {
        out.extend(mantissas.iter().map(convert));
    } else {
        let power = power(exponent);
        out.extend(mantissas.iter().map(|mantissa| convert(mantissa) / power));
    }
}
