#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use narthex_model::Timestamp;

use super::super::{WindowsFn, over_time, rate};
use super::*;
use crate::Options;
use crate::plan::Edge;
use crate::steps::Steps;
use crate::window::{Frame, Walks, Window};

/// How the values of a series look.
const SERIES: [fn(u64, usize) -> f64; 5] = [
    // Very different sizes, some not finite.
    |random, index| match index {
        200..210 => f64::NAN,
        300 => f64::INFINITY,
        _ => f64::from((random >> 40) as u32) * 10f64.powi((random % 12) as i32 - 6) - 1e3,
    },
    // A gauge with two decimals.
    |random, _| (random % 1000) as f64 / 100.0,
    // Around zero.
    |random, _| (random % 2001) as f64 / 1e3 - 1.0,
    // A counter that falls at times.
    |random, index| (index % 97) as f64 * 1e3 + (random % 1000) as f64,
    |_, _| -0.0,
];

fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 20
}

/// Compares a function of all windows with that of each.
fn compare(all: WindowsFn, each: fn(&Window<'_>, &[f64]) -> f64) {
    let mut seed = 7;
    let options = Options::default();
    for (number, value) in SERIES.iter().enumerate() {
        for (range, step) in [(50, 1000), (900, 400), (1_000, 50), (2_000, 10), (3_333, 7)] {
            let mut times = Vec::new();
            let mut at = 0;
            for _ in 0..400 {
                // Now and then the series is not there for a while.
                at += if random(&mut seed).is_multiple_of(50) { 700 } else { 10 };
                times.push(Timestamp(at));
            }
            let values: Vec<f64> = (0..400).map(|i| value(random(&mut seed), i)).collect();
            let steps = Steps::between(0, at + 2_000, step).unwrap();
            let (fixed, until, offset, edge) = (None, None, 0, Edge::Plain);
            let frame = Frame { steps, fixed, until, offset, range, before: 0, after: 0, edge };
            let mut walks = Walks::default();
            let walk = walks.over(&frame, &times);
            let windows = Windows { times: &times, values: &values, walk, frame: &frame };
            let found = all(&windows, &mut Budget::new(&options)).unwrap();
            assert_eq!(found.len(), steps.count);
            for (step, found) in found.into_iter().enumerate() {
                let window = windows.at(step, None).unwrap();
                let wanted = if window.times.is_empty() { ABSENT } else { each(&window, &[]) };
                assert!(
                    found.to_bits() == wanted.to_bits() || found.is_nan() && wanted.is_nan(),
                    "series {number}, range {range}, step {step}: {found} {wanted}"
                );
            }
        }
    }
}

#[test]
fn sums_are_those_of_each_window() {
    compare(sum, over_time::sum);
}

#[test]
fn averages_are_those_of_each_window() {
    compare(avg, over_time::avg);
}

#[test]
fn extremes_are_those_of_each_window() {
    compare(min, over_time::min);
    compare(max, over_time::max);
}

#[test]
fn rates_are_those_of_each_window() {
    compare(rate::rates, rate::rate);
    compare(rate::increases, rate::increase);
    compare(rate::deltas, rate::delta);
}
