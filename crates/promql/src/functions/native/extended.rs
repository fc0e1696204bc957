//! Histograms at the borders of `anchored` and `smoothed` windows.

use std::sync::Arc;

use narthex_model::histogram::{Hint, Incompatible};
use narthex_model::{ABSENT, Histogram};

use super::super::rate::Kind;
use super::rate::combine;
use super::words::{self, Operation};
use super::{Case, Point, Split, is_gauge};
use crate::native::Natives;
use crate::plan::{Edge, Span};
use crate::window::Window;

type Points = [Point<Arc<Histogram>>];

/// The change over an anchored or smoothed window of histograms.
pub(super) fn change(window: &Window<'_>, split: &Split, kind: Kind, case: Case<'_>) -> f64 {
    measure(window, &split.histograms, kind, case).map_or(ABSENT, |change| case.put(change))
}

fn measure(window: &Window<'_>, points: &Points, kind: Kind, case: Case<'_>) -> Option<Histogram> {
    let smoothed = window.edge == Edge::Smoothed;
    let mut last = points.len().checked_sub(1)?;
    let search = |end: usize, late: &dyn Fn(i64) -> bool| {
        points.get(..end).map_or(0, |points| points.partition_point(|point| !late(point.at)))
    };
    let first = search(last, &|at| at > window.start).saturating_sub(1);
    if smoothed {
        last = search(last, &|at| at >= window.end);
    }
    let (left, right) = (points.get(first)?, points.get(last)?);
    if right.at <= window.start || (smoothed && left.at > window.end) {
        return None;
    }
    check_kinds(points.get(first..=last)?, kind, case)?;
    let mut left_value = Histogram::clone(&left.value);
    if smoothed && left.at < window.start {
        let next = points.get(first + 1)?;
        left_value = between(left, next, window.start, kind.counter, case)?;
    }
    let mut right_value = Histogram::clone(&right.value);
    if smoothed && last > 0 && right.at > window.end {
        let before = points.get(last - 1)?;
        right_value = between(before, right, window.end, kind.counter, case)?;
    }
    let gauges = is_gauge(&left_value) && is_gauge(&right_value);
    if !(kind.counter || gauges) {
        case.not_a_gauge();
    }
    let mut change = right_value.clone();
    combine(&mut change, &left_value, Operation::Subtract, case)?;
    if kind.counter {
        let spans_reset = smoothed
            && left.at < window.start
            && points.get(first + 1)?.value.is_reset_since(&left.value);
        add_lost(points, (first, last), (left_value, right_value), spans_reset, &mut change, case)?;
    }
    if kind.per_second {
        change.divide(window.seconds());
    }
    change.hint = Hint::Gauge;
    Some(change.compacted())
}

/// Notes what kinds of histograms do not belong there; none if they do not go together.
fn check_kinds(points: &Points, kind: Kind, case: Case<'_>) -> Option<()> {
    let custom = points.first()?.value.is_custom();
    for point in points {
        if point.value.is_custom() != custom {
            case.mixed_schemas();
            return None;
        }
        if kind.counter && is_gauge(&point.value) {
            case.not_a_counter();
        }
    }
    Some(())
}

/// Adds to `change` what resets between the borders took away.
fn add_lost(
    points: &Points,
    (first, last): (usize, usize),
    (left, right): (Histogram, Histogram),
    spans_reset: bool,
    change: &mut Histogram,
    case: Case<'_>,
) -> Option<()> {
    let mut before = Arc::new(left);
    let mut next = first + 1;
    if spans_reset {
        // The left border was interpolated over that reset.
        before = Arc::clone(&points.get(next)?.value);
        next += 1;
    }
    if next > last {
        // Both borders lie between the same two samples.
        return Some(());
    }
    for point in points.get(next..last)? {
        if point.value.is_reset_since(&before) {
            combine(change, &before, Operation::Add, case)?;
        }
        before = Arc::clone(&point.value);
    }
    if right.is_reset_since(&before) {
        combine(change, &before, Operation::Add, case)?;
    }
    Some(())
}

/// The histogram at `at` on the line through two samples; a counter that was reset starts at 0.
fn between(
    before: &Point<Arc<Histogram>>,
    next: &Point<Arc<Histogram>>,
    at: i64,
    counter: bool,
    case: Case<'_>,
) -> Option<Histogram> {
    let found =
        interpolate((before.at, &before.value), (next.at, &next.value), at, counter, |op| {
            case.info(words::reconciled(op));
        });
    if found.is_err() {
        case.mixed_schemas();
    }
    found.ok()
}

#[expect(clippy::cast_precision_loss, reason = "as Prometheus computes it")]
fn interpolate(
    (before_at, before): (i64, &Histogram),
    (next_at, next): (i64, &Histogram),
    at: i64,
    counter: bool,
    reconciled: impl Fn(Operation),
) -> Result<Histogram, Incompatible> {
    if at == before_at {
        return Ok(before.clone());
    }
    let mut found = next.clone();
    if at == next_at {
        return Ok(found);
    }
    let share = (at - before_at) as f64 / (next_at - before_at) as f64;
    if counter && next.is_reset_since(before) {
        found.multiply(share);
        return Ok(found);
    }
    if found.subtract(before)?.bounds {
        reconciled(Operation::Subtract);
    }
    found.multiply(share);
    if found.add(before)?.bounds {
        reconciled(Operation::Add);
    }
    Ok(found)
}

/// The histogram at `at` between the samples around it, for an instant selector.
pub(crate) fn smooth(
    natives: &Natives,
    (before_at, before): (i64, f64),
    (next_at, next): (i64, f64),
    at: i64,
    (name, span): (&str, Span),
) -> f64 {
    let (Some(before), Some(next)) = (natives.get(before), natives.get(next)) else {
        natives.warn(words::mixed_range(name), span);
        return ABSENT;
    };
    let counter = !(is_gauge(&before) && is_gauge(&next));
    let found = interpolate((before_at, &before), (next_at, &next), at, counter, |operation| {
        natives.info(words::reconciled(operation), span);
    });
    if let Ok(found) = found {
        return natives.add(found);
    }
    natives.warn(words::mixed_schemas(name), span);
    ABSENT
}
