//! From samples of single series to rows: series that were scraped together have the same times.

use std::collections::HashMap;

use narthex_model::{Hashing, STALE, is_absent};

/// Series with, by and large, the same times.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The times of all members, rising.
    pub(super) times: Vec<i64>,
    /// The series, in the order in which they came.
    pub(super) members: Vec<Member>,
}

/// A series of some rows.
#[derive(Debug)]
pub(super) struct Member {
    /// Which series it is, as the caller counts them.
    pub(super) series: usize,
    values: Vec<f64>,
    /// Its times, where they are not those of the rows it was the first of.
    times: Option<Vec<i64>>,
}

/// Sorts series into rows.
#[derive(Debug, Default)]
pub(super) struct Sorter {
    sets: Vec<Set>,
    by_time: HashMap<i64, usize, Hashing>,
}

#[derive(Debug)]
struct Set {
    /// The times of its first member.
    base: Vec<i64>,
    rows: Rows,
}

impl Sorter {
    /// Adds a series with its samples in order of time, of which there must be one. It joins the
    /// rows with which it has at least half of its times in common.
    pub(super) fn add(&mut self, series: usize, samples: &[(i64, f64)]) {
        let values = samples.iter().map(|&(_, value)| storable(value)).collect();
        let times = || samples.iter().map(|&(at, _)| at);
        let probe = |index: usize| samples.get(index).and_then(|(at, _)| self.by_time.get(at));
        let found = probe(samples.len() / 2).or_else(|| probe(0)).copied();
        if let Some((position, set)) = found.and_then(|at| Some((at, self.sets.get_mut(at)?))) {
            if set.base.iter().copied().eq(times()) {
                set.rows.members.push(Member { series, values, times: None });
                return;
            }
            let new: Vec<i64> =
                times().filter(|at| set.rows.times.binary_search(at).is_err()).collect();
            if new.len() * 2 <= samples.len() {
                let times = Some(times().collect());
                set.rows.members.push(Member { series, values, times });
                if !new.is_empty() {
                    for &at in &new {
                        self.by_time.entry(at).or_insert(position);
                    }
                    set.rows.times.extend(new);
                    set.rows.times.sort_unstable();
                }
                return;
            }
        }
        let position = self.sets.len();
        for at in times() {
            self.by_time.entry(at).or_insert(position);
        }
        let base: Vec<i64> = times().collect();
        let members = vec![Member { series, values, times: None }];
        self.sets.push(Set { rows: Rows { times: base.clone(), members }, base });
    }

    /// The rows.
    pub(super) fn finish(self) -> Vec<Rows> {
        let explicit = |mut set: Set| {
            if set.base.len() < set.rows.times.len() {
                for member in set.rows.members.iter_mut().filter(|m| m.times.is_none()) {
                    member.times = Some(set.base.clone());
                }
            }
            set.rows
        };
        self.sets.into_iter().map(explicit).collect()
    }
}

impl Member {
    /// Puts its values into `column`, which has a place for each of `times`, a part of the rows'
    /// times that begins at the row `from`.
    pub(super) fn fill(&self, times: &[i64], from: usize, column: &mut [f64]) {
        let Some(own) = &self.times else {
            let values = self.values.get(from..).unwrap_or_default();
            column.iter_mut().zip(values).for_each(|(to, &value)| *to = value);
            return;
        };
        let Some(&first) = times.first() else { return };
        let start = own.partition_point(|&at| at < first);
        let rest = own.iter().zip(&self.values).skip(start);
        let mut places = times.iter().zip(column);
        for (&at, &value) in rest {
            match places.find(|(time, _)| **time == at) {
                Some((_, place)) => *place = value,
                None => return,
            }
        }
    }
}

/// The store keeps one NaN for itself. Nobody else has been seen to use it; it becomes the marker
/// that it is nearest to.
fn storable(value: f64) -> f64 {
    if is_absent(value) { STALE } else { value }
}

#[cfg(test)]
mod tests {
    use narthex_model::ABSENT;

    use super::*;

    fn column(rows: &Rows, member: usize, from: usize, to: usize) -> Vec<f64> {
        let mut column = vec![ABSENT; to - from];
        rows.members[member].fill(&rows.times[from..to], from, &mut column);
        column
    }

    #[test]
    fn series_scraped_together_share_rows() {
        let mut sorter = Sorter::default();
        sorter.add(0, &[(10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0)]);
        sorter.add(1, &[(10, 5.0), (20, 6.0), (30, 7.0), (40, 8.0)]);
        // One that missed a scrape, one that has one more, and one of another target.
        sorter.add(2, &[(10, 0.5), (30, 0.25), (40, 0.75)]);
        sorter.add(3, &[(20, 9.0), (30, 9.5), (50, 9.75)]);
        sorter.add(4, &[(11, 1.0), (21, 1.0)]);
        let rows = sorter.finish();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].times, [10, 20, 30, 40, 50]);
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let is = |found: Vec<f64>, want: &[f64]| assert_eq!(bits(&found), bits(want));
        is(column(&rows[0], 0, 0, 5), &[1.0, 2.0, 3.0, 4.0, ABSENT]);
        is(column(&rows[0], 1, 2, 5), &[7.0, 8.0, ABSENT]);
        is(column(&rows[0], 2, 0, 5), &[0.5, ABSENT, 0.25, 0.75, ABSENT]);
        is(column(&rows[0], 2, 1, 3), &[ABSENT, 0.25]);
        is(column(&rows[0], 3, 3, 5), &[ABSENT, 9.75]);
        assert_eq!(rows[1].members[0].series, 4);
    }
}
