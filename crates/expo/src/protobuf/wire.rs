//! The wire format of protocol buffers: fields by number, one after the other.

use super::ProtobufError;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// The fields of a message.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = varint(&mut self.rest)?;
        let number = u32::try_from(key >> 3).map_err(|_| ProtobufError::BadField)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(u64::from_le_bytes(take(&mut self.rest)?)),
            2 => Value::Bytes(delimited(&mut self.rest)?),
            5 => {
                take::<4>(&mut self.rest)?;
                Value::Fixed32
            }
            _ => return Err(ProtobufError::BadField),
        };
        Ok(Some((number, value)))
    }
}

/// Takes bytes behind their length off the front.
pub(super) fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], ProtobufError> {
    let length = usize::try_from(varint(rest)?).map_err(|_| ProtobufError::Truncated)?;
    let (bytes, tail) = rest.split_at_checked(length).ok_or(ProtobufError::Truncated)?;
    *rest = tail;
    Ok(bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ProtobufError> {
    let (bytes, tail) = rest.split_first_chunk::<N>().ok_or(ProtobufError::Truncated)?;
    *rest = tail;
    Ok(*bytes)
}

fn varint(rest: &mut &[u8]) -> Result<u64, ProtobufError> {
    let mut value = 0_u64;
    for (index, &byte) in rest.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *rest = rest.get(index + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(if rest.len() < 10 { ProtobufError::Truncated } else { ProtobufError::BadField })
}

impl<'a> Value<'a> {
    pub(super) fn message(self) -> Result<Fields<'a>, ProtobufError> {
        self.bytes().map(Fields::new)
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], ProtobufError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(ProtobufError::BadField),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, ProtobufError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| ProtobufError::NotUtf8)
    }

    pub(super) fn double(self) -> Result<f64, ProtobufError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(ProtobufError::BadField),
        }
    }

    pub(super) fn unsigned(self) -> Result<u64, ProtobufError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(ProtobufError::BadField),
        }
    }

    /// A number in zigzag form.
    pub(super) fn zigzag(self) -> Result<i64, ProtobufError> {
        Ok(unzigzag(self.unsigned()?))
    }

    /// Appends the numbers of a repeated field, packed or not.
    pub(super) fn doubles(self, out: &mut Vec<f64>) -> Result<(), ProtobufError> {
        let Self::Bytes(mut rest) = self else {
            out.push(self.double()?);
            return Ok(());
        };
        while !rest.is_empty() {
            out.push(f64::from_le_bytes(take(&mut rest)?));
        }
        Ok(())
    }

    /// Appends the zigzag numbers of a repeated field, packed or not.
    pub(super) fn zigzags(self, out: &mut Vec<i64>) -> Result<(), ProtobufError> {
        let Self::Bytes(mut rest) = self else {
            out.push(self.zigzag()?);
            return Ok(());
        };
        while !rest.is_empty() {
            out.push(unzigzag(varint(&mut rest)?));
        }
        Ok(())
    }
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
