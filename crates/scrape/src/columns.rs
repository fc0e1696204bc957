//! The columns of one target's layout and the row that is being filled for them.

use std::collections::HashSet;

use narthex_model::{ABSENT, Hashing, STALE, Timestamp, is_absent, is_stale};
use narthex_store::{Column, LayoutRef, Row, RowSeq, SeriesRef, Writer};

/// A layout with its current row. A column whose series left gets the staleness marker in one
/// row and is [`ABSENT`] from the next on.
#[derive(Debug)]
pub(crate) struct Columns {
    layout: LayoutRef,
    series: Vec<SeriesRef>,
    row: Vec<f64>,
    /// Columns whose bits differ from the last row that the store took.
    changed: Vec<Column>,
    /// Columns that hold the staleness marker in the current row.
    stale: Vec<Column>,
    /// A column may stand in `changed` twice.
    untidy: bool,
    /// The store refused a row: what it saw last is not what `changed` is relative to.
    out_of_step: bool,
    /// Columns that hold neither a hole nor a marker.
    live: usize,
}

impl Columns {
    /// An empty layout.
    pub(crate) fn new(layout: LayoutRef) -> Self {
        Self {
            layout,
            series: Vec::new(),
            row: Vec::new(),
            changed: Vec::new(),
            stale: Vec::new(),
            untidy: false,
            out_of_step: false,
            live: 0,
        }
    }

    pub(crate) fn layout(&self) -> LayoutRef {
        self.layout
    }

    /// How many columns there are, dead ones included.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// How many columns hold a sample now.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn series(&self) -> &[SeriesRef] {
        &self.series
    }

    /// Adds columns for `series` at the end, without samples.
    pub(crate) fn add(
        &mut self,
        writer: &mut Writer,
        series: &[SeriesRef],
    ) -> Result<(), narthex_store::Error> {
        if !series.is_empty() {
            writer.add_columns(self.layout, series)?;
            self.series.extend_from_slice(series);
            self.row.resize(self.series.len(), ABSENT);
        }
        Ok(())
    }

    /// Gives back room that only growing needed.
    pub(crate) fn shrink(&mut self) {
        self.series.shrink_to_fit();
        self.row.shrink_to_fit();
        self.changed.shrink_to(self.row.len() / 2);
        self.stale.shrink_to_fit();
    }

    /// Begins a row: what was stale in the one before is gone from this one.
    pub(crate) fn begin(&mut self) {
        if self.out_of_step {
            // The markers were refused with their row, so they stand in the next one as well.
            return;
        }
        for column in self.stale.drain(..) {
            if let Some(value) = self.row.get_mut(column.0 as usize)
                && is_stale(*value)
            {
                *value = ABSENT;
                self.changed.push(column);
                self.untidy = true;
            }
        }
    }

    /// The column's value in the current row.
    pub(crate) fn get(&self, column: Column) -> f64 {
        self.row.get(column.0 as usize).copied().unwrap_or(ABSENT)
    }

    /// Sets a column that has a new value.
    #[inline]
    pub(crate) fn set(&mut self, column: Column, value: f64) {
        if let Some(slot) = self.row.get_mut(column.0 as usize) {
            self.live += usize::from(is_absent(*slot) || is_stale(*slot));
            *slot = value;
            self.changed.push(column);
        }
    }

    /// Marks the end of a column's series, if it has one now.
    pub(crate) fn end(&mut self, column: Column) {
        if let Some(slot) = self.row.get_mut(column.0 as usize)
            && !is_absent(*slot)
            && !is_stale(*slot)
        {
            *slot = STALE;
            self.live -= 1;
            self.changed.push(column);
            self.stale.push(column);
            self.untidy = true;
        }
    }

    /// Takes a column's sample away without a marker.
    pub(crate) fn blank(&mut self, column: Column) {
        if let Some(slot) = self.row.get_mut(column.0 as usize)
            && !is_absent(*slot)
        {
            self.live -= usize::from(!is_stale(*slot));
            *slot = ABSENT;
            self.changed.push(column);
            self.untidy = true;
        }
    }

    /// Marks the end of every column from `first` on.
    pub(crate) fn end_all(&mut self, first: usize) {
        for index in first..self.series.len() {
            self.end(column(index));
        }
    }

    /// Takes a column's sample away without a marker and tells its series, if there was one.
    pub(crate) fn take(&mut self, column: Column) -> Option<SeriesRef> {
        let value = self.get(column);
        if is_absent(value) || is_stale(value) {
            return None;
        }
        self.blank(column);
        self.series.get(column.0 as usize).copied()
    }

    /// Marks the end of every column, but takes the sample of a series in `still` away without a
    /// marker: it goes on elsewhere.
    pub(crate) fn end_except(&mut self, still: &HashSet<SeriesRef, Hashing>) {
        for index in 0..self.series.len() {
            match self.series.get(index) {
                Some(series) if still.contains(series) => self.blank(column(index)),
                _ => self.end(column(index)),
            }
        }
    }

    /// The series of the columns that hold a sample now.
    pub(crate) fn live_series(&self) -> HashSet<SeriesRef, Hashing> {
        let pairs = self.series.iter().zip(&self.row);
        pairs.filter(|(_, v)| !is_absent(**v) && !is_stale(**v)).map(|(s, _)| *s).collect()
    }

    /// Hands the row to the store. When it is refused nothing is stored, and the next row is
    /// offered whole.
    pub(crate) fn append(
        &mut self,
        writer: &mut Writer,
        at: Timestamp,
    ) -> Result<RowSeq, narthex_store::Error> {
        if self.untidy {
            self.changed.sort_unstable();
            self.changed.dedup();
            self.untidy = false;
        }
        let changed = (!self.out_of_step).then_some(self.changed.as_slice());
        let row = Row { layout: self.layout, at, values: &self.row, changed };
        let answer = writer.append(&row);
        self.out_of_step = answer.is_err();
        self.changed.clear();
        answer
    }
}

/// The column with the given index.
pub(crate) fn column(index: usize) -> Column {
    Column(u32::try_from(index).unwrap_or(u32::MAX))
}
