//! Reads chunks in place: the head, and any one column.

use std::cell::Cell;

use narthex_model::Timestamp;

use super::fault::Fault;
use super::format::{ChunkRecord, GROUP_ENTRY_BYTES, HEAD_TWICE, checksum};
use super::section::{slice, u32_at};
use crate::RowSeq;
use crate::codec::wire::Reader;
use crate::codec::{Damaged, Decoder, Memory, Peers, Presence, times};

/// A chunk whose head was found good.
#[derive(Debug)]
pub(super) struct ChunkView<'a> {
    file: &'a [u8],
    id: u64,
    record: ChunkRecord,
    /// The copy of the head that is used, without its checksum, and where it stands.
    head: &'a [u8],
    head_offset: u64,
    places: Places,
    /// What stopped the last look at a column.
    fault: Cell<Option<Fault>>,
}

/// Where columns of a chunk were found last: they are mostly read in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// The last column that was asked for.
    own: Cell<Option<Place>>,
    /// The last column that another one referred to.
    peer: Cell<Option<Place>>,
}

/// A column within a group that was found good.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The chunk's columns in the group.
    first_column: usize,
    columns: usize,
    /// Where the group stands in the file, and its length without the checksum.
    offset: u64,
    bytes: u64,
    /// Where the first blob begins in the group, behind the lengths.
    blobs: usize,
    /// The column, counted from the group's first; where its length and its blob begin.
    within: usize,
    length_at: usize,
    blob_at: usize,
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
        let (places, fault) = (Places::default(), Cell::new(None));
        Ok(Self { file, id, record, head, head_offset, places, fault })
    }

    /// Takes up where another view of the same chunk has left off.
    pub(super) fn set_places(&mut self, places: Places) {
        self.places = places;
    }

    /// Where columns were found.
    pub(super) fn into_places(self) -> Places {
        self.places
    }

    pub(super) fn checked_head(
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
        self.find_blob(column, &self.places.own).map(|blob| blob.len() as u64)
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

    /// Appends the values of a column, counted from the chunk's first, to `out`, one per row.
    pub(super) fn column(
        &self,
        memory: &mut Memory,
        column: usize,
        decoder: &mut Decoder,
        out: &mut Vec<f64>,
    ) -> Result<(), Fault> {
        self.read(column, |blob, place| decoder.decode_in(memory, blob, place, self, out))
    }

    /// As [`ChunkView::column`], without the holes where it is known which they are.
    pub(super) fn present(
        &self,
        memory: &mut Memory,
        column: usize,
        decoder: &mut Decoder,
        out: &mut Vec<f64>,
    ) -> Result<Presence, Fault> {
        self.read(column, |blob, place| decoder.decode_present_in(memory, blob, place, self, out))
    }

    fn read<T>(
        &self,
        column: usize,
        decode: impl FnOnce(&[u8], (usize, usize)) -> Result<T, Damaged>,
    ) -> Result<T, Fault> {
        self.fault.set(None);
        let place = (self.record.rows as usize, column);
        let result = self.own_blob(column).and_then(|blob| decode(blob, place));
        result.map_err(|damaged| {
            let fault = Fault::new(self.record.data_offset(), damaged.0);
            self.fault.take().unwrap_or(fault)
        })
    }

    /// Checks the group that a column stands in.
    pub(super) fn check_group_of(&self, column: usize) -> Result<(), Fault> {
        self.find_blob(column, &Cell::new(None)).map(drop)
    }

    fn own_blob(&self, column: usize) -> Result<&'a [u8], Damaged> {
        self.noted(self.find_blob(column, &self.places.own))
    }

    fn noted(&self, found: Result<&'a [u8], Fault>) -> Result<&'a [u8], Damaged> {
        found.map_err(|fault| {
            self.fault.set(Some(fault));
            Damaged(fault.what)
        })
    }

    fn find_blob(&self, column: usize, last: &Cell<Option<Place>>) -> Result<&'a [u8], Fault> {
        let place = match last.get() {
            Some(place) if place.has(column) => place,
            _ => self.enter_group(column)?,
        };
        let group = slice(self.file, place.offset, place.bytes)?;
        let (place, blob) = place.seek(group, column).map_err(Fault::decoding(place.offset))?;
        last.set(Some(place));
        Ok(blob)
    }

    /// Finds the group of a column and checks it.
    fn enter_group(&self, column: usize) -> Result<Place, Fault> {
        let (mut low, mut high) = (0, self.group_count());
        while low < high {
            let middle = low + (high - low) / 2;
            if usize::from(self.group(middle)?.first_column) <= column {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let group = low.checked_sub(1).ok_or(Fault::new(self.head_offset, "no such column"))?;
        let GroupPlace { start, end, first_column, columns } = self.group(group)?;
        let offset = self.record.data_offset().saturating_add(u64::from(start));
        let bytes = slice(self.file, offset, u64::from(end.saturating_sub(start)))?;
        check(self.id, offset, bytes, "column group checksum")?;
        let (body, _) = bytes.split_last_chunk::<4>().unwrap_or((bytes, &[0; 4]));
        let mut lengths = Reader::new(body);
        for _ in 0..columns {
            lengths.varint().map_err(Fault::decoding(offset))?;
        }
        let blobs = body.len() - lengths.rest().len();
        Ok(Place {
            first_column: usize::from(first_column),
            columns,
            offset,
            bytes: body.len() as u64,
            blobs,
            within: 0,
            length_at: 0,
            blob_at: blobs,
        })
    }
}

impl Place {
    fn has(&self, column: usize) -> bool {
        column.checked_sub(self.first_column).is_some_and(|within| within < self.columns)
    }

    /// The place of another column of the same group, and its blob.
    fn seek(mut self, group: &[u8], column: usize) -> Result<(Self, &[u8]), Damaged> {
        let wanted = column.wrapping_sub(self.first_column);
        if wanted >= self.columns {
            return Err(Damaged("no such column"));
        }
        if wanted < self.within {
            (self.within, self.length_at, self.blob_at) = (0, 0, self.blobs);
        }
        let lengths = group.get(self.length_at..self.blobs).unwrap_or(&[]);
        let mut reader = Reader::new(lengths);
        while self.within < wanted {
            self.blob_at = self.blob_at.saturating_add(reader.count(group.len())?);
            self.within += 1;
        }
        self.length_at = self.blobs - reader.rest().len();
        let end = self.blob_at.saturating_add(reader.count(group.len())?);
        let blob = group.get(self.blob_at..end).ok_or(Damaged("column beyond its group"))?;
        Ok((self, blob))
    }
}

impl Peers for ChunkView<'_> {
    fn blob(&self, column: usize) -> Result<&[u8], Damaged> {
        self.noted(self.find_blob(column, &self.places.peer))
    }
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
