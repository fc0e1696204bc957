//! Rates and differences.

use std::sync::Arc;

use narthex_model::{ABSENT, Histogram};

use super::super::WindowFn;
use super::super::rate::Kind;
use super::words::{self, Operation, Unfit};
use super::{Case, Point, Split, extended, is_extended, is_gauge, is_reset, restarted};
use crate::options::Release;
use crate::plan::quoted;
use crate::window::Window;

pub(super) const RATE: Kind = Kind { counter: true, per_second: true };
pub(super) const INCREASE: Kind = Kind { counter: true, per_second: false };
pub(super) const DELTA: Kind = Kind { counter: false, per_second: false };

/// A change that is to be extended to the borders of the window.
struct Change {
    value: Value,
    /// The first value, if the counter can have begun at zero.
    first: Option<f64>,
    first_at: i64,
    last_at: i64,
    samples: usize,
    /// When the counter of the first sample started, or 0.
    start: i64,
}

enum Value {
    Number(f64),
    Histogram(Histogram),
}

/// `rate`, `increase`, `delta`.
pub(super) fn rate(window: &Window<'_>, kind: Kind, compute: WindowFn, case: Case<'_>) -> f64 {
    let split = Split::new(window, case.setting);
    match (split.numbers.is_empty(), split.histograms.is_empty()) {
        (true, true) => ABSENT,
        (false, false) => case.mixed(),
        (false, true) if is_extended(window) || !kind.counter => compute(window, &[]),
        (false, true) => {
            let change = number_change(&split.numbers, case);
            change.map_or(ABSENT, |change| extrapolate(change, window, kind, case))
        }
        (true, false) if is_extended(window) => extended::change(window, &split, kind, case),
        (true, false) => {
            let change = histogram_change(&split.histograms, kind, case);
            change.map_or(ABSENT, |change| extrapolate(change, window, kind, case))
        }
    }
}

fn number_change(points: &[Point<f64>], case: Case<'_>) -> Option<Change> {
    let (first, last) = (points.first()?, points.last()?);
    let mut change = last.value - first.value;
    for (before, now) in points.iter().zip(points.iter().skip(1)) {
        note_overlap(before, now, case);
        if now.value < before.value || restarted(before, now) {
            change += before.value;
        }
    }
    let can_begin = change > 0.0 && first.value >= 0.0;
    Some(Change {
        value: Value::Number(change),
        first: can_begin.then_some(first.value),
        first_at: first.at,
        last_at: last.at,
        samples: points.len(),
        start: first.start,
    })
}

/// Notes that a sample claims to count from before the one before it.
fn note_overlap<T>(before: &Point<T>, now: &Point<T>, case: Case<'_>) {
    if now.start != 0 && now.start < before.at && now.start != before.start {
        let name = quoted(case.setting.name);
        case.warn(format!(
            "sample has start time that overlaps with previous sample timestamp for metric {name}"
        ));
    }
}

fn histogram_change(
    points: &[Point<Arc<Histogram>>],
    kind: Kind,
    case: Case<'_>,
) -> Option<Change> {
    let (first, last) = (points.first()?, points.last()?);
    let value = if points.len() == 1 {
        // Only a start time within the window can tell more.
        Histogram {
            schema: first.value.schema,
            bounds: first.value.bounds.clone(),
            ..Histogram::default()
        }
    } else {
        histogram_difference(points, kind, case)?
    };
    let can_begin = value.count > 0.0 && first.value.count >= 0.0;
    let can_begin = can_begin && case.setting.natives.release() == Release::Newest;
    Some(Change {
        first: can_begin.then_some(first.value.count),
        value: Value::Histogram(value),
        first_at: first.at,
        last_at: last.at,
        samples: points.len(),
        start: first.start,
    })
}

/// The last histogram without the first, and with those that resets took away.
fn histogram_difference(
    points: &[Point<Arc<Histogram>>],
    kind: Kind,
    case: Case<'_>,
) -> Option<Histogram> {
    let [first, second, ..] = points else { return None };
    let last = points.last()?;
    let is_reset = |before: &Point<Arc<Histogram>>, now: &Point<Arc<Histogram>>| {
        restarted(before, now) || is_reset(&before.value, &now.value, case)
    };
    let gauges = is_gauge(&first.value) && is_gauge(&last.value);
    if kind.counter && points.iter().any(|point| is_gauge(&point.value)) {
        case.not_a_counter();
    } else if !(kind.counter || gauges) {
        case.not_a_gauge();
    }
    // After a reset the buckets of the first sample do not matter.
    let begun = if kind.counter && is_reset(first, second) {
        let (schema, bounds) = (second.value.schema, second.value.bounds.clone());
        Arc::new(Histogram { schema, bounds, ..Histogram::default() })
    } else {
        Arc::clone(&first.value)
    };
    let custom = begun.is_custom();
    let inner = points.get(1..points.len() - 1).unwrap_or(&[]);
    let inner = if kind.counter { inner } else { &[] };
    if inner.iter().chain([last]).any(|point| point.value.is_custom() != custom) {
        case.mixed_schemas();
        return None;
    }
    let schemas = inner.iter().chain([last]).map(|point| point.value.schema);
    let schema = schemas.chain([begun.schema]).min()?;
    let mut change = last.value.reduced(schema);
    combine(&mut change, &begun, Operation::Subtract, case)?;
    if kind.counter {
        // The null histogram stands in for the first; what it hides counts no more.
        let mut before = Point { value: begun, ..*first };
        for now in points.iter().skip(1) {
            note_overlap(&before, now, case);
            if is_reset(&before, now) {
                combine(&mut change, &before.value, Operation::Add, case)?;
            }
            before = now.clone();
        }
    }
    change.hint = narthex_model::histogram::Hint::Gauge;
    Some(change.compacted())
}

