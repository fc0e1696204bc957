//! Rows that came late: out of the order of time, or for a window that is sealed already.
//!
//! They have layouts of their own, whose source is [`SourceRef::LATE`] and whose rows may come in
//! any order. They are few, so they are held as they came, and a series' samples are put together
//! with those of its other layouts when they are read. Once their window is sealed they go to a
//! block beside the window's own.

use std::collections::BTreeMap;

use narthex_model::{TimeRange, Timestamp};

use super::layout::{Layout, Sight};
use super::mini::RowKey;
use crate::{Column, RowSeq, SourceRef};

impl SourceRef {
    /// The source of all layouts of late rows.
    pub(crate) const LATE: Self = Self(u32::MAX);
}

/// Which late rows blocks have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LateMark {
    /// Those up to this one...
    pub(crate) seq: RowSeq,
    /// ...that are before this time.
    pub(crate) until: Timestamp,
}

impl LateMark {
    /// Whether a block has this row.
    pub(crate) fn covers(self, key: RowKey) -> bool {
        key.seq <= self.seq && key.at < self.until
    }
}

impl Layout {
    /// Whether its rows are late ones.
    pub(crate) fn is_late(&self) -> bool {
        self.late.is_some()
    }

    /// Takes a late row, whose samples are in order of columns.
    pub(crate) fn push_late(&self, key: RowKey, samples: LateRow) {
        self.pass(key.seq);
        if let Some(late) = &self.late {
            late.lock().push(key, samples);
        }
    }

    /// Whether `column` has a late sample at `at`.
    pub(crate) fn has_late_sample(&self, column: Column, at: Timestamp) -> bool {
        self.late.as_ref().is_some_and(|late| late.lock().has_sample(column, at))
    }

    /// Calls `each` with the late rows that `mark` covers and `before` did not, by time.
    pub(crate) fn each_late(
        &self,
        mark: LateMark,
        before: LateMark,
        mut each: impl FnMut(RowKey, &LateRow),
    ) {
        if let Some(late) = &self.late {
            late.lock().covered(mark, before).for_each(|(key, row)| each(key, row));
        }
    }

    /// How many late samples `mark` covers that `before` did not.
    pub(crate) fn late_waiting(&self, mark: LateMark, before: LateMark) -> u64 {
        let mut samples = 0;
        self.each_late(mark, before, |_, row| samples += row.len() as u64);
        samples
    }

    /// Drops the late rows that `mark` covers; returns how many samples went.
    pub(crate) fn forget_late(&self, mark: LateMark) -> u64 {
        self.late.as_ref().map_or(0, |late| late.lock().forget(mark))
    }
}

/// The samples of a row.
pub(crate) type LateRow = Box<[(Column, f64)]>;

/// The late rows of a layout.
#[derive(Debug, Default)]
pub(crate) struct LateRows {
    rows: BTreeMap<(Timestamp, RowSeq), LateRow>,
    samples: u64,
}

impl LateRows {
    /// Takes a row.
    pub(crate) fn push(&mut self, key: RowKey, samples: LateRow) {
        self.samples += samples.len() as u64;
        self.rows.insert((key.at, key.seq), samples);
    }

    /// Whether there is a sample of `column` at `at`.
    pub(crate) fn has_sample(&self, column: Column, at: Timestamp) -> bool {
        self.within(TimeRange::new(at, at)).any(|(_, row)| find(row, column).is_some())
    }

    /// Whether `column` has a sample in `range` that `sight` shows.
    pub(crate) fn has(&self, column: Column, range: TimeRange, sight: Sight) -> bool {
        self.samples_of(column, range, sight).next().is_some()
    }

    /// The samples of `column` in `range` that `sight` shows, in order of time.
    pub(crate) fn samples_of(
        &self,
        column: Column,
        range: TimeRange,
        sight: Sight,
    ) -> impl Iterator<Item = (RowKey, f64)> {
        self.within(range)
            .filter(move |(key, _)| key.seq <= sight.seq && !sight.late.covers(*key))
            .filter_map(move |(key, row)| Some((key, find(row, column)?)))
    }

    /// The rows that `mark` covers and `before` did not.
    pub(crate) fn covered(
        &self,
        mark: LateMark,
        before: LateMark,
    ) -> impl Iterator<Item = (RowKey, &LateRow)> {
        let all = self.within(TimeRange::new(Timestamp::MIN, mark.until));
        all.filter(move |(key, _)| mark.covers(*key) && !before.covers(*key))
    }

    /// Drops the rows that `mark` covers; returns how many samples went.
    pub(crate) fn forget(&mut self, mark: LateMark) -> u64 {
        let before = self.samples;
        self.rows.retain(|&(at, seq), row| {
            let stays = !mark.covers(RowKey { at, seq });
            self.samples -= if stays { 0 } else { row.len() as u64 };
            stays
        });
        before - self.samples
    }

    /// The first row in the order of all rows.
    pub(crate) fn first_seq(&self) -> Option<RowSeq> {
        self.rows.keys().map(|&(_, seq)| seq).min()
    }

    /// Number of samples.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    fn within(&self, range: TimeRange) -> impl Iterator<Item = (RowKey, &LateRow)> {
        let (from, to) = ((range.start, RowSeq(0)), (range.end, RowSeq(u64::MAX)));
        let rows = (from <= to).then(|| self.rows.range(from..=to));
        rows.into_iter().flatten().map(|(&(at, seq), row)| (RowKey { at, seq }, row))
    }
}

fn find(row: &LateRow, column: Column) -> Option<f64> {
    let at = row.binary_search_by_key(&column, |&(column, _)| column).ok()?;
    row.get(at).map(|&(_, value)| value)
}
