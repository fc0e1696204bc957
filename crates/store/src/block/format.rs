//! The fixed-size parts of a block file. `FORMAT.md` explains them.

use narthex_model::{TimeRange, Timestamp};

use super::Meta;
use super::fault::Fault;
use crate::RowSeq;
use crate::codec::Damaged;
use crate::codec::wire::Reader;

/// The first bytes of a block file.
pub(super) const MAGIC: [u8; 8] = *b"NTHXBLK1";
/// The last bytes of a footer.
pub(super) const FOOTER_MAGIC: [u8; 8] = *b"NTHXFOOT";
/// The version that is written; others are refused.
pub(super) const VERSION: u32 = 1;
/// Length of the file's header.
pub(super) const HEADER_BYTES: usize = 32;
/// Footers end at multiples of this, and the two copies are at least this far apart: the size of
/// the piece that a disk may lose at once.
pub(super) const FOOTER_ALIGN: u64 = 512;
/// Length, checksum and magic behind a footer's body.
pub(super) const TAIL_BYTES: usize = 16;
/// Length of a page of a section: the piece that one checksum guards.
pub(super) const PAGE_BYTES: usize = 4096;
/// Symbols, or series, that share an entry in the footer.
pub(super) const GROUP: u32 = 16;
/// The most columns that one chunk may have; wider layouts have several chunks side by side.
pub(super) const CHUNK_COLUMNS_MAX: usize = 4096;
/// A group of columns is closed when it reaches this size...
pub(super) const COLUMN_GROUP_BYTES: usize = 2048;
/// ...or this many columns.
pub(super) const COLUMN_GROUP_MAX: usize = 64;
/// Length of an entry in a chunk's list of groups.
pub(super) const GROUP_ENTRY_BYTES: usize = 6;
/// In a value's entry: what follows is the one series that has the value, not a list's place.
pub(super) const SINGLE: u32 = 1 << 31;
/// In a chunk's flags: a copy of its head stands behind its data.
pub(super) const HEAD_TWICE: u32 = 1;

/// The checksum of a piece that stands at `offset`. The file's id and the place are part of it, so
/// that a piece which a disk put elsewhere is noticed.
pub(super) fn checksum(id: u64, offset: u64, bytes: &[u8]) -> u32 {
    let mixed = id ^ offset.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let [a, b, c, d, ..] = (mixed ^ (mixed >> 32)).to_le_bytes();
    crc32c::crc32c_append(u32::from_le_bytes([a, b, c, d]), bytes)
}

/// The header of a file.
pub(super) fn header(id: u64) -> [u8; HEADER_BYTES] {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(&MAGIC);
    put_u32(&mut out, VERSION);
    put_u32(&mut out, 0);
    put_u64(&mut out, id);
    let sum = crc32c::crc32c(&out);
    put_u32(&mut out, sum);
    put_u32(&mut out, 0);
    let mut header = [0; HEADER_BYTES];
    header.iter_mut().zip(out).for_each(|(to, from)| *to = from);
    header
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// The smallest multiple of `align` that is not below `value`.
pub(super) fn align_up(value: u64, align: u64) -> u64 {
    value.div_ceil(align) * align
}

/// A stretch of the file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// The fixed part at the head of a footer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Footer {
    pub(super) id: u64,
    pub(super) meta: Meta,
    pub(super) symbols: u32,
    pub(super) layouts: u32,
    pub(super) names: u32,
    pub(super) shapes: u32,
    pub(super) shape_bytes: u32,
    /// Length of the index' parity, which follows the checksums of the postings; 0: there is none.
    pub(super) parity_bytes: u32,
    /// Symbols, series, columns, postings.
    pub(super) sections: [Span; 4],
}

impl Footer {
    /// Length of the encoded form.
    pub(super) const BYTES: usize = 16 + 9 * 8 + 8 * 4 + 4 * 16;

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&FOOTER_MAGIC);
        put_u32(out, VERSION);
        put_u32(out, 0);
        put_u64(out, self.id);
        put_u64(out, self.meta.bytes);
        let Meta { window, times, .. } = self.meta;
        for at in [window.start, window.end, times.start, times.end] {
            put_u64(out, at.0.cast_unsigned());
        }
        for value in [self.meta.first_seq.0, self.meta.last_seq.0, self.meta.samples] {
            put_u64(out, value);
        }
        for count in [
            self.meta.series,
            self.meta.chunks,
            self.symbols,
            self.layouts,
            self.names,
            self.shapes,
            self.shape_bytes,
            self.parity_bytes,
        ] {
            put_u32(out, count);
        }
        for section in self.sections {
            put_u64(out, section.offset);
            put_u64(out, section.bytes);
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != FOOTER_MAGIC {
            return Err(Damaged("no footer"));
        }
        if reader.u32()? != VERSION {
            return Err(Damaged("a version of the block format that is not known here"));
        }
        reader.u32()?;
        let (id, file_bytes) = (reader.u64()?, reader.u64()?);
        let mut range = || -> Result<TimeRange, Damaged> {
            Ok(TimeRange::new(Timestamp(reader.i64()?), Timestamp(reader.i64()?)))
        };
        let (window, times) = (range()?, range()?);
        let (first_seq, last_seq) = (RowSeq(reader.u64()?), RowSeq(reader.u64()?));
        let samples = reader.u64()?;
        let (series, chunks) = (reader.u32()?, reader.u32()?);
        let (symbols, layouts, names) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (shapes, shape_bytes) = (reader.u32()?, reader.u32()?);
        let parity_bytes = reader.u32()?;
        let mut sections = [Span::default(); 4];
        for section in &mut sections {
            *section = Span { offset: reader.u64()?, bytes: reader.u64()? };
        }
        let bytes = file_bytes;
        let meta = Meta { window, times, first_seq, last_seq, samples, series, chunks, bytes };
        Ok(Self { id, meta, symbols, layouts, names, shapes, shape_bytes, parity_bytes, sections })
    }
}

