//! Rows: what enters the store, and what consumers of the sequence of rows get back.

use narthex_model::Timestamp;

use crate::{Column, LayoutRef, RowSeq};

/// One timestamp and one value per column of a layout.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The layout that names the columns.
    pub layout: LayoutRef,
    /// The time of all values.
    pub at: Timestamp,
    /// One value per column; [`narthex_model::ABSENT`] where the column has no sample.
    pub values: &'a [f64],
    /// The columns whose bits differ from the row before in this layout, each once; `None` when
    /// not known. Of a column left out although it differs, the old value may be stored.
    pub changed: Option<&'a [Column]>,
}

/// A row that was read back; its buffers are reused from row to row.
#[derive(Clone, Debug, Default)]
pub struct RowBuf {
    /// The row's place in the order of all rows.
    pub seq: RowSeq,
    /// The layout that names the columns.
    pub layout: LayoutRef,
    /// The time of all values.
    pub at: Timestamp,
    /// One value per column the layout had at that time.
    pub values: Vec<f64>,
    /// The columns whose bits differ from the row before in this layout.
    pub changed: Vec<Column>,
}
