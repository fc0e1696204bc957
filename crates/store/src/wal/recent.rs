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
    /// All rows from this place on are here, or were and nobody needs them any more; `None` before
    /// the first row.
    from: Option<RowSeq>,
    last: RowSeq,
    samples: usize,
    /// Rows whose memory can be used again: the last that was put here is likely in a cache.
    spare: Vec<Kept>,
    spare_samples: usize,
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

    /// Hands over the first row from the place `next` on in `out`; `false` when there is none yet.
    /// `None` when only the log knows, for rows may be missing here.
    ///
    /// While only one follows, its memory is exchanged for that of the row, which is gone then.
    pub(crate) fn get(&self, next: RowSeq, out: &mut RowBuf) -> Option<bool> {
        let mut ring = self.ring.lock();
        ring.from.filter(|&from| from <= next)?;
        if self.followers.load(Ordering::Relaxed) == 1 {
            return Some(ring.take(next, out));
        }
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
        if self.from.is_some() && self.last >= seq {
            return;
        }
        self.from.get_or_insert(seq);
        self.last = seq;
        while self.samples + row.values.len() > SAMPLES_MAX
            && let Some(first) = self.pop()
        {
            self.save(first);
        }
        let mut kept = self.spare.pop().unwrap_or_default();
        self.spare_samples -= kept.values.capacity();
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

    /// Takes the first row from `next` on out, in exchange for the memory of `out`.
    fn take(&mut self, next: RowSeq, out: &mut RowBuf) -> bool {
        while let Some(mut row) = self.pop() {
            let found = row.seq >= next;
            if found {
                (out.seq, out.layout, out.at) = (row.seq, row.layout, row.at);
                std::mem::swap(&mut out.values, &mut row.values);
                if let Some(changed) = &mut row.changed {
                    std::mem::swap(&mut out.changed, changed);
                } else {
                    out.changed.clear();
                    out.changed.extend((0..).take(out.values.len()).map(Column));
                }
            }
            self.save(row);
            if found {
                return true;
            }
        }
        false
    }

    fn pop(&mut self) -> Option<Kept> {
        let first = self.rows.pop_front()?;
        self.samples -= first.values.len();
        self.from = Some(first.seq.next());
        Some(first)
    }

    /// Keeps the memory of a row, as far as there is room.
    fn save(&mut self, row: Kept) {
        let samples = row.values.capacity();
        if self.samples + self.spare_samples + samples <= SAMPLES_MAX {
            self.spare_samples += samples;
            self.spare.push(row);
        }
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
        // The only one who follows takes the rows out.
        assert_eq!(recent.get(RowSeq(99_000), &mut out), Some(true));
        assert_eq!((out.seq, out.values.len(), out.changed.len()), (RowSeq(99_000), 3, 3));
        assert_eq!(recent.get(RowSeq(99_000), &mut out), None);
        assert_eq!(recent.get(RowSeq(99_999), &mut out), Some(true));
        assert_eq!(recent.get(RowSeq(100_000), &mut out), Some(false));
        push(100_000, Some(&[Column(1)]));
        assert_eq!(recent.get(RowSeq(100_000), &mut out), Some(true));
        assert_eq!((out.values.len(), &*out.changed), (3, &[Column(1)][..]));
        assert_eq!(recent.get(RowSeq(100_001), &mut out), Some(false));
        {
            let ring = recent.ring.lock();
            assert!(ring.samples + ring.spare_samples <= SAMPLES_MAX);
            assert_eq!(
                ring.spare_samples,
                ring.spare.iter().map(|row| row.values.capacity()).sum()
            );
        }
        recent.leave();
        assert_eq!(recent.get(RowSeq(100_001), &mut out), None);
    }
}
