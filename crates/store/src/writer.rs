//! The only way in.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use narthex_model::{Labels, Timestamp, is_absent};

use crate::head::index::{Place, hash_labels};
use crate::head::layout::Layout;
use crate::head::mini::{RowKey, Scratch};
use crate::head::{Pages, count};
use crate::options::{COLUMNS_MAX, LABELS_BYTES_MAX};
use crate::{Column, Error, LayoutRef, Row, RowSeq, SeriesRef, SourceRef, Store};

/// The one appender of a store.
///
/// A [`SeriesRef`] that [`Writer::resolve`] gave stays good while the series stands in a layout
/// that was not dropped, and for at least one window of time after; then
/// [`Writer::add_columns`] answers [`Error::UnknownSeries`] and the labels must be resolved again.
#[derive(Debug)]
pub struct Writer {
    pub(crate) store: Arc<Store>,
    pub(crate) layouts: Pages<Pen>,
    pub(crate) next: Next,
    pub(crate) scratch: Scratch,
}

/// A layout as its writer holds it.
#[derive(Debug)]
pub(crate) struct Pen {
    layout: Arc<Layout>,
    columns: usize,
    last: Option<Timestamp>,
}

/// The next number of each kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    pub(crate) series: u32,
    pub(crate) source: u32,
    pub(crate) layout: u32,
    pub(crate) seq: RowSeq,
}

impl Default for Next {
    fn default() -> Self {
        Self { series: 1, source: 1, layout: 1, seq: RowSeq(1) }
    }
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
        let series = SeriesRef::new(self.next.series).ok_or(Error::Exhausted("series"))?;
        index.insert(series, hash, labels);
        self.next.series = self.next.series.wrapping_add(1);
        count(&head.counters.series_created, 1);
        Ok(series)
    }

    /// Names a new source.
    pub fn new_source(&mut self) -> SourceRef {
        let source = SourceRef(self.next.source);
        self.next.source = self.next.source.wrapping_add(1);
        source
    }

    /// Starts a layout without columns for `source`.
    pub fn new_layout(&mut self, source: SourceRef) -> Result<LayoutRef, Error> {
        let head = &self.store.head;
        if head.is_closed() {
            return Err(Error::Closed);
        }
        let name = LayoutRef(self.next.layout);
        self.next.layout = name.0.checked_add(1).ok_or(Error::Exhausted("layouts"))?;
        let layout = Arc::new(Layout::new(name, source, head.window_ms));
        head.layouts.write().insert(name.0, Arc::clone(&layout));
        self.layouts.insert(name.0, Pen { layout, columns: 0, last: None });
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
        for (&series, column) in series.iter().zip(pen.columns..) {
            let column = Column(u32::try_from(column).unwrap_or(u32::MAX));
            index.add_place(series, Place { layout, column })?;
        }
        pen.layout.add_columns(series);
        pen.columns += series.len();
        Ok(())
    }

    /// Says that no more rows will come for `layout`.
    pub fn drop_layout(&mut self, layout: LayoutRef) {
        if let Some(pen) = self.layouts.remove(layout.0) {
            pen.layout.drop_rows(&mut self.scratch);
        }
    }

    /// Appends a row: first to the log with one write, then to what snapshots see. On any error
    /// nothing was stored.
    pub fn append(&mut self, row: &Row<'_>) -> Result<RowSeq, Error> {
        let head = &*self.store.head;
        let name = row.layout;
        let pen = self.layouts.get_mut(name.0).ok_or(Error::UnknownLayout(name))?;
        let found = row.values.len();
        if found != pen.columns {
            return Err(Error::RowWidth { layout: name, expected: pen.columns, found });
        }
        check_time(&self.store, pen.last, row)?;
        let key = RowKey { at: row.at, seq: self.next.seq };
        if !pen.layout.push(key, row.values, || head.frozen_until(), &mut self.scratch) {
            return Err(too_old(&self.store, row));
        }
        pen.last = Some(row.at);
        self.next.seq = key.seq.next();
        head.show(key.seq, key.at);
        count(&head.counters.rows_appended, 1);
        count(&head.counters.samples_appended, present(row.values));
        Ok(key.seq)
    }
}

/// Whether a row may enter at its time.
fn check_time(store: &Store, last: Option<Timestamp>, row: &Row<'_>) -> Result<(), Error> {
    let head = &store.head;
    if head.is_closed() {
        return Err(Error::Closed);
    }
    let at = row.at;
    match last {
        Some(last) if at == last => {
            return refuse(&head.counters.samples_duplicate, row, Error::Duplicate { at });
        }
        Some(last) if at < last => {
            return refuse(
                &head.counters.samples_out_of_order,
                row,
                Error::OutOfOrder { at, last },
            );
        }
        _ => {}
    }
    if at.0 < head.frozen_until() {
        return Err(too_old(store, row));
    }
    let newest = store.clock.now().plus_millis(store.options.ahead_ms_max);
    if at > newest {
        let error = Error::TooFarAhead { at, newest };
        return refuse(&head.counters.samples_too_far_ahead, row, error);
    }
    Ok(())
}

#[cold]
fn refuse(counter: &AtomicU64, row: &Row<'_>, error: Error) -> Result<(), Error> {
    count(counter, present(row.values));
    Err(error)
}

#[cold]
fn too_old(store: &Store, row: &Row<'_>) -> Error {
    count(&store.head.counters.samples_too_old, present(row.values));
    Error::TooOld { at: row.at, oldest: Timestamp(store.head.frozen_until()) }
}

/// Number of values that are samples.
fn present(values: &[f64]) -> u64 {
    values.iter().map(|&value| u64::from(!is_absent(value))).sum()
}
