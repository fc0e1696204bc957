//! Rows of a layout, compressed column by column: a few on the heap, or more in a file.

use std::ops::Range;

use narthex_model::{ABSENT, Timestamp};

use super::columns::Columns;
use crate::RowSeq;
use crate::codec::{Damaged, Decoder, NoPeers, column};
use crate::fs::FileView;

/// Rows of a full mini chunk. Twice as many took 64 bytes more of memory for a series, of which 20
/// went to the chunks themselves.
pub(crate) const ROWS: usize = 8;

/// The most rows of a chunk in a file. It is encoded from the mini chunks it takes the place of.
pub(crate) const FILE_ROWS: usize = 64;

/// Columns under one entry of the table of groups.
pub(super) const GROUP: usize = 16;

/// Bytes of a row in the table of rows: milliseconds and places after the first row.
const STEP_BYTES: usize = 8;

/// Bytes of an entry in the table of groups: where the group begins, and its checksum.
pub(super) const GROUP_BYTES: usize = 8;

/// Columns that are turned from rows into columns at once: their values of one row fill a line of
/// the processor's cache.
const LANES: usize = 8;

/// When a row was, and its place in the order of all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowKey {
    pub(crate) at: Timestamp,
    pub(crate) seq: RowSeq,
}

impl RowKey {
    /// Before all rows.
    pub(crate) const NONE: Self = Self { at: Timestamp::MIN, seq: RowSeq(0) };
}

/// Up to [`FILE_ROWS`] rows that follow each other in a layout. Immutable, so readers share it.
///
/// Its bytes are three parts: per row, milliseconds and places after the first row; per group of
/// columns, where it begins in the third part and its checksum, which only counts in a file; per
/// column, the length of its blob, 7 bits a byte, least first, and the blob.
#[derive(Debug)]
pub(crate) struct Mini {
    pub(super) first: RowKey,
    pub(super) rows: u32,
    pub(super) columns: u32,
    pub(super) body: Body,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Body {
    Heap(Box<[u8]>),
    /// `at` in a file that is mapped.
    File {
        view: FileView,
        at: Range<usize>,
    },
}

/// Memory that turning rows into mini chunks needs again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Tables and blobs.
    pub(super) table: Vec<u8>,
    pub(super) blobs: Vec<u8>,
    pub(super) values: Vec<f64>,
    pub(super) decoder: Decoder,
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
        let Scratch { table, blobs, .. } = scratch;
        put_keys(keys.iter().copied(), first, table);
        blobs.clear();
        let mut turned = [[0f64; ROWS]; LANES];
        for start in (0..columns).step_by(LANES) {
            let lanes = LANES.min(columns - start);
            turn(values, stride, start, lanes, keys.len(), &mut turned);
            if start % GROUP == 0 {
                put_group(table, blobs.len())?;
            }
            for (lane, column) in turned.iter().take(lanes).enumerate() {
                let column = column.get(..keys.len())?;
                if !put_column(column, blobs) {
                    seen(start + lane);
                }
            }
        }
        let mut body = Vec::with_capacity(table.len() + blobs.len());
        body.extend_from_slice(table);
        body.extend_from_slice(blobs);
        let rows = u32::try_from(keys.len()).ok()?;
        let columns = u32::try_from(columns).ok()?;
        Some(Self { first, rows, columns, body: Body::Heap(body.into()) })
    }

    /// Puts the tables and blobs of a chunk that holds the rows of all `minis` into `scratch`;
    /// gives its number of columns. Columns that cannot be read are an error.
    pub(super) fn join<'a>(
        minis: &(impl Iterator<Item = &'a Self> + Clone),
        scratch: &mut Scratch,
    ) -> Result<usize, Damaged> {
        let Some(first) = minis.clone().next().map(Self::first_key) else { return Ok(0) };
        let columns = minis.clone().map(Self::columns).max().unwrap_or(0);
        let Scratch { table, blobs, values, decoder } = scratch;
        put_keys(minis.clone().flat_map(Self::keys), first, table);
        blobs.clear();
        let mut parts = Columns::new(minis.clone());
        for column in 0..columns {
            if column % GROUP == 0 {
                put_group(table, blobs.len()).ok_or(Damaged("chunk too long"))?;
            }
            parts.advance();
            if let Some(blob) = parts.common() {
                put_blob(blobs, |out| out.extend_from_slice(blob));
                continue;
            }
            values.clear();
            if parts.read(decoder, values) > 0 {
                return Err(Damaged("a column"));
            }
            put_column(values, blobs);
        }
        Ok(columns)
    }

    /// Time and place of the first row.
    pub(crate) fn first_key(&self) -> RowKey {
        self.first
    }

    /// Time and place of the last row.
    pub(crate) fn last_key(&self) -> RowKey {
        self.keys().last().unwrap_or(self.first)
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.columns as usize
    }

    /// Whether its bytes are in memory, and not in a file.
    pub(crate) fn is_on_heap(&self) -> bool {
        matches!(self.body, Body::Heap(_))
    }

    /// Memory it takes, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Heap(bytes) => bytes.len(),
            Body::File { .. } => 0,
        };
        size_of::<Self>() + body
    }

    /// All its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.body {
            Body::Heap(bytes) => bytes,
            Body::File { view, at } => view.get(at.clone()).unwrap_or(&[]),
        }
    }

    /// Length of the tables before the blobs.
    pub(super) fn table_bytes(rows: usize, columns: usize) -> usize {
        rows * STEP_BYTES + columns.div_ceil(GROUP) * GROUP_BYTES
    }

    /// Time and place of all rows.
    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = RowKey> + ExactSizeIterator {
        let steps = self.bytes().get(..self.rows() * STEP_BYTES).unwrap_or(&[]);
        steps.as_chunks::<STEP_BYTES>().0.iter().map(|step| {
            let (at, seq) = halves(*step);
            RowKey {
                // No time is within 2^32 ms of the end of time but by a clock gone mad.
                at: self.first.at.plus_millis(i64::from(at)),
                seq: RowSeq(self.first.seq.0.saturating_add(u64::from(seq))),
            }
        })
    }

    /// The times of all rows.
    pub(crate) fn times(&self) -> impl ExactSizeIterator<Item = Timestamp> {
        self.keys().map(|key| key.at)
    }

    /// Appends the column's value of each row to `out`, holes included.
    pub(crate) fn column(
        &self,
        column: usize,
        decoder: &mut Decoder,
        out: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        if column >= self.columns() {
            out.resize(out.len() + self.rows(), ABSENT);
            return Ok(());
        }
        if !self.is_on_heap() && !self.is_group_whole(column / GROUP) {
            return Err(Damaged("checksum of columns"));
        }
        let blob = self.blob(column).ok_or(Damaged("column out of its chunk"))?;
        decoder.decode(blob, self.rows(), 0, &NoPeers, out)
    }

    fn blob(&self, column: usize) -> Option<&[u8]> {
        let mut rest = self.group(column / GROUP)?.0;
        for _ in 0..column % GROUP {
            (_, rest) = split_blob(rest)?;
        }
        Some(split_blob(rest)?.0)
    }

    /// The bytes from a group of columns on, and its entry's checksum.
    fn group(&self, group: usize) -> Option<(&[u8], u32)> {
        let (table, blobs) =
            self.bytes().split_at_checked(Self::table_bytes(self.rows(), self.columns()))?;
        let at = self.rows() * STEP_BYTES + group * GROUP_BYTES;
        let (start, sum) = halves(*table.get(at..)?.first_chunk()?);
        Some((blobs.get(usize::try_from(start).ok()?..)?, sum))
    }

    /// The bytes of a group of columns alone, and its entry's checksum.
    fn whole_group(&self, group: usize) -> Option<(&[u8], u32)> {
        let (bytes, sum) = self.group(group)?;
        let behind = match self.columns() > (group + 1) * GROUP {
            true => self.group(group + 1)?.0.len(),
            false => 0,
        };
        Some((bytes.get(..bytes.len().checked_sub(behind)?)?, sum))
    }

    /// The bytes of a group of columns, unless they cannot be trusted.
    pub(super) fn checked_group(&self, group: usize) -> Option<&[u8]> {
        let (bytes, sum) = self.whole_group(group)?;
        (self.is_on_heap() || crc32c::crc32c(bytes) == sum).then_some(bytes)
    }

    /// Whether the checksum of a group is right.
    pub(super) fn is_group_whole(&self, group: usize) -> bool {
        self.whole_group(group).is_some_and(|(bytes, sum)| crc32c::crc32c(bytes) == sum)
    }

    /// Calls `seen` for each column that is not all holes.
    pub(super) fn each_seen(&self, mut seen: impl FnMut(usize)) {
        for group in 0..self.columns().div_ceil(GROUP) {
            let Some((mut rest, _)) = self.whole_group(group) else { continue };
            let mut column = group * GROUP;
            while let Some((blob, behind)) = split_blob(rest) {
                if !is_hole(blob.len()) {
                    seen(column);
                }
                column += 1;
                rest = behind;
            }
        }
    }
}

