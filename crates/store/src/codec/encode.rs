//! Encoding in the fewest bytes, with an eye on the chunk's earlier columns.

use std::collections::{HashMap, VecDeque};

use narthex_model::{Hashing, is_absent};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::column::{Peers, kind};
use super::decimal::{MANTISSA_LIMIT, exponent_of, mantissa, nearest, power, value_of};
use super::decode::DEPTH_MAX;
use super::fast::{encode_constant, encode_raw};
use super::sequence::{self, Predictor, Scratch};
use super::wire::{put_signed, put_varint, zigzag};
use super::{Damaged, Decoder, ROWS_MAX, holes, special, to_ordered};

/// How many columns back a column may be predicted from.
const PREDICTORS: usize = 4;
/// Decimal exponents that are tried for values that are decimals but for their last bits.
const ULP_EXPONENTS: [u8; 5] = [2, 3, 6, 9, 12];

/// Values by which it is judged how many are different.
const PROBE_ROWS: usize = 128;
/// Values by which an exponent is judged for values that are decimals but for their last bits.
const ULP_ROWS: usize = 128;

/// Encodes the columns of one chunk, each in the fewest bytes, and keeps the blobs.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    depths: Vec<u8>,
    recent: VecDeque<Recent>,
    /// The first column of each sequence of differences, by its hash.
    known: HashMap<u64, usize, Hashing>,
    work: Work,
}

/// Memory that encoding uses again and again.
#[derive(Debug, Default)]
struct Work {
    scratch: Scratch,
    present: Vec<f64>,
    mantissas: Vec<i64>,
    second: Vec<i64>,
    trial: Vec<u8>,
    decoder: Decoder,
    decoded: Vec<f64>,
    hashed: Vec<u8>,
}

/// A column that later ones may be predicted from.
#[derive(Debug)]
struct Recent {
    column: usize,
    exponent: u8,
    deltas: Vec<i64>,
}

