//! The only way in.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use narthex_model::{Labels, Timestamp, is_absent};

use crate::head::index::{Place, hash_labels};
use crate::head::layout::Layout;
use crate::head::mini::{RowKey, Scratch};
use crate::head::{Head, Pages, count};
use crate::options::{COLUMNS_MAX, LABELS_BYTES_MAX};
use crate::wal::{NextIds, Wal};
use crate::{Column, Error, LayoutRef, Row, RowSeq, SeriesRef, SourceRef, Store};

mod newest;

mod late;

pub(crate) use late::LateLayouts;

/// The one appender of a store.
///
/// A [`SeriesRef`] that [`Writer::resolve`] gave stays good until it stands in a layout, for at
/// least one window of time, and while it stands in one that was not dropped. Later
/// [`Writer::keep`] tells; [`Writer::add_columns`] answers [`Error::UnknownSeries`] when the labels
/// must be resolved again.
#[derive(Debug)]
pub struct Writer {
    pub(crate) store: Arc<Store>,
    pub(crate) wal: Wal,
    pub(crate) layouts: Pages<Pen>,
    /// Layouts that were dropped, of which rows may not be durable yet.
    pub(crate) dropped: Vec<Pen>,
    pub(crate) ids: NextIds,
    pub(crate) scratch: Scratch,
    pub(crate) late: LateLayouts,
}

/// A layout as its writer holds it.
#[derive(Debug)]
pub(crate) struct Pen {
    layout: Arc<Layout>,
    columns: usize,
    last: Option<Timestamp>,
    last_seq: RowSeq,
    /// The last row had no hole, and no column came since.
    full: bool,
    /// The last row was refused, so it is not known what changed since the last one stored.
    refused: bool,
}

impl Writer {
    /// Finds the series with these labels, or creates it.
    pub fn resolve(&mut self, labels: &Labels) -> Result<SeriesRef, Error> {
        let head = &self.store.head;
        let hash = hash_labels(labels);
        let mut index = head.index.write();
        if let Some(series) = index.find(hash, labels) {
            return Ok(series);
        }
        if head.is_closed() {
            return Err(Error::Closed);
        }
        let bytes = labels.heap_bytes();
        if bytes > LABELS_BYTES_MAX {
            return Err(Error::LabelsTooLong { bytes, max: LABELS_BYTES_MAX });
        }
        let max = self.store.options.series_max;
        if index.len() >= max {
            count(&head.counters.series_limited, 1);
            return Err(Error::SeriesLimit { max });
        }
        let series = SeriesRef::new(self.ids.series).ok_or(Error::Exhausted("series"))?;
        index.insert(series, hash, labels);
        self.ids.series = self.ids.series.wrapping_add(1);
        count(&head.counters.series_created, 1);
        Ok(series)
    }

    /// Finds the series with these labels, if there is one.
    pub fn find(&self, labels: &Labels) -> Option<SeriesRef> {
        self.store.head.index.write().find(hash_labels(labels), labels)
    }

    /// Whether a series that was resolved before can be laid out again. Then it stays good as if it
    /// had just been resolved.
    pub fn keep(&mut self, series: SeriesRef) -> bool {
        self.store.head.index.write().keep(series)
    }

    /// Sets numbers aside for blocks that are written past the log, and makes that durable: the
    /// first series and the first layout of those that may be used.
    pub(crate) fn reserve(&mut self, series: u32, layouts: u32) -> Result<(u32, u32), Error> {
        let first = (self.ids.series, self.ids.layout);
        let next = first.0.checked_add(series).ok_or(Error::Exhausted("series"))?;
        self.ids.layout = first.1.checked_add(layouts).ok_or(Error::Exhausted("layouts"))?;
        self.ids.series = next;
        // The head of a segment says which numbers were given out.
        self.roll()?;
        Ok(first)
    }

    /// Names a new source.
    pub fn new_source(&mut self) -> SourceRef {
        let source = SourceRef(self.ids.source);
        self.ids.source = self.ids.source.wrapping_add(1);
        source
    }

