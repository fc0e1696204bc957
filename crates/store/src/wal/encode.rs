//! Rows on their way into the log.

use narthex_model::ABSENT;

use super::number::{CODE_BYTES_MAX, Predictor};
use super::single::Single;
use super::varint::{self, VARINT_BYTES_MAX};
use crate::Row;

/// After this many rows, the next one becomes the base of those that follow.
///
/// A larger number lets the differences grow and more columns differ; a smaller one writes more
/// second copies. Bytes per sample on bodies 15 s apart, for 4, 8, 16 and 24 rows: node_exporter
/// 1.58, 1.42, 1.34, 1.30; VictoriaMetrics 1.01, 0.96, 0.95, 0.97.
pub(super) const BASE_ROWS: u32 = 16;

/// After this many bases, the next one is encoded against nothing, so that even the loss of both
/// copies of a base ends there.
pub(super) const FULL_BASES: u32 = 16;

/// The columns stand as a bitmap.
pub(super) const SET_BITMAP: u8 = 0;
/// The columns stand as their distances.
pub(super) const SET_LIST: u8 = 1;

/// How a row is to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Against {
    /// The base row, which stays the base.
    Base(u32),
    /// The base row; this row is the base from now on.
    OldBase(u32),
    /// Nothing; this row is the base from now on.
    Nothing,
}

/// One layout's state for encoding.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    base: Vec<f64>,
    predictors: Vec<Predictor>,
    /// A bit for each column that may differ from the base row.
    touched: Vec<u64>,
    base_ordinal: Option<u32>,
    rows: u32,
    bases: u32,
    single: Single,
}

impl Encoder {
    /// Forgets the base: the next row is encoded against nothing.
    pub(super) fn forget(&mut self) {
        self.base_ordinal = None;
        self.single.done();
    }

    /// The base row, while it waits for its second copy.
    pub(super) fn single(&mut self) -> &mut Single {
        &mut self.single
    }

    /// Takes note of which columns of the next row differ, also when that row then fails.
    pub(super) fn touch(&mut self, row: &Row<'_>) {
        self.widen(row.values.len());
        match row.changed {
            Some(changed) => {
                for column in changed {
                    if let Some(word) = self.touched.get_mut(column.index() / 64) {
                        *word |= 1 << (column.index() % 64);
                    }
                }
            }
            None => differing(row.values, &self.base, &mut self.touched),
        }
    }

    fn widen(&mut self, width: usize) {
        if self.base.len() < width {
            // Columns that are new hold a value for the first time, whatever the caller says.
            self.touched.resize(width.div_ceil(64), 0);
            for column in self.base.len()..width {
                if let Some(word) = self.touched.get_mut(column / 64) {
                    *word |= 1 << (column % 64);
                }
            }
            self.base.resize(width, ABSENT);
            self.predictors.resize(width, Predictor::default());
        }
    }

    /// What the next row is to be encoded against.
    pub(super) fn against(&self) -> Against {
        match self.base_ordinal {
            Some(ordinal) if self.rows < BASE_ROWS => Against::Base(ordinal),
            Some(ordinal) if self.bases < FULL_BASES => Against::OldBase(ordinal),
            _ => Against::Nothing,
        }
    }

    /// Writes the columns and values of a row to the start of `out`, which grows to the room that
    /// they might take and never shrinks; returns how many bytes they took.
    pub(super) fn encode(&mut self, values: &[f64], against: Against, out: &mut Vec<u8>) -> usize {
        if against == Against::Nothing {
            for (column, word) in self.touched.iter_mut().enumerate() {
                let chunk = values.get(column * 64..).unwrap_or_default();
                *word = present(chunk.get(..64).unwrap_or(chunk));
            }
        }
        let count: u32 = self.touched.iter().map(|word| word.count_ones()).sum();
        let count = count as usize;
        let room =
            2 * VARINT_BYTES_MAX + self.touched.len() * 8 + count * (5 + CODE_BYTES_MAX) + 16;
        if out.len() < room {
            out.resize(room, 0);
        }
        let mut at = put_set(&self.touched, values.len(), count, out);
        match against {
            Against::Base(_) => {
                at = put_near(&self.touched, &mut self.predictors, values, out, at);
            }
            Against::OldBase(_) => {
                each(&self.touched, |column| {
                    if let (Some(p), Some(&v)) = (self.predictors.get(column), values.get(column)) {
                        at = p.encode_base(v, out, at);
                    }
                });
            }
            Against::Nothing => {
                each(&self.touched, |column| {
                    if let (Some(p), Some(&v)) = (self.predictors.get(column), values.get(column)) {
                        at = p.reset().encode_base(v, out, at);
                    }
                });
            }
        }
        at
    }

