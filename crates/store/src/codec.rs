//! How values and times become bytes: bit-exact for every f64, column by column.
//!
//! A **column** is one series' values over the rows of a chunk, [`model::ABSENT`] where a row has
//! no sample of it. Its encoded form, a *blob*, says by itself how it is to be read, so the head's
//! small chunks ([`column::encode_fast`]) and the blocks' large ones ([`Encoder`]) share one decoder.
//! A blob stands alone, except that within a chunk it may refer to an earlier column ([`Peers`]).
//!
//! Nothing here carries a checksum: who stores a blob guards it. Yet any bytes may be given to a
//! decoder: it answers [`Damaged`], or some values, and never panics nor allocates more than the
//! row count asks for. The bytes are described in `FORMAT.md`.
//!
//! [`model::ABSENT`]: narthex_model::ABSENT

mod bits;
pub(crate) mod column;
mod decimal;
mod decode;
mod encode;
mod fast;
mod holes;
mod ints;
mod sequence;
mod special;
mod ticks;
pub(crate) mod times;
pub(crate) mod wire;

#[cfg(test)]
mod tests;

pub(crate) use column::{NoPeers, Peers};
pub(crate) use decode::{Decoder, Memory, Presence};
pub(crate) use encode::Encoder;

/// The most rows that one chunk may have: it bounds what a decoder allocates.
pub(crate) const ROWS_MAX: usize = 1 << 16;

/// Encoded bytes that make no sense; says what was wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged encoding: {0}")]
pub(crate) struct Damaged(pub &'static str);

/// The bits of `value` as an integer whose order follows the values' order.
#[inline]
fn to_ordered(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    bits ^ (((bits >> 63).cast_unsigned()) >> 1).cast_signed()
}

/// The inverse of [`to_ordered`].
#[inline]
fn from_ordered(ordered: i64) -> f64 {
    let bits = ordered ^ (((ordered >> 63).cast_unsigned()) >> 1).cast_signed();
    f64::from_bits(bits.cast_unsigned())
}
