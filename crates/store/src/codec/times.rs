//! The timestamps of a chunk's rows.
//!
//! Times at a steady interval take a few bytes in all; jitter of some milliseconds takes about
//! half a byte per row.

use narthex_model::Timestamp;

use super::ints::Work;
use super::sequence::{self, Head, Scratch};
use super::wire::Reader;
use super::{Damaged, ROWS_MAX};

/// Appends the encoded form of `times`.
pub(crate) fn encode(times: &[Timestamp], out: &mut Vec<u8>) {
    let millis: Vec<i64> = times.iter().map(|at| at.0).collect();
    encode_integers(&millis, out);
}

/// Appends the `count` times of `bytes` to `out`; on an error `out` is as before.
pub(crate) fn decode(bytes: &[u8], count: usize, out: &mut Vec<Timestamp>) -> Result<(), Damaged> {
    let mut millis = Vec::new();
    decode_integers(bytes, count, &mut millis)?;
    out.extend(millis.iter().map(|&at| Timestamp(at)));
    Ok(())
}

/// Appends integers that mostly rise at a steady pace.
pub(crate) fn encode_integers(values: &[i64], out: &mut Vec<u8>) {
    sequence::encode(values, false, &[], &mut Scratch::default(), out);
}

/// Reads `count` integers into `out`, replacing what it held.
pub(crate) fn decode_integers(
    bytes: &[u8],
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), Damaged> {
    if count > ROWS_MAX {
        return Err(Damaged("too many rows"));
    }
    let mut reader = Reader::new(bytes);
    let head = Head::read(&mut reader)?;
    head.decode(&mut reader, count, &[], &mut Work::default(), out)?;
    if reader.is_empty() { Ok(()) } else { Err(Damaged("bytes left over")) }
}
