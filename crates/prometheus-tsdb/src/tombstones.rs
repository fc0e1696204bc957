//! The file `tombstones` of a block: what was deleted of it.

use std::collections::HashMap;

use crate::Error;
use crate::bytes::{Reader, put_u32, put_uvarint, put_varint};
use crate::error::check;

const MAGIC: u32 = 0x0130_BA30;
const VERSION: u8 = 1;

/// Deleted intervals, both ends included, by the series' reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones(HashMap<u64, Vec<(i64, i64)>>);

impl Tombstones {
    /// Reads the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let short = Error::at(0, "a file of tombstones without a checksum");
        let (rest, sum) = bytes.split_last_chunk::<4>().ok_or(short)?;
        let mut reader = Reader::new(rest);
        if reader.u32()? != MAGIC {
            return Err(Error::at(0, "not a file of tombstones"));
        }
        match reader.u8()? {
            VERSION => {}
            other => return Err(Error::Unsupported(format!("version {other} of tombstones"))),
        }
        // The checksum is about what follows the version.
        check(reader.rest(), u32::from_be_bytes(*sum), reader.offset())?;
        let mut found = Self::default();
        while !reader.is_empty() {
            let series = reader.uvarint()?;
            found.add(series, reader.varint()?, reader.varint()?);
        }
        Ok(found)
    }

    /// Adds an interval.
    pub fn add(&mut self, series: u64, start: i64, end: i64) {
        self.0.entry(series).or_default().push((start, end));
    }

    /// The intervals deleted of a series, in the order in which they came.
    pub fn of(&self, series: u64) -> &[(i64, i64)] {
        self.0.get(&series).map_or(&[], Vec::as_slice)
    }

    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut series: Vec<_> = self.0.iter().collect();
        series.sort_unstable();
        for (&series, intervals) in series {
            for &(start, end) in intervals {
                put_uvarint(&mut body, series);
                put_varint(&mut body, start);
                put_varint(&mut body, end);
            }
        }
        let mut out = Vec::new();
        put_u32(&mut out, MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&body);
        put_u32(&mut out, crc32c::crc32c(&body));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_found() {
        let mut stones = Tombstones::default();
        stones.add(16, -5, 1_795_000_000_000);
        stones.add(16, 7, 8);
        stones.add(3, i64::MIN, i64::MAX);
        let bytes = stones.to_bytes();
        assert_eq!(Tombstones::parse(&bytes).unwrap(), stones);
        assert_eq!(stones.of(16), [(-5, 1_795_000_000_000), (7, 8)]);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x20;
            assert!(Tombstones::parse(&damaged).is_err(), "byte {at}");
        }
    }
}
