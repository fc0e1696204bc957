//! Ranges that are `anchored` at the last sample before them or `smoothed` at both borders.

use std::ops::Range;

use narthex_model::{ABSENT, Sample, Timestamp};

use super::rate::Kind;
use crate::plan::Edge;
use crate::select::interpolate;
use crate::window::Window;

/// The values at the borders of a window, and the samples strictly between them.
#[derive(Clone, Debug)]
pub(crate) struct Borders {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) inside: Range<usize>,
}

impl Borders {
    /// Finds the borders; none if the window has nothing to measure.
    pub(crate) fn find(window: &Window<'_>, counter: bool) -> Option<Self> {
        let times = window.times;
        let smoothed = window.edge == Edge::Smoothed;
        let mut last = times.len().checked_sub(1)?;
        let search = |late: &dyn Fn(&Timestamp) -> bool| {
            times.get(..last).map_or(0, |times| times.partition_point(|time| !late(time)))
        };
        let mut first = search(&|time| time.0 > window.start).saturating_sub(1);
        if smoothed {
            last = search(&|time| time.0 >= window.end);
        }
        let sample = |index: usize| {
            Some(Sample { at: *times.get(index)?, value: *window.values.get(index)? })
        };
        let (left, right) = (sample(first)?, sample(last)?);
        if right.at.0 <= window.start {
            return None;
        }
        let left_value = if smoothed && left.at.0 < window.start {
            interpolate(left, sample(first + 1)?, window.start, counter)
        } else {
            left.value
        };
        let right_value = if smoothed && last > 0 && right.at.0 > window.end {
            interpolate(sample(last - 1)?, right, window.end, counter)
        } else {
            right.value
        };
        if left.at.0 <= window.start {
            first += 1;
        }
        let end = if right.at.0 >= window.end { last } else { last + 1 };
        Some(Self { left: left_value, right: right_value, inside: first..end.max(first) })
    }
}

/// The change over an anchored or smoothed window, which needs no extrapolation.
pub(super) fn change(window: &Window<'_>, kind: Kind) -> f64 {
    let Some(borders) = Borders::find(window, kind.counter) else { return ABSENT };
    let is_behind = window.first().is_none_or(|(at, _)| at.0 > window.end);
    if window.edge == Edge::Smoothed && is_behind {
        return ABSENT;
    }
    let mut change = borders.right - borders.left;
    if kind.counter {
        let mut before = borders.left;
        let mut lost = 0.0;
        for &value in window.values.get(borders.inside.clone()).unwrap_or(&[]) {
            if value < before {
                lost += before;
            }
            before = value;
        }
        if borders.right < before {
            lost += before;
        }
        change += lost;
    }
    if kind.per_second { change / window.seconds() } else { change }
}

/// The samples to compare one by one: in an anchored window from the anchor on.
pub(super) fn compared<'w>(window: &Window<'w>) -> Option<&'w [f64]> {
    if window.edge != Edge::Anchored {
        return Some(window.values);
    }
    let inside = window.times.partition_point(|time| time.0 <= window.start);
    if inside >= window.times.len() {
        return None;
    }
    window.values.get(inside.saturating_sub(1)..)
}
