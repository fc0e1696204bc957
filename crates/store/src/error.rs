//! What can go wrong in the store.

use std::io;

use narthex_model::Timestamp;

use crate::{LayoutRef, SeriesRef};

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A call to the file system failed.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done, as a verb: `read`, `write`, `sync`.
        doing: &'static str,
        /// The file, relative to the data directory.
        path: String,
        /// The failure itself.
        #[source]
        source: io::Error,
    },
    /// Another process uses the data directory.
    #[error("the data directory is locked by another process: {0}")]
    Locked(#[source] io::Error),
    /// Bytes on disk are not what they should be.
    #[error("{file}: damaged at byte {offset}: expected {expected}, found {found}")]
    Corrupt {
        /// The file, relative to the data directory.
        file: String,
        /// Where in the file, in bytes from its start.
        offset: u64,
        /// What should have been there.
        expected: String,
        /// What was there.
        found: String,
    },
    /// The row is older than the last row of its layout.
    #[error("out of order: row at {at} after a row at {last} in the same layout")]
    OutOfOrder {
        /// The row's time.
        at: Timestamp,
        /// The time of the layout's last row.
        last: Timestamp,
    },
    /// The layout already has a row at this time.
    #[error("duplicate: the layout already has a row at {at}")]
    Duplicate {
        /// The row's time.
        at: Timestamp,
    },
    /// The row is older than the store still accepts.
    #[error("too old: row at {at}, the oldest accepted is {oldest}")]
    TooOld {
        /// The row's time.
        at: Timestamp,
        /// The oldest time that is accepted now.
        oldest: Timestamp,
    },
    /// The row lies too far ahead of the clock.
    #[error("too far ahead: row at {at}, the newest accepted is {newest}")]
    TooFarAhead {
        /// The row's time.
        at: Timestamp,
        /// The newest time that is accepted now.
        newest: Timestamp,
    },
    /// The store holds as many active series as it may.
    #[error("series limit of {max} reached")]
    SeriesLimit {
        /// The limit.
        max: usize,
    },
    /// A layout holds as many columns as it may.
    #[error("layout {layout}: column limit of {max} reached")]
    ColumnLimit {
        /// The layout.
        layout: LayoutRef,
        /// The limit.
        max: usize,
    },
    /// The labels are more or longer than the store can name.
    #[error("labels of {bytes} bytes exceed the limit of {max}")]
    LabelsTooLong {
        /// The size of the refused labels.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The layout does not exist, or was dropped.
    #[error("no layout {0}")]
    UnknownLayout(LayoutRef),
    /// The series does not exist any more: resolve its labels again.
    #[error("no series {0}")]
    UnknownSeries(SeriesRef),
    /// The row does not have one value per column of its layout.
    #[error("layout {layout}: row of {found} values for {expected} columns")]
    RowWidth {
        /// The layout.
        layout: LayoutRef,
        /// How many columns the layout has.
        expected: usize,
        /// How many values the row has.
        found: usize,
    },
    /// A number space is used up: there are only so many names.
    #[error("no more {0} can be named in this data directory")]
    Exhausted(&'static str),
    /// The store already has samples where more were to be imported.
    #[error("the store has samples of its own from {} to {}", .0.start, .0.end)]
    Occupied(narthex_model::TimeRange),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// An error of the file system, with what was being done to which file.
    pub fn io(doing: &'static str, path: &str, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    /// Damage found in `file` at `offset`.
    pub fn corrupt(
        file: &str,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        let (expected, found) = (expected.into(), found.into());
        Self::Corrupt { file: file.to_owned(), offset, expected, found }
    }
}
