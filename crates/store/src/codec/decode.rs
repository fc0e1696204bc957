//! Reads blobs, following references to other columns.

use std::collections::VecDeque;

use narthex_model::ABSENT;

use super::column::{Peers, kind};
use super::decimal::{power, value_of};
use super::holes::{self, Runs};
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
    residuals: Vec<u64>,
    integers: Vec<i64>,
    second: Vec<i64>,
    pool: Vec<Vec<i64>>,
    /// The chunk whose columns are remembered, if any is.
    chunk: Option<ChunkKey>,
    /// Mantissas of the columns read last, oldest first: most references go to one of them.
    recent: VecDeque<(usize, Vec<i64>)>,
}

/// Tells a chunk from every other that a decoder meets.
pub(crate) type ChunkKey = (u64, u32);

/// How many columns are remembered: as far back as a predictor stands.
const RECENT: usize = 4;

impl Decoder {
    /// Appends the `rows` values of the blob of column `column` to `out`; on an error `out` is as
    /// before. Rows without a sample become [`ABSENT`].
    pub(crate) fn decode<P: Peers + ?Sized>(
        &mut self,
        blob: &[u8],
        rows: usize,
        column: usize,
        peers: &P,
        out: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        self.chunk = None;
        self.decode_or_restore(blob, rows, column, peers, out)
    }

    /// As [`Decoder::decode`], for columns of a chunk that are read one after the other: what the
    /// next one is likely to refer to is remembered.
    pub(crate) fn decode_in<P: Peers + ?Sized>(
        &mut self,
        chunk: ChunkKey,
        blob: &[u8],
        (rows, column): (usize, usize),
        peers: &P,
        out: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        if self.chunk != Some(chunk) {
            self.chunk = Some(chunk);
            self.pool.extend(self.recent.drain(..).map(|(_, mantissas)| mantissas));
        }
        self.decode_or_restore(blob, rows, column, peers, out)
    }

    fn decode_or_restore<P: Peers + ?Sized>(
        &mut self,
        blob: &[u8],
        rows: usize,
        column: usize,
        peers: &P,
        out: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        let start = out.len();
        let result = self.decode_blob(blob, rows, column, peers, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Keeps the mantissas of a column for those that follow it; gives memory in exchange.
    fn remember(&mut self, column: usize, mantissas: Vec<i64>) -> Vec<i64> {
        if self.chunk.is_none() {
            return mantissas;
        }
        let full = self.recent.len() >= RECENT;
        let oldest = if full { self.recent.pop_front().map(|(_, old)| old) } else { None };
        self.recent.push_back((column, mantissas));
        oldest.or_else(|| self.pool.pop()).unwrap_or_default()
    }

    fn decode_blob<P: Peers + ?Sized>(
        &mut self,
        blob: &[u8],
        rows: usize,
        column: usize,
        peers: &P,
        out: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        if rows > ROWS_MAX {
            return Err(Damaged("too many rows"));
        }
        let mut reader = Reader::new(blob);
        let start = out.len();
        let (kind, exponent) = kind::split(reader.byte()?);
        if kind != kind::HOLES {
            self.decode_present((kind, exponent), &mut reader, rows, (column, peers), out)?;
        } else if exponent == kind::NONE_PRESENT {
            out.resize(start + rows, ABSENT);
        } else {
            let present = self.runs.read(&mut reader, rows)?;
            let inner = kind::split(reader.byte()?);
            self.decode_present(inner, &mut reader, present, (column, peers), out)?;
            self.runs.spread(start, rows, out);
        }
        if reader.is_empty() { Ok(()) } else { Err(Damaged("bytes left over")) }
    }

    /// Appends `rows` values that are all present.
    fn decode_present<P: Peers + ?Sized>(
        &mut self,
        (kind, exponent): (u8, u8),
        reader: &mut Reader<'_>,
        rows: usize,
        (column, peers): (usize, &P),
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
                let result = self.mantissas(kind, reader, rows, (column, peers, 0), &mut mantissas);
                push_decimals(&mantissas, exponent, out);
                self.integers = match result {
                    Ok(_) => self.remember(column, mantissas),
                    Err(_) => mantissas,
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
        head.decode(reader, count, &[], &mut self.residuals, &mut self.integers)
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
        kind: u8,
        reader: &mut Reader<'_>,
        count: usize,
        (column, peers, depth): (usize, &P, u8),
        out: &mut Vec<i64>,
    ) -> Result<bool, Damaged> {
        if kind == kind::REF {
            let distance = reader.varint()?;
            let first = reader.signed()?;
            self.peer_mantissas(distance, count, (column, peers, depth), out)?;
            let shift = first.wrapping_sub(out.first().copied().unwrap_or(0));
            for mantissa in out {
                *mantissa = mantissa.wrapping_add(shift);
            }
            return Ok(false);
        }
        let head = Head::read(reader)?;
        let mut predictor = Vec::new();
        let mut result = Ok(());
        if let Some(distance) = head.predictor_distance() {
            predictor = self.pool.pop().unwrap_or_default();
            result = self.peer_mantissas(distance, count, (column, peers, depth), &mut predictor);
        }
        if result.is_ok() {
            result = head.decode(reader, count, &predictor, &mut self.residuals, out);
        }
        if predictor.capacity() > 0 {
            self.pool.push(predictor);
        }
        result.map(|()| head.flag)
    }

    fn peer_mantissas<P: Peers + ?Sized>(
        &mut self,
        distance: u64,
        count: usize,
        (column, peers, depth): (usize, &P, u8),
        out: &mut Vec<i64>,
    ) -> Result<(), Damaged> {
        if depth >= DEPTH_MAX || distance == 0 {
            return Err(Damaged("references too deep"));
        }
        let peer = usize::try_from(distance).ok().and_then(|distance| column.checked_sub(distance));
        let peer = peer.ok_or(Damaged("reference before the first column"))?;
        if self.chunk.is_some()
            && let Some((_, known)) = self.recent.iter().find(|(column, _)| *column == peer)
        {
            out.clear();
            out.extend_from_slice(known);
            return if known.len() == count { Ok(()) } else { Err(OTHER_ROWS) };
        }
        let mut reader = Reader::new(peers.blob(peer)?);
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
        self.mantissas(kind, &mut reader, count, (peer, peers, depth + 1), out).map(drop)
    }
}

fn constant(exponent: u8, reader: &mut Reader<'_>) -> Result<f64, Damaged> {
    match exponent {
        kind::EXPONENT_RAW => reader.u64().map(f64::from_bits),
        _ => reader.signed().map(|mantissa| value_of(mantissa, power(exponent))),
    }
}

fn push_decimals(mantissas: &[i64], exponent: u8, out: &mut Vec<f64>) {
    if exponent == 0 {
        #[expect(clippy::cast_precision_loss, reason = "mantissas are below 2^53")]
        out.extend(mantissas.iter().map(|&mantissa| mantissa as f64));
    } else {
        let power = power(exponent);
        out.extend(mantissas.iter().map(|&mantissa| value_of(mantissa, power)));
    }
}
