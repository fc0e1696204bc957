//! The store as its readers and its upkeep see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use narthex_model::{Clock, Labels, TimeRange, Timestamp};
use parking_lot::{Mutex, RwLock};

use crate::cursor::Cursors;
use crate::fs::{Fs, FsLock};
use crate::head::Head;
use crate::head::layout::Sight;
use crate::rows::{Aged, Sources};
use crate::stats::WalStats;
use crate::tombstones::TombstoneFile;
use crate::upkeep::{Chores, UpkeepCounters};
use crate::view::View;
use crate::wal::WalHandle;
use crate::{
    Cardinality, Error, Exemplars, Journal, LayoutRef, Options, Retention, RowReader, RowSeq,
    SeriesRef, Snapshot, Stats,
};

/// An open data directory. Shared by all threads; rows enter through the one
/// [`crate::Writer`] that was made with it.
#[derive(Debug)]
pub struct Store {
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) head: Arc<Head>,
    pub(crate) view: Arc<RwLock<Arc<View>>>,
    pub(crate) retention: Mutex<Retention>,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) wal: WalHandle,
    pub(crate) cursors: Cursors,
    pub(crate) exemplars: Exemplars,
    pub(crate) tombstone_file: Mutex<TombstoneFile>,
    /// What the retention removed before every cursor had passed it.
    pub(crate) aged: Arc<Aged>,
    pub(crate) chores: Mutex<Chores>,
    pub(crate) upkeep_counters: UpkeepCounters,
    pub(crate) sync_nanos: AtomicU64,
    pub(crate) blocks_damaged: u64,
    pub(crate) replay_time: Duration,
    /// Holds the data directory.
    pub(crate) _lock: Box<dyn FsLock>,
}

impl Store {
    /// A consistent view of all rows appended so far: whole rows only. Cheap.
    pub fn snapshot(&self) -> Snapshot {
        // ORDER: the blocks first. Rows that a later block takes over stay in the head while
        // these blocks are in use; rows that come in between are in the head anyway.
        let view = Arc::clone(&self.view.read());
        let sight =
            Sight { sealed_until: view.sealed_until, seq: self.head.last_seq(), late: view.late };
        Snapshot { head: Arc::clone(&self.head), view, sight }
    }

    /// The times of the oldest and the newest row; `None` if there is none.
    pub fn times(&self) -> Option<TimeRange> {
        let view = Arc::clone(&self.view.read());
        let in_head = self.head.totals(view.sealed_until).range;
        let in_blocks = view.shown().map(|block| block.meta().times);
        let parts = in_blocks.filter(|times| times.start <= times.end).chain(in_head);
        parts.reduce(|a, b| TimeRange::new(a.start.min(b.start), a.end.max(b.end)))
    }

    /// What the blocks are about, in the order of their windows.
    pub fn blocks(&self) -> Vec<crate::BlockMeta> {
        self.view.read().blocks.iter().map(|block| block.meta()).collect()
    }

    /// How many samples are in blocks, those included that stand in several.
    pub fn samples(&self) -> u64 {
        self.view.read().blocks.iter().map(|block| block.meta().samples).sum()
    }

    /// The labels of a series that rows still refer to.
    pub fn labels(&self, series: SeriesRef) -> Option<Labels> {
        self.head.index.read().labels(series.get())
    }

    /// The columns that a layout has so far.
    pub fn layout(&self, layout: LayoutRef) -> Option<Arc<[SeriesRef]>> {
        Some(self.head.layout(layout)?.columns())
    }

    /// A reader of the rows that follow `seq`, in order, wherever they are kept: rows that the log
    /// no longer has come out of blocks.
    pub fn rows_after(&self, seq: RowSeq) -> Result<RowReader, Error> {
        let sources = Sources {
            wal: self.wal.clone(),
            view: Arc::clone(&self.view),
            head: Arc::clone(&self.head),
            aged: Arc::clone(&self.aged),
        };
        Ok(RowReader::new(sources, seq))
    }

    /// The last row that is visible.
    pub fn last_seq(&self) -> RowSeq {
        self.head.last_seq()
    }

    /// Where the cursor `name` stands, if it was ever saved.
    pub fn cursor(&self, name: &str) -> Option<RowSeq> {
        self.cursors.get(name)
    }

    /// Saves durably that the consumer `name` is done with all rows up to `seq`. The log keeps
    /// what a cursor has not passed, within [`Options::wal_bytes_max`].
    pub fn save_cursor(&self, name: &str, seq: RowSeq) -> Result<(), Error> {
        self.cursors.save(name, seq)
    }

    /// Forgets the cursor `name`.
    pub fn drop_cursor(&self, name: &str) {
        if let Err(error) = self.cursors.drop_cursor(name) {
            tracing::warn!(%error, cursor = name, "cursor is still on disk");
        }
    }