impl Encoder {
    /// Forgets all columns, for the next chunk; keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.depths.clear();
        self.recent.clear();
        self.known.clear();
    }

    /// How many columns there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no column.
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The blob of a column; empty if there is no such column.
    pub(crate) fn blob(&self, column: usize) -> &[u8] {
        let start = column.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(column).copied().unwrap_or(0);
        self.bytes.get(start.unwrap_or(0)..end).unwrap_or(&[])
    }

    /// All blobs one after the other.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a column; all columns of a chunk have the same number of rows.
    ///
    /// # Panics
    /// If there are more than [`ROWS_MAX`] values.
    pub(crate) fn push(&mut self, values: &[f64]) {
        assert!(values.len() <= ROWS_MAX, "a chunk of {} rows", values.len());
        let mut out = std::mem::take(&mut self.bytes);
        let start = out.len();
        let mut depth = self.append(values, &mut out);
        if out.len() - start > values.len() * 8 + 1 {
            // Alternating holes could make a column larger than its raw form, holes included.
            out.truncate(start);
            encode_raw(values, &mut out);
            self.forget_last();
            depth = 0;
        }
        self.bytes = out;
        self.ends.push(self.bytes.len());
        self.depths.push(depth);
    }

    /// Adds a column whose rows all have `value`, which is no hole.
    pub(crate) fn push_constant(&mut self, value: f64) {
        encode_constant(value, &mut self.bytes);
        self.ends.push(self.bytes.len());
        self.depths.push(0);
    }

    /// Appends a blob; gives the depth of its references.
    fn append(&mut self, values: &[f64], out: &mut Vec<u8>) -> u8 {
        let with_holes = values.is_empty() || values.iter().any(|&value| is_absent(value));
        let mut present = std::mem::take(&mut self.work.present);
        let mut depth = 0;
        if !with_holes {
            depth = self.append_present(values, out);
        } else if holes::encode(values, out) {
            present.clear();
            present.extend(values.iter().filter(|&&value| !is_absent(value)));
            depth = self.append_present(&present, out);
        }
        self.work.present = present;
        depth
    }

    fn append_present(&mut self, values: &[f64], out: &mut Vec<u8>) -> u8 {
        let Some(&first) = values.first() else { return 0 };
        if values.iter().all(|value| value.to_bits() == first.to_bits()) {
            encode_constant(first, out);
            return 0;
        }
        let start = out.len();
        let special = values.iter().fold(false, |any, &value| any | special::is_special(value));
        let (runs, raw_runs) = if special { special::count_runs(values) } else { (0, false) };
        let few_runs = runs <= values.len() / 16 + 1;
        let mut depth = 0;
        let exponent = decimals(values, special, &mut self.work.mantissas);
        if let Some(exponent) = exponent {
            depth = self.append_decimal(values, exponent, runs > 0, out);
            let small = (out.len() - start) * 2 <= values.len();
            if few_runs && !raw_runs && small {
                return depth;
            }
        }
        let decimal_len = if exponent.is_some() { out.len() - start } else { usize::MAX };
        if exponent.is_none() && runs == 0 && values.iter().all(|v| v.is_sign_positive()) {
            self.work.try_ulps(values, start, out);
        }
        if exponent.is_none() || runs > 0 {
            self.work.try_bits(values, start, out);
        }
        self.work.try_dictionary(values, start, out);
        if out.len() - start > 1 + values.len() * 8 {
            out.truncate(start);
            encode_raw(values, out);
        }
        if exponent.is_some() && out.len() - start < decimal_len {
            depth = 0;
            self.forget_last();
        }
        depth
    }

    /// Appends a reference or the mantissas that stand in `work`.
    fn append_decimal(
        &mut self,
        values: &[f64],
        exponent: u8,
        special: bool,
        out: &mut Vec<u8>,
    ) -> u8 {
        let column = self.ends.len();
        let mantissas = std::mem::take(&mut self.work.mantissas);
        let deltas: Vec<i64> = mantissas
            .iter()
            .zip(mantissas.get(1..).unwrap_or(&[]))
            .map(|(&a, &b)| b.wrapping_sub(a))
            .collect();
        let hash = self.work.hash(&deltas, exponent);
        let twin = if special { None } else { self.twin(hash, out, &mantissas, exponent) };
        let mut depth = 0;
        let first = mantissas.first().copied().unwrap_or(0);
        if let Some(twin) = twin {
            out.push(kind::head(kind::REF, exponent));
            put_varint(out, (column - twin) as u64);
            put_signed(out, first);
            depth = self.depths.get(twin).copied().unwrap_or(0) + 1;
        } else {
            let depths = &self.depths;
            let predictors: Vec<Predictor<'_>> = self
                .recent
                .iter()
                .rev()
                .filter(|recent| recent.exponent == exponent)
                .filter(|recent| recent.deltas.len() == deltas.len())
                .filter(|recent| depths.get(recent.column).is_some_and(|&d| d < DEPTH_MAX - 1))
                .map(|recent| Predictor {
                    distance: (column - recent.column) as u64,
                    deltas: &recent.deltas,
                })
                .collect();
            out.push(kind::head(kind::DEC, exponent));
            let scratch = &mut self.work.scratch;
            let distance = sequence::encode(&mantissas, special, &predictors, scratch, out);
            if special {
                special::encode(values, out);
            }
            if let Some(distance) = distance {
                let peer = usize::try_from(distance).map_or(0, |distance| column - distance);
                depth = self.depths.get(peer).copied().unwrap_or(0) + 1;
            }
            if !special && depth < DEPTH_MAX {
                self.known.entry(hash).or_insert(column);
            }
        }
        while self.recent.front().is_some_and(|old| old.column + PREDICTORS <= column) {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { column, exponent, deltas });
        self.work.mantissas = mantissas;
        depth
    }

    /// An earlier column with the same differences, proven by decoding it.
    fn twin(&mut self, hash: u64, out: &[u8], mantissas: &[i64], exponent: u8) -> Option<usize> {
        let twin = *self.known.get(&hash)?;
        if self.depths.get(twin).is_none_or(|&depth| depth >= DEPTH_MAX - 1) {
            return None;
        }
        // A blob that refers to the twin, read as a reader will read it.
        let column = self.ends.len();
        let Work { decoder, decoded, trial, .. } = &mut self.work;
        trial.clear();
        trial.push(kind::head(kind::REF, exponent));
        put_varint(trial, (column - twin) as u64);
        put_signed(trial, mantissas.first().copied().unwrap_or(0));
        let peers = Earlier { bytes: out, ends: &self.ends };
        decoded.clear();
        decoder.decode(trial, mantissas.len(), column, &peers, decoded).ok()?;
        let power = power(exponent);
        let same = decoded
            .iter()
            .zip(mantissas)
            .all(|(value, &mantissa)| value.to_bits() == value_of(mantissa, power).to_bits());
        same.then_some(twin)
    }

    /// Takes the column in work out of those that later ones may refer to.
    fn forget_last(&mut self) {
        let column = self.ends.len();
        self.recent.retain(|recent| recent.column != column);
        self.known.retain(|_, &mut known| known != column);
    }
}

impl Peers for Encoder {
    fn blob(&self, column: usize) -> Result<&[u8], Damaged> {
        if column < self.len() { Ok(self.blob(column)) } else { Err(Damaged("no such column")) }
    }
}

/// The finished columns while the next one is being written behind them.
struct Earlier<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl Peers for Earlier<'_> {
    fn blob(&self, column: usize) -> Result<&[u8], Damaged> {
        let start = column.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = *self.ends.get(column).ok_or(Damaged("no such column"))?;
        self.bytes.get(start.unwrap_or(0)..end).ok_or(Damaged("no such column"))
    }
}

impl Work {
    fn hash(&mut self, deltas: &[i64], exponent: u8) -> u64 {
        self.hashed.clear();
        self.hashed.extend(deltas.iter().flat_map(|delta| delta.to_le_bytes()));
        xxh3_64_with_seed(&self.hashed, u64::from(exponent))
    }

