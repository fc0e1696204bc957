//! Rates and differences.

use narthex_model::ABSENT;

use super::extended;
use crate::plan::Edge;
use crate::window::Window;

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

/// The change from the first sample to the last, extended to the borders of the window where the
/// samples suggest that the series goes on to there.
#[expect(clippy::cast_precision_loss, reason = "as Prometheus computes it")]
fn extrapolated(window: &Window<'_>, kind: Kind) -> f64 {
    if window.edge != Edge::Plain {
        return extended::change(window, kind);
    }
    let (Some((first_at, first)), Some((last_at, last))) = (window.first(), window.last()) else {
        return ABSENT;
    };
    if window.values.len() < 2 {
        return ABSENT;
    }
    let mut change = last - first;
    if kind.counter {
        for before in window.fallen() {
            change += before;
        }
    }
    let mut to_start = first_at.0.saturating_sub(window.start) as f64 / 1000.0;
    let mut to_end = window.end.saturating_sub(last_at.0) as f64 / 1000.0;
    let sampled = (last_at.0 - first_at.0) as f64 / 1000.0;
    let between = sampled / (window.values.len() - 1) as f64;
    // A sample is missing when the gap is a tenth longer than usual: then the series is taken to
    // begin or end half a gap away from the sample.
    let threshold = between * 1.1;
    if to_start >= threshold {
        to_start = between / 2.0;
    }
    if kind.counter {
        // A counter does not begin below zero.
        let mut to_zero = to_start;
        if change > 0.0 && first >= 0.0 {
            to_zero = sampled * (first / change);
        }
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = between / 2.0;
    }
    let mut factor = 1.0;
    if sampled != 0.0 {
        factor = (sampled + to_start + to_end) / sampled;
    }
    if kind.per_second {
        factor /= window.seconds();
    }
    change * factor
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
