//! Chunk files: rows of windows that are not sealed yet, so that they take no memory.
//!
//! A file gets chunks of many layouts at once, is never written to again, and goes when the last
//! of its windows is sealed. It is not synced: the log has all its rows until then, and a start
//! takes from it what is whole and plays the rest from the log. `FORMAT.md` has the bytes.

use std::collections::HashMap;
use std::sync::Arc;

use narthex_model::{Hashing, Timestamp};

use super::layout::Due;
use super::mini::{Body, GROUP, GROUP_BYTES, Mini, RowKey, Scratch};
use crate::fs::{FileView, Fs, FsFile};
use crate::upkeep::spill;
use crate::{Error, LayoutRef, RowSeq};

/// The folder of the chunk files.
pub(crate) const DIR: &str = "head";

/// What the names of chunk files end with.
const END: &str = ".chunks";

/// First bytes of a file, its version included.
const FILE_MAGIC: &[u8; 16] = b"NTHXHEAD\x01\0\0\0\0\0\0\0";

/// First bytes of a chunk.
const MAGIC: &[u8; 4] = b"HCNK";

/// Bytes before a chunk's tables.
const HEADER_BYTES: usize = 56;

/// Where the bytes begin that a chunk's checksum covers.
const SUMMED_FROM: usize = 12;

/// How much is gathered before it is written, in bytes.
const WRITE_BYTES: usize = 1 << 20;

/// The path of file `number`.
pub(crate) fn path(number: u64) -> String {
    format!("{DIR}/{number:08}{END}")
}

fn number(name: &str) -> Option<u64> {
    name.strip_suffix(END)?.parse().ok()
}

/// A chunk file that is being written.
#[derive(Debug)]
pub(crate) struct ChunkFile {
    fs: Arc<dyn Fs>,
    number: u64,
    file: Box<dyn FsFile>,
    buffer: Vec<u8>,
    placed: Vec<Placed>,
}

/// A chunk that stands in the file.
#[derive(Clone, Copy, Debug)]
struct Placed {
    offset: usize,
    bytes: usize,
    first: RowKey,
    rows: u32,
    columns: u32,
}

impl ChunkFile {
    /// Makes an empty file.
    pub(crate) fn create(fs: Arc<dyn Fs>, number: u64) -> Result<Self, Error> {
        let path = path(number);
        let file = fs.create(&path).map_err(|e| Error::io("create", &path, e))?;
        Ok(Self { fs, number, file, buffer: FILE_MAGIC.to_vec(), placed: Vec::new() })
    }

    /// Adds the rows of `due`, which belong to `layout`, as one chunk.
    pub(crate) fn add(
        &mut self,
        layout: LayoutRef,
        due: &Due,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        let damaged = |what: &str| Error::corrupt("memory", 0, "a column", what);
        let minis = due.minis.iter().map(|mini| &**mini);
        let columns = Mini::join(&minis, scratch).map_err(|error| damaged(error.0))?;
        let first = minis.clone().next().ok_or_else(|| damaged("no rows"))?.first_key();
        let rows: usize = minis.map(Mini::rows).sum();
        let offset = self.len();
        let Scratch { table, blobs, .. } = scratch;
        seal_groups(table, rows, blobs);
        let bytes = HEADER_BYTES + table.len() + blobs.len();
        let number = |n: usize| u32::try_from(n).map_err(|_| Error::Exhausted("bytes of a chunk"));
        let (rows, columns) = (number(rows)?, number(columns)?);
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&number(bytes)?.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&layout.0.to_le_bytes());
        header.extend_from_slice(&first.at.0.to_le_bytes());
        header.extend_from_slice(&first.seq.0.to_le_bytes());
        for field in [rows, columns] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        header.extend_from_slice(&due.follows.at.0.to_le_bytes());
        header.extend_from_slice(&due.follows.seq.0.to_le_bytes());
        let checksum = sum(self.number, offset, &header, table);
        header.splice(8..SUMMED_FROM, checksum.to_le_bytes());
        self.buffer.extend_from_slice(&header);
        self.buffer.extend_from_slice(table);
        self.buffer.extend_from_slice(blobs);
        self.placed.push(Placed { offset, bytes, first, rows, columns });
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.file.len()).unwrap_or(usize::MAX).saturating_add(self.buffer.len())
    }

    /// Ends the file; gives its chunks in the order in which they came.
    pub(crate) fn finish(mut self) -> Result<Vec<Mini>, Error> {
        self.flush()?;
        let path = path(self.number);
        let view = self.fs.map(&path).map_err(|e| Error::io("map", &path, e))?;
        if view.len() != self.len() {
            return Err(Error::corrupt(&path, 0, "all that was written", "another length"));
        }
        let chunk = |placed: &Placed| Mini {
            first: placed.first,
            rows: placed.rows,
            columns: placed.columns,
            body: Body::File {
                view: view.clone(),
                at: placed.offset + HEADER_BYTES..placed.offset + placed.bytes,
            },
        };
        Ok(self.placed.iter().map(chunk).collect())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let written = self.file.write(&self.buffer);
        self.buffer.clear();
        written.map_err(|e| Error::io("write", &path(self.number), e))
    }
}

