//! Functions of windows that slide over a series and overlap so much that what samples come to
//! together is worth keeping: each block of them is computed once.

use std::ops::Range;

use narthex_model::ABSENT;

use super::over_time::{greater, lesser};
use crate::Error;
use crate::budget::Budget;
use crate::numeric::{Mean, Sum};
use crate::window::Windows;

/// Samples that are summed up, or searched for the greatest, together.
const BLOCK: usize = 16;

/// Windows of fewer samples than this are taken one by one.
const WINDOW_MIN: usize = 4 * BLOCK;

/// As often as this all samples of a series may be added up one by one.
const ROUNDS_MAX: usize = 8;

/// How much larger than a sum the sum of all magnitudes may be: beyond it digits that the
/// compensation lost may show, and those that Prometheus loses are wanted.
const MAGNITUDE_MAX: f64 = 65_536.0;

pub(super) fn sum(windows: &Windows<'_>, budget: &mut Budget<'_>) -> Result<Vec<f64>, Error> {
    let sums = Sums::of(windows);
    let each = |&(low, high): &(usize, usize)| {
        budget.work(high - low)?;
        let one_by_one = || add(NONE, within(windows.values, low..high)).0;
        let sum = sums.as_ref().and_then(|sums| sums.over(low..high)).unwrap_or_else(one_by_one);
        Ok(if low < high { sum.total() } else { ABSENT })
    };
    windows.places().iter().map(each).collect()
}

pub(super) fn avg(windows: &Windows<'_>, budget: &mut Budget<'_>) -> Result<Vec<f64>, Error> {
    let sums = Sums::of(windows);
    let plain = if sums.is_some() { plain_sums(windows, budget)? } else { Vec::new() };
    let each = |(step, &(low, high)): (usize, &(usize, usize))| {
        budget.work(high - low)?;
        let shared = sums.as_ref().and_then(|sums| sums.over(low..high)).zip(plain.get(step));
        Ok(match (shared, within(windows.values, low..high)) {
            (_, []) => ABSENT,
            (Some((sum, plain)), values) => {
                // The sum and its compensation are divided each, so they must be those that one
                // gets who adds the samples in turn, and not only come to the same.
                Mean::of(Sum { value: *plain, rest: sum.value - plain + sum.rest }, values.len())
            }
            (None, [first, rest @ ..]) => {
                let mut mean = Mean::new(*first);
                for &value in rest {
                    mean.add(value);
                }
                mean.value()
            }
        })
    };
    windows.places().iter().enumerate().map(each).collect()
}

pub(super) fn min(windows: &Windows<'_>, budget: &mut Budget<'_>) -> Result<Vec<f64>, Error> {
    extremes(windows, budget, lesser)
}

pub(super) fn max(windows: &Windows<'_>, budget: &mut Budget<'_>) -> Result<Vec<f64>, Error> {
    extremes(windows, budget, greater)
}

fn extremes(
    windows: &Windows<'_>,
    budget: &mut Budget<'_>,
    better: impl Fn(f64, f64) -> f64,
) -> Result<Vec<f64>, Error> {
    let find = |best: f64, values: &[f64]| values.iter().copied().fold(best, &better);
    let shared = overlap_much(windows);
    let blocks = if shared { windows.values.chunks(BLOCK) } else { [].chunks(BLOCK) };
    let bests: Vec<f64> = blocks.map(|block| find(f64::NAN, block)).collect();
    let each = |&(low, high): &(usize, usize)| {
        budget.work(high - low)?;
        let (before, blocks, after) = if shared { cut(low..high) } else { (low..high, 0..0, 0..0) };
        let best = find(f64::NAN, within(windows.values, before));
        let best = find(best, within(&bests, blocks));
        let best = find(best, within(windows.values, after));
        Ok(if low < high { best } else { ABSENT })
    };
    windows.places().iter().map(each).collect()
}

