//! A layout's rows in a range of time, for a reader of many columns.

use std::sync::Arc;

use narthex_model::{ABSENT, TimeRange, Timestamp, is_absent};

use super::layout::Sight;
use super::mini::{Mini, RowKey};
use crate::Column;
use crate::codec::Decoder;

/// Rows of a layout, taken once: its columns are then read without its lock.
#[derive(Debug)]
pub(crate) struct Glance {
    /// Compressed rows, some of which may lie outside.
    minis: Vec<Arc<Mini>>,
    /// The rows behind those, row after row, `stride` values each.
    open: Vec<f64>,
    stride: usize,
    /// The times of all of them.
    times: Vec<Timestamp>,
    /// Those that lie inside and are visible.
    first: usize,
    end: usize,
}

impl Glance {
    /// Of the rows in `minis` and the open ones behind them those in `range` that `sight` shows.
    pub(super) fn new(
        minis: Vec<Arc<Mini>>,
        (keys, open, stride): (&[RowKey], Vec<f64>, usize),
        range: TimeRange,
        sight: Sight,
    ) -> Self {
        let rows = minis.iter().map(|mini| mini.rows()).sum::<usize>() + keys.len();
        let mut times = Vec::with_capacity(rows);
        let (mut first, mut end) = (0, 0);
        for key in minis.iter().flat_map(|mini| mini.keys()).chain(keys.iter().copied()) {
            times.push(key.at);
            if key.at < range.start {
                first = times.len();
            }
            if key.at <= range.end && key.seq <= sight.seq {
                end = times.len();
            }
        }
        Self { minis, open, stride, times, first, end: end.max(first) }
    }

    /// Appends the samples of a column, in order of time. Damaged chunks are left out; their
    /// number is returned.
    pub(crate) fn read(
        &self,
        column: Column,
        decoder: &mut Decoder,
        times: &mut Vec<Timestamp>,
        values: &mut Vec<f64>,
    ) -> usize {
        let column = column.index();
        let (start, mut damaged) = (values.len(), 0);
        for mini in &self.minis {
            let before = values.len();
            if mini.column(column, decoder, values).is_err() {
                damaged += 1;
                values.resize(before + mini.rows(), ABSENT);
            }
        }
        if column < self.stride {
            let rows = self.open.chunks_exact(self.stride);
            values.extend(rows.map(|row| row.get(column).copied().unwrap_or(ABSENT)));
        } else {
            values.resize(start + self.times.len(), ABSENT);
        }
        values.truncate(start + self.end);
        values.drain(start..values.len().min(start + self.first));
        let shown = self.times.get(self.first..self.end).unwrap_or(&[]);
        let found = values.get(start..).unwrap_or(&[]);
        if !found.iter().fold(false, |any, &value| any | is_absent(value)) {
            times.extend_from_slice(shown);
            return damaged;
        }
        times.extend(shown.iter().zip(found).filter(|(_, v)| !is_absent(**v)).map(|(&at, _)| at));
        let mut kept = start;
        for row in start..values.len() {
            let Some(&value) = values.get(row) else { break };
            if let (false, Some(place)) = (is_absent(value), values.get_mut(kept)) {
                *place = value;
                kept += 1;
            }
        }
        values.truncate(kept);
        damaged
    }
}
