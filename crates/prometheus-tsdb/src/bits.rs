//! A stream of bits, the highest bit of each byte first.

use crate::Error;
use crate::bytes::{low_byte, put_uvarint, unzigzag, zigzag};

/// Appends bits.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that are not used yet.
    free: u32,
}

impl BitWriter {
    /// Goes on behind `bytes`.
    pub(crate) fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    /// Appends the lowest `count` bits of `value`, the highest of them first.
    pub(crate) fn put(&mut self, value: u64, mut count: u32) {
        while count > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let now = count.min(self.free);
            let part = (value >> (count - now)) & ((1 << now) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= low_byte(part << (self.free - now));
            }
            self.free -= now;
            count -= now;
        }
    }

    pub(crate) fn put_varint(&mut self, value: i64) {
        self.put_uvarint(zigzag(value));
    }

    pub(crate) fn put_uvarint(&mut self, value: u64) {
        let mut encoded = Vec::with_capacity(10);
        put_uvarint(&mut encoded, value);
        for byte in encoded {
            self.put(u64::from(byte), 8);
        }
    }

    /// What was written so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, for a count at their head to be filled in.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Gives the bytes away and begins anew.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.free = 0;
        std::mem::take(&mut self.bytes)
    }
}

/// Reads bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bits that were taken out of the bytes and not used yet, in the lowest `held` bits.
    buffer: u64,
    held: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, buffer: 0, held: 0 }
    }

    /// The next `count` bits, at most 64.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u64, Error> {
        if count > 56 {
            let high = self.bits(count - 32)?;
            return Ok(high << 32 | self.bits(32)?);
        }
        while self.held < count {
            let byte = self.bytes.get(self.at).copied();
            let byte = byte.ok_or(Error::at(self.at, "the bits end too early"))?;
            self.at += 1;
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.held += 8;
        }
        self.held -= count;
        Ok(self.buffer >> self.held & ((1u64 << count) - 1))
    }

    pub(crate) fn bit(&mut self) -> Result<bool, Error> {
        Ok(self.bits(1)? == 1)
    }

    pub(crate) fn uvarint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.bits(8)?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::at(self.at, "a varint of more than 64 bits"))
    }

    pub(crate) fn varint(&mut self) -> Result<i64, Error> {
        Ok(unzigzag(self.uvarint()?))
    }
}