/// Whether blocks pay.
fn overlap_much(windows: &Windows<'_>) -> bool {
    windows.samples() > ROUNDS_MAX * windows.values.len()
}

/// The compensated sums of blocks of samples, and the sums of their magnitudes.
struct Sums<'a> {
    values: &'a [f64],
    blocks: Vec<(Sum, f64)>,
}

const NONE: (Sum, f64) = (Sum { value: 0.0, rest: 0.0 }, 0.0);

/// A sum and that of the magnitudes, with `values` added.
fn add(sum: (Sum, f64), values: &[f64]) -> (Sum, f64) {
    values.iter().fold(sum, |(sum, size), &value| (sum.plus(value), size + value.abs()))
}

impl<'a> Sums<'a> {
    /// The sums of all blocks, if these pay.
    fn of(windows: &Windows<'a>) -> Option<Self> {
        let values = windows.values;
        let blocks = || values.chunks(BLOCK).map(|block| add(NONE, block)).collect();
        overlap_much(windows).then(|| Self { values, blocks: blocks() })
    }

    /// The sum of the samples at positions in `range`, put together of those of blocks; none where
    /// that may not come to the sum of the samples one by one.
    fn over(&self, range: Range<usize>) -> Option<Sum> {
        let (before, blocks, after) = cut(range);
        if blocks.is_empty() {
            return None;
        }
        let (mut sum, mut size) = add(NONE, within(self.values, before));
        for (part, part_size) in within(&self.blocks, blocks) {
            sum = sum.plus(part.value);
            sum.rest += part.rest;
            size += part_size;
        }
        let (sum, size) = add((sum, size), within(self.values, after));
        (size.is_finite() && size <= MAGNITUDE_MAX * sum.total().abs()).then_some(sum)
    }
}

/// The sums of each window's samples, added in turn without compensation.
fn plain_sums(windows: &Windows<'_>, budget: &mut Budget<'_>) -> Result<Vec<f64>, Error> {
    let mut sums = Vec::with_capacity(windows.places().len());
    let window = |&(low, high): &(usize, usize)| within(windows.values, low..high);
    let (fours, rest) = windows.places().as_chunks();
    for places in fours {
        budget.work(places.iter().map(|(low, high)| high - low).sum())?;
        sums.extend(four_sums(places.each_ref().map(window)));
    }
    sums.extend(rest.iter().map(|place| rest_of_sum(-0.0, window(place), 0)));
    Ok(sums)
}

/// The sums of four windows. An addition waits for the one before it, but those of several windows
/// need not wait for each other.
fn four_sums(windows: [&[f64]; 4]) -> [f64; 4] {
    let common = windows.iter().map(|window| window.len()).min().unwrap_or(0);
    let [a, b, c, d] = windows.map(|window| within(window, 0..common));
    // Nothing changes when it is added to this zero.
    let mut sums = [-0.0; 4];
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        for (sum, value) in sums.iter_mut().zip([a, b, c, d]) {
            *sum += value;
        }
    }
    for (sum, window) in sums.iter_mut().zip(windows) {
        *sum = rest_of_sum(*sum, window, common);
    }
    sums
}

/// Adds the values from position `from` on.
fn rest_of_sum(sum: f64, values: &[f64], from: usize) -> f64 {
    within(values, from..values.len()).iter().fold(sum, |sum, value| sum + value)
}

/// Cuts positions into those before the first whole block, the blocks, and those behind them.
fn cut(range: Range<usize>) -> (Range<usize>, Range<usize>, Range<usize>) {
    if range.len() < WINDOW_MIN {
        return (range, 0..0, 0..0);
    }
    let blocks = range.start.div_ceil(BLOCK)..range.end / BLOCK;
    (range.start..blocks.start * BLOCK, blocks.clone(), blocks.end * BLOCK..range.end)
}

fn within<T>(items: &[T], range: Range<usize>) -> &[T] {
    items.get(range).unwrap_or(&[])
}

#[cfg(test)]
mod tests;
