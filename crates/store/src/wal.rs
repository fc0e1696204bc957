//! The write-ahead log: every row, before anyone sees it.
//!
//! The log is a row of files, the segments. Each is a sequence of records with a checksum; each
//! begins with the definitions (series, layouts, columns) that its rows need, so any segment can
//! be read without those before it. A row is written with one call, together with the definitions
//! that it is the first to need.
//!
//! A row is encoded against its layout's **base row**, which changes every few rows, and not
//! against the row before. So a damaged record costs itself and no other. What other records lean
//! on, definitions and base rows, is written twice, never within the same sector. `FORMAT.md`
//! beside this crate's manifest has the bytes.
//!
//! [`Wal`] belongs to the writer. [`WalHandle`] is for everyone else: it syncs, shortens and reads.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use narthex_model::Timestamp;
use parking_lot::Mutex;

use crate::fs::{Fs, FsFile};
use crate::stats::WalStats;
use crate::{Error, LayoutRef, Row, RowBuf, RowSeq, SeriesRef, SourceRef};

mod decode;
mod definition;
mod encode;
mod frame;
mod handle;
mod inspect;
mod number;
mod outbox;
mod player;
mod reader;
mod recent;
mod replay;
mod rewrite;
mod scan;
mod segment;
mod single;
mod varint;

pub(crate) use definition::NextIds;
pub(crate) use handle::WalHandle;
pub use inspect::{Inspection, LogEntry, inspect, inspect_log};
pub(crate) use player::Replay;
pub(crate) use reader::{LogReader, Logged};
pub(crate) use recent::Recent;

use definition::Head;
use encode::{Against, Encoder};
use frame::{BASE, FULL, Kind};
use handle::{Inner, Shared, Unsynced};
use outbox::Outbox;
use rewrite::Salvage;
use segment::{DIR, Segment};

/// Most rows in one segment. After an end that was not in good order, this many places are left
/// out, for some of them may have been given to rows that were lost with the power.
const SEGMENT_ROWS_MAX: u64 = 1 << 24;

/// A segment holds at least this many times the bytes of its definitions, whatever the limit of
/// its size, so that many series do not fill the disk with definitions.
const DEFINITIONS_SHARE: u64 = 4;

/// Columns in one record; a wider layout takes several.
const COLUMNS_PER_RECORD: usize = 16_384;

/// Room that is kept for definitions, in bytes; a new target may need much more, once.
const DEFINITIONS_KEPT_BYTES: usize = 64 << 10;

/// How much is gathered before it is written while a segment is begun, in bytes.
const PREAMBLE_BYTES: usize = 1 << 20;

/// The log, as its one writer sees it.
#[derive(Debug)]
pub(crate) struct Wal {
    shared: Arc<Shared>,
    segment_bytes_max: u64,
    current: Option<Current>,
    segment_next: u64,
    /// The place after the last row.
    seq_reached: RowSeq,
    /// The place of the next row.
    seq_next: RowSeq,
    last_at: Timestamp,
    encoders: BTreeMap<LayoutRef, Encoder>,
    /// Definitions that wait for the next row.
    pending: Definitions,
    outbox: Outbox,
    /// Where a row is encoded; kept, so that its room is made once.
    scratch: Vec<u8>,
}

/// The segment that is written to.
#[derive(Debug)]
struct Current {
    head: Head,
    file: Box<dyn FsFile>,
    /// Length up to which the file holds whole records.
    len: u64,
    /// The number of the next record.
    ordinal: u32,
    /// Bytes at which the next segment is due.
    roll_at: u64,
}

/// Collects definitions. They are written with the next row, or at the head of a segment.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    bytes: Vec<u8>,
    records: Vec<(Kind, usize)>,
}

