//! Whether a query gives what a script expects.

use std::time::Duration;

use narthex_model::{Labels, Sample, Timestamp};
use regex::Regex;

use super::read::{Eval, Expect, Text, When};
use super::series::Slot;
use super::world::World;
use crate::{Error, Options, Output, Plan, Value};

/// Values may differ by this share.
const TOLERANCE: f64 = 1e-6;

/// How far around its time an instant query is repeated as a range query.
const AROUND_MS: i64 = 60_000;

/// One series of an answer or an expectation: time in ms and value.
type Points = Vec<(i64, f64)>;

/// Runs the query and compares; the error says what is not as expected.
pub(super) fn check(world: &mut World, eval: &Eval) -> Result<(), String> {
    let answer = compute(world, eval, eval.when);
    let (plan, output) = match (answer, &eval.fail) {
        (Ok(_), Some(_)) => return Err("it should fail".to_owned()),
        (Ok(answer), None) => answer,
        (Err(error), None) => return Err(format!("it fails: {error}")),
        (Err(error), Some(text)) => return fails_as(&error, text),
    };
    annotations("warning", &output.warnings, &eval.warn)?;
    annotations("info", &output.infos, &eval.info)?;
    match eval.when {
        When::Instant(at) => {
            instant(eval, at, &output.value)?;
            if !eval.ordered && eval.matrix.is_none() && eval.string.is_none() {
                as_range(world, eval, &plan, at)?;
            }
            Ok(())
        }
        When::Range { start, end, step } => range(eval, start, end, step, &output.value),
    }
}

fn compute(world: &mut World, eval: &Eval, when: When) -> Result<(Plan, Output), Error> {
    let options = Options { experimental: true, delayed_name_removal: true, ..Options::default() };
    let plan = crate::parse(&eval.query)?;
    let snapshot = world.snapshot()?;
    let output = match when {
        When::Instant(at) => crate::instant(&plan, &snapshot, Timestamp(at), &options)?,
        When::Range { start, end, step } => {
            let step = Duration::from_millis(step.unsigned_abs());
            crate::range(&plan, &snapshot, Timestamp(start), Timestamp(end), step, &options)?
        }
    };
    Ok((plan, output))
}

fn fails_as(error: &Error, text: &Text) -> Result<(), String> {
    let message = error.to_string();
    match text.fits(&message) {
        true => Ok(()),
        false => Err(format!("it fails otherwise than expected: {message}")),
    }
}

fn annotations(kind: &str, found: &[String], expected: &Expect) -> Result<(), String> {
    let found: Vec<&str> = found.iter().map(|text| without_place(text)).collect();
    if expected.none && !found.is_empty() {
        return Err(format!("unexpected {kind}: {found:?}"));
    }
    let some = &expected.some;
    if let Some(missing) = some.iter().find(|text| !found.iter().any(|f| text.fits(f))) {
        return Err(format!("no {kind} {missing}, but {found:?}"));
    }
    let any = some.is_empty() || found.iter().all(|f| some.iter().any(|text| text.fits(f)));
    if any { Ok(()) } else { Err(format!("a {kind} too many: {found:?}")) }
}

/// Cuts the place in the query off: ` (1:5)`.
fn without_place(text: &str) -> &str {
    let is_place = |place: &str| place.chars().all(|c| c.is_ascii_digit() || c == ':');
    match text.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
        Some((before, place)) if is_place(place) => before,
        _ => text,
    }
}

impl Text {
    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(exactly) => {
                text == exactly || text.split_once("parse error: ").is_some_and(|t| t.1 == exactly)
            }
            Self::Matching(regex) => Regex::new(regex).is_ok_and(|regex| regex.is_match(text)),
        }
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("at all"),
            Self::Exactly(text) | Self::Matching(text) => write!(f, "{text:?}"),
        }
    }
}

fn instant(eval: &Eval, at: i64, value: &Value) -> Result<(), String> {
    match (value, eval.scalar, &eval.string, eval.matrix) {
        (Value::Scalar(sample), Some(expected), ..) => same_value(expected, sample.value),
        (Value::String(_, text), _, Some(expected), _) if text == expected => Ok(()),
        (Value::String(_, text), _, Some(_), _) => Err(format!("the text is {text:?}")),
        (Value::Matrix(_), .., Some((start, end, step))) => range(eval, start, end, step, value),
        (Value::Vector(found), None, None, None) => vector(eval, at, found),
        _ => Err(format!("unexpected value: {value:?}")),
    }
}

