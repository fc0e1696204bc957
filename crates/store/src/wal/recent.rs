//! The last rows as they were appended, for readers that are close behind the writer: they need
//! not read back and decode what was in memory a moment ago.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use narthex_model::Timestamp;
use parking_lot::Mutex;

use crate::{Column, LayoutRef, Row, RowBuf, RowSeq};

/// Most samples that are kept, of eight bytes each; at least one row is.
const SAMPLES_MAX: usize = 128 << 10;

/// The last rows; none while nobody follows.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    followers: AtomicUsize,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    rows: VecDeque<Kept>,
    samples: usize,
    /// Rows whose memory can be used again.
    spare: Vec<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    seq: RowSeq,
    layout: LayoutRef,
    at: Timestamp,
    values: Vec<f64>,
    /// All may differ when it is `None`.
    changed: Option<Vec<Column>>,
}

impl Recent {
    /// Somebody follows the rows from now on.
    pub(crate) fn follow(&self) {
        self.followers.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody who followed is gone.
    pub(crate) fn leave(&self) {
        if self.followers.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.ring.lock() = Ring::default();
        }
    }

    /// Keeps a row that was written, if it is newer than all before.
    pub(super) fn push(&self, seq: RowSeq, row: &Row<'_>) {
        if self.followers.load(Ordering::Relaxed) > 0 {
            self.ring.lock().push(seq, row);
        }
    }

    /// Copies the first row from the place `next` on to `out`; `false` when there is none yet.
    /// `None` when only the log knows, for rows may be missing here.
    pub(crate) fn get(&self, next: RowSeq, out: &mut RowBuf) -> Option<bool> {
        let ring = self.ring.lock();
        ring.rows.front().filter(|first| first.seq <= next)?;
        let place = ring.rows.partition_point(|row| row.seq < next);
        let Some(row) = ring.rows.get(place) else { return Some(false) };
        (out.seq, out.layout, out.at) = (row.seq, row.layout, row.at);
        out.values.clear();
        out.values.extend_from_slice(&row.values);
        out.changed.clear();
        match &row.changed {
            Some(changed) => out.changed.extend_from_slice(changed),
            None => out.changed.extend((0..).take(row.values.len()).map(Column)),
        }
        Some(true)
    }
}

impl Ring {
    fn push(&mut self, seq: RowSeq, row: &Row<'_>) {
        if self.rows.back().is_some_and(|last| last.seq >= seq) {
            return;
        }
        while self.samples + row.values.len() > SAMPLES_MAX
            && let Some(first) = self.rows.pop_front()
        {
            self.samples -= first.values.len();
            if self.spare.is_empty() {
                self.spare.push(first);
            }
        }
        let mut kept = self.spare.pop().unwrap_or_default();
        (kept.seq, kept.layout, kept.at) = (seq, row.layout, row.at);
        kept.values.clear();
        kept.values.extend_from_slice(row.values);
        let mut room = kept.changed.take().unwrap_or_default();
        kept.changed = row.changed.map(|changed| {
            room.clear();
            room.extend_from_slice(changed);
            room
        });
        self.samples += kept.values.len();
        self.rows.push_back(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_rows_for_those_who_follow() {
        let recent = Recent::default();
        let mut out = RowBuf::default();
        let push = |seq: u64, changed: Option<&[Column]>| {
            let values = [1.0, 2.0, 3.0];
            let row = Row {
                layout: LayoutRef(7),
                at: Timestamp(seq.cast_signed()),
                values: &values,
                changed,
            };
            recent.push(RowSeq(seq), &row);
        };
        push(1, None);
        assert_eq!(recent.get(RowSeq(1), &mut out), None);
        recent.follow();
        push(5, None);
        push(9, Some(&[Column(2)]));
        push(4, None);
        // Rows before the first may be anywhere; behind the last there is none.
        assert_eq!(recent.get(RowSeq(4), &mut out), None);
        assert_eq!(recent.get(RowSeq(10), &mut out), Some(false));
        assert_eq!(recent.get(RowSeq(5), &mut out), Some(true));
        assert_eq!((out.seq, out.changed.len()), (RowSeq(5), 3));
        for next in 6..=9 {
            assert_eq!(recent.get(RowSeq(next), &mut out), Some(true));
            assert_eq!(
                (out.seq, out.at, &*out.changed),
                (RowSeq(9), Timestamp(9), &[Column(2)][..])
            );
        }
        for seq in 10..100_000 {
            push(seq, None);
        }
        assert!(recent.ring.lock().samples <= SAMPLES_MAX);
        assert_eq!(recent.get(RowSeq(10), &mut out), None);
        assert_eq!(recent.get(RowSeq(99_999), &mut out), Some(true));
        recent.leave();
        assert_eq!(recent.get(RowSeq(99_999), &mut out), None);
    }
}