/// Puts the checksums of the groups into the table.
fn seal_groups(table: &mut [u8], rows: usize, blobs: &[u8]) {
    let groups = table.get_mut(Mini::table_bytes(rows, 0)..).unwrap_or(&mut []);
    let start_of = |entry: &[u8; GROUP_BYTES]| {
        let [a, b, c, d, ..] = *entry;
        usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX)
    };
    let entries = groups.as_chunks_mut::<GROUP_BYTES>().0;
    let mut end = blobs.len();
    for entry in entries.iter_mut().rev() {
        let start = start_of(entry);
        let sum = crc32c::crc32c(blobs.get(start..end).unwrap_or(&[]));
        let [_, _, _, _, room @ ..] = entry;
        *room = sum.to_le_bytes();
        end = start;
    }
}

/// The checksum of a chunk's header and tables, which stand at `offset` of file `number`.
fn sum(number: u64, offset: usize, header: &[u8], table: &[u8]) -> u32 {
    let place = [number, offset as u64].map(u64::to_le_bytes);
    let length = header.get(4..8).unwrap_or(&[]);
    let summed = header.get(SUMMED_FROM..HEADER_BYTES).unwrap_or(&[]);
    let parts = [place.as_flattened(), length, summed, table];
    parts.iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part))
}

/// A chunk that was found at a start.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) chunk: Mini,
    /// The layout's row before it.
    pub(crate) follows: RowKey,
}

/// What the chunk files hold.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// By layout, in order of their places.
    pub(crate) chunks: HashMap<LayoutRef, Vec<Stored>, Hashing>,
    /// The files, and the time of the last row in each.
    pub(crate) files: Vec<(u64, Timestamp)>,
    pub(crate) next_number: u64,
}

/// Reads what the chunk files hold; what is not whole is left out, for the log has it.
pub(crate) fn load(fs: &dyn Fs) -> Result<Found, Error> {
    fs.create_dir(DIR).map_err(|e| Error::io("make", DIR, e))?;
    let names = fs.list(DIR).map_err(|e| Error::io("list", DIR, e))?;
    let mut found = Found { next_number: 1, ..Found::default() };
    for name in names.iter().filter(|name| spill::is_spilled(name)) {
        // The log has what they have.
        if let Err(error) = fs.remove(&format!("{DIR}/{name}")) {
            tracing::warn!(file = name, %error, "cannot remove");
        }
    }
    for number in names.iter().filter_map(|name| number(name)) {
        found.next_number = found.next_number.max(number.saturating_add(1));
        let path = path(number);
        let mut last = Timestamp::MIN;
        match fs.map(&path) {
            Ok(view) => {
                let whole = each_chunk(&view, number, |layout, stored| {
                    last = last.max(stored.chunk.last_key().at);
                    found.chunks.entry(layout).or_default().push(stored);
                });
                if !whole {
                    tracing::warn!(file = path, "damaged chunks are read from the log instead");
                }
            }
            Err(error) => tracing::warn!(file = path, %error, "cannot be read"),
        }
        found.files.push((number, last));
    }
    for chunks in found.chunks.values_mut() {
        chunks.sort_by_key(|stored| stored.chunk.first_key().seq);
    }
    Ok(found)
}

