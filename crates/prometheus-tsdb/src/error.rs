//! What can be wrong with the bytes.

/// Why bytes are not what they should be. The caller knows the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end too early, or say something impossible.
    #[error("damaged at byte {offset}: {what}")]
    Malformed {
        /// Where, in bytes from the start of what was given.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A checksum does not fit.
    #[error("damaged at byte {offset}: checksum {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// Where the bytes begin that the checksum is about.
        offset: u64,
        /// The checksum that stands there.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// A version or kind that is not read.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// `meta.json` is not what it should be.
    #[error("meta.json: {0}")]
    Meta(String),
}

impl Error {
    /// Something is wrong at `offset`.
    pub(crate) fn at(offset: usize, what: &'static str) -> Self {
        Self::Malformed { offset: offset as u64, what }
    }

    /// The same, `by` bytes further on: what was read stood inside something larger.
    #[must_use]
    pub(crate) fn shifted(self, by: u64) -> Self {
        match self {
            Self::Malformed { offset, what } => {
                Self::Malformed { offset: offset.saturating_add(by), what }
            }
            Self::Checksum { offset, expected, found } => {
                Self::Checksum { offset: offset.saturating_add(by), expected, found }
            }
            other => other,
        }
    }
}

/// Compares the Castagnoli CRC of `bytes`, which begin at `offset`, with the one on disk.
pub(crate) fn check(bytes: &[u8], expected: u32, offset: usize) -> Result<(), Error> {
    let found = crc32c::crc32c(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(Error::Checksum { offset: offset as u64, expected, found })
    }
}