/// Where a chunk stands and what it covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkRecord {
    pub(super) offset: u64,
    /// Length of the head, its checksum included.
    pub(super) head_bytes: u32,
    pub(super) data_bytes: u32,
    pub(super) rows: u32,
    pub(super) columns: u32,
    pub(super) groups: u32,
    /// [`HEAD_TWICE`].
    pub(super) flags: u32,
    /// Position in the footer's list of layouts.
    pub(super) layout: u32,
    /// The layout's column that is the chunk's first.
    pub(super) first_column: u32,
    pub(super) times: TimeRange,
    /// The lowest and the highest place of its rows in the order of all rows; 0 if the order was
    /// not kept.
    pub(super) seqs: (RowSeq, RowSeq),
}

impl ChunkRecord {
    /// Length of the encoded form.
    pub(super) const BYTES: usize = 72;

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.offset);
        for value in [
            self.head_bytes,
            self.data_bytes,
            self.rows,
            self.columns,
            self.groups,
            self.flags,
            self.layout,
            self.first_column,
        ] {
            put_u32(out, value);
        }
        put_u64(out, self.times.start.0.cast_unsigned());
        put_u64(out, self.times.end.0.cast_unsigned());
        put_u64(out, self.seqs.0.0);
        put_u64(out, self.seqs.1.0);
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            offset: reader.u64()?,
            head_bytes: reader.u32()?,
            data_bytes: reader.u32()?,
            rows: reader.u32()?,
            columns: reader.u32()?,
            groups: reader.u32()?,
            flags: reader.u32()?,
            layout: reader.u32()?,
            first_column: reader.u32()?,
            times: TimeRange::new(Timestamp(reader.i64()?), Timestamp(reader.i64()?)),
            seqs: (RowSeq(reader.u64()?), RowSeq(reader.u64()?)),
        })
    }

    /// Where the data begin.
    pub(super) fn data_offset(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.head_bytes))
    }
}

/// A layout of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayoutRecord {
    pub(super) layout: u32,
    pub(super) source: u32,
    pub(super) columns: u32,
    /// Where the list of its columns stands in the columns section, and how long it is.
    pub(super) offset: u64,
    pub(super) bytes: u32,
}

impl LayoutRecord {
    /// Length of the encoded form.
    pub(super) const BYTES: usize = 24;

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_u32(out, self.layout);
        put_u32(out, self.source);
        put_u32(out, self.columns);
        put_u32(out, self.bytes);
        put_u64(out, self.offset);
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            layout: reader.u32()?,
            source: reader.u32()?,
            columns: reader.u32()?,
            bytes: reader.u32()?,
            offset: reader.u64()?,
        })
    }
}

/// A label name of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameRecord {
    pub(super) symbol: u32,
    /// How many values it has.
    pub(super) values: u32,
    /// Where the entries of its values stand in the postings section.
    pub(super) offset: u32,
}

impl NameRecord {
    /// Length of the encoded form.
    pub(super) const BYTES: usize = 12;

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_u32(out, self.symbol);
        put_u32(out, self.values);
        put_u32(out, self.offset);
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes);
        Ok(Self { symbol: reader.u32()?, values: reader.u32()?, offset: reader.u32()? })
    }
}

/// Where the arrays behind the fixed part of a footer stand, counted from its body's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrays {
    pub(super) chunks: usize,
    pub(super) layouts: usize,
    pub(super) names: usize,
    pub(super) symbol_groups: usize,
    pub(super) series_groups: usize,
    pub(super) shape_ends: usize,
    pub(super) shape_bytes: usize,
    /// Length of the whole body.
    pub(super) end: usize,
}

impl Arrays {
    /// The arrays of a footer; a fault if they do not fill its body of `bytes` exactly.
    pub(super) fn of(footer: &Footer, bytes: usize, offset: u64) -> Result<Self, Fault> {
        let mut at = Footer::BYTES as u64;
        let mut place = |count: u64, size: usize| {
            let start = at;
            at += count * size as u64;
            usize::try_from(start).unwrap_or(usize::MAX)
        };
        let groups = |count: u32| u64::from(count.div_ceil(GROUP)) + 1;
        let arrays = Self {
            chunks: place(u64::from(footer.meta.chunks), ChunkRecord::BYTES),
            layouts: place(u64::from(footer.layouts), LayoutRecord::BYTES),
            names: place(u64::from(footer.names), NameRecord::BYTES),
            symbol_groups: place(groups(footer.symbols), 4),
            series_groups: place(groups(footer.meta.series), 4),
            shape_ends: place(u64::from(footer.shapes), 4),
            shape_bytes: place(u64::from(footer.shape_bytes), 1),
            end: place(0, 0),
        };
        if arrays.end == bytes {
            Ok(arrays)
        } else {
            Err(Fault::new(offset, "footer of another length"))
        }
    }
}
