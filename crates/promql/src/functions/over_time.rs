//! Aggregations over the samples of a window.

use narthex_model::ABSENT;

use crate::numeric::{self, Mean, Sum};
use crate::window::Window;

pub(super) fn sum(window: &Window<'_>, _: &[f64]) -> f64 {
    window.values.iter().fold(Sum::default(), |sum, &value| sum.plus(value)).total()
}

pub(super) fn avg(window: &Window<'_>, _: &[f64]) -> f64 {
    let Some((&first, rest)) = window.values.split_first() else { return ABSENT };
    let mut mean = Mean::new(first);
    for &value in rest {
        mean.add(value);
    }
    mean.value()
}

pub(super) fn min(window: &Window<'_>, _: &[f64]) -> f64 {
    window.values.iter().copied().fold(f64::NAN, lesser)
}

pub(super) fn max(window: &Window<'_>, _: &[f64]) -> f64 {
    window.values.iter().copied().fold(f64::NAN, greater)
}

/// The lesser number; NaN only where there is nothing else.
pub(super) fn lesser(least: f64, value: f64) -> f64 {
    if value < least || least.is_nan() { value } else { least }
}

/// The greater number; NaN only where there is nothing else.
pub(super) fn greater(most: f64, value: f64) -> f64 {
    if value > most || most.is_nan() { value } else { most }
}

pub(super) fn ts_of_min(window: &Window<'_>, _: &[f64]) -> f64 {
    extreme(window, |value, least| value <= least).0
}

pub(super) fn ts_of_max(window: &Window<'_>, _: &[f64]) -> f64 {
    extreme(window, |value, most| value >= most).0
}

/// The time in seconds and the value of the sample that is `better` than those before it; NaN
/// only where there is nothing else.
fn extreme(window: &Window<'_>, better: impl Fn(f64, f64) -> bool) -> (f64, f64) {
    let Some((mut at, mut best)) = window.first() else { return (ABSENT, ABSENT) };
    for (&time, &value) in window.times.iter().zip(window.values) {
        if better(value, best) || best.is_nan() {
            (at, best) = (time, value);
        }
    }
    (at.seconds(), best)
}

#[expect(clippy::cast_precision_loss, reason = "a window holds far fewer than 2^53 samples")]
pub(super) fn count(window: &Window<'_>, _: &[f64]) -> f64 {
    window.values.len() as f64
}

pub(super) fn present(_: &Window<'_>, _: &[f64]) -> f64 {
    1.0
}

pub(super) fn first(window: &Window<'_>, _: &[f64]) -> f64 {
    window.first().map_or(ABSENT, |(_, value)| value)
}

pub(super) fn last(window: &Window<'_>, _: &[f64]) -> f64 {
    window.last().map_or(ABSENT, |(_, value)| value)
}

pub(super) fn ts_of_first(window: &Window<'_>, _: &[f64]) -> f64 {
    window.first().map_or(ABSENT, |(at, _)| at.seconds())
}

pub(super) fn ts_of_last(window: &Window<'_>, _: &[f64]) -> f64 {
    window.last().map_or(ABSENT, |(at, _)| at.seconds())
}

pub(super) fn stddev(window: &Window<'_>, numbers: &[f64]) -> f64 {
    stdvar(window, numbers).sqrt()
}

pub(super) fn stdvar(window: &Window<'_>, _: &[f64]) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, Sum::default(), Sum::default());
    for &value in window.values {
        count += 1.0;
        let delta = value - mean.total();
        mean = mean.plus(delta / count);
        squares = squares.plus(delta * (value - mean.total()));
    }
    squares.total() / count
}

pub(super) fn quantile(window: &Window<'_>, numbers: &[f64]) -> f64 {
    let q = numbers.first().copied().unwrap_or(f64::NAN);
    numeric::quantile(q, &mut window.values.to_vec())
}

/// The median distance from the median; NaN where a sample is NaN.
pub(super) fn mad(window: &Window<'_>, numbers: &[f64]) -> f64 {
    if window.values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    mad_of_most(window, numbers)
}

/// The same as Prometheus 3.5 computes it: a NaN is less than all numbers.
pub(super) fn mad_of_most(window: &Window<'_>, _: &[f64]) -> f64 {
    let mut values = window.values.to_vec();
    let median = numeric::quantile(0.5, &mut values);
    for value in &mut values {
        *value = (*value - median).abs();
    }
    numeric::quantile(0.5, &mut values)
}
