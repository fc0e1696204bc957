//! Rates and differences.

use narthex_model::ABSENT;

use super::extended;
use crate::plan::Edge;
use crate::window::Window;

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

/// The change from the first sample to the last, extended to the borders of the window where the
/// samples suggest that the series goes on to there.
fn extrapolated(window: &Window<'_>, kind: Kind) -> f64 {
    if window.edge != Edge::Plain {
        return extended::change(window, kind);
    }
    let (Some(shape), [first, .., last]) = (window.shape(), window.values) else { return ABSENT };
    let mut change = last - first;
    if kind.counter {
        for before in window.fallen() {
            change += before;
        }
        // A counter does not begin below zero. Hardly any is so young that it matters, and a
        // division is dear: the first comparison only finds out whether it may.
        if change > 0.0
            && *first >= 0.0
            && shape.sampled * first <= shape.to_start * change * NEARLY_ONE
        {
            let to_zero = shape.sampled * (first / change);
            if to_zero < shape.to_start {
                let factor = shape.factor_from(to_zero);
                return change * if kind.per_second { factor / window.seconds() } else { factor };
            }
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
