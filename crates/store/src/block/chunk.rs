//! Reads chunks in place: the head, and any one column.

use std::cell::Cell;

use narthex_model::Timestamp;

use super::fault::Fault;
use super::format::{ChunkRecord, GROUP_ENTRY_BYTES, HEAD_TWICE, checksum};
use super::section::{slice, u32_at};
use crate::RowSeq;
use crate::codec::wire::Reader;
use crate::codec::{ChunkKey, Damaged, Decoder, Peers, times};

/// A chunk whose head was found good.
#[derive(Debug)]
pub(super) struct ChunkView<'a> {
    file: &'a [u8],
    id: u64,
    record: ChunkRecord,
    /// The copy of the head that is used, without its checksum, and where it stands.
    head: &'a [u8],
    head_offset: u64,
    /// The group that was checked last.
    checked: Cell<Option<usize>>,
    /// What stopped the last look at a column.
    fault: Cell<Option<Fault>>,
}

/// Where a group of columns stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupPlace {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) first_column: u16,
    pub(super) columns: usize,
}

impl<'a> ChunkView<'a> {
    /// Checks the head, or its copy, and opens the chunk.
    pub(super) fn open(file: &'a [u8], id: u64, record: ChunkRecord) -> Result<Self, Fault> {
        let first = Self::checked_head(file, id, record, record.offset);
        if first.is_err() && record.flags & HEAD_TWICE != 0 {
            let copy = record.data_offset().saturating_add(u64::from(record.data_bytes));
            if let Ok(view) = Self::checked_head(file, id, record, copy) {
                return Ok(view);
            }
        }
        first
    }

    /// Opens the chunk by a head that was found good before, at `head_offset`.
    pub(super) fn reopen(
        file: &'a [u8],
        id: u64,
        record: ChunkRecord,
        head_offset: u64,
    ) -> Result<Self, Fault> {
        let head = slice(file, head_offset, u64::from(record.head_bytes).saturating_sub(4))?;
        let (checked, fault) = (Cell::new(None), Cell::new(None));
        Ok(Self { file, id, record, head, head_offset, checked, fault })
    }

    fn checked_head(
        file: &'a [u8],
        id: u64,
        record: ChunkRecord,
        offset: u64,
    ) -> Result<Self, Fault> {
        let bytes = slice(file, offset, u64::from(record.head_bytes))?;
        check(id, offset, bytes, "chunk head checksum")?;
        Self::reopen(file, id, record, offset)
    }

    /// Where the head stands that is used.
    pub(super) fn head_offset(&self) -> u64 {
        self.head_offset
    }