fn vector(eval: &Eval, at: i64, found: &[(Labels, Sample)]) -> Result<(), String> {
    if let Some((labels, sample)) = found.iter().find(|(_, sample)| sample.at.0 != at) {
        return Err(format!("{labels} has its sample at {}", sample.at.0));
    }
    if eval.ordered {
        let order = |labels: &mut dyn Iterator<Item = &Labels>| -> Vec<String> {
            labels.map(ToString::to_string).collect()
        };
        let expected = order(&mut eval.expected.iter().map(|(labels, _)| labels));
        let order = order(&mut found.iter().map(|(labels, _)| labels));
        if order != expected {
            return Err(format!("the order is {order:?}"));
        }
    }
    let pair = |(labels, sample): &'_ (Labels, Sample)| (labels.clone(), vec![(at, sample.value)]);
    let found: Vec<(Labels, Points)> = found.iter().map(pair).collect();
    same_series(&expected_points(eval, at, 1), &found)
}

fn range(eval: &Eval, start: i64, end: i64, step: i64, value: &Value) -> Result<(), String> {
    let Value::Matrix(found) = value else {
        return Err(format!("unexpected value: {value:?}"));
    };
    let points = |series: &crate::Series| -> Points {
        series.times.iter().map(|at| at.0).zip(series.values.iter().copied()).collect()
    };
    let pair = |series: &crate::Series| (series.labels.clone(), points(series));
    let found: Vec<(Labels, Points)> = found.iter().map(pair).collect();
    let mut expected = expected_points(eval, start, step);
    if let Some(scalar) = eval.scalar {
        let steps = (end - start) / step.max(1);
        let points = (0..=steps).map(|n| (start + n * step, scalar)).collect();
        expected.push((Labels::empty(), points));
    }
    same_series(&expected, &found)
}

fn expected_points(eval: &Eval, start: i64, step: i64) -> Vec<(Labels, Points)> {
    let points = |slots: &Vec<Slot>| -> Points {
        let at = |(n, slot): (i64, &Slot)| match slot {
            Slot::Value(value) => Some((start + n * step, *value)),
            Slot::Empty | Slot::Histogram => None,
        };
        (0..).zip(slots).filter_map(at).collect()
    };
    eval.expected.iter().map(|(labels, slots)| (labels.clone(), points(slots))).collect()
}

fn same_series(expected: &[(Labels, Points)], found: &[(Labels, Points)]) -> Result<(), String> {
    for (labels, points) in expected {
        let Some((_, got)) = found.iter().find(|(have, _)| have == labels) else {
            return Err(format!("{labels} is missing; there are {found:?}"));
        };
        let same = got.len() == points.len()
            && points.iter().zip(got).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1));
        if !same {
            return Err(format!("{labels} is {got:?} instead of {points:?}"));
        }
    }
    match found.iter().find(|(labels, _)| !expected.iter().any(|(have, _)| have == labels)) {
        Some((labels, points)) => Err(format!("{labels} {points:?} is not expected")),
        None if found.len() != expected.len() => Err("a series stands twice".to_owned()),
        None => Ok(()),
    }
}

/// Runs an instant query as a range query around its time and looks at the step in the middle.
fn as_range(world: &mut World, eval: &Eval, plan: &Plan, at: i64) -> Result<(), String> {
    if plan.value_type() == crate::ValueType::Matrix {
        return Ok(());
    }
    let when = When::Range { start: at - AROUND_MS, end: at + AROUND_MS, step: AROUND_MS };
    let in_range = |error: String| format!("as a range query: {error}");
    let (_, output) = compute(world, eval, when).map_err(|e| in_range(e.to_string()))?;
    let Value::Matrix(series) = &output.value else {
        return Err(in_range(format!("unexpected value: {:?}", output.value)));
    };
    let mut found: Vec<(Labels, Points)> = Vec::new();
    for series in series {
        let mut points = series.times.iter().zip(&series.values);
        if let Some((_, value)) = points.find(|(time, _)| time.0 == at) {
            found.push((series.labels.clone(), vec![(at, *value)]));
        }
    }
    let mut expected = expected_points(eval, at, 1);
    if let Some(scalar) = eval.scalar {
        expected.push((Labels::empty(), vec![(at, scalar)]));
    }
    same_series(&expected, &found).map_err(in_range)
}

fn same_value(expected: f64, found: f64) -> Result<(), String> {
    match almost_equal(expected, found) {
        true => Ok(()),
        false => Err(format!("the value is {found} instead of {expected}")),
    }
}

/// Equal but for rounding, as `promqltest` has it.
#[expect(clippy::float_cmp, reason = "equality is the first of the cases")]
fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}