/// Gives the chunks of a file that are whole; `false`: not all are.
fn each_chunk(view: &FileView, number: u64, mut give: impl FnMut(LayoutRef, Stored)) -> bool {
    if !view.starts_with(FILE_MAGIC) {
        return false;
    }
    let (mut offset, mut all) = (FILE_MAGIC.len(), true);
    while offset < view.len() {
        let Some((layout, stored, end)) = chunk_at(view, number, offset) else { return false };
        let groups = stored.chunk.columns().div_ceil(GROUP);
        if (0..groups).all(|group| stored.chunk.is_group_whole(group)) {
            give(layout, stored);
        } else {
            all = false;
        }
        offset = end;
    }
    all
}

/// A chunk of a chunk file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkEntry {
    /// The layout of its rows.
    pub layout: LayoutRef,
    /// Time and place of the first row, and of the last.
    pub first: (Timestamp, RowSeq),
    /// The last row.
    pub last: (Timestamp, RowSeq),
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Groups of columns whose checksum is wrong.
    pub damaged_groups: usize,
}

/// Looks at the bytes of the chunk file `number`; calls `visit` with the place of each chunk, in
/// bytes from the start, and with what it is; `None`: no chunk from there on. Made for any bytes.
pub fn inspect_chunks(
    number: u64,
    view: &FileView,
    visit: &mut dyn FnMut(u64, Option<ChunkEntry>),
) {
    if !view.starts_with(FILE_MAGIC) {
        return visit(0, None);
    }
    let mut offset = FILE_MAGIC.len();
    while offset < view.len() {
        let Some((layout, stored, end)) = chunk_at(view, number, offset) else {
            return visit(offset as u64, None);
        };
        let chunk = &stored.chunk;
        let (first, last) = (chunk.first_key(), chunk.last_key());
        let groups = 0..chunk.columns().div_ceil(GROUP);
        let entry = ChunkEntry {
            layout,
            first: (first.at, first.seq),
            last: (last.at, last.seq),
            rows: chunk.rows(),
            columns: chunk.columns(),
            damaged_groups: groups.filter(|&group| !chunk.is_group_whole(group)).count(),
        };
        visit(offset as u64, Some(entry));
        offset = end;
    }
}

/// The chunk at `offset`, if its header and tables are whole, and where it ends.
fn chunk_at(view: &FileView, number: u64, offset: usize) -> Option<(LayoutRef, Stored, usize)> {
    let bytes = view.get(offset..)?;
    let header = bytes.get(..HEADER_BYTES)?;
    let u32_at = |at: usize| Some(u32::from_le_bytes(*header.get(at..)?.first_chunk()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(*header.get(at..)?.first_chunk()?));
    if !header.starts_with(MAGIC) {
        return None;
    }
    let length = usize::try_from(u32_at(4)?).ok()?;
    let (rows, columns) = (u32_at(32)?, u32_at(36)?);
    let table_bytes = Mini::table_bytes(rows as usize, columns as usize);
    let table = bytes.get(..length)?.get(HEADER_BYTES..)?.get(..table_bytes)?;
    if rows == 0 || sum(number, offset, header, table) != u32_at(8)? {
        return None;
    }
    let key = |at: usize| {
        let (time, seq) = (u64_at(at)?.cast_signed(), u64_at(at + 8)?);
        Some(RowKey { at: Timestamp(time), seq: RowSeq(seq) })
    };
    let (first, follows) = (key(16)?, key(40)?);
    let at = offset + HEADER_BYTES..offset + length;
    let chunk = Mini { first, rows, columns, body: Body::File { view: view.clone(), at } };
    Some((LayoutRef(u32_at(12)?), Stored { chunk, follows }, offset + length))
}