/// Adds or subtracts, and says what had to be done for it.
pub(super) fn combine(
    into: &mut Histogram,
    other: &Histogram,
    operation: Operation,
    case: Case<'_>,
) -> Option<()> {
    let done = match operation {
        Operation::Subtract => into.subtract(other),
        _ => into.add(other),
    };
    let Ok(done) = done else {
        case.mixed_schemas();
        return None;
    };
    if done.bounds && case.setting.natives.release() == Release::V3_5 {
        case.warn(words::unfit(Unfit::Bounds, case.setting.name));
        return None;
    }
    if done.bounds {
        case.info(words::reconciled(operation));
    }
    Some(())
}

/// Extends a change to the borders of the window, where the samples suggest that the series goes
/// on to there.
#[expect(clippy::cast_precision_loss, reason = "as Prometheus computes it")]
fn extrapolate(mut change: Change, window: &Window<'_>, kind: Kind, case: Case<'_>) -> f64 {
    let mut to_start = (change.first_at - window.start) as f64 / 1000.0;
    let mut to_end = (window.end - change.last_at) as f64 / 1000.0;
    let mut sampled = (change.last_at - change.first_at) as f64 / 1000.0;
    let gaps = change.samples - 1;
    let between = if gaps > 0 { sampled / gaps as f64 } else { 0.0 };
    let threshold = between * 1.1;
    let start = change.start;
    if kind.counter && start != 0 && start > window.start && start < change.first_at {
        // The counter is known to have stood at zero then.
        to_start = 0.0;
        sampled = (change.last_at - start) as f64 / 1000.0;
        if add_first(&mut change, window, case).is_none() {
            return ABSENT;
        }
    } else if gaps == 0 {
        return ABSENT;
    } else {
        if to_start >= threshold {
            to_start = between / 2.0;
        }
        if let (true, Some(first)) = (kind.counter, change.first) {
            let total = match &change.value {
                Value::Number(value) => *value,
                Value::Histogram(histogram) => histogram.count,
            };
            to_start = to_start.min(sampled * (first / total));
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
    match change.value {
        Value::Number(value) => value * factor,
        Value::Histogram(mut histogram) => {
            histogram.multiply(factor);
            case.put(histogram)
        }
    }
}

/// Adds the first sample: what was counted before it within the window.
fn add_first(change: &mut Change, window: &Window<'_>, case: Case<'_>) -> Option<()> {
    let first = window.values.first().copied()?;
    match &mut change.value {
        Value::Number(value) => *value += first,
        Value::Histogram(histogram) => {
            let first = case.setting.natives.get(first)?;
            combine(histogram, &first, Operation::Add, case)?;
            if change.samples == 1 {
                histogram.hint = first.hint;
            }
        }
    }
    Some(())
}

/// `irate`, `idelta`: the change between the last two samples.
#[expect(clippy::cast_precision_loss, reason = "as Prometheus computes it")]
pub(super) fn instant(window: &Window<'_>, counter: bool, case: Case<'_>) -> f64 {
    let ([.., before, now], [.., before_at, at]) = (window.values, window.times) else {
        return ABSENT;
    };
    let between = at.0 - before_at.0;
    if between == 0 {
        return ABSENT;
    }
    let seconds = between as f64 / 1000.0;
    let (before_start, start) = match case.setting.starts {
        [.., before, now] => (*before, *now),
        _ => (0, 0),
    };
    let natives = case.setting.natives;
    let anew = restarted(
        &Point { at: before_at.0, start: before_start, value: () },
        &Point { at: at.0, start, value: () },
    );
    match (natives.get(*before), natives.get(*now)) {
        (None, None) => {
            let reset = counter && (now < before || anew);
            let change = if reset { *now } else { now - before };
            if counter { change / seconds } else { change }
        }
        (Some(before), Some(now)) => {
            let gauges = is_gauge(&before) && is_gauge(&now);
            if counter && (is_gauge(&before) || is_gauge(&now)) {
                case.not_a_counter();
            } else if !(counter || gauges) {
                case.not_a_gauge();
            }
            let mut change = Histogram::clone(&now);
            let reset = counter && (anew || is_reset(&before, &now, case));
            if !reset && combine(&mut change, &before, Operation::Subtract, case).is_none() {
                return ABSENT;
            }
            change.hint = narthex_model::histogram::Hint::Gauge;
            change.compact();
            if counter {
                change.divide(seconds);
            }
            case.put(change)
        }
        _ => case.mixed(),
    }
}
