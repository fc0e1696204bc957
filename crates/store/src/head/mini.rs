//! Some dozen rows of a layout, compressed column by column.

use narthex_model::{ABSENT, Timestamp};

use crate::RowSeq;
use crate::codec::{Damaged, Decoder, NoPeers, column};

/// Rows of a full mini chunk.
pub(crate) const ROWS: usize = 32;

/// Columns between two entries of the table of offsets.
const GROUP: usize = 16;

/// Columns that are turned from rows into columns at once: their values of one row fill a line of
/// the processor's cache.
const LANES: usize = 8;

/// When a row was, and its place in the order of all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowKey {
    pub(crate) at: Timestamp,
    pub(crate) seq: RowSeq,
}

/// Up to [`ROWS`] rows that follow each other in a layout. Immutable, so readers share it.
#[derive(Debug)]
pub(crate) struct Mini {
    first: RowKey,
    /// Per row: milliseconds and places after the first row.
    steps: Box<[(u32, u32)]>,
    columns: usize,
    /// Where every [`GROUP`]th column begins in `bytes`.
    groups: Box<[u32]>,
    /// Per column: the length of its blob, 7 bits a byte, least first; the blob.
    bytes: Box<[u8]>,
}

/// Memory that turning rows into mini chunks needs again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    groups: Vec<u32>,
}

impl Mini {
    /// Compresses the rows `keys`, which stand in `values` at a distance of `stride`, and of each
    /// the first `columns` values. Calls `seen` for each column that is not all holes.
    ///
    /// At least one and at most [`ROWS`] rows; all within 2^32 ms.
    pub(crate) fn compress(
        keys: &[RowKey],
        values: &[f64],
        stride: usize,
        columns: usize,
        scratch: &mut Scratch,
        mut seen: impl FnMut(usize),
    ) -> Option<Self> {
        let first = *keys.first()?;
        let step = |key: &RowKey| {
            let at = u32::try_from(key.at.0 - first.at.0).unwrap_or(u32::MAX);
            (at, u32::try_from(key.seq.0 - first.seq.0).unwrap_or(u32::MAX))
        };
        let steps = keys.iter().map(step).collect();
        scratch.bytes.clear();
        scratch.groups.clear();
        let mut turned = [[0f64; ROWS]; LANES];
        for start in (0..columns).step_by(LANES) {
            let lanes = LANES.min(columns - start);
            turn(values, stride, start, lanes, keys.len(), &mut turned);
            if start % GROUP == 0 {
                scratch.groups.push(u32::try_from(scratch.bytes.len()).ok()?);
            }
            for (lane, column) in turned.iter().take(lanes).enumerate() {
                let column = column.get(..keys.len())?;
                if !put_column(column, &mut scratch.bytes) {
                    seen(start + lane);
                }
            }
        }
        let (groups, bytes) = (scratch.groups.as_slice().into(), scratch.bytes.as_slice().into());
        Some(Self { first, steps, columns, groups, bytes })
    }

    /// Time and place of the first row.
    pub(crate) fn first_key(&self) -> RowKey {
        self.first
    }

    /// Time and place of the last row.
    pub(crate) fn last_key(&self) -> RowKey {
        self.steps.last().map_or(self.first, |&step| self.key(step))
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.steps.len()
    }

    /// Number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Memory it takes, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.steps)
            + size_of_val(&*self.groups)
            + self.bytes.len()
    }

    /// Time and place of all rows.
    pub(crate) fn keys(&self) -> impl ExactSizeIterator<Item = RowKey> {
        self.steps.iter().map(|&step| self.key(step))
    }

    /// The times of all rows.
    pub(crate) fn times(&self) -> impl ExactSizeIterator<Item = Timestamp> {
        let first = self.first.at.0;
        // No time is within 2^32 ms of the end of time but by a clock gone mad; then it is held.
        self.steps.iter().map(move |&(at, _)| Timestamp(first.saturating_add(i64::from(at))))
    }

    fn key(&self, (at, seq): (u32, u32)) -> RowKey {
        RowKey {
            at: self.first.at.plus_millis(i64::from(at)),
            seq: RowSeq(self.first.seq.0 + u64::from(seq)),
        }
    }

    /// Appends the column's value of each row to `out`, holes included.
    pub(crate) fn column(
        &self,
        column: usize,
        decoder: &mut Decoder,
        out: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        if column >= self.columns {
            out.resize(out.len() + self.rows(), ABSENT);
            return Ok(());
        }
        let blob = self.blob(column).ok_or(Damaged("column out of its chunk"))?;
        decoder.decode(blob, self.rows(), 0, &NoPeers, out)
    }

    fn blob(&self, column: usize) -> Option<&[u8]> {
        let start = *self.groups.get(column / GROUP)?;
        let mut rest = self.bytes.get(usize::try_from(start).ok()?..)?;
        for _ in 0..column % GROUP {
            (_, rest) = split_blob(rest)?;
        }
        Some(split_blob(rest)?.0)
    }
}

/// Turns the values of `lanes` columns from `start` on from rows into columns.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the remainder keeps rows inside, so no check is left")]
fn turn(
    values: &[f64],
    stride: usize,
    start: usize,
    lanes: usize,
    rows: usize,
    turned: &mut [[f64; ROWS]; LANES],
) {
    for (row, line) in values.chunks_exact(stride).take(rows).enumerate() {
        let line = line.get(start..).unwrap_or(&[]);
        if let Some(line) = line.first_chunk::<LANES>() {
            for lane in 0..LANES {
                turned[lane][row % ROWS] = line[lane];
            }
        } else {
            for (column, &value) in turned.iter_mut().zip(line).take(lanes) {
                column[row % ROWS] = value;
            }
        }
    }
}

/// Appends a column's blob behind its length; says whether the column is all holes.
fn put_column(column: &[f64], bytes: &mut Vec<u8>) -> bool {
    // Nearly all blobs are shorter than 128 bytes: leave one byte, and make room if it was not
    // enough.
    let start = bytes.len();
    bytes.push(0);
    column::encode_fast(column, bytes);
    let len = bytes.len() - start - 1;
    if len < 0x80 {
        if let Some(place) = bytes.get_mut(start) {
            *place = u8::try_from(len).unwrap_or(0);
        }
    } else {
        let low = u8::try_from(len & 0x7f).unwrap_or(0) | 0x80;
        let high = u8::try_from(len >> 7).unwrap_or(0);
        bytes.splice(start..=start, [low, high]);
    }
    // A blob of a sample takes two bytes at least; that of no sample at all takes one.
    len == 1
}

/// The first blob of `bytes`, and what follows it.
fn split_blob(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&low, rest) = bytes.split_first()?;
    if low < 0x80 {
        return rest.split_at_checked(usize::from(low));
    }
    let (&high, rest) = rest.split_first()?;
    rest.split_at_checked(usize::from(low & 0x7f) | usize::from(high) << 7)
}
