//! The files of the log.

use crate::RowSeq;

/// The folder of the log.
pub(super) const DIR: &str = "wal";

/// What is known of one segment without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// The place after the last row of the segments before.
    pub(super) seq_reached: RowSeq,
    /// The first place that its rows may have.
    pub(super) seq_first: RowSeq,
    /// All its rows have lower places; only said of one that is closed.
    pub(super) seq_end: RowSeq,
    /// How far it may be read, in bytes.
    pub(super) len: u64,
    /// Whether nothing more will be written to it.
    pub(super) closed: bool,
}

/// The path of segment `number`.
pub(super) fn path(number: u64) -> String {
    format!("{DIR}/{number:010}.wal")
}

/// The number of the segment with this file name.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    let number: u64 = digits.parse().ok()?;
    (format!("{number:010}") == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        assert_eq!(path(7), "wal/0000000007.wal");
        assert_eq!(number("0000000007.wal"), Some(7));
        for name in ["7.wal", "0000000007", "0000000007.wal.tmp", "-000000007.wal"] {
            assert_eq!(number(name), None);
        }
    }
}