    /// Starts a layout without columns for `source`.
    pub fn new_layout(&mut self, source: SourceRef) -> Result<LayoutRef, Error> {
        let head = &self.store.head;
        if head.is_closed() {
            return Err(Error::Closed);
        }
        let name = LayoutRef(self.ids.layout);
        self.ids.layout = name.0.checked_add(1).ok_or(Error::Exhausted("layouts"))?;
        let layout = Arc::new(Layout::new(name, source, head.window_ms));
        head.layouts.write().insert(name.0, Arc::clone(&layout));
        self.wal.define().layout(name, source);
        let (last, last_seq) = (None, RowSeq(0));
        let pen = Pen { layout, columns: 0, last, last_seq, full: false, refused: false };
        self.layouts.insert(name.0, pen);
        Ok(name)
    }

    /// Appends columns to a layout. Rows from now on have a value for each of them. A series must
    /// not stand twice in one layout.
    pub fn add_columns(&mut self, layout: LayoutRef, series: &[SeriesRef]) -> Result<(), Error> {
        let head = &self.store.head;
        if head.is_closed() {
            return Err(Error::Closed);
        }
        let pen = self.layouts.get_mut(layout.0).ok_or(Error::UnknownLayout(layout))?;
        if pen.columns + series.len() > COLUMNS_MAX {
            return Err(Error::ColumnLimit { layout, max: COLUMNS_MAX });
        }
        let mut index = head.index.write();
        if let Some(&unknown) = series.iter().find(|&&series| !index.contains(series)) {
            return Err(Error::UnknownSeries(unknown));
        }
        let start = u32::try_from(pen.columns).unwrap_or(u32::MAX);
        for (&series, column) in series.iter().zip(start..) {
            if !index.set_defined(series) {
                self.wal.define().series(series, index.texts(series.get()));
            }
            index.add_place(series, Place { layout, column: Column(column) })?;
        }
        self.wal.define().columns(layout, start, series);
        pen.layout.add_columns(series);
        pen.columns += series.len();
        pen.full = false;
        Ok(())
    }

    /// Says that no more rows will come for `layout`.
    pub fn drop_layout(&mut self, layout: LayoutRef) {
        if let Some(pen) = self.layouts.remove(layout.0) {
            pen.layout.drop_rows(&mut self.scratch);
            pen.layout.end();
            self.wal.drop_layout(layout);
            self.dropped.push(pen);
            self.forget_dropped();
        }
    }

    /// Appends a row: first to the log with one write, then to what snapshots see. On any error
    /// nothing was stored; but a row whose own sync failed ([`crate::Options::sync_each_row`]) may
    /// be back after a restart.
    ///
    /// Within the window that [`Store::set_out_of_order_window`] opens, a row may also be older
    /// than the last one of its layout, or than all that is not sealed yet. It is stored sample by
    /// sample then, beside what the series have in order; the place returned is that of the last.
    pub fn append(&mut self, row: &Row<'_>) -> Result<RowSeq, Error> {
        let name = row.layout;
        let pen = self.layouts.get_mut(name.0).ok_or(Error::UnknownLayout(name))?;
        let found = row.values.len();
        if found != pen.columns {
            return Err(Error::RowWidth { layout: name, expected: pen.columns, found });
        }
        // After a refusal the caller compares with a row that was never stored.
        let changed = if pen.refused { None } else { row.changed };
        let row = Row { changed, ..*row };
        pen.refused = true;
        if check_time(&self.store, pen.last, &row)? == Timing::Late {
            return self.append_row_late(&row);
        }
        if self.wal.wants_roll() {
            self.roll()?;
        }
        let head = &*self.store.head;
        let seq = self.wal.log_row(&row)?;
        if self.store.options.sync_each_row {
            self.store.sync()?;
        }
        let key = RowKey { at: row.at, seq };
        let pen = self.layouts.get_mut(name.0).ok_or(Error::UnknownLayout(name))?;
        if !pen.layout.push(key, row.values, || head.frozen_until(), &mut self.scratch) {
            return Err(too_old(&self.store, &row));
        }
        pen.refused = false;
        (pen.last, pen.last_seq) = (Some(row.at), seq);
        head.show(seq, row.at);
        count(&head.counters.rows_appended, 1);
        count(&head.counters.samples_appended, pen.count_present(&row));
        Ok(seq)
    }

