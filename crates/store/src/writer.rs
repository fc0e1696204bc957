//! The only way in.

use std::sync::Arc;

use narthex_model::Labels;

use crate::{Error, LayoutRef, Row, RowSeq, SeriesRef, SourceRef, Store};

/// The one appender of a store.
///
/// A [`SeriesRef`] that [`Writer::resolve`] gave stays good while the series stands in a layout
/// that was not dropped, and for at least one window of time after; then
/// [`Writer::add_columns`] answers [`Error::UnknownSeries`] and the labels must be resolved again.
#[derive(Debug)]
pub struct Writer {
    pub(crate) store: Arc<Store>,
}

impl Writer {
    /// Finds the series with these labels, or creates it.
    pub fn resolve(&mut self, labels: &Labels) -> Result<SeriesRef, Error> {
        let _ = (labels, &self.store);
        Err(Error::Closed)
    }

    /// Names a new source.
    pub fn new_source(&mut self) -> SourceRef {
        SourceRef(0)
    }

    /// Starts a layout without columns for `source`.
    pub fn new_layout(&mut self, source: SourceRef) -> Result<LayoutRef, Error> {
        let _ = source;
        Err(Error::Closed)
    }

    /// Appends columns to a layout. Rows from now on have a value for each of them. A series must
    /// not stand twice in one layout.
    pub fn add_columns(&mut self, layout: LayoutRef, series: &[SeriesRef]) -> Result<(), Error> {
        let _ = (layout, series);
        Err(Error::Closed)
    }

    /// Says that no more rows will come for `layout`.
    pub fn drop_layout(&mut self, layout: LayoutRef) {
        let _ = layout;
    }

    /// Appends a row: first to the log with one write, then to what snapshots see. On any error
    /// nothing was stored.
    pub fn append(&mut self, row: &Row<'_>) -> Result<RowSeq, Error> {
        let _ = row;
        Err(Error::Closed)
    }
}
