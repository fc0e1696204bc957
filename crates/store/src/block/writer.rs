//! Writes a block file, chunk by chunk, holding one chunk and the index in memory.
#![expect(
    clippy::cast_possible_truncation,
    reason = "a chunk has fewer bytes than 2^32: checked before they are used"
)]

use std::sync::Arc;

use narthex_model::{Labels, TimeRange, Timestamp, is_absent};

use super::format::{
    CHUNK_COLUMNS_MAX, COLUMN_GROUP_BYTES, COLUMN_GROUP_MAX, ChunkRecord, HEAD_TWICE, checksum,
    header, put_u32,
};
use super::index::IndexBuilder;
use super::reader::Block;
use super::tail::Tail;
use super::{Finish, Meta};
use crate::codec::wire::put_varint;
use crate::codec::{Encoder, ROWS_MAX, times};
use crate::fs::FsFile;
use crate::{Error, Fs, LayoutRef, RowSeq, SeriesRef, SourceRef};

/// What the rows of a chunk have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkHead<'a> {
    /// The layout of the rows.
    pub layout: LayoutRef,
    /// The source that the layout belongs to.
    pub source: SourceRef,
    /// The layout's columns, from its first on; one [`Writer::column`] follows for each.
    pub columns: &'a [SeriesRef],
    /// The times of the rows, strictly rising; 1 to [`ROWS_MAX`], best between 240 and 960.
    pub times: &'a [Timestamp],
    /// The rows' places in the order of all rows, rising unless they came late; empty if they
    /// are not to be kept.
    pub seqs: &'a [RowSeq],
}

/// Writes one block. Dropped before [`Writer::finish`], it removes what it wrote.
#[derive(Debug)]
pub(crate) struct Writer {
    fs: Arc<dyn Fs>,
    tmp: String,
    file: Box<dyn FsFile>,
    id: u64,
    index: IndexBuilder,
    encoder: Encoder,
    chunk: Option<OpenChunk>,
    buffer: Vec<u8>,
    samples: u64,
    finished: bool,
}

/// The chunk that is being filled.
#[derive(Debug)]
struct OpenChunk {
    /// As it will stand in the footer, but for what only its end shows.
    record: ChunkRecord,
    /// The encoded times and row places.
    times: Vec<u8>,
    seqs: Vec<u8>,
    /// The column that comes next, and how many there will be.
    next: usize,
    columns: usize,
}

impl Writer {
    /// Starts a block in the file `tmp`, whose name no other block ever had.
    pub(crate) fn new(fs: Arc<dyn Fs>, tmp: &str) -> Result<Self, Error> {
        let file = fs.create(tmp).map_err(|e| Error::io("create", tmp, e))?;
        let id = xxhash_rust::xxh3::xxh3_64(tmp.as_bytes());
        let mut writer = Self {
            fs,
            tmp: tmp.to_owned(),
            file,
            id,
            index: IndexBuilder::default(),
            encoder: Encoder::default(),
            chunk: None,
            buffer: Vec::new(),
            samples: 0,
            finished: false,
        };
        writer.write(&header(id))?;
        Ok(writer)
    }

    /// The id that the block's file will have.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Samples so far.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// Tells the labels of a series, at any time before [`Writer::finish`]; the first wins.
    pub(crate) fn add_series(&mut self, series: SeriesRef, labels: &Labels) {
        self.index.add_series(series, labels);
    }

    /// Starts a chunk; the one before must be complete.
    ///
    /// # Panics
    /// If the head breaks the rules of [`ChunkHead`], or a column of the chunk before is missing.
    pub(crate) fn begin_chunk(&mut self, head: &ChunkHead<'_>) -> Result<(), Error> {
        assert!(self.chunk.is_none(), "the chunk before lacks columns");
        assert!(head.times.len() <= ROWS_MAX, "a chunk of {} rows", head.times.len());
        assert!(head.times.is_sorted_by(|a, b| a < b), "times of a chunk out of order");
        assert!(head.seqs.is_empty() || head.seqs.len() == head.times.len(), "rows without place");
        let (Some(&first), Some(&last)) = (head.times.first(), head.times.last()) else {
            panic!("a chunk without rows");
        };
        let layout = self.index.layout(head.layout, head.source, head.columns);
        let (mut times_blob, mut seqs_blob) = (Vec::new(), Vec::new());
        times::encode(head.times, &mut times_blob);
        if !head.seqs.is_empty() {
            let seqs: Vec<i64> = head.seqs.iter().map(|seq| seq.0.cast_signed()).collect();
            times::encode_integers(&seqs, &mut seqs_blob);
        }
        let seq = |seq: Option<&RowSeq>| seq.copied().unwrap_or_default();
        self.encoder.clear();
        self.chunk = Some(OpenChunk {
            record: ChunkRecord {
                offset: 0,
                head_bytes: 0,
                data_bytes: 0,
                rows: head.times.len() as u32,
                columns: 0,
                groups: 0,
                flags: 0,
                layout: layout as u32,
                first_column: 0,
                times: TimeRange::new(first, last),
                seqs: (seq(head.seqs.iter().min()), seq(head.seqs.iter().max())),
            },
            times: times_blob,
            seqs: seqs_blob,
            next: 0,
            columns: head.columns.len(),
        });
        self.end_if_complete()
    }