    /// Begins a new segment of the log, with the definitions of the layouts in use.
    #[cold]
    fn roll(&mut self) -> Result<(), Error> {
        self.drop_idle_late();
        self.forget_dropped();
        let (layouts, wal) = (&self.layouts, &self.store.wal);
        let index = &self.store.head.index;
        // After a failed sync rows of dropped layouts have to be written again, too.
        let dropped: &[Pen] = if wal.has_failed() { &self.dropped } else { &[] };
        let pens: Vec<&Pen> = layouts.iter().map(|(_, pen)| pen).chain(dropped).collect();
        self.wal.roll(self.ids, &mut |step, definitions| {
            let Some(pen) = pens.get(step) else { return false };
            let columns = pen.layout.columns();
            // Not held while the segment is written.
            let index = index.read();
            // Columns of an earlier process may have lost their labels: nobody can ask for them.
            for &series in columns.iter().filter(|&&series| index.contains(series)) {
                definitions.series(series, index.texts(series.get()));
            }
            definitions.layout(pen.layout.name, pen.layout.source);
            definitions.columns(pen.layout.name, 0, &columns);
            true
        })?;
        let mut index = index.write();
        index.begin_segment();
        for (_, pen) in layouts.iter() {
            for &series in &*pen.layout.columns() {
                index.set_defined(series);
            }
        }
        drop(index);
        for pen in dropped {
            self.wal.drop_layout(pen.layout.name);
        }
        Ok(())
    }

    /// Forgets the dropped layouts whose rows are durable.
    fn forget_dropped(&mut self) {
        let synced = self.store.wal.synced_before();
        self.dropped.retain(|pen| pen.last_seq >= synced);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without a good end the next start only does a little more.
        if let Err(error) = self.wal.close() {
            tracing::warn!(%error, "the log is left without an end");
        }
    }
}

impl Pen {
    /// The layouts that `head` has from earlier processes, as dropped ones with rows up to
    /// `last_seq`.
    pub(crate) fn all(head: &Head, last_seq: RowSeq) -> Vec<Self> {
        let pen = |layout: Arc<Layout>| Self {
            columns: layout.columns().len(),
            last: layout.last(),
            last_seq,
            full: false,
            refused: false,
            layout,
        };
        head.all_layouts().into_iter().map(pen).collect()
    }

    /// Number of samples in the row that follows the last one.
    fn count_present(&mut self, row: &Row<'_>) -> u64 {
        let holes = match row.changed {
            // Only what changed can have become a hole.
            Some(changed) if self.full => {
                let is_hole = |column: &&Column| {
                    row.values.get(column.index()).is_some_and(|&value| is_absent(value))
                };
                changed.iter().filter(is_hole).count() as u64
            }
            _ => self.columns as u64 - present(row.values),
        };
        self.full = holes == 0;
        self.columns as u64 - holes
    }
}

/// How a row enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timing {
    InOrder,
    Late,
}

/// Whether a row may enter at its time, and how.
fn check_time(store: &Store, last: Option<Timestamp>, row: &Row<'_>) -> Result<Timing, Error> {
    let head = &store.head;
    if head.is_closed() {
        return Err(Error::Closed);
    }
    let at = row.at;
    if last == Some(at) {
        return refuse(&head.counters.samples_duplicate, row, Error::Duplicate { at });
    }
    let newest = store.clock.now().plus_millis(store.options.ahead_ms_max);
    if at > newest {
        let error = Error::TooFarAhead { at, newest };
        return refuse(&head.counters.samples_too_far_ahead, row, error);
    }
    let behind = last.filter(|&last| at < last);
    if behind.is_none() && at.0 >= head.frozen_until() {
        return Ok(Timing::InOrder);
    }
    match (head.late_from(), behind) {
        (Some(oldest), _) if at >= oldest => Ok(Timing::Late),
        (None, Some(last)) => {
            refuse(&head.counters.samples_out_of_order, row, Error::OutOfOrder { at, last })
        }
        _ => Err(too_old(store, row)),
    }
}

#[cold]
fn refuse(counter: &AtomicU64, row: &Row<'_>, error: Error) -> Result<Timing, Error> {
    count(counter, present(row.values));
    Err(error)
}

#[cold]
fn too_old(store: &Store, row: &Row<'_>) -> Error {
    let (head, counters) = (&store.head, &store.head.counters);
    let late_from = head.late_from();
    let counter = match late_from {
        Some(_) => &counters.samples_too_old,
        None => &counters.samples_out_of_bounds,
    };
    count(counter, present(row.values));
    let frozen = Timestamp(head.frozen_until());
    Error::TooOld { at: row.at, oldest: late_from.map_or(frozen, |late| late.min(frozen)) }
}

/// Number of values that are samples.
fn present(values: &[f64]) -> u64 {
    values.iter().map(|&value| u64::from(!is_absent(value))).sum()
}
