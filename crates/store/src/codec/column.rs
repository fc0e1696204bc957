//! One column's values as a blob, and back.
//!
//! A blob begins with a byte `kind | exponent << 3`; the kinds are in [`kind`]. Only samples that
//! are present are coded: a column with holes stands behind a prefix that lists the runs.

#[cfg(test)]
use super::Decoder;
use super::{Damaged, Encoder, fast};

/// The first byte of a blob: `kind | exponent << 3`. All numbers are part of the format.
pub(super) mod kind {
    /// One value for all rows.
    pub(in super::super) const CONST: u8 = 0;
    /// The mantissas of an earlier column, moved by a constant.
    pub(in super::super) const REF: u8 = 1;
    /// Mantissas over `10^exponent`, then special values if the sequence is flagged.
    pub(in super::super) const DEC: u8 = 2;
    /// Mantissas, then corrections in units of the last place.
    pub(in super::super) const ULP: u8 = 3;
    /// The bits, in an order that follows the values' order.
    pub(in super::super) const BITS: u8 = 4;
    /// Eight bytes per value.
    pub(in super::super) const RAW: u8 = 5;
    /// Distinct values, then an index per row.
    pub(in super::super) const DICT: u8 = 6;
    /// Which rows are present, then a blob of those.
    pub(in super::super) const HOLES: u8 = 7;

    /// The largest decimal exponent.
    pub(in super::super) const EXPONENT_MAX: u8 = 18;
    /// In a [`CONST`] byte: eight raw bytes follow.
    pub(in super::super) const EXPONENT_RAW: u8 = 31;
    /// In a [`HOLES`] byte: no row is present; nothing follows.
    pub(in super::super) const NONE_PRESENT: u8 = 1;

    /// The first byte of a blob.
    pub(in super::super) const fn head(kind: u8, exponent: u8) -> u8 {
        kind | exponent << 3
    }

    /// The kind and the exponent in a first byte.
    pub(in super::super) const fn split(head: u8) -> (u8, u8) {
        (head & 7, head >> 3)
    }
}

/// Blobs of the other columns of a chunk, which a blob may refer to.
pub(crate) trait Peers {
    /// The blob of the column at position `column`; an error where there is none, or where it is
    /// damaged.
    fn blob(&self, column: usize) -> Result<&[u8], Damaged>;
}

/// For blobs that stand alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoPeers;

impl Peers for NoPeers {
    fn blob(&self, _: usize) -> Result<&[u8], Damaged> {
        Err(Damaged("reference to another column"))
    }
}

/// Whether a blob says the same of all rows, so that it stands for any number of them.
pub(crate) fn is_constant(blob: &[u8]) -> bool {
    blob.first().is_some_and(|&head| {
        matches!(kind::split(head), (kind::CONST, _) | (kind::HOLES, kind::NONE_PRESENT))
    })
}

/// Appends the blob of `values` to `out`: a few dozen instructions per sample and no allocation
/// but for the output. More than [`fast::ROWS_MAX`] rows are encoded as [`encode_best`] does.
///
/// # Panics
/// If there are more than [`super::ROWS_MAX`] values.
pub(crate) fn encode_fast(values: &[f64], out: &mut Vec<u8>) {
    if values.len() <= fast::ROWS_MAX {
        fast::encode(values, out);
    } else {
        encode_best(values, out);
    }
}

/// Appends the smallest blob of `values` that refers to no other column to `out`.
///
/// For many columns an [`Encoder`] makes smaller blobs and reuses its memory.
///
/// # Panics
/// If there are more than [`super::ROWS_MAX`] values.
pub(crate) fn encode_best(values: &[f64], out: &mut Vec<u8>) {
    let mut encoder = Encoder::default();
    encoder.push(values);
    out.extend_from_slice(encoder.blob(0));
}

/// Appends the `rows` values of a blob that stands alone to `out`; on an error `out` is as before.
///
/// For many columns a [`Decoder`] reuses its memory.
#[cfg(test)]
pub(crate) fn decode(blob: &[u8], rows: usize, out: &mut Vec<f64>) -> Result<(), Damaged> {
    Decoder::default().decode(blob, rows, 0, &NoPeers, out)
}
