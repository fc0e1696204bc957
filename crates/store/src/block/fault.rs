//! Damage found inside a block.

use crate::Error;
use crate::codec::Damaged;

/// Damage at a place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where, in bytes from the start of the file.
    pub(super) offset: u64,
    /// What is wrong.
    pub(super) what: &'static str,
    /// The checksum that should have been there, and the one that was computed.
    pub(super) sums: Option<(u32, u32)>,
}

impl Fault {
    /// Something else than a checksum is wrong at `offset`.
    pub(super) fn new(offset: u64, what: &'static str) -> Self {
        Self { offset, what, sums: None }
    }

    /// A decoder found no sense in the bytes at `offset`.
    pub(super) fn decoding(offset: u64) -> impl Fn(Damaged) -> Self {
        move |damaged| Self::new(offset, damaged.0)
    }

    /// As an error that names the file.
    pub(super) fn into_error(self, file: &str) -> Error {
        match self.sums {
            Some((expected, found)) => Error::corrupt(
                file,
                self.offset,
                format!("{} {expected:#010x}", self.what),
                format!("{found:#010x}"),
            ),
            None => Error::corrupt(file, self.offset, "a well-formed block", self.what),
        }
    }
}
