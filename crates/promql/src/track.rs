//! What is found out about all samples of a series once, for the windows that slide over them.

use std::cell::OnceCell;
use std::ops::Range;

use narthex_model::Timestamp;

use crate::native::Setting;
use crate::numeric::Sum;
use crate::window::{Place, Window};

/// Samples that are summed up, or searched for the greatest, together.
const BLOCK: usize = 16;

/// Windows of fewer samples than this are taken one by one.
const WINDOW_MIN: usize = 4 * BLOCK;

/// As often as this all samples of a series may be added up one by one.
const ROUNDS_MAX: usize = 8;

/// How much larger than a sum the sum of all magnitudes may be: beyond it digits that the
/// compensation lost may show, and those that Prometheus loses are wanted.
const MAGNITUDE_MAX: f64 = 65_536.0;

/// The samples of one series.
#[derive(Debug)]
pub(crate) struct Track<'a> {
    times: &'a [Timestamp],
    values: &'a [f64],
    falls: OnceCell<Vec<usize>>,
    /// Sums, and those of the magnitudes.
    sums: OnceCell<Vec<(Sum, f64)>>,
    least: OnceCell<Vec<f64>>,
    most: OnceCell<Vec<f64>>,
    native: Option<Setting<'a>>,
}

impl<'a> Track<'a> {
    pub(crate) fn new(times: &'a [Timestamp], values: &'a [f64]) -> Self {
        let (falls, sums) = (OnceCell::new(), OnceCell::new());
        let (least, most) = (OnceCell::new(), OnceCell::new());
        Self { times, values, falls, sums, least, most, native: None }
    }

    /// With what there is besides numbers.
    pub(crate) fn with_native(self, native: Option<Setting<'a>>) -> Self {
        Self { native, ..self }
    }

    /// The window over the samples that belong to it.
    pub(crate) fn window(&'a self, place: Place<'a>) -> Option<Window<'a>> {
        let Place { walk, frame, step } = place;
        let &(low, high) = walk.places.get(step)?;
        let end = frame.end(step);
        Some(Window {
            times: self.times.get(low..high)?,
            values: self.values.get(low..high)?,
            start: end.saturating_sub(frame.range),
            end,
            at: frame.steps.at(step),
            edge: frame.edge,
            track: self,
            low,
            place: Some(place),
            native: self.native.map(|native| {
                let starts = native.starts.get(low..high).unwrap_or(&[]);
                Setting { starts, ..native }
            }),
        })
    }

    /// The values at positions in `range` from which the series fell to the next one in it.
    pub(crate) fn fallen(&self, range: Range<usize>) -> impl Iterator<Item = f64> {
        let falls = self.falls.get_or_init(|| {
            let pairs = self.values.iter().zip(self.values.iter().skip(1));
            let fallen = pairs.enumerate().filter(|(_, (before, value))| value < before);
            fallen.map(|(position, _)| position + 1).collect()
        });
        // Most series never fall.
        let from =
            if falls.is_empty() { 0 } else { falls.partition_point(|&at| at <= range.start) };
        let within = falls.get(from..).unwrap_or(&[]).iter();
        let within = within.take_while(move |&&position| position < range.end);
        within.filter_map(|&position| self.values.get(position - 1).copied())
    }

    /// The compensated sum of the values at positions in `range`, one of `windows`, put together
    /// of sums that these share. None where that does not pay, or does not tell the sum of the
    /// values one by one.
    pub(crate) fn sum(&self, range: Range<usize>, windows: usize) -> Option<Sum> {
        if windows.saturating_mul(range.len()) <= ROUNDS_MAX * self.values.len() {
            return None;
        }
        let (before, blocks, after) = cut(range);
        if blocks.is_empty() {
            return None;
        }
        let add = |sum: (Sum, f64), values: &[f64]| {
            values.iter().fold(sum, |(sum, size), &v| (sum.plus(v), size + v.abs()))
        };
        let none = (Sum::default(), 0.0);
        let sums = self
            .sums
            .get_or_init(|| self.values.chunks(BLOCK).map(|block| add(none, block)).collect());
        let (mut sum, mut size) = add(none, self.values.get(before).unwrap_or(&[]));
        for (part, part_size) in sums.get(blocks).unwrap_or(&[]) {
            sum = sum.plus(part.value);
            sum.rest += part.rest;
            size += part_size;
        }
        let (sum, size) = add((sum, size), self.values.get(after).unwrap_or(&[]));
        (size.is_finite() && size <= MAGNITUDE_MAX * sum.total().abs()).then_some(sum)
    }

    /// The least of the values at positions in `range`; NaN only where there is nothing else.
    pub(crate) fn least(&self, range: Range<usize>) -> f64 {
        self.extreme(range, &self.least, |value, least| value < least)
    }

    /// The greatest of the values at positions in `range`; NaN only where there is nothing else.
    pub(crate) fn most(&self, range: Range<usize>) -> f64 {
        self.extreme(range, &self.most, |value, most| value > most)
    }

    fn extreme(
        &self,
        range: Range<usize>,
        known: &OnceCell<Vec<f64>>,
        better: impl Fn(f64, f64) -> bool,
    ) -> f64 {
        let find = |best: f64, values: &[f64]| {
            let choose = |best: f64, &value: &f64| {
                if better(value, best) || best.is_nan() { value } else { best }
            };
            values.iter().fold(best, choose)
        };
        let (before, blocks, after) = cut(range);
        let mut best = find(f64::NAN, self.values.get(before).unwrap_or(&[]));
        if !blocks.is_empty() {
            let bests = known.get_or_init(|| {
                self.values.chunks(BLOCK).map(|block| find(f64::NAN, block)).collect()
            });
            best = find(best, bests.get(blocks).unwrap_or(&[]));
        }
        find(best, self.values.get(after).unwrap_or(&[]))
    }
}

