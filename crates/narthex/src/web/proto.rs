//! Protocol buffers, written.

use bytes::Bytes;

/// A message that grows field by field. Fields that are zero are left out, as usual.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A string, or bytes.
    pub(super) fn bytes(&mut self, field: u8, bytes: &[u8]) {
        put_varint(&mut self.0, u64::from(field) << 3 | 2);
        put_varint(&mut self.0, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A message.
    pub(super) fn message(&mut self, field: u8, message: &Self) {
        self.bytes(field, &message.0);
    }

    /// A whole number.
    pub(super) fn number(&mut self, field: u8, number: i64) {
        if number != 0 {
            self.0.push(field << 3);
            put_varint(&mut self.0, number.cast_unsigned());
        }
    }

    /// A whole number that may be negative, zigzag.
    pub(super) fn signed(&mut self, field: u8, number: i64) {
        self.number(field, (number << 1) ^ (number >> 63));
    }

    /// A whole number that is written even if it is zero.
    pub(super) fn always_number(&mut self, field: u8, number: i64) {
        self.0.push(field << 3);
        put_varint(&mut self.0, number.cast_unsigned());
    }

    /// Whole numbers that may be negative, zigzag, packed.
    pub(super) fn all_signed(&mut self, field: u8, numbers: impl Iterator<Item = i64>) {
        let mut bytes = Vec::new();
        for number in numbers {
            put_varint(&mut bytes, ((number << 1) ^ (number >> 63)).cast_unsigned());
        }
        if !bytes.is_empty() {
            self.bytes(field, &bytes);
        }
    }

    /// A float that is written even if it is zero.
    pub(super) fn always_double(&mut self, field: u8, value: f64) {
        self.0.push(field << 3 | 1);
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// Floats, packed.
    pub(super) fn doubles(&mut self, field: u8, values: impl Iterator<Item = f64>) {
        let bytes: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
        if !bytes.is_empty() {
            self.bytes(field, &bytes);
        }
    }

    /// What was written.
    #[cfg(test)]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A float.
    pub(super) fn double(&mut self, field: u8, value: f64) {
        if value.to_bits() != 0 {
            self.0.push(field << 3 | 1);
            self.0.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }

    /// Appends the message behind its length.
    pub(super) fn put_delimited(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        out.extend_from_slice(&self.0);
    }

    /// Compressed with snappy's block format.
    pub(super) fn packed(&self) -> Vec<u8> {
        // It only fails for more than 4 GB.
        snap::raw::Encoder::new().compress_vec(&self.0).unwrap_or_default()
    }

    /// As a frame of a stream: its length, its CRC-32C, itself.
    pub(super) fn framed(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.0.len() + 14);
        put_varint(&mut out, self.0.len() as u64);
        out.extend_from_slice(&crc32c::crc32c(&self.0).to_be_bytes());
        out.extend_from_slice(&self.0);
        out.into()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "masked to seven bits")]
fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_frames() {
        let mut message = Message::default();
        message.number(1, 0);
        message.number(1, 300);
        message.bytes(2, b"ab");
        message.double(3, 1.0);
        let want = [8, 0xac, 2, 0x12, 2, b'a', b'b', 0x19, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f];
        assert_eq!(message.0, want);
        let frame = message.framed();
        assert_eq!(frame[0], 16);
        assert_eq!(frame[1..5], crc32c::crc32c(&want).to_be_bytes());
        assert_eq!(frame[5..], want);
    }
}
