//! Rates and differences.

use narthex_model::ABSENT;

use super::extended;
use crate::Error;
use crate::budget::Budget;
use crate::numeric::seconds;
use crate::plan::Edge;
use crate::window::{Shape, Window, Windows};

/// More than one by more than rounding.
const NEARLY_ONE: f64 = 1.0 + 1e-9;

/// What is to be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Whether falls are resets.
    pub(super) counter: bool,
    /// Whether the result is per second.
    pub(super) per_second: bool,
}

pub(super) fn rate(window: &Window<'_>, _: &[f64]) -> f64 {
    extrapolated(window, Kind { counter: true, per_second: true })
}

pub(super) fn increase(window: &Window<'_>, _: &[f64]) -> f64 {
    extrapolated(window, Kind { counter: true, per_second: false })
}

pub(super) fn delta(window: &Window<'_>, _: &[f64]) -> f64 {
    extrapolated(window, Kind { counter: false, per_second: false })
}

pub(super) fn rates(windows: &Windows<'_>, budget: &mut Budget<'_>) -> Result<Vec<f64>, Error> {
    all(windows, budget, Kind { counter: true, per_second: true })
}

pub(super) fn increases(windows: &Windows<'_>, budget: &mut Budget<'_>) -> Result<Vec<f64>, Error> {
    all(windows, budget, Kind { counter: true, per_second: false })
}

pub(super) fn deltas(windows: &Windows<'_>, budget: &mut Budget<'_>) -> Result<Vec<f64>, Error> {
    all(windows, budget, Kind { counter: false, per_second: false })
}

/// The change from the first sample to the last, extended to the borders of the window where the
/// samples suggest that the series goes on to there.
fn extrapolated(window: &Window<'_>, kind: Kind) -> f64 {
    if window.edge != Edge::Plain {
        return extended::change(window, kind);
    }
    let (Some(shape), values @ [first, .., last]) = (window.shape(), window.values) else {
        return ABSENT;
    };
    let mut change = last - first;
    if kind.counter {
        for (before, value) in values.iter().zip(values.iter().skip(1)) {
            if value < before {
                change += before;
            }
        }
    }
    extrapolate(change, *first, &shape, window.seconds(), kind)
}

/// As [`extrapolated`], of plain windows.
fn all(windows: &Windows<'_>, budget: &mut Budget<'_>, kind: Kind) -> Result<Vec<f64>, Error> {
    // Of each window two samples are looked at.
    budget.work(windows.values.len() + 2 * windows.places().len())?;
    let values = windows.values;
    let falls = if kind.counter { falls(values) } else { Vec::new() };
    let mut falls = falls.as_slice();
    let seconds = seconds(windows.frame.range);
    let each = |(&(low, high), shape): (&(usize, usize), &Option<Shape>)| {
        let (Some(shape), Some([first, .., last])) = (shape, values.get(low..high)) else {
            return ABSENT;
        };
        let mut change = last - first;
        if !falls.is_empty() {
            // Windows move forward, so what lies before one lies before the next ones.
            while let [fall, later @ ..] = falls
                && *fall <= low
            {
                falls = later;
            }
            for &fall in falls.iter().take_while(|&&fall| fall < high) {
                change += values.get(fall - 1).copied().unwrap_or(0.0);
            }
        }
        extrapolate(change, *first, shape, seconds, kind)
    };
    Ok(windows.places().iter().zip(windows.shapes()).map(each).collect())
}

/// The positions of the samples that are less than the one before them.
fn falls(values: &[f64]) -> Vec<usize> {
    // Most series never fall; several pairs are compared at once to see that.
    const TOGETHER: usize = 64;
    let mut falls = Vec::new();
    let (mut before, mut from) = (values.first().copied().unwrap_or(0.0), 0);
    for part in values.chunks(TOGETHER) {
        let pairs = || part.iter().zip(part.get(1..).unwrap_or(&[]));
        let first = part.first().copied().unwrap_or(before);
        let count = pairs().map(|(before, value)| u64::from(value < before)).sum::<u64>();
        if count > 0 || first < before {
            let all = std::iter::once((&before, &first)).chain(pairs());
            let fallen = all.enumerate().filter(|(_, (before, value))| value < before);
            falls.extend(fallen.map(|(position, _)| from + position));
        }
        before = part.last().copied().unwrap_or(before);
        from += part.len();
    }
    falls
}

/// Extends a change over samples that begin with `first` to the window of `seconds`.
fn extrapolate(change: f64, first: f64, shape: &Shape, seconds: f64, kind: Kind) -> f64 {
    // A counter does not begin below zero. Hardly any is so young that it matters, and a division
    // is dear: the first comparison only finds out whether it may.
    if kind.counter
        && change > 0.0
        && first >= 0.0
        && shape.sampled * first <= shape.to_start * change * NEARLY_ONE
    {
        let to_zero = shape.sampled * (first / change);
        if to_zero < shape.to_start {
            let factor = shape.factor_from(to_zero);
            return change * if kind.per_second { factor / seconds } else { factor };
        }
    }
    change * if kind.per_second { shape.per_second } else { shape.factor }
}

pub(super) fn irate(window: &Window<'_>, _: &[f64]) -> f64 {
    instant_change(window, true)
}

pub(super) fn idelta(window: &Window<'_>, _: &[f64]) -> f64 {
    instant_change(window, false)
}

/// The change between the last two samples.
#[expect(clippy::cast_precision_loss, reason = "as Prometheus computes it")]
fn instant_change(window: &Window<'_>, per_second: bool) -> f64 {
    let ([.., before, value], [.., before_at, at]) = (window.values, window.times) else {
        return ABSENT;
    };
    let between = at.0 - before_at.0;
    if between == 0 {
        return ABSENT;
    }
    let reset = per_second && value < before;
    let change = if reset { *value } else { value - before };
    if per_second { change / (between as f64 / 1000.0) } else { change }
}