    /// The head without its checksum.
    pub(super) fn head(&self) -> &'a [u8] {
        self.head
    }

    /// The times of the rows, in place of what `out` held.
    pub(super) fn times(&self, out: &mut Vec<Timestamp>) -> Result<(), Fault> {
        out.clear();
        let (times, _) = self.blobs()?;
        times::decode(times, self.record.rows as usize, out).map_err(self.head_fault())
    }

    /// The rows' places in the order of all rows, in place of what `out` held; none if they were
    /// not kept.
    pub(super) fn seqs(&self, out: &mut Vec<RowSeq>) -> Result<(), Fault> {
        out.clear();
        let (_, seqs) = self.blobs()?;
        if seqs.is_empty() {
            return Ok(());
        }
        let mut integers = Vec::new();
        times::decode_integers(seqs, self.record.rows as usize, &mut integers)
            .map_err(self.head_fault())?;
        out.extend(integers.iter().map(|&seq| RowSeq(seq.cast_unsigned())));
        Ok(())
    }

    fn head_fault(&self) -> impl Fn(Damaged) -> Fault + use<> {
        Fault::decoding(self.head_offset)
    }

    fn blobs(&self) -> Result<(&'a [u8], &'a [u8]), Fault> {
        let mut reader = Reader::new(self.head);
        let mut read = || {
            let (times, seqs) = (reader.u32()? as usize, reader.u32()? as usize);
            Ok((reader.take(times)?, reader.take(seqs)?))
        };
        read().map_err(self.head_fault())
    }

    /// How many bytes the times and the places take.
    pub(super) fn head_lengths(&self) -> Result<(u64, u64), Fault> {
        let (times, seqs) = self.blobs()?;
        Ok((times.len() as u64, seqs.len() as u64))
    }

    /// How many bytes the values of a column take.
    pub(super) fn blob_len(&self, column: usize) -> Result<u64, Fault> {
        self.find_blob(column).map(|blob| blob.len() as u64)
    }

    /// How many groups there are.
    pub(super) fn group_count(&self) -> usize {
        self.record.groups as usize
    }

    /// A group's place, as the head tells it.
    pub(super) fn group(&self, group: usize) -> Result<GroupPlace, Fault> {
        let locate = || {
            let entries = self.head.len().checked_sub(self.group_count() * GROUP_ENTRY_BYTES)?;
            let entry = |group: usize| {
                let bytes = self.head.get(entries + group * GROUP_ENTRY_BYTES..)?;
                let first_column = u16::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
                Some((u32_at(bytes, 0)?, first_column))
            };
            let (start, first_column) = entry(group)?;
            let end = (self.record.data_bytes, u16::try_from(self.record.columns).ok()?);
            let next = if group + 1 < self.group_count() { entry(group + 1)? } else { end };
            let columns = usize::from(next.1.checked_sub(first_column)?);
            Some(GroupPlace { start, end: next.0, first_column, columns })
        };
        locate().ok_or(Fault::new(self.head_offset, "no such group of columns"))
    }

    /// The bytes of a group with its checksum, and whether that is right.
    pub(super) fn group_bytes(&self, place: GroupPlace) -> (Result<&'a [u8], Fault>, bool) {
        let offset = self.record.data_offset().saturating_add(u64::from(place.start));
        let len = u64::from(place.end.saturating_sub(place.start));
        let bytes = slice(self.file, offset, len);
        let good = bytes.is_ok_and(|bytes| check(self.id, offset, bytes, "").is_ok());
        (bytes, good)
    }

    /// The group that was found good last, to be given to [`ChunkView::assume_checked`].
    pub(super) fn checked(&self) -> Option<usize> {
        self.checked.get()
    }

    /// Takes a group as good, for it was found so before.
    pub(super) fn assume_checked(&self, group: Option<usize>) {
        self.checked.set(group);
    }

    /// Appends the values of a column, counted from the chunk's first, to `out`.
    pub(super) fn column(
        &self,
        key: ChunkKey,
        column: usize,
        decoder: &mut Decoder,
        out: &mut Vec<f64>,
    ) -> Result<(), Fault> {
        self.fault.set(None);
        let rows = self.record.rows as usize;
        let result = self
            .blob(column)
            .and_then(|blob| decoder.decode_in(key, blob, (rows, column), self, out));
        result.map_err(|damaged| {
            let fault = Fault::new(self.record.data_offset(), damaged.0);
            self.fault.take().unwrap_or(fault)
        })
    }

    /// Checks the group that a column stands in.
    pub(super) fn check_group_of(&self, column: usize) -> Result<(), Fault> {
        self.find_blob(column).map(drop)
    }

    fn find_blob(&self, column: usize) -> Result<&'a [u8], Fault> {
        let wanted = column;
        let (mut low, mut high) = (0, self.group_count());
        while low < high {
            let middle = low + (high - low) / 2;
            if usize::from(self.group(middle)?.first_column) <= wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let group = low.checked_sub(1).ok_or(Fault::new(self.head_offset, "no such column"))?;
        let place = self.group(group)?;
        let offset = self.record.data_offset().saturating_add(u64::from(place.start));
        let len = u64::from(place.end.saturating_sub(place.start));
        let bytes = slice(self.file, offset, len)?;
        if self.checked.get() != Some(group) {
            check(self.id, offset, bytes, "column group checksum")?;
            self.checked.set(Some(group));
        }
        let (body, _) = bytes.split_last_chunk::<4>().unwrap_or((bytes, &[0; 4]));
        let within = wanted - usize::from(place.first_column);
        blob_within(body, place.columns, within).map_err(Fault::decoding(offset))
    }
}

impl Peers for ChunkView<'_> {
    fn blob(&self, column: usize) -> Result<&[u8], Damaged> {
        self.find_blob(column).map_err(|fault| {
            self.fault.set(Some(fault));
            Damaged(fault.what)
        })
    }
}

/// The blob at position `within` in a group: the lengths stand first, then the blobs.
fn blob_within(group: &[u8], columns: usize, within: usize) -> Result<&[u8], Damaged> {
    let mut reader = Reader::new(group);
    let (mut before, mut len) = (0usize, 0);
    for position in 0..columns {
        let next = reader.count(group.len())?;
        if position < within {
            before += next;
        } else if position == within {
            len = next;
        }
    }
    if within >= columns {
        return Err(Damaged("no such column"));
    }
    reader.take(before)?;
    reader.take(len)
}

/// Compares the checksum at the end of `bytes`, which stand at `offset`.
fn check(id: u64, offset: u64, bytes: &[u8], what: &'static str) -> Result<(), Fault> {
    let (body, sum) = bytes.split_last_chunk().ok_or(Fault::new(offset, "piece too short"))?;
    let (expected, found) = (u32::from_le_bytes(*sum), checksum(id, offset, body));
    if expected == found {
        Ok(())
    } else {
        Err(Fault { offset, what, sums: Some((expected, found)) })
    }
}
