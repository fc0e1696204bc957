//! The rows of the windows that are not sealed yet, and the series they refer to.
//!
//! Rows stand in their layout ([`layout::Layout`]): the last few raw, row after row; those before
//! in mini chunks, compressed column by column; older ones in larger chunks in mapped files
//! ([`files`]); all of it per window of time, so that a sealed window goes as a whole. The index ([`index::Index`]) knows every series, its labels and the
//! columns it has.
//!
//! One writer appends. Readers hold a [`layout::Sight`]: the last row they may see and the time
//! before which blocks have the rows; so a snapshot costs two numbers, not a copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use narthex_model::{TimeRange, Timestamp};
use parking_lot::RwLock;

pub(crate) mod cardinality;
pub(crate) mod columns;
pub(crate) mod files;
pub(crate) mod glance;
pub(crate) mod index;
pub(crate) mod late;
pub(crate) mod layout;
pub(crate) mod mini;
mod pages;
mod postings;
mod select;
pub(crate) mod sink;
mod symbols;

pub(crate) use index::Index;
pub(crate) use layout::Layout;
pub(crate) use pages::Pages;

use crate::{LayoutRef, RowSeq};

/// What the writer fills and everybody else reads.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) window_ms: i64,
    pub(crate) index: RwLock<Index>,
    pub(crate) layouts: RwLock<Pages<Arc<Layout>>>,
    /// The last row that is visible.
    last_seq: AtomicU64,
    /// The time of the newest row; `i64::MIN` before the first.
    max_time: AtomicI64,
    /// Rows before this time are refused: a block has their window, or will.
    frozen_until: AtomicI64,
    /// How far behind the newest row others may come, in milliseconds.
    late_window_ms: AtomicI64,
    /// Late samples that are held.
    late_samples: AtomicU64,
    pub(crate) closed: AtomicBool,
    pub(crate) counters: Counters,
}

/// What happened since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) series_created: AtomicU64,
    pub(crate) series_removed: AtomicU64,
    pub(crate) series_limited: AtomicU64,
    pub(crate) rows_appended: AtomicU64,
    pub(crate) samples_appended: AtomicU64,
    pub(crate) samples_late: AtomicU64,
    pub(crate) samples_out_of_order: AtomicU64,
    pub(crate) samples_duplicate: AtomicU64,
    pub(crate) samples_too_old: AtomicU64,
    pub(crate) samples_out_of_bounds: AtomicU64,
    pub(crate) samples_too_far_ahead: AtomicU64,
}

/// Counts; only ever by one thread, so a load and a store do and cost less than a locked addition.
pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// What the head holds, added up over its layouts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeadTotals {
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
    pub(crate) range: Option<TimeRange>,
    pub(crate) layouts_live: u64,
    /// The first row that no block has; `None`: blocks have all.
    pub(crate) first_seq: Option<RowSeq>,
}