    /// Says that the row reached the log, as the record `ordinal`.
    pub(super) fn commit(&mut self, values: &[f64], against: Against, ordinal: u32) {
        if let Against::Base(_) = against {
            self.rows += 1;
            return;
        }
        let full = against == Against::Nothing;
        if full {
            self.base.fill(ABSENT);
            self.predictors.iter_mut().for_each(|predictor| *predictor = predictor.reset());
        }
        each(&self.touched, |column| {
            if let (Some(predictor), Some(base), Some(&value)) =
                (self.predictors.get_mut(column), self.base.get_mut(column), values.get(column))
            {
                *predictor = predictor.after_base(value);
                *base = value;
            }
        });
        if full {
            self.predictors.iter_mut().for_each(|predictor| *predictor = predictor.without_hint());
        }
        self.touched.fill(0);
        self.base_ordinal = Some(ordinal);
        self.rows = 0;
        self.bases = if full { 0 } else { self.bases + 1 };
    }
}

/// Writes the values of the columns in `touched`: the hot loop of the log.
#[expect(clippy::indexing_slicing, reason = "hot; `touched` has no bit beyond the width")]
fn put_near(
    touched: &[u64],
    predictors: &mut [Predictor],
    values: &[f64],
    out: &mut [u8],
    mut at: usize,
) -> usize {
    let mut first = 0;
    for &word in touched {
        let mut bits = word;
        while bits != 0 {
            let column = first + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            at = predictors[column].encode(values[column], out, at);
        }
        first += 64;
    }
    at
}

/// Calls `then` for every bit.
fn each(touched: &[u64], mut then: impl FnMut(usize)) {
    for (index, &word) in touched.iter().enumerate() {
        let mut bits = word;
        while bits != 0 {
            then(index * 64 + bits.trailing_zeros() as usize);
            bits &= bits - 1;
        }
    }
}

/// Writes which columns follow, in the shorter of the two ways.
fn put_set(touched: &[u64], width: usize, count: usize, out: &mut [u8]) -> usize {
    let bitmap_bytes = width.div_ceil(8);
    let mode = if count < bitmap_bytes { SET_LIST } else { SET_BITMAP };
    if let Some(byte) = out.first_mut() {
        *byte = mode;
    }
    let mut at = 1;
    if mode == SET_LIST {
        at = varint::put(out, at, count as u64);
        let mut last = 0;
        each(touched, |column| {
            at = varint::put(out, at, (column - last) as u64);
            last = column;
        });
        return at;
    }
    if let Some(room) = out.get_mut(at..) {
        for (to, word) in room.chunks_exact_mut(8).zip(touched) {
            to.copy_from_slice(&word.to_le_bytes());
        }
    }
    at + bitmap_bytes
}

/// Sets the bits of the columns whose values differ by their bits; leaves no other set.
pub(super) fn differing(values: &[f64], base: &[f64], touched: &mut [u64]) {
    for ((word, values), base) in touched.iter_mut().zip(values.chunks(64)).zip(base.chunks(64)) {
        *word = 0;
        for (bit, (value, base)) in values.iter().zip(base).enumerate() {
            *word |= u64::from(value.to_bits() != base.to_bits()) << bit;
        }
    }
}

/// The bits of the columns that hold a value.
fn present(values: &[f64]) -> u64 {
    let bits = values.iter().enumerate();
    bits.fold(0, |word, (bit, value)| word | u64::from(value.to_bits() != ABSENT.to_bits()) << bit)
}