impl Definitions {
    /// A series has these labels, by name.
    pub(crate) fn series<'a>(
        &mut self,
        series: SeriesRef,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) {
        definition::encode_series(series, labels, &mut self.bytes);
        self.records.push((Kind::Series, self.bytes.len()));
    }

    /// A layout belongs to this source. Comes before its columns.
    pub(crate) fn layout(&mut self, layout: LayoutRef, source: SourceRef) {
        definition::encode_layout(layout, source, &mut self.bytes);
        self.records.push((Kind::Layout, self.bytes.len()));
    }

    /// A layout has these columns, of which the first is its column number `start`.
    pub(crate) fn columns(&mut self, layout: LayoutRef, start: u32, series: &[SeriesRef]) {
        for (start, series) in
            (start..).step_by(COLUMNS_PER_RECORD).zip(series.chunks(COLUMNS_PER_RECORD))
        {
            definition::encode_columns(layout, start, series, &mut self.bytes);
            self.records.push((Kind::Columns, self.bytes.len()));
        }
    }

    /// No more rows come for a layout.
    pub(crate) fn drop_layout(&mut self, layout: LayoutRef) {
        definition::encode_drop(layout, &mut self.bytes);
        self.records.push((Kind::Drop, self.bytes.len()));
    }

    /// Takes others instead of those it has.
    fn refill(&mut self, fill: impl FnOnce(&mut Self) -> bool) -> bool {
        self.clear();
        fill(self)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.bytes.shrink_to(DEFINITIONS_KEPT_BYTES);
        self.records.shrink_to(DEFINITIONS_KEPT_BYTES / size_of::<(Kind, usize)>());
    }

    /// Keeps only that layouts were dropped.
    fn keep_drops(&mut self) {
        let mut kept = Self::default();
        for (_, payload) in self.iter().filter(|&(kind, _)| kind == Kind::Drop) {
            kept.bytes.extend_from_slice(payload);
            kept.records.push((Kind::Drop, kept.bytes.len()));
        }
        *self = kept;
    }

    fn iter(&self) -> impl Iterator<Item = (Kind, &[u8])> {
        let starts = std::iter::once(0).chain(self.records.iter().map(|&(_, end)| end));
        self.records
            .iter()
            .zip(starts)
            .map(|(&(kind, end), start)| (kind, self.bytes.get(start..end).unwrap_or_default()))
    }
}

impl Wal {
    /// Reads the whole log to `replay` and makes ready to append. `cursor_max` is the highest
    /// place that any cursor has: rows get higher ones, whatever the log lost.
    ///
    /// Nothing can be appended before the first [`Wal::roll`]: a log is never continued in a
    /// segment of an earlier process, which may have a torn end. Only a folder that cannot be
    /// made or listed is an error.
    ///
    /// What was read is durable then; or [`WalHandle::has_failed`], and the first row takes all of
    /// it along.
    pub(crate) fn open(
        fs: Arc<dyn Fs>,
        segment_bytes_max: u64,
        cursor_max: RowSeq,
        replay: &mut dyn Replay,
    ) -> Result<Self, Error> {
        let made = fs.create_dir(DIR).and_then(|()| fs.sync_dir(""));
        made.map_err(|source| Error::io("make", DIR, source))?;
        let outcome =
            replay::replay(&*fs, replay).map_err(|source| Error::io("list", DIR, source))?;
        let seq_next = outcome.seq_free.max(cursor_max.next());
        // All of them: a process may begin several segments between two syncs.
        let failed = !rewrite::make_durable(&*fs, &outcome.segments);
        let stats = WalStats {
            corruptions: outcome.corruptions,
            rows_lost: outcome.rows_lost,
            failures: u64::from(failed),
            ..WalStats::default()
        };
        let firsts = outcome.segments.iter().map(|it| it.seq_first.min(it.seq_reached));
        let seq_synced = firsts.min().filter(|_| failed).unwrap_or(seq_next);
        let segment_synced = if failed { 0 } else { outcome.segment_next };
        let segments = outcome.segments;
        let unsynced = Vec::new();
        let inner = Inner { segments, seq_next, seq_synced, segment_synced, unsynced, stats };
        let sync_failed = AtomicBool::new(failed);
        let shared = Arc::new(Shared {
            fs,
            inner: Mutex::new(inner),
            sync_failed,
            recent: Recent::default(),
        });
        Ok(Self {
            shared,
            segment_bytes_max,
            current: None,
            segment_next: outcome.segment_next,
            seq_reached: outcome.seq_reached,
            seq_next,
            last_at: outcome.last_at,
            encoders: BTreeMap::new(),
            pending: Definitions::default(),
            outbox: Outbox::default(),
            scratch: Vec::new(),
        })
    }

