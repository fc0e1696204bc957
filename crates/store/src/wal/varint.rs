//! Numbers in 1 to 9 bytes.
//!
//! The first byte's lowest bits say how many bytes follow: as many as it has ones before its
//! lowest zero. So the length is known from one byte, and neither side loops. A number of up to
//! 56 bits takes one byte for each 7 bits; a larger one is a byte of ones and then 8 bytes.

pub(super) use crate::codec::wire::{unzigzag, zigzag};

/// The most bytes a number takes.
pub(super) const VARINT_BYTES_MAX: usize = 9;

/// Writes `value` at `at` and returns the place behind it. `out` must have
/// [`VARINT_BYTES_MAX`] bytes from `at` on; those behind the number are overwritten.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the caller has made room for the longest form")]
pub(super) fn put(out: &mut [u8], at: usize, value: u64) -> usize {
    let bits = (64 - (value | 1).leading_zeros()) as usize;
    if bits > 56 {
        out[at] = 0xff;
        out[at + 1..at + 9].copy_from_slice(&value.to_le_bytes());
        return at + 9;
    }
    // bits.div_ceil(7) without a division, exact up to 64.
    let bytes = ((bits + 6) * 37) >> 8;
    let word = (value << bytes) | ((1 << (bytes - 1)) - 1);
    out[at..at + 8].copy_from_slice(&word.to_le_bytes());
    at + bytes
}

/// Appends `value` to `out`.
pub(super) fn push(out: &mut Vec<u8>, value: u64) {
    let mut bytes = [0; VARINT_BYTES_MAX];
    let len = put(&mut bytes, 0, value);
    out.extend_from_slice(bytes.get(..len).unwrap_or_default());
}

/// Takes fields off the front of untrusted bytes; `None` when they do not suffice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Option<u64> {
        let first = *self.rest.first()?;
        let count = first.trailing_ones() as usize + 1;
        if count > 8 {
            self.u8()?;
            return self.u64();
        }
        let word = if let Some(bytes) = self.rest.first_chunk() {
            u64::from_le_bytes(*bytes)
        } else {
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(self.rest).for_each(|(to, from)| *to = *from);
            u64::from_le_bytes(bytes)
        };
        self.rest = self.rest.get(count..)?;
        Some((word >> count) & (u64::MAX >> (64 - 7 * count)))
    }

    pub(super) fn varint_u32(&mut self) -> Option<u32> {
        self.varint().and_then(|value| u32::try_from(value).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_length_round_trips() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                push(&mut bytes, value);
                assert_eq!(
                    bytes.len(),
                    (64 - (value | 1).leading_zeros() as usize).div_ceil(7).min(9)
                );
                let mut fields = Fields::new(&bytes);
                assert_eq!(fields.varint(), Some(value));
                assert!(fields.is_empty());
                bytes.pop();
                assert_eq!(Fields::new(&bytes).varint(), None);
            }
        }
    }

    proptest! {
        #[test]
        fn zigzag_inverts(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
