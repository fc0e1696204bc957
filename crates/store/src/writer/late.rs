//! Taking in what comes out of order.

use std::collections::{BTreeMap, HashMap};

use narthex_model::{ABSENT, Hashing, Timestamp, is_absent};

use super::Writer;
use crate::head::count;
use crate::head::mini::RowKey;
use crate::{Column, Error, LayoutRef, Row, RowSeq, SeriesRef, SourceRef};

/// Most layouts of late rows at a time. Series that come together share one.
const LAYOUTS_MAX: usize = 1024;

/// Columns of such a layout, beyond which a series gets another one.
const COLUMNS_MAX: usize = 4096;

/// Late samples held in memory at most; more are refused as too old until some went to a block.
const SAMPLES_MAX: u64 = 4 << 20;

/// Where late samples go.
#[derive(Debug, Default)]
pub(crate) struct LateLayouts {
    places: HashMap<SeriesRef, (LayoutRef, Column), Hashing>,
    /// Each with its number of columns, and whether a row came since the log began a segment.
    layouts: BTreeMap<LayoutRef, (usize, bool)>,
}

impl Writer {
    /// How far behind the newest row others may come, in milliseconds; 0: rows come in order.
    pub fn out_of_order_window_ms(&self) -> i64 {
        self.store.head.late_window_ms()
    }

    /// Whether samples may come out of order at all.
    pub fn takes_late(&self) -> bool {
        self.store.head.late_window_ms() > 0
    }

    /// Appends samples at `at` of series that have newer ones already, as
    /// [`Store::set_out_of_order_window`] allows. A sample at an instant at which its series has
    /// one is not seen: the first stays. Returns the place of the last row written, if any.
    ///
    /// [`Error::TooOld`] behind the window, or when memory holds as many late samples as it may;
    /// [`Error::OutOfOrder`] without a window; both are counted.
    pub fn append_late(
        &mut self,
        at: Timestamp,
        samples: &[(SeriesRef, f64)],
    ) -> Result<RowSeq, Error> {
        let head = &self.store.head;
        if head.is_closed() {
            return Err(Error::Closed);
        }
        let new = samples.len() as u64;
        match head.late_from() {
            None => {
                count(&head.counters.samples_out_of_order, new);
                return Err(Error::OutOfOrder { at, last: head.max_time().unwrap_or(at) });
            }
            Some(oldest) if at < oldest || head.late_samples() + new > SAMPLES_MAX => {
                count(&head.counters.samples_too_old, new);
                return Err(Error::TooOld { at, oldest });
            }
            Some(_) => {}
        }
        // ORDER: first of all, for a new segment drops the layouts that were idle.
        if self.wal.wants_roll() {
            self.roll()?;
        }
        self.house(samples)?;
        let mut rows: BTreeMap<LayoutRef, Vec<(Column, f64)>> = BTreeMap::new();
        for &(series, value) in samples {
            if let Some(&(layout, column)) = self.late.places.get(&series) {
                rows.entry(layout).or_default().push((column, value));
            }
        }
        for layout in rows.keys() {
            if let Some((_, used)) = self.late.layouts.get_mut(layout) {
                *used = true;
            }
        }
        let mut last = self.store.head.last_seq();
        for (layout, mut samples) in rows {
            samples.sort_by_key(|&(column, _)| column);
            samples.dedup_by_key(|&mut (column, _)| column);
            last = self.log_late(layout, at, samples)?.unwrap_or(last);
        }
        Ok(last)
    }

    /// Appends the samples of a row that is too old for its own layout, or for any.
    pub(super) fn append_row_late(&mut self, row: &Row<'_>) -> Result<RowSeq, Error> {
        let layout = self.store.head.layout(row.layout);
        let columns = layout.ok_or(Error::UnknownLayout(row.layout))?.columns();
        let samples = columns.iter().copied().zip(row.values.iter().copied());
        let samples: Vec<_> = samples.filter(|&(_, value)| !is_absent(value)).collect();
        self.append_late(row.at, &samples)
    }

    /// Gives each series a column in a layout of late rows.
    fn house(&mut self, samples: &[(SeriesRef, f64)]) -> Result<(), Error> {
        let homeless: Vec<SeriesRef> = samples
            .iter()
            .map(|&(series, _)| series)
            .filter(|series| !self.late.places.contains_key(series))
            .collect();
        let mut rest = homeless.as_slice();
        while !rest.is_empty() {
            let last = self.late.layouts.last_key_value().map(|(&name, &(width, _))| (name, width));
            let (layout, width) = match last {
                Some((name, width))
                    if width < COLUMNS_MAX && self.late.layouts.len() >= LAYOUTS_MAX =>
                {
                    (name, width)
                }
                _ => (self.new_layout(SourceRef::LATE)?, 0),
            };
            let (now, later) = rest.split_at(rest.len().min(COLUMNS_MAX - width));
            self.add_columns(layout, now)?;
            for (&series, column) in now.iter().zip((0..).skip(width)) {
                let column = Column(u32::try_from(column).unwrap_or(u32::MAX));
                self.late.places.insert(series, (layout, column));
            }
            self.late.layouts.insert(layout, (width + now.len(), true));
            rest = later;
        }
        Ok(())
    }

    /// Writes those of the samples that are new as one row; `None` if there is none.
    fn log_late(
        &mut self,
        name: LayoutRef,
        at: Timestamp,
        mut samples: Vec<(Column, f64)>,
    ) -> Result<Option<RowSeq>, Error> {
        let head = &*self.store.head;
        let layout = head.layout(name).ok_or(Error::UnknownLayout(name))?;
        samples.retain(|&(column, _)| !layout.has_late_sample(column, at));
        let Some((width, _)) = self.late.layouts.get(&name) else { return Ok(None) };
        if samples.is_empty() {
            return Ok(None);
        }
        let mut values = vec![ABSENT; *width];
        for &(column, value) in &samples {
            if let Some(place) = values.get_mut(column.index()) {
                *place = value;
            }
        }
        let head = &*self.store.head;
        let row = Row { layout: name, at, values: &values, changed: None };
        let seq = self.wal.log_row(&row)?;
        let new = samples.len() as u64;
        layout.push_late(RowKey { at, seq }, samples.into());
        if let Some(pen) = self.layouts.get_mut(name.0) {
            (pen.last, pen.last_seq) = (Some(at), seq);
        }
        head.add_late(new);
        head.show(seq, at);
        count(&head.counters.rows_appended, 1);
        count(&head.counters.samples_appended, new);
        count(&head.counters.samples_late, new);
        Ok(Some(seq))
    }

    /// Drops the layouts that got no row since the log began its last segment.
    pub(super) fn drop_idle_late(&mut self) {
        let mut idle = Vec::new();
        for (&name, (_, used)) in &mut self.late.layouts {
            if !std::mem::take(used) {
                idle.push(name);
            }
        }
        if idle.is_empty() {
            return;
        }
        for &name in &idle {
            self.late.layouts.remove(&name);
            self.drop_layout(name);
        }
        self.late.places.retain(|_, (layout, _)| !idle.contains(layout));
    }
}