    /// The log for other threads.
    pub(crate) fn handle(&self) -> WalHandle {
        WalHandle::new(Arc::clone(&self.shared))
    }

    /// Definitions that the next row may need: they are written with it, before it.
    pub(crate) fn define(&mut self) -> &mut Definitions {
        &mut self.pending
    }

    /// No more rows come for `layout`.
    pub(crate) fn drop_layout(&mut self, layout: LayoutRef) {
        self.encoders.remove(&layout);
        self.pending.drop_layout(layout);
    }

    /// Whether [`Wal::roll`] is due before the next row.
    pub(crate) fn wants_roll(&self) -> bool {
        let full = self.current.as_ref().is_none_or(|current| {
            current.len >= current.roll_at || self.seq_next >= current.head.seq_ceiling
        });
        full || self.shared.sync_failed.load(Ordering::Acquire)
    }

    /// Begins a new segment, whose name and head are durable when this returns. `define` gives all
    /// definitions in use, those still pending included, in steps numbered from 0, and `false` when
    /// there is no such step; it is asked for each of them twice. On an error the segment before is
    /// used further.
    pub(crate) fn roll(
        &mut self,
        ids: NextIds,
        define: &mut dyn FnMut(usize, &mut Definitions) -> bool,
    ) -> Result<(), Error> {
        let number = self.segment_next;
        let path = segment::path(number);
        // ORDER: also a failed attempt uses its number up, for its file may be there after all.
        self.segment_next += 1;
        let failed = self.shared.sync_failed.load(Ordering::Acquire);
        let salvage = failed.then(|| Salvage::new(&self.shared));
        let first = salvage.as_ref().map_or(self.seq_next, |salvage| salvage.from);
        let head = Head {
            segment: number,
            seq_reached: self.seq_reached.min(first),
            seq_first: first,
            seq_ceiling: RowSeq(self.seq_next.0.saturating_add(SEGMENT_ROWS_MAX)),
            at: self.last_at,
            ids,
        };
        let begun = self.begin(&path, head, define);
        let (current, unsynced) = begun.map_err(|source| {
            self.outbox.clear();
            // What is left over holds no rows; a replay passes over it.
            let _ = self.shared.fs.remove(&path);
            Error::io("begin", &path, source)
        })?;
        self.finish();
        let segment = Segment {
            number,
            seq_reached: head.seq_reached,
            seq_first: head.seq_first,
            seq_end: RowSeq(u64::MAX),
            len: current.len,
            closed: false,
        };
        self.current = Some(current);
        if failed {
            // Rows of these layouts may come once more; then the caller drops them once more.
            self.pending.clear();
        } else {
            self.pending.keep_drops();
        }
        self.encoders.values_mut().for_each(Encoder::forget);
        {
            let mut inner = self.shared.inner.lock();
            inner.stats.bytes_written += segment.len;
            inner.segments.push_back(segment);
            inner.unsynced.push(unsynced);
        }
        // ORDER: until the rows are written again no sync may say that they are durable.
        if let Some(salvage) = salvage
            && self.rewrite(salvage)
        {
            rewrite::unmark(&*self.shared.fs);
            self.shared.sync_failed.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Writes the head and the definitions of a segment, each twice, and makes them durable.
    fn begin(
        &mut self,
        path: &str,
        head: Head,
        define: &mut dyn FnMut(usize, &mut Definitions) -> bool,
    ) -> io::Result<(Current, Unsynced)> {
        let mut file = self.shared.fs.create(path)?;
        let outbox = &mut self.outbox;
        outbox.start(head.segment, 0, 0);
        let mut payload = Vec::new();
        head.encode(&mut payload);
        let mut definitions = Definitions::default();
        outbox.record(Kind::Head, 0, &payload);
        let mut step = 0;
        while definitions.refill(|all| define(step, all)) {
            for (kind, payload) in definitions.iter() {
                outbox.record(kind, 0, payload);
                outbox.flush(PREAMBLE_BYTES, &mut *file)?;
            }
            step += 1;
        }
        outbox.part(outbox.end());
        outbox.copy(0, Kind::Head, 0, &payload);
        let (mut step, mut originals) = (0, 1..);
        while definitions.refill(|all| define(step, all)) {
            for ((kind, payload), original) in definitions.iter().zip(&mut originals) {
                outbox.copy(original, kind, 0, payload);
                outbox.flush(PREAMBLE_BYTES, &mut *file)?;
            }
            step += 1;
        }
        outbox.flush(0, &mut *file)?;
        file.sync()?;
        self.shared.fs.sync_dir(DIR)?;
        let len = file.len();
        let handle = file.sync_handle()?;
        let current = Current {
            head,
            file,
            len,
            ordinal: self.outbox.ordinal(),
            roll_at: self.segment_bytes_max.max(len.saturating_mul(DEFINITIONS_SHARE)),
        };
        let unsynced = Unsynced { number: head.segment, handle, synced_len: len };
        Ok((current, unsynced))
    }

    /// Appends a row with one write. On an error nothing of it is in the log, and the next row
    /// can be tried. [`Error::Closed`] before the first [`Wal::roll`].
    ///
    /// What `row.changed` leaves out must be as in the last row that was given here, whether that
    /// was written or not.
    pub(crate) fn log_row(&mut self, row: &Row<'_>) -> Result<RowSeq, Error> {
        let seq = self.seq_next;
        self.log(seq, row)?;
        Ok(seq)
    }

    fn log(&mut self, seq: RowSeq, row: &Row<'_>) -> Result<(), Error> {
        let current = self.current.as_mut().ok_or(Error::Closed)?;
        let encoder = self.encoders.entry(row.layout).or_default();
        encoder.touch(row);
        current.repair()?;
        let against = encoder.against();
        let outbox = &mut self.outbox;
        outbox.start(current.head.segment, current.len, current.ordinal);
        for (kind, payload) in self.pending.iter() {
            outbox.record(kind, 0, payload);
        }
        let defined_to = outbox.end();
        if against != Against::Nothing {
            // ORDER: before the first row that leans on it, a base stands in the log twice.
            encoder.single().put(outbox);
        }
        let (ordinal, flags) = (outbox.ordinal(), flags_of(against));
        let payload = outbox.open();
        put_row_head(payload, seq, current.head, row, against);
        let len = encoder.encode(row.values, against, &mut self.scratch);
        payload.extend_from_slice(self.scratch.get(..len).unwrap_or_default());
        let payload = outbox.close(Kind::Row, flags);
        if flags != 0 {
            encoder.single().stage(payload);
        }
        let row_end = outbox.end();
        if !self.pending.records.is_empty() {
            outbox.part(defined_to);
            for (original, (kind, payload)) in (current.ordinal..).zip(self.pending.iter()) {
                outbox.copy(original, kind, 0, payload);
            }
        }
        current.write(outbox, &self.shared)?;
        self.pending.clear();
        encoder.commit(row.values, against, ordinal);
        if flags == 0 {
            encoder.single().done();
        } else {
            encoder.single().commit(ordinal, flags, row_end);
        }
        self.seq_next = self.seq_next.max(seq.next());
        self.seq_reached = self.seq_next;
        self.last_at = row.at;
        let mut inner = self.shared.inner.lock();
        inner.seq_next = self.seq_next;
        inner.publish(current.len);
        drop(inner);
        self.shared.recent.push(seq, row);
        Ok(())
    }

    /// Writes rows again, with the places they have, as the system still has them in memory;
    /// `false` if that failed.
    fn rewrite(&mut self, mut salvage: Salvage) -> bool {
        let fs = Arc::clone(&self.shared.fs);
        let mut row = RowBuf::default();
        loop {
            let logged = match salvage.next(&*fs, &mut row) {
                Ok(false) => return true,
                Ok(true) => {
                    let (layout, at, values) = (row.layout, row.at, &*row.values);
                    self.log(row.seq, &Row { layout, at, values, changed: None })
                }
                Err(source) => Err(Error::io("read", segment::DIR, source)),
            };
            if let Err(error) = logged {
                tracing::warn!(%error, "rows without a sync cannot be written again");
                self.encoders.values_mut().for_each(Encoder::forget);
                return false;
            }
        }
    }

    /// Ends the log in good order: rows then go on with the next place at the next start. Nothing
    /// can be appended before the next [`Wal::roll`].
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        self.finish();
        self.handle().sync()
    }

    /// Ends the current segment. It is as good without its last record, so failures are reported
    /// and passed over.
    fn finish(&mut self) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        let outbox = &mut self.outbox;
        outbox.start(current.head.segment, current.len, current.ordinal);
        for encoder in self.encoders.values_mut() {
            encoder.single().put(outbox);
        }
        // No row needs what else is pending.
        self.pending.keep_drops();
        for (kind, payload) in self.pending.iter() {
            outbox.record(kind, 0, payload);
        }
        outbox.record(Kind::End, 0, &self.seq_next.0.to_le_bytes());
        match current.repair().and_then(|()| current.write(outbox, &self.shared)) {
            Ok(()) => self.pending.clear(),
            Err(error) => tracing::warn!(%error, "segment is left without an end"),
        }
        let mut inner = self.shared.inner.lock();
        inner.publish(current.len);
        if let Some(segment) = inner.segments.back_mut() {
            segment.closed = true;
            segment.seq_end = self.seq_next;
        }
    }
}