    /// Adds the next column of the chunk, one value per row; [`narthex_model::ABSENT`] where the
    /// column has no sample. The last column completes the chunk.
    ///
    /// # Panics
    /// If no column is due, or there is not one value per row.
    pub(crate) fn column(&mut self, values: &[f64]) -> Result<(), Error> {
        let Some(chunk) = &mut self.chunk else { panic!("a column without a chunk") };
        assert_eq!(values.len(), chunk.record.rows as usize, "values of a column");
        let present = values.iter().filter(|&&value| !is_absent(value)).count();
        if present > 0 {
            self.index.mark_present(chunk.record.layout as usize, chunk.next);
            self.samples += present as u64;
        }
        self.encoder.push(values);
        self.end_column()
    }

    /// As [`Writer::column`], with `value`, which is no hole, in every row.
    ///
    /// # Panics
    /// If no column is due.
    pub(crate) fn constant_column(&mut self, value: f64) -> Result<(), Error> {
        let Some(chunk) = &mut self.chunk else { panic!("a column without a chunk") };
        debug_assert!(!is_absent(value), "a constant hole");
        self.index.mark_present(chunk.record.layout as usize, chunk.next);
        self.samples += u64::from(chunk.record.rows);
        self.encoder.push_constant(value);
        self.end_column()
    }

    /// Counts the column that the encoder has just got.
    fn end_column(&mut self) -> Result<(), Error> {
        if let Some(chunk) = &mut self.chunk {
            chunk.next += 1;
        }
        if self.encoder.len() == CHUNK_COLUMNS_MAX {
            self.flush_chunk()?;
        }
        self.end_if_complete()
    }

    fn end_if_complete(&mut self) -> Result<(), Error> {
        if self.chunk.as_ref().is_some_and(|chunk| chunk.next == chunk.columns) {
            self.flush_chunk()?;
            self.chunk = None;
        }
        Ok(())
    }

    /// Writes the columns that the encoder holds as a chunk.
    fn flush_chunk(&mut self) -> Result<(), Error> {
        let Some(chunk) = &mut self.chunk else { return Ok(()) };
        if self.encoder.is_empty() {
            return Ok(());
        }
        let (groups, data) = Groups::split(&self.encoder);
        let mut head = Vec::new();
        put_u32(&mut head, chunk.times.len() as u32);
        put_u32(&mut head, chunk.seqs.len() as u32);
        head.extend_from_slice(&chunk.times);
        head.extend_from_slice(&chunk.seqs);
        groups.put(&mut head);
        let mut record = chunk.record;
        record.columns = self.encoder.len() as u32;
        record.groups = groups.0.len() as u32;
        record.first_column = (chunk.next - self.encoder.len()) as u32;
        self.encoder.clear();
        self.append_chunk(record, &head, data, &groups)
    }

    /// Writes a chunk and notes where it stands. `data` are the groups, each with room for its
    /// checksum.
    fn append_chunk(
        &mut self,
        mut record: ChunkRecord,
        head: &[u8],
        mut data: Vec<u8>,
        groups: &Groups,
    ) -> Result<(), Error> {
        let too_long = |_| Error::Exhausted("bytes of a chunk");
        record.offset = self.file.len();
        record.head_bytes = u32::try_from(head.len() + 4).map_err(too_long)?;
        record.data_bytes = u32::try_from(data.len()).map_err(too_long)?;
        groups.seal(&mut data, self.id, record.data_offset());
        // Where the head is small against what it tells about, it is worth its room twice.
        let twice = head.len() * 16 <= data.len();
        record.flags = if twice { HEAD_TWICE } else { 0 };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(head);
        put_u32(&mut buffer, checksum(self.id, record.offset, head));
        buffer.append(&mut data);
        if twice {
            let offset = record.offset + buffer.len() as u64;
            buffer.extend_from_slice(head);
            put_u32(&mut buffer, checksum(self.id, offset, head));
        }
        let result = self.write(&buffer);
        self.buffer = buffer;
        self.index.chunks.push(record);
        result
    }

    /// Takes a chunk of another block as it is; `data` has room for the checksums in its groups.
    /// Of its layout no columns need be given if the block is one of the parts in the end.
    pub(super) fn copy_chunk(
        &mut self,
        layout: (LayoutRef, SourceRef, &[SeriesRef]),
        record: ChunkRecord,
        head: &[u8],
        (data, groups): (Vec<u8>, Groups),
    ) -> Result<(), Error> {
        let layout = self.index.layout(layout.0, layout.1, layout.2);
        let record = ChunkRecord { layout: layout as u32, ..record };
        self.append_chunk(record, head, data, &groups)
    }

    /// Notes that a column of a layout which came by [`Writer::copy_chunk`] has samples.
    pub(super) fn mark_present(
        &mut self,
        (layout, source): (LayoutRef, SourceRef),
        columns: &[SeriesRef],
        column: usize,
    ) {
        let position = self.index.layout(layout, source, columns);
        self.index.mark_present(position, column);
    }

