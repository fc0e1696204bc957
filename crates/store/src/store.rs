//! The store as its readers and its upkeep see it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use narthex_model::{Clock, Labels, Timestamp};
use parking_lot::{Mutex, RwLock};

use crate::head::Head;
use crate::head::layout::Sight;
use crate::view::View;
use crate::{
    Cardinality, Error, LayoutRef, Options, Retention, RowReader, RowSeq, SeriesRef, Snapshot,
    Stats, Upkeep,
};

/// An open data directory. Shared by all threads; rows enter through the one
/// [`crate::Writer`] that was made with it.
#[derive(Debug)]
pub struct Store {
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) head: Arc<Head>,
    pub(crate) view: RwLock<Arc<View>>,
    pub(crate) retention: Mutex<Retention>,
}

impl Store {
    /// A consistent view of all rows appended so far: whole rows only. Cheap.
    pub fn snapshot(&self) -> Snapshot {
        // ORDER: the blocks first. Rows that a later block takes over stay in the head while
        // these blocks are in use; rows that come in between are in the head anyway.
        let view = Arc::clone(&self.view.read());
        let sight = Sight { sealed_until: view.sealed_until, seq: self.head.last_seq() };
        Snapshot { head: Arc::clone(&self.head), view, sight }
    }

    /// The labels of a series that rows still refer to.
    pub fn labels(&self, series: SeriesRef) -> Option<Labels> {
        self.head.index.read().labels(series.get())
    }

    /// The columns that a layout has so far.
    pub fn layout(&self, layout: LayoutRef) -> Option<Arc<[SeriesRef]>> {
        Some(self.head.layout(layout)?.columns())
    }

    /// A reader of the rows that follow `seq`, in order.
    pub fn rows_after(&self, seq: RowSeq) -> Result<RowReader, Error> {
        let _ = seq;
        Err(Error::Closed)
    }

    /// The last row that is visible.
    pub fn last_seq(&self) -> RowSeq {
        self.head.last_seq()
    }

    /// Where the cursor `name` stands, if it was ever saved.
    pub fn cursor(&self, name: &str) -> Option<RowSeq> {
        let _ = name;
        None
    }

    /// Saves durably that the consumer `name` is done with all rows up to `seq`. The log keeps
    /// what a cursor has not passed, within the size limit of the retention.
    pub fn save_cursor(&self, name: &str, seq: RowSeq) -> Result<(), Error> {
        let _ = (name, seq);
        Ok(())
    }

    /// Forgets the cursor `name`.
    pub fn drop_cursor(&self, name: &str) {
        let _ = name;
    }

    /// Makes durable all that was appended before the call. Does not hold up the writer.
    pub fn sync(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Seals the windows that are due, applies the retention, shortens the log. To be called
    /// about every 10 s by one thread.
    pub fn upkeep(&self) -> Result<Upkeep, Error> {
        Ok(Upkeep::default())
    }

    /// Changes what is kept, from the next [`Store::upkeep`] on.
    pub fn set_retention(&self, retention: Retention) {
        *self.retention.lock() = retention;
    }

    /// The store's figures.
    pub fn stats(&self) -> Stats {
        let sealed_until = self.view.read().sealed_until;
        let totals = self.head.totals(sealed_until);
        let counters = &self.head.counters;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (series, symbol_bytes) = {
            let index = self.head.index.read();
            (index.len() as u64, index.symbol_bytes() as u64)
        };
        let retention = *self.retention.lock();
        let frozen = self.head.frozen_until();
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
            samples_too_old: load(&counters.samples_too_old),
            samples_too_far_ahead: load(&counters.samples_too_far_ahead),
            symbol_bytes,
            lowest: totals.range.map(|range| range.start),
            retention_age: retention.age,
            retention_bytes: retention.bytes,
            ..Stats::default()
        }
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
