//! Which rows of a column have a sample, as runs.
#![expect(clippy::cast_possible_truncation, reason = "lengths are bounded by a chunk's rows")]

use narthex_model::{ABSENT, is_absent};

use super::Damaged;
use super::column::kind;
use super::wire::{Reader, put_varint};

/// Appends the prefix for `values`, which have at least one hole; says whether any is present.
pub(super) fn encode(values: &[f64], out: &mut Vec<u8>) -> bool {
    let runs = || values.chunk_by(|&a, &b| is_absent(a) == is_absent(b));
    let present = |run: &&[f64]| run.first().is_some_and(|&value| !is_absent(value));
    let count = runs().filter(present).count();
    if count == 0 {
        out.push(kind::head(kind::HOLES, kind::NONE_PRESENT));
        return false;
    }
    out.push(kind::head(kind::HOLES, 0));
    put_varint(out, count as u64);
    let mut gap = 0;
    for run in runs() {
        if present(&run) {
            put_varint(out, gap as u64);
            put_varint(out, run.len() as u64);
        } else {
            gap = run.len();
            continue;
        }
        gap = 0;
    }
    true
}

/// The rows that are present: runs as (holes before, length).
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Vec<(u32, u32)>,
}

/// Reads the runs behind a [`kind::HOLES`] byte; gives how many rows are present.
pub(super) fn decode(
    reader: &mut Reader<'_>,
    rows: usize,
    mut visit: impl FnMut(u32, u32),
) -> Result<usize, Damaged> {
    let count = reader.count(rows)?;
    let (mut left, mut present) = (rows, 0);
    for _ in 0..count {
        let gap = reader.count(left)?;
        left -= gap;
        let len = reader.count(left)?;
        left -= len;
        present += len;
        visit(gap as u32, len as u32);
    }
    Ok(present)
}

impl Runs {
    /// Reads the runs behind a [`kind::HOLES`] byte; gives how many rows are present.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>, rows: usize) -> Result<usize, Damaged> {
        self.runs.clear();
        decode(reader, rows, |gap, len| self.runs.push((gap, len)))
    }

    /// No row is present.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    /// The runs as (holes before, length).
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        self.runs.iter().map(|&(gap, len)| (gap as usize, len as usize))
    }

    /// Spreads the present values, which stand in `out` from `start` on, over `rows` rows.
    pub(super) fn spread(&self, start: usize, rows: usize, out: &mut Vec<f64>) {
        let mut from = out.len();
        out.resize(start + rows, ABSENT);
        let used: usize = self.runs.iter().map(|&(gap, len)| gap as usize + len as usize).sum();
        let mut to = start + used;
        // From the back, so that no value is overwritten before it has moved.
        for &(gap, len) in self.runs.iter().rev() {
            let (gap, len) = (gap as usize, len as usize);
            from -= len;
            to -= len;
            out.copy_within(from..from + len, to);
            to -= gap;
            if let Some(holes) = out.get_mut(to..to + gap) {
                holes.fill(ABSENT);
            }
        }
        if let Some(tail) = out.get_mut(start + used..) {
            tail.fill(ABSENT);
        }
    }
}