    /// Replaces what stands in `out` from `start` on by `trial`, if that is smaller or if nothing
    /// stands there.
    fn keep_smaller(&self, start: usize, out: &mut Vec<u8>) {
        let have = out.len() - start;
        if have == 0 || self.trial.len() < have {
            out.truncate(start);
            out.extend_from_slice(&self.trial);
        }
    }

    fn try_ulps(&mut self, values: &[f64], start: usize, out: &mut Vec<u8>) {
        let judged = values.get(..ULP_ROWS).unwrap_or(values);
        let costs = ULP_EXPONENTS.iter().filter_map(|&e| Some((ulp_cost(judged, e)?, e)));
        let Some((_, exponent)) = costs.min() else { return };
        let power = power(exponent);
        self.mantissas.clear();
        self.mantissas.extend(values.iter().map(|&value| nearest(value, power)));
        self.second.clear();
        self.second
            .extend(values.iter().zip(&self.mantissas).map(|(value, &m)| ulps(*value, m, power)));
        self.trial.clear();
        self.trial.push(kind::head(kind::ULP, exponent));
        sequence::encode(&self.mantissas, false, &[], &mut self.scratch, &mut self.trial);
        sequence::encode(&self.second, false, &[], &mut self.scratch, &mut self.trial);
        self.keep_smaller(start, out);
    }

    fn try_bits(&mut self, values: &[f64], start: usize, out: &mut Vec<u8>) {
        self.second.clear();
        self.second.extend(values.iter().map(|&value| to_ordered(value)));
        self.trial.clear();
        self.trial.push(kind::head(kind::BITS, 0));
        sequence::encode(&self.second, false, &[], &mut self.scratch, &mut self.trial);
        self.keep_smaller(start, out);
    }

    fn try_dictionary(&mut self, values: &[f64], start: usize, out: &mut Vec<u8>) {
        let distinct = &mut self.second;
        // Where the first values are nearly all different, the others are not looked at.
        let probe = values.get(..PROBE_ROWS).unwrap_or(values);
        collect_distinct(probe, distinct);
        if distinct.len() * 4 > probe.len() * 3 {
            return;
        }
        collect_distinct(values, distinct);
        let width = (distinct.len() - 1).checked_ilog2().map_or(0, |log| log as usize + 1);
        // Half of their width is about the least that positions take.
        let least = distinct.len() + values.len() * width / 16;
        if distinct.len() * 2 > values.len() || (least >= out.len() - start && out.len() > start) {
            return;
        }
        self.mantissas.clear();
        self.mantissas.extend(values.iter().map(|&value| {
            let index = distinct.binary_search(&to_ordered(value)).unwrap_or_else(|at| at);
            index.cast_signed() as i64
        }));
        self.trial.clear();
        self.trial.push(kind::head(kind::DICT, 0));
        put_varint(&mut self.trial, distinct.len() as u64);
        sequence::encode(distinct, false, &[], &mut self.scratch, &mut self.trial);
        sequence::encode(&self.mantissas, false, &[], &mut self.scratch, &mut self.trial);
        self.keep_smaller(start, out);
    }
}

/// About how many bits mantissas and corrections take; `None` if a mantissa is too large.
fn ulp_cost(values: &[f64], exponent: u8) -> Option<u64> {
    let power = power(exponent);
    let (mut bits, mut before) = (0, None);
    for &value in values {
        let mantissa = nearest(value, power);
        if mantissa.unsigned_abs() >= MANTISSA_LIMIT.unsigned_abs() {
            return None;
        }
        let delta = mantissa.wrapping_sub(before.unwrap_or(mantissa));
        before = Some(mantissa);
        let length = |value: i64| u64::from(64 - zigzag(value).leading_zeros());
        bits += length(delta) + length(ulps(value, mantissa, power));
    }
    Some(bits)
}

/// What must be added to the bits of `mantissa / power` to get those of `value`.
fn ulps(value: f64, mantissa: i64, power: f64) -> i64 {
    value.to_bits().wrapping_sub(value_of(mantissa, power).to_bits()).cast_signed()
}

/// The different values, in their order.
fn collect_distinct(values: &[f64], distinct: &mut Vec<i64>) {
    distinct.clear();
    distinct.extend(values.iter().map(|&value| to_ordered(value)));
    distinct.sort_unstable();
    distinct.dedup();
}

/// The mantissas of all values at the smallest exponent at which they are exact; a special value
/// repeats the mantissa before it.
fn decimals(values: &[f64], special: bool, mantissas: &mut Vec<i64>) -> Option<u8> {
    let is_special = |value: f64| special && special::is_special(value);
    let Some(&first) = values.iter().find(|&&value| !is_special(value)) else {
        mantissas.clear();
        mantissas.resize(values.len(), 0);
        return Some(0);
    };
    let mut exponent = exponent_of(first, 0)?;
    'exponent: loop {
        let power = power(exponent);
        let mut last = mantissa(first, power)?;
        mantissas.clear();
        for &value in values {
            if !is_special(value) {
                let Some(exact) = mantissa(value, power) else {
                    exponent = exponent_of(value, exponent + 1)?;
                    continue 'exponent;
                };
                last = exact;
            }
            mantissas.push(last);
        }
        return Some(exponent);
    }
}