    /// Counts samples that came by [`Writer::copy_chunk`].
    pub(super) fn add_samples(&mut self, samples: u64) {
        self.samples += samples;
    }

    /// Takes samples out of the count again.
    pub(super) fn remove_samples(&mut self, samples: u64) {
        self.samples = self.samples.saturating_sub(samples);
    }

    /// Writes the index and the footer, syncs, and gives the file its name `path`, in the folder
    /// of the temporary one or another. After an error the block does not exist.
    ///
    /// # Panics
    /// If a column of the last chunk is missing.
    pub(crate) fn finish(self, finish: &Finish, path: &str) -> Result<Meta, Error> {
        self.finish_with(&[], finish, path)
    }

    /// As [`Writer::finish`]; the index has what those of `parts` say, all of whose chunks came by
    /// [`Writer::copy_chunk`].
    pub(super) fn finish_with(
        mut self,
        parts: &[&Block],
        finish: &Finish,
        path: &str,
    ) -> Result<Meta, Error> {
        assert!(self.chunk.is_none(), "the last chunk lacks columns");
        let meta = self.write_index(parts, finish)?;
        self.file.sync().map_err(|e| Error::io("sync", &self.tmp, e))?;
        // ORDER: the name only after the bytes are durable, and the folder after the name.
        self.fs.rename(&self.tmp, path).map_err(|e| Error::io("rename", &self.tmp, e))?;
        self.finished = true;
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.fs.sync_dir(folder).map_err(|e| Error::io("sync", folder, e))?;
        Ok(meta)
    }

    fn write_index(&mut self, parts: &[&Block], finish: &Finish) -> Result<Meta, Error> {
        let mut times = TimeRange::new(Timestamp::MAX, Timestamp::MIN);
        for chunk in &self.index.chunks {
            times.start = times.start.min(chunk.times.start);
            times.end = times.end.max(chunk.times.end);
        }
        let meta = Meta {
            window: finish.window,
            times,
            first_seq: finish.first_seq,
            last_seq: finish.last_seq,
            samples: self.samples,
            series: 0,
            chunks: self.index.chunks.len() as u32,
            bytes: 0,
        };
        let Self { file, tmp, index, .. } = self;
        let at = file.len();
        let mut write =
            |bytes: &[u8]| file.write(bytes).map_err(|error| Error::io("write", tmp, error));
        index.write(parts, Tail::new(self.id, at, &mut write), meta)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write(bytes).map_err(|e| Error::io("write", &self.tmp, e))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What cannot be removed now is an orphan that the next start removes.
        if !self.finished {
            drop(self.fs.remove(&self.tmp));
        }
    }
}

/// Neighbouring columns of a chunk under one checksum: where each group begins in the data, which
/// column is its first, and where it ends.
#[derive(Debug, Default)]
pub(super) struct Groups(pub(super) Vec<Group>);

/// A group of columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) start: u32,
    pub(super) first_column: u16,
    /// Where it ends, behind its checksum.
    pub(super) end: u32,
    /// Its checksum is to be wrong, for it was so where the group came from.
    pub(super) damaged: bool,
}

impl Groups {
    /// Sorts the columns of an encoder into groups; gives the data, with room for checksums.
    fn split(encoder: &Encoder) -> (Self, Vec<u8>) {
        let (mut groups, mut data) = (Vec::new(), Vec::with_capacity(encoder.bytes().len() * 2));
        let mut column = 0;
        while column < encoder.len() {
            let (first, start) = (column, data.len() as u32);
            let mut bytes = 0;
            while column < encoder.len()
                && bytes < COLUMN_GROUP_BYTES
                && column - first < COLUMN_GROUP_MAX
            {
                put_varint(&mut data, encoder.blob(column).len() as u64);
                bytes += encoder.blob(column).len();
                column += 1;
            }
            (first..column).for_each(|column| data.extend_from_slice(encoder.blob(column)));
            data.extend_from_slice(&[0; 4]);
            let (first_column, end) = (first as u16, data.len() as u32);
            groups.push(Group { start, first_column, end, damaged: false });
        }
        (Self(groups), data)
    }

    /// Appends the entries.
    fn put(&self, out: &mut Vec<u8>) {
        for group in &self.0 {
            out.extend_from_slice(&group.start.to_le_bytes());
            out.extend_from_slice(&group.first_column.to_le_bytes());
        }
    }

    /// Puts the checksums into their room; the data will stand at `offset`.
    fn seal(&self, data: &mut [u8], id: u64, offset: u64) {
        for group in &self.0 {
            let Some(bytes) = data.get_mut(group.start as usize..group.end as usize) else {
                continue;
            };
            let Some((body, room)) = bytes.split_last_chunk_mut::<4>() else { continue };
            let sum = checksum(id, offset + u64::from(group.start), body);
            *room = if group.damaged { !sum } else { sum }.to_le_bytes();
        }
    }
}
