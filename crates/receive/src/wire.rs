//! Protocol buffers, walked where they lie: nothing is copied or allocated.

/// Longest varint, in bytes.
const VARINT_BYTES_MAX: usize = 10;

/// The bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// A field goes on behind the end of its message.
    #[error("unexpected EOF")]
    CutShort,
    /// A number takes more than 64 bits.
    #[error("integer overflow")]
    Overflow,
    /// A field of a kind that there is not.
    #[error("illegal tag or wire type")]
    Tag,
    /// Messages within each other, more than anybody needs.
    #[error("nested too deep")]
    Depth,
    /// A list that is longer, or a value that is larger, than anybody needs.
    #[error("too many attributes or exemplars in one place, or one of them too large")]
    Crowded,
    /// A field that is there, but of another kind.
    #[error("wrong wire type for field {0}")]
    Kind(u32),
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// A field: its number and what it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
}

impl<'a> Field<'a> {
    /// The bytes of a field that must be a string or a message.
    pub(crate) fn bytes(&self) -> Result<&'a [u8], Malformed> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::Kind(self.number)),
        }
    }

    /// The number of a field that must be a varint.
    pub(crate) fn varint(&self) -> Result<u64, Malformed> {
        match self.value {
            Value::Varint(number) => Ok(number),
            _ => Err(Malformed::Kind(self.number)),
        }
    }

    /// The number of a field that must have eight bytes.
    pub(crate) fn fixed(&self) -> Result<u64, Malformed> {
        match self.value {
            Value::Fixed64(number) => Ok(number),
            _ => Err(Malformed::Kind(self.number)),
        }
    }

    /// The number of a field that must be a double.
    pub(crate) fn double(&self) -> Result<f64, Malformed> {
        match self.value {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(Malformed::Kind(self.number)),
        }
    }
}

/// The fields of a message, in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The bytes that were not walked yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field; `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed::Tag)?;
        if number == 0 {
            return Err(Malformed::Tag);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take()?)),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| Malformed::CutShort)?;
                let split = self.rest.split_at_checked(length);
                let (bytes, rest) = split.ok_or(Malformed::CutShort)?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => {
                let _: [u8; 4] = self.take()?;
                Value::Fixed32
            }
            _ => return Err(Malformed::Tag),
        };
        Ok(Some(Field { number, value }))
    }

    /// Walks over fields that begin with `tag` and hold bytes, up to the first other one; returns
    /// the bytes walked over.
    #[inline]
    pub(crate) fn span(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        let start = self.rest;
        while let Some((&first, rest)) = self.rest.split_first()
            && first == tag
        {
            self.rest = rest;
            let length = usize::try_from(self.varint()?).map_err(|_| Malformed::CutShort)?;
            self.rest = self.rest.get(length..).ok_or(Malformed::CutShort)?;
        }
        Ok(start.get(..start.len() - self.rest.len()).unwrap_or_default())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed::CutShort)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            let low = u64::from(byte & 0x7f);
            if index == VARINT_BYTES_MAX - 1 && low > 1 {
                return Err(Malformed::Overflow);
            }
            value |= low << (7 * index);
            if byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(match self.rest.len() < VARINT_BYTES_MAX {
            true => Malformed::CutShort,
            false => Malformed::Overflow,
        })
    }

    /// The next number of a packed list; `None` at the end.
    pub(crate) fn packed(&mut self) -> Result<Option<u64>, Malformed> {
        match self.rest.is_empty() {
            true => Ok(None),
            false => self.varint().map(Some),
        }
    }
}

/// A sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) value: f64,
    pub(crate) at: i64,
}

impl Sample {
    /// Reads a `Sample` message; fields that are left out are zero.
    #[inline]
    pub(crate) fn read(message: &[u8]) -> Result<Self, Malformed> {
        let mut sample = Self { value: 0.0, at: 0 };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => sample.value = field.double()?,
                2 => sample.at = field.varint()?.cast_signed(),
                _ => {}
            }
        }
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_no_message() {
        for (bytes, want) in [
            (&[0x0a, 0x05, 1][..], Malformed::CutShort),
            (&[0x00], Malformed::Tag),
            (&[0x0b, 0x00], Malformed::Tag),
            (&[0x80; 11], Malformed::Overflow),
            (&[0x80; 3], Malformed::CutShort),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], Malformed::Overflow),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], Malformed::CutShort),
        ] {
            assert_eq!(Fields::new(bytes).next(), Err(want), "{bytes:?}");
        }
        assert_eq!(Sample::read(&[0x08, 1]), Err(Malformed::Kind(1)));
        assert_eq!(Sample::read(&[]), Ok(Sample { value: 0.0, at: 0 }));
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut fields = Fields::new(&bytes);
            while let Ok(Some(field)) = fields.next() {
                let _ = field.bytes();
            }
            let _ = Fields::new(&bytes).span(0x0a);
        }
    }
}
