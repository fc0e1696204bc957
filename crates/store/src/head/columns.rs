//! Reading the columns of chunks that follow each other, one column after the other.

use narthex_model::ABSENT;

use super::mini::{GROUP, Mini, split_blob};
use crate::codec::{Decoder, NoPeers, column};

/// The columns of some chunks of a layout, in order. Each group of columns is checked once.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    parts: Vec<Part<'a>>,
    /// The column that comes next.
    next: usize,
}

/// One chunk.
#[derive(Debug)]
struct Part<'a> {
    mini: &'a Mini,
    /// What follows the column in its group.
    rest: &'a [u8],
    blob: Blob<'a>,
}

/// What a chunk has of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blob<'a> {
    Here(&'a [u8]),
    /// The column came later: all rows are holes.
    Beyond,
    Damaged,
}

impl<'a> Columns<'a> {
    /// Before the first column of the chunks.
    pub(crate) fn new(minis: impl Iterator<Item = &'a Mini>) -> Self {
        let part = |mini| Part { mini, rest: &[], blob: Blob::Beyond };
        Self { parts: minis.map(part).collect(), next: 0 }
    }

    /// Goes on to the next column.
    pub(crate) fn advance(&mut self) {
        for part in &mut self.parts {
            part.advance(self.next);
        }
        self.next += 1;
    }

    /// The column's blob, if it is the same in all chunks and says the same of all their rows.
    pub(crate) fn common(&self) -> Option<&'a [u8]> {
        let (first, others) = self.parts.split_first()?;
        let Blob::Here(blob) = first.blob else { return None };
        let same = column::is_constant(blob) && others.iter().all(|part| part.blob == first.blob);
        same.then_some(blob)
    }

    /// The value of all rows, if the blobs say at once that it is the same.
    pub(crate) fn constant(&self, decoder: &mut Decoder) -> Option<f64> {
        let (blob, mut value) = (self.common()?, Vec::with_capacity(1));
        decoder.decode(blob, 1, 0, &NoPeers, &mut value).ok()?;
        value.pop()
    }

    /// Appends the column's value of each row to `out`, holes included. Of chunks that cannot be
    /// read all are holes; their number is returned.
    pub(crate) fn read(&self, decoder: &mut Decoder, out: &mut Vec<f64>) -> usize {
        let mut damaged = 0;
        for part in &self.parts {
            let (rows, end) = (part.mini.rows(), out.len() + part.mini.rows());
            let whole = match part.blob {
                Blob::Here(blob) => decoder.decode(blob, rows, 0, &NoPeers, out).is_ok(),
                Blob::Beyond => true,
                Blob::Damaged => false,
            };
            damaged += usize::from(!whole);
            out.resize(end, ABSENT);
        }
        damaged
    }
}

impl Part<'_> {
    fn advance(&mut self, column: usize) {
        if column >= self.mini.columns() {
            self.blob = Blob::Beyond;
            return;
        }
        if column.is_multiple_of(GROUP) {
            self.rest = self.mini.checked_group(column / GROUP).unwrap_or(&[]);
        }
        (self.blob, self.rest) = match split_blob(self.rest) {
            Some((blob, rest)) => (Blob::Here(blob), rest),
            None => (Blob::Damaged, &[][..]),
        };
    }
}