    /// Opens the journal of the consumer `name` and gives the records in it, the oldest first.
    pub fn journal(&self, name: &str) -> Result<(Journal, Vec<Vec<u8>>), Error> {
        Journal::open(Arc::clone(&self.fs), name)
    }

    /// Removes the journal of the consumer `name`, which must not be open.
    pub fn drop_journal(&self, name: &str) {
        if let Err(error) = crate::journal::remove(&*self.fs, name) {
            tracing::warn!(%error, "journal is still on disk");
        }
    }

    /// Makes durable all that was appended before the call. Does not hold up the writer.
    pub fn sync(&self) -> Result<(), Error> {
        let began = self.clock.monotonic();
        let result = self.wal.sync();
        let took = self.clock.monotonic().saturating_sub(began);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sync_nanos.fetch_add(nanos, Ordering::Relaxed);
        result
    }

    /// How far behind the newest row others may come, from now on; zero: not at all.
    pub fn set_out_of_order_window(&self, window: Duration) {
        self.head.set_late_window_ms(i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
    }

    /// How far behind the newest row others may come; zero: rows come in order.
    pub fn out_of_order_window(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.head.late_window_ms()).unwrap_or(0))
    }

    /// Changes what is kept, from the next [`Store::upkeep`] on.
    pub fn set_retention(&self, retention: Retention) {
        *self.retention.lock() = retention;
    }

    /// The store's figures.
    pub fn stats(&self) -> Stats {
        let view = Arc::clone(&self.view.read());
        let totals = self.head.totals(view.sealed_until);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (counters, upkeep) = (&self.head.counters, &self.upkeep_counters);
        let (series, symbol_bytes) = {
            let index = self.head.index.read();
            (index.len() as u64, index.symbol_bytes() as u64)
        };
        let retention = *self.retention.lock();
        let frozen = self.head.frozen_until();
        let in_blocks = view.blocks.iter().map(|block| block.meta().times.start);
        Stats {
            head_series: series,
            head_chunks: totals.chunks,
            head_chunk_bytes: totals.bytes,
            head_range: totals.range,
            oldest_accepted: Some(Timestamp(frozen)).filter(|_| frozen > i64::MIN),
            layouts: totals.layouts_live,
            series_created: load(&counters.series_created),
            series_removed: load(&counters.series_removed),
            series_limited: load(&counters.series_limited),
            rows_appended: load(&counters.rows_appended),
            samples_appended: load(&counters.samples_appended),
            samples_out_of_order: load(&counters.samples_out_of_order),
            samples_duplicate: load(&counters.samples_duplicate),
            samples_late: load(&counters.samples_late),
            samples_out_of_bounds: load(&counters.samples_out_of_bounds),
            samples_too_old: load(&counters.samples_too_old),
            samples_too_far_ahead: load(&counters.samples_too_far_ahead),
            symbol_bytes,
            wal: self.wal_stats(),
            blocks: view.blocks.len() as u64,
            block_bytes: view.bytes(),
            lowest: in_blocks.chain(totals.range.map(|range| range.start)).min(),
            blocks_damaged: self.blocks_damaged,
            block_faults: view.blocks.iter().map(|block| block.faults()).sum(),
            scrub_bytes: load(&upkeep.scrub.bytes),
            scrub_blocks: load(&upkeep.scrub.blocks),
            scrub_damaged: load(&upkeep.scrub.damaged),
            scrub_pass_ended: Some(Timestamp(upkeep.scrub.pass_ended_ms.load(Ordering::Relaxed)))
                .filter(|at| at.0 > 0),
            blocks_mended: load(&upkeep.mended),
            seals: load(&upkeep.seals),
            late_seals: load(&upkeep.late_seals),
            seals_failed: load(&upkeep.seals_failed),
            seal_time: Duration::from_nanos(load(&upkeep.seal_nanos)),
            merges: load(&upkeep.merges),
            merges_failed: load(&upkeep.merges_failed),
            blocks_removed_by_age: load(&upkeep.removed_by_age),
            blocks_removed_by_size: load(&upkeep.removed_by_size),
            retention_age: retention.age,
            retention_bytes: retention.bytes,
            replay_time: self.replay_time,
        }
    }

    fn wal_stats(&self) -> WalStats {
        let nanos = self.sync_nanos.load(Ordering::Relaxed);
        let mut stats = self.wal.stats();
        stats.sync_time = Duration::from_nanos(nanos);
        stats.rows_lost += self.aged.rows();
        stats
    }

    /// What the head's series consist of: at most `limit` entries a list. Walks all series.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        let totals = self.head.totals(self.view.read().sealed_until);
        let found = self.head.index.read().cardinality(limit);
        Cardinality { chunks: totals.chunks, range: totals.range, ..found }
    }

    /// Syncs, and refuses all further rows.
    pub fn close(&self) -> Result<(), Error> {
        self.head.closed.store(true, Ordering::SeqCst);
        self.sync()
    }
}
