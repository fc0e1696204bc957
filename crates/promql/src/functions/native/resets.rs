//! How often a series changed or fell.

use std::sync::Arc;

use narthex_model::{ABSENT, Histogram, Timestamp};

use super::{Case, Point, is_reset, restarted};
use crate::plan::Edge;
use crate::window::Window;

/// A sample that is either.
#[derive(Clone, Debug)]
enum Sample {
    Number(f64),
    Histogram(Arc<Histogram>),
}

pub(super) fn resets(window: &Window<'_>, case: Case<'_>) -> f64 {
    count(window, case, |before, now| {
        let fell = match (&before.value, &now.value) {
            (Sample::Number(before), Sample::Number(now)) => now < before,
            (Sample::Histogram(before), Sample::Histogram(now)) => is_reset(before, now, case),
            _ => return true,
        };
        fell || restarted(before, now)
    })
}

#[expect(clippy::float_cmp, reason = "a change is any difference")]
pub(super) fn changes(window: &Window<'_>, case: Case<'_>) -> f64 {
    count(window, case, |before, now| match (&before.value, &now.value) {
        (Sample::Number(before), Sample::Number(now)) => {
            before != now && !(before.is_nan() && now.is_nan())
        }
        (Sample::Histogram(before), Sample::Histogram(now)) => before != now,
        _ => true,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a window holds far fewer than 2^53 samples")]
fn count(
    window: &Window<'_>,
    case: Case<'_>,
    counts: impl Fn(&Point<Sample>, &Point<Sample>) -> bool,
) -> f64 {
    let inside = window.times.partition_point(|time| time.0 <= window.start);
    let mut skip = 0;
    if window.edge == Edge::Anchored {
        if inside >= window.times.len() {
            return ABSENT;
        }
        skip = inside.saturating_sub(1);
    }
    let samples = window.times.iter().zip(window.values).enumerate().skip(skip);
    let mut points = samples.map(|(index, (&Timestamp(at), &value))| {
        let start = case.setting.starts.get(index).copied().unwrap_or(0);
        let value = match case.setting.natives.get(value) {
            Some(histogram) => Sample::Histogram(histogram),
            None => Sample::Number(value),
        };
        Point { at, start, value }
    });
    let Some(mut before) = points.next() else { return ABSENT };
    let mut counted = 0_usize;
    for now in points {
        counted += usize::from(counts(&before, &now));
        before = now;
    }
    counted as f64
}