/// The two numbers of an entry.
fn halves(bytes: [u8; 8]) -> (u32, u32) {
    let both = u64::from_le_bytes(bytes);
    let low = u32::try_from(both & u64::from(u32::MAX));
    (low.unwrap_or(0), u32::try_from(both >> 32).unwrap_or(0))
}

/// Begins a table with the rows `keys`.
fn put_keys(keys: impl Iterator<Item = RowKey>, first: RowKey, table: &mut Vec<u8>) {
    table.clear();
    for key in keys {
        let at = u32::try_from(key.at.0.wrapping_sub(first.at.0)).unwrap_or(u32::MAX);
        let seq = u32::try_from(key.seq.0.wrapping_sub(first.seq.0)).unwrap_or(u32::MAX);
        table.extend_from_slice(&at.to_le_bytes());
        table.extend_from_slice(&seq.to_le_bytes());
    }
}

/// Adds the entry of a group that begins at `start`; its checksum is still missing.
fn put_group(table: &mut Vec<u8>, start: usize) -> Option<()> {
    table.extend_from_slice(&u32::try_from(start).ok()?.to_le_bytes());
    table.extend_from_slice(&[0; 4]);
    Some(())
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
    is_hole(put_blob(bytes, |out| column::encode_fast(column, out)))
}

/// A blob of a sample takes two bytes at least; that of no sample at all takes one.
fn is_hole(blob_bytes: usize) -> bool {
    blob_bytes == 1
}

/// Appends the blob that `put` appends, behind its length, which is returned.
fn put_blob(bytes: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) -> usize {
    // Nearly all blobs are shorter than 128 bytes: leave one byte, and make room if it was not
    // enough.
    let start = bytes.len();
    bytes.push(0);
    put(bytes);
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
    len
}

/// The first blob of `bytes`, and what follows it.
pub(super) fn split_blob(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&low, rest) = bytes.split_first()?;
    if low < 0x80 {
        return rest.split_at_checked(usize::from(low));
    }
    let (&high, rest) = rest.split_first()?;
    rest.split_at_checked(usize::from(low & 0x7f) | usize::from(high) << 7)
}
