//! The log as all threads but the writer's see it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::reader::LogReader;
use super::recent::Recent;
use super::rewrite;
use super::segment::{self, Segment};
use crate::fs::{Fs, FsSync};
use crate::stats::WalStats;
use crate::{Error, RowSeq};

/// Syncs, shortens and reads the log while the writer goes on. Clones stand for the same log.
#[derive(Clone, Debug)]
pub(crate) struct WalHandle {
    shared: Arc<Shared>,
}

/// What the writer and everyone else know together. The lock is held for moments only, never
/// over a call to the file system.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) inner: Mutex<Inner>,
    /// A sync has failed: what it covered may be gone from the disk though it is read back, so
    /// the writer starts a new segment.
    pub(super) sync_failed: AtomicBool,
    pub(super) recent: Recent,
}

#[derive(Debug)]
pub(super) struct Inner {
    /// The segments by number; the last one is written to, unless it is closed.
    pub(super) segments: VecDeque<Segment>,
    pub(super) seq_next: RowSeq,
    /// Rows before this place are durable.
    pub(super) seq_synced: RowSeq,
    /// Segments before this one hold no other rows.
    pub(super) segment_synced: u64,
    /// What has to be synced.
    pub(super) unsynced: Vec<Unsynced>,
    pub(super) stats: WalStats,
}

/// A file that may hold bytes which no sync has covered.
#[derive(Clone, Debug)]
pub(super) struct Unsynced {
    pub(super) number: u64,
    pub(super) handle: Arc<dyn FsSync>,
    /// Length up to which a sync has covered it.
    pub(super) synced_len: u64,
}

impl WalHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The last rows, as they were appended.
    pub(crate) fn recent(&self) -> &Recent {
        &self.shared.recent
    }

    /// Makes durable all that was appended before the call; does nothing when there is nothing.
    ///
    /// After an error the rows since the last good sync may be lost with the power; the next row
    /// goes to a new segment.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        if self.shared.sync_failed.load(Ordering::Acquire) {
            // A second try could succeed without having written anything: the writer has to write
            // the rows again first, with the next one.
            let source = io::Error::other("an earlier sync failed, and no row came since");
            return Err(Error::io("sync", segment::DIR, source));
        }
        let (due, reached, current): (Vec<(Unsynced, u64)>, _, _) = {
            let inner = self.shared.inner.lock();
            let len_of = |unsynced: &Unsynced| inner.find(unsynced.number).map_or(0, |it| it.len);
            let all = inner.unsynced.iter().map(|unsynced| (unsynced.clone(), len_of(unsynced)));
            let due = all.filter(|(unsynced, len)| unsynced.synced_len < *len);
            let current = inner.segments.back().map_or(0, |segment| segment.number);
            (due.collect(), inner.seq_next, current)
        };
        let mut outcome = Ok(());
        for (unsynced, len) in due {
            let result = unsynced.handle.sync();
            let mut inner = self.shared.inner.lock();
            inner.stats.syncs += u64::from(result.is_ok());
            inner.stats.failures += u64::from(result.is_err());
            inner.synced(unsynced.number, len);
            if let Err(source) = result {
                drop(inner);
                rewrite::mark(&*self.shared.fs);
                self.shared.sync_failed.store(true, Ordering::Release);
                outcome = Err(Error::io("sync", &segment::path(unsynced.number), source));
            }
        }
        if outcome.is_ok() {
            let mut inner = self.shared.inner.lock();
            inner.seq_synced = inner.seq_synced.max(reached);
            inner.segment_synced = inner.segment_synced.max(current);
        }
        outcome
    }

    /// Removes the segments that hold only rows before `seq`, which blocks have, and which no
    /// cursor waits for: those up to `cursor` are passed. Segments that a cursor waits for go too,
    /// oldest first, while the log takes more than `bytes_max`. Returns how many went.
    pub(crate) fn truncate_before(
        &self,
        seq: RowSeq,
        cursor: Option<RowSeq>,
        bytes_max: u64,
    ) -> Result<u32, Error> {
        let mut removed = 0;
        while let Some(number) = self.pop_before(seq, cursor, bytes_max) {
            let path = segment::path(number);
            match self.shared.fs.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path, error));
                }
                _ => removed += 1,
            }
        }
        Ok(removed)
    }

    /// Takes the oldest segment out of the list, if it may go.
    fn pop_before(&self, seq: RowSeq, cursor: Option<RowSeq>, bytes_max: u64) -> Option<u64> {
        let mut inner = self.shared.inner.lock();
        let oldest = *inner.segments.front()?;
        inner.segments.get(1)?;
        // That later segments were begun to have its rows again does not tell that they have them.
        if !oldest.closed || oldest.seq_end > seq {
            return None;
        }
        let wanted_from = cursor.map_or(oldest.seq_end, RowSeq::next);
        if wanted_from < oldest.seq_end && inner.bytes() <= bytes_max {
            return None;
        }
        inner.segments.pop_front();
        inner.unsynced.retain(|unsynced| unsynced.number != oldest.number);
        inner.stats.segments_removed += 1;
        Some(oldest.number)
    }

    /// A reader of the rows that follow `seq`, in order.
    pub(crate) fn rows_after(&self, seq: RowSeq) -> LogReader {
        LogReader::new(Arc::clone(&self.shared), seq)
    }

    /// The last row that is in the log; 0 when there never was one.
    pub(crate) fn last_seq(&self) -> RowSeq {
        RowSeq(self.shared.inner.lock().seq_next.0.saturating_sub(1))
    }

    /// Whether a sync has failed whose rows were not written again yet.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.sync_failed.load(Ordering::Acquire)
    }

    /// All rows before this one are durable.
    pub(crate) fn synced_before(&self) -> RowSeq {
        self.shared.inner.lock().seq_synced
    }

    /// All rows before this one are durable, those of an earlier process included; 0 until these
    /// are.
    pub(crate) fn durable_before(&self) -> RowSeq {
        let inner = self.shared.inner.lock();
        let is_open = |unsynced: &Unsynced| {
            let segment = inner.find(unsynced.number);
            segment.is_some_and(|it| it.closed && unsynced.synced_len < it.len)
        };
        if inner.unsynced.iter().any(is_open) { RowSeq(0) } else { inner.seq_synced }
    }

    /// No row before this one is in the log.
    pub(crate) fn first_seq(&self) -> RowSeq {
        self.shared.inner.lock().segments.front().map_or(RowSeq(1), |segment| segment.seq_first)
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.inner.lock().bytes()
    }

    /// The figures of the log. The time spent in syncs is for the caller to measure.
    pub(crate) fn stats(&self) -> WalStats {
        let inner = self.shared.inner.lock();
        WalStats {
            bytes: inner.bytes(),
            segments: inner.segments.len() as u64,
            segment_current: inner.segments.back().map_or(0, |segment| segment.number),
            ..inner.stats.clone()
        }
    }
}

impl Inner {
    pub(super) fn find(&self, number: u64) -> Option<Segment> {
        let at = self.segments.binary_search_by_key(&number, |segment| segment.number).ok()?;
        self.segments.get(at).copied()
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Takes note that segment `number` is durable up to `len`.
    fn synced(&mut self, number: u64, len: u64) {
        let current = self.segments.back().map(|segment| segment.number);
        let Some(at) = self.unsynced.iter().position(|unsynced| unsynced.number == number) else {
            return;
        };
        let done = current != Some(number) && self.find(number).is_none_or(|it| it.len <= len);
        if done {
            self.unsynced.swap_remove(at);
        } else if let Some(unsynced) = self.unsynced.get_mut(at) {
            unsynced.synced_len = len;
        }
    }
}