impl Head {
    pub(crate) fn new(window_ms: i64) -> Self {
        Self {
            window_ms,
            index: RwLock::default(),
            layouts: RwLock::default(),
            last_seq: AtomicU64::new(0),
            max_time: AtomicI64::new(i64::MIN),
            frozen_until: AtomicI64::new(i64::MIN),
            late_window_ms: AtomicI64::new(0),
            late_samples: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    pub(crate) fn layout(&self, name: LayoutRef) -> Option<Arc<Layout>> {
        self.layouts.read().get(name.0).cloned()
    }

    /// All layouts, by name.
    pub(crate) fn all_layouts(&self) -> Vec<Arc<Layout>> {
        self.layouts.read().iter().map(|(_, layout)| Arc::clone(layout)).collect()
    }

    pub(crate) fn last_seq(&self) -> RowSeq {
        RowSeq(self.last_seq.load(Ordering::Acquire))
    }

    /// Makes the row `seq` and all before it visible.
    pub(crate) fn show(&self, seq: RowSeq, at: Timestamp) {
        if at.0 > self.max_time.load(Ordering::Relaxed) {
            self.max_time.store(at.0, Ordering::Relaxed);
        }
        self.last_seq.store(seq.0, Ordering::Release);
    }

    /// The time of the newest row there ever was.
    pub(crate) fn max_time(&self) -> Option<Timestamp> {
        Some(self.max_time.load(Ordering::Relaxed)).filter(|&at| at > i64::MIN).map(Timestamp)
    }

    /// Counts `at` among the times of rows, though its row is in a block.
    pub(crate) fn raise_max_time(&self, at: Timestamp) {
        self.max_time.fetch_max(at.0, Ordering::Relaxed);
    }

    pub(crate) fn frozen_until(&self) -> i64 {
        self.frozen_until.load(Ordering::SeqCst)
    }

    /// Refuses rows before `until` from now on.
    pub(crate) fn freeze(&self, until: Timestamp) {
        self.frozen_until.fetch_max(until.0, Ordering::SeqCst);
    }

    /// How far behind the newest row others may come; 0: rows come in order.
    pub(crate) fn late_window_ms(&self) -> i64 {
        self.late_window_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_late_window_ms(&self, window_ms: i64) {
        self.late_window_ms.store(window_ms, Ordering::Relaxed);
    }

    /// The oldest time that a late row may have; `None` if there are no late rows.
    pub(crate) fn late_from(&self) -> Option<Timestamp> {
        let window = Some(self.late_window_ms()).filter(|&window| window > 0)?;
        Some(Timestamp(self.max_time()?.0.saturating_sub(window)))
    }

    /// The layouts of late rows.
    pub(crate) fn late_layouts(&self) -> Vec<Arc<Layout>> {
        let layouts = self.layouts.read();
        let late = layouts.iter().filter(|(_, layout)| layout.is_late());
        late.map(|(_, layout)| Arc::clone(layout)).collect()
    }

    /// Late samples that are held.
    pub(crate) fn late_samples(&self) -> u64 {
        self.late_samples.load(Ordering::Relaxed)
    }

    pub(crate) fn add_late(&self, samples: u64) {
        self.late_samples.fetch_add(samples, Ordering::Relaxed);
    }

    pub(crate) fn remove_late(&self, samples: u64) {
        self.late_samples.fetch_sub(samples, Ordering::Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Adds up the layouts' rows that are not in blocks, which end at `sealed_until`.
    pub(crate) fn totals(&self, sealed_until: Timestamp) -> HeadTotals {
        let mut totals = HeadTotals::default();
        for layout in self.all_layouts() {
            let stats = layout.stats(sealed_until);
            totals.chunks += stats.chunks;
            totals.bytes += stats.bytes;
            totals.layouts_live += u64::from(!stats.dropped);
            if let (Some(first), Some(last)) = (stats.first, stats.last) {
                let range = totals.range.get_or_insert(TimeRange::new(first, last));
                range.start = range.start.min(first);
                range.end = range.end.max(last);
            }
            if let Some(seq) = stats.first_seq {
                totals.first_seq = Some(totals.first_seq.map_or(seq, |first| first.min(seq)));
            }
        }
        totals
    }

    /// Drops layouts, whose rows are elsewhere, and the series that stand in no other; returns how
    /// many series went.
    pub(crate) fn let_go(&self, layouts: &[Arc<Layout>]) -> u64 {
        let mut removed = 0;
        for layout in layouts {
            let columns = layout.columns();
            let mut index = self.index.write();
            for &series in &*columns {
                index.remove_places(series, layout.name);
            }
            removed += index.remove_placeless(&columns);
            drop(index);
            self.layouts.write().remove(layout.name.0);
        }
        removed
    }

    /// Drops the rows of windows that ended by `until`, dropped layouts of which no row is left
    /// here and none from `wanted_from` on in the log, and series that stand nowhere any more;
    /// returns how many series went.
    pub(crate) fn forget(&self, until: Timestamp, wanted_from: RowSeq) -> u64 {
        let mut gone = Vec::new();
        for layout in self.all_layouts() {
            let has_rows = layout.forget(until);
            let stats = layout.stats(until);
            if !has_rows && stats.dropped && stats.last_seq < wanted_from {
                gone.push(layout);
            }
        }
        for layout in gone {
            let columns = layout.columns();
            let mut index = self.index.write();
            for &series in &*columns {
                index.remove_places(series, layout.name);
            }
            drop(index);
            self.layouts.write().remove(layout.name.0);
        }
        let removed = self.index.write().remove_idle();
        count(&self.counters.series_removed, removed);
        removed
    }
}
