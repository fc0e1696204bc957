//! What the retention removed although somebody had still to read it.

use std::collections::VecDeque;
use std::ops::Range;

use parking_lot::Mutex;

use crate::RowSeq;

/// Parts that are remembered; older ones are then counted as one.
const PARTS_MAX: usize = 1 << 16;

/// Rows that are gone, for readers that come to where they stood. Since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Aged {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    parts: VecDeque<Part>,
    /// How many parts there ever were.
    count: u64,
    rows: u64,
}

/// Rows of one layout, spread evenly over their places.
#[derive(Clone, Copy, Debug)]
struct Part {
    first: RowSeq,
    last: RowSeq,
    rows: u64,
}

impl Aged {
    /// Takes note that `rows` rows, the first and the last with these places, are gone.
    pub(crate) fn add(&self, (first, last): (RowSeq, RowSeq), rows: u64) {
        let mut inner = self.inner.lock();
        inner.rows += rows;
        inner.count += 1;
        inner.parts.push_back(Part { first, last, rows });
        if inner.parts.len() > PARTS_MAX
            && let Some(oldest) = inner.parts.pop_front()
            && let Some(next) = inner.parts.front_mut()
        {
            next.first = next.first.min(oldest.first);
            next.last = next.last.max(oldest.last);
            next.rows += oldest.rows;
        }
    }

    /// How many of the rows with these places are gone, by the parts with these numbers.
    pub(crate) fn count(&self, places: Range<RowSeq>, numbers: Range<u64>) -> u64 {
        let inner = self.inner.lock();
        let first = inner.count - inner.parts.len() as u64;
        let parts = (first..).zip(&inner.parts).filter(|(number, _)| numbers.contains(number));
        parts.map(|(_, part)| part.between(places.start, places.end)).sum()
    }

    /// The number that the next part gets.
    pub(crate) fn len(&self) -> u64 {
        self.inner.lock().count
    }

    /// All rows that were ever noted.
    pub(crate) fn rows(&self) -> u64 {
        self.inner.lock().rows
    }
}

impl Part {
    /// The share of its rows from `from` on and before `before`.
    fn between(&self, from: RowSeq, before: RowSeq) -> u64 {
        let places = u128::from(self.last.next().0.saturating_sub(self.first.0)).max(1);
        // Rounded so that the shares of pieces add up to the whole.
        let rows_before = |seq: RowSeq| {
            let passed = u128::from(seq.0.saturating_sub(self.first.0)).min(places);
            u64::try_from(u128::from(self.rows) * passed / places).unwrap_or(u64::MAX)
        };
        rows_before(before).saturating_sub(rows_before(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_lies_between_once() {
        let aged = Aged::default();
        aged.add((RowSeq(11), RowSeq(20)), 10);
        aged.add((RowSeq(30), RowSeq(49)), 5);
        assert_eq!(aged.count(RowSeq(16)..RowSeq(100), 0..2), 10);
        assert_eq!(aged.count(RowSeq(1)..RowSeq(100), 2..9), 0);
        aged.add((RowSeq(50), RowSeq(59)), 10);
        assert_eq!(aged.count(RowSeq(1)..RowSeq(55), 2..9), 5);
        assert_eq!((aged.rows(), aged.len()), (25, 3));
    }

    #[test]
    fn old_parts_are_counted_as_one() {
        let aged = Aged::default();
        for place in 1..=PARTS_MAX as u64 + 50 {
            aged.add((RowSeq(place), RowSeq(place)), 1);
        }
        assert_eq!(aged.inner.lock().parts.len(), PARTS_MAX);
        let all = aged.count(RowSeq(0)..RowSeq(u64::MAX), 0..u64::MAX);
        assert_eq!(all, PARTS_MAX as u64 + 50);
    }
}
