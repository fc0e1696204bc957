//! Reading and writing big-endian numbers and varints, as Go's `encoding/binary` has them.
#![expect(clippy::big_endian_bytes, reason = "Prometheus' files are big-endian")]

use crate::Error;

/// Walks over bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    /// A reader that begins at `offset`.
    pub(crate) fn from(all: &'a [u8], offset: u64) -> Result<Self, Error> {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        if at > all.len() {
            return Err(Error::at(at, "an offset behind the end"));
        }
        Ok(Self { all, at })
    }

    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.all.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.all.len()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(len);
        let bytes = end.and_then(|end| self.all.get(self.at..end));
        let bytes = bytes.ok_or(Error::at(self.at, "the bytes end too early"))?;
        self.at += len;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let at = self.at;
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| Error::at(at, "the bytes end too early"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Error> {
        Ok(self.u64()?.cast_signed())
    }

    pub(crate) fn uvarint(&mut self) -> Result<u64, Error> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::at(start, "a varint of more than 64 bits"))
    }

    pub(crate) fn varint(&mut self) -> Result<i64, Error> {
        Ok(unzigzag(self.uvarint()?))
    }

    /// A count of things that take at least one byte each in what follows.
    pub(crate) fn count(&mut self) -> Result<usize, Error> {
        let at = self.at;
        let count = usize::try_from(self.uvarint()?).unwrap_or(usize::MAX);
        if count > self.all.len() - self.at.min(self.all.len()) {
            return Err(Error::at(at, "a count larger than what follows"));
        }
        Ok(count)
    }

    /// A string behind its length.
    pub(crate) fn text(&mut self) -> Result<&'a str, Error> {
        let len = self.count()?;
        let at = self.at;
        std::str::from_utf8(self.take(len)?).map_err(|_| Error::at(at, "text is not UTF-8"))
    }
}

/// The signed number that Go's varint stands for.
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// The unsigned number that stands for a signed one.
pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1).cast_unsigned() ^ (value >> 63).cast_unsigned()
}

/// Appends a varint.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// Appends a signed varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, zigzag(value));
}

/// Appends a string behind its length.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends four bytes.
pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends eight bytes.
pub(crate) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// The lowest eight bits.
#[expect(clippy::cast_possible_truncation, reason = "that is what is asked for")]
pub(crate) fn low_byte(value: u64) -> u8 {
    value as u8
}