impl Current {
    /// Cuts off what a failed write left.
    fn repair(&mut self) -> Result<(), Error> {
        if self.file.len() == self.len {
            return Ok(());
        }
        let cut = self.file.set_len(self.len);
        cut.map_err(|source| Error::io("cut", &segment::path(self.head.segment), source))
    }

    /// Writes what is in `outbox` with one call.
    fn write(&mut self, outbox: &mut Outbox, shared: &Shared) -> Result<(), Error> {
        let written = outbox.flush(0, &mut *self.file);
        if let Err(source) = written {
            outbox.clear();
            shared.inner.lock().stats.failures += 1;
            // When this fails too, it is tried again before the next row.
            let _ = self.repair();
            return Err(Error::io("write", &segment::path(self.head.segment), source));
        }
        self.len = self.file.len();
        self.ordinal = outbox.ordinal();
        Ok(())
    }
}

impl Inner {
    /// Lets readers see the current segment up to `len`.
    fn publish(&mut self, len: u64) {
        if let Some(segment) = self.segments.back_mut() {
            self.stats.bytes_written += len.saturating_sub(segment.len);
            segment.len = len;
        }
    }
}

fn flags_of(against: Against) -> u8 {
    match against {
        Against::Base(_) => 0,
        Against::OldBase(_) => BASE,
        Against::Nothing => BASE | FULL,
    }
}

fn put_row_head(out: &mut Vec<u8>, seq: RowSeq, head: Head, row: &Row<'_>, against: Against) {
    varint::push(out, seq.0 - head.seq_first.0);
    varint::push(out, u64::from(row.layout.0));
    varint::push(out, varint::zigzag(row.at.0.wrapping_sub(head.at.0)));
    if let Against::Base(ordinal) | Against::OldBase(ordinal) = against {
        varint::push(out, u64::from(ordinal));
    }
    varint::push(out, row.values.len() as u64);
}

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod tests;