/// Cuts positions into those before the first whole block, the blocks, and those behind them.
fn cut(range: Range<usize>) -> (Range<usize>, Range<usize>, Range<usize>) {
    if range.len() < WINDOW_MIN {
        return (range, 0..0, 0..0);
    }
    let blocks = range.start.div_ceil(BLOCK)..range.end / BLOCK;
    (range.start..blocks.start * BLOCK, blocks.clone(), blocks.end * BLOCK..range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of very different size, some not finite.
    fn values() -> Vec<f64> {
        let mut seed = 7_u64;
        let random = (0..400).map(|index| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match index {
                200..210 => f64::NAN,
                300 => f64::INFINITY,
                _ => f64::from((seed >> 40) as u32) * 10f64.powi((seed % 12) as i32 - 6) - 1e3,
            }
        });
        random.collect()
    }

    #[test]
    fn blocks_give_what_single_values_give() {
        let values = values();
        let times: Vec<_> = (0..400).map(Timestamp).collect();
        let track = Track::new(&times, &values);
        for (low, high) in
            [(0, 400), (0, 190), (3, 103), (5, 69), (17, 199), (211, 299), (211, 400)]
        {
            let part = values.get(low..high).unwrap();
            let sum = part.iter().fold(Sum::default(), |sum, &value| sum.plus(value)).total();
            let fast = track.sum(low..high, 100).map_or(f64::NAN, Sum::total);
            assert!(
                sum.to_bits() == fast.to_bits() || !sum.is_finite() && fast.is_nan(),
                "{low}..{high}: {sum} {fast}"
            );
            let least = part.iter().copied().fold(f64::NAN, f64::min);
            let most = part.iter().copied().fold(f64::NAN, f64::max);
            assert_eq!(track.least(low..high).to_bits(), least.to_bits());
            assert_eq!(track.most(low..high).to_bits(), most.to_bits());
        }
    }
}
