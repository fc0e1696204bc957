//! What a script expects of a query.

use std::sync::Arc;

use narthex_model::histogram::Bar;
use narthex_model::regex::Pattern;
use narthex_model::{Histogram, Labels};

use super::series::{Item, Line, Samples, parse, parse_number};
use super::{When, millis};
use crate::numeric::almost_equal;
use crate::{Error, Output, Point, Series, Value};

/// Relative difference of values that is let pass.
const TOLERANCE: f64 = 1e-6;

/// A text that must be found.
#[derive(Clone, Debug)]
enum Text {
    Any,
    Exact(String),
    Pattern(Pattern),
}

impl Text {
    /// Reads ` msg: TEXT`, ` regex: PATTERN` or nothing.
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(message) = text.strip_prefix("msg:") {
            return Ok(Self::Exact(message.trim().to_owned()));
        }
        match text.strip_prefix("regex:") {
            Some(pattern) => {
                // The script's patterns may match anywhere in the text.
                let pattern = format!(".*(?:{}).*", pattern.trim());
                Pattern::new(&pattern).map(Self::Pattern).map_err(|error| error.to_string())
            }
            None => Ok(Self::Any),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(wanted) => wanted == text,
            Self::Pattern(pattern) => pattern.matches(text),
        }
    }
}

/// What is expected of a query.
#[derive(Clone, Debug, Default)]
pub(super) struct Expectation {
    fails: Option<Text>,
    ordered: bool,
    warnings: Vec<Text>,
    infos: Vec<Text>,
    no_warnings: bool,
    no_infos: bool,
    scalar: Option<f64>,
    string: Option<String>,
    /// Times of the values of a range vector.
    range: Option<When>,
    series: Vec<Samples>,
}

impl Expectation {
    /// Reads the lines below an `eval` with the mode behind `eval_`.
    pub(super) fn parse(mode: &str, lines: &[String]) -> Result<Self, String> {
        let mut expected = Self::default();
        match mode {
            "fail" => expected.fails = Some(Text::Any),
            "warn" => expected.warnings.push(Text::Any),
            "info" => expected.infos.push(Text::Any),
            "ordered" => expected.ordered = true,
            _ => {}
        }
        for line in lines {
            if let Some(message) = line.strip_prefix("expected_fail_message") {
                expected.fails = Some(Text::Exact(message.trim().to_owned()));
            } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
                let text = Text::parse(&format!("regex:{pattern}"))?;
                expected.fails = Some(text);
            } else if let Some(rest) = line.strip_prefix("expect ") {
                expected.directive(rest.trim())?;
            } else if let Ok(value) = parse_number(line) {
                expected.scalar = Some(value);
            } else {
                match parse(line)? {
                    Line::Samples(labels, items) => expected.series.push((labels, items)),
                    Line::Starts(..) => return Err("start times are not expected".to_owned()),
                }
            }
        }
        Ok(expected)
    }

    fn directive(&mut self, text: &str) -> Result<(), String> {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match word {
            "fail" => self.fails = Some(Text::parse(rest)?),
            "warn" => self.warnings.push(Text::parse(rest)?),
            "info" => self.infos.push(Text::parse(rest)?),
            "no_warn" => self.no_warnings = true,
            "no_info" => self.no_infos = true,
            "ordered" => self.ordered = true,
            "string" => {
                let plan = crate::parse(rest.trim()).map_err(|error| error.to_string())?;
                if let crate::plan::Expr::String(text) = &plan.root().expr {
                    self.string = Some(text.clone());
                }
            }
            "range" => {
                let words: Vec<&str> = rest.split_whitespace().collect();
                let ["vector", "from", start, "to", end, "step", step] = words.as_slice() else {
                    return Err(format!("bad range vector: {rest}"));
                };
                let (start, end) = (millis(start)?, millis(end)?);
                self.range = Some(When { start, end, step: Some(millis(step)?) });
            }
            _ => return Err(format!("unknown expectation: {text}")),
        }
        Ok(())
    }

    /// Whether the middle of a range query must give the same.
    pub(super) fn holds_in_ranges(&self, query: &str) -> bool {
        let context = ["start()", "end()", "range()", "step()"];
        self.string.is_none()
            && self.range.is_none()
            && !self.ordered
            && self.fails.is_none()
            && !context.iter().any(|call| query.contains(call))
    }

    /// Checks an error.
    pub(super) fn check_error(&self, error: &Error) -> Result<(), String> {
        let text = error.to_string();
        match &self.fails {
            None => Err(format!("failed: {text}")),
            Some(wanted) if !wanted.matches(&text) => {
                Err(format!("failed with {text:?}, expected {wanted:?}"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Checks the outcome of a query.
    pub(super) fn check(&self, output: &Output, when: When) -> Result<(), String> {
        if self.fails.is_some() {
            return Err("should have failed".to_owned());
        }
        check_notes("warning", &self.warnings, self.no_warnings, &output.warnings)?;
        check_notes("info", &self.infos, self.no_infos, &output.infos)?;
        match &output.value {
            Value::Scalar(sample) => self.check_scalar(sample.value),
            Value::String(_, text) => match &self.string {
                Some(wanted) if wanted == text => Ok(()),
                wanted => Err(format!("got the text {text:?}, expected {wanted:?}")),
            },
            Value::Vector(elements) => {
                self.check_vector(elements.iter().map(|(l, point)| (l, point.into())).collect())
            }
            Value::Matrix(matrix) => self.check_matrix(matrix, self.range.unwrap_or(when)),
        }
    }

    /// Checks the values of a range query at the time of the instant query.
    pub(super) fn check_middle(&self, output: Output, when: When) -> Result<(), String> {
        let Value::Matrix(matrix) = output.value else {
            return Err("gave no matrix".to_owned());
        };
        let at_time = |series: &Series| {
            let mut samples = samples_of(series).into_iter();
            samples.find(|&(at, _)| at == when.start).map(|(_, sample)| sample)
        };
        if self.scalar.is_some() {
            return match matrix.first().and_then(at_time) {
                Some(Found::Number(value)) => self.check_scalar(value),
                found => Err(format!("got {found:?}, expected a number")),
            };
        }
        self.check_vector(matrix.iter().filter_map(|s| Some((&s.labels, at_time(s)?))).collect())
    }

    fn check_scalar(&self, value: f64) -> Result<(), String> {
        match self.scalar {
            Some(wanted) if almost_equal(wanted, value, TOLERANCE) => Ok(()),
            wanted => Err(format!("got the number {value}, expected {wanted:?}")),
        }
    }

    fn wanted(&self, labels: &Labels) -> Option<(usize, &Vec<Item>)> {
        let mut series = self.series.iter().enumerate();
        let found = series.find(|(_, (have, _))| have == labels)?;
        Some((found.0, &found.1.1))
    }

    fn check_vector(&self, elements: Vec<(&Labels, Found)>) -> Result<(), String> {
        if self.scalar.is_some() {
            return Err("got a vector, expected a number".to_owned());
        }
        let count = elements.len();
        for (position, (labels, value)) in elements.into_iter().enumerate() {
            let Some((place, wanted)) = self.wanted(labels) else {
                return Err(format!("unexpected {labels} {value:?}"));
            };
            if self.ordered && place != position {
                return Err(format!("{labels} stands at {position}, expected at {place}"));
            }
            match wanted.first() {
                Some(wanted) if value.is(wanted) => {}
                wanted => return Err(format!("{labels} is {value:?}, expected {wanted:?}")),
            }
        }
        self.check_count(count)
    }

    fn check_count(&self, count: usize) -> Result<(), String> {
        if count == self.series.len() {
            return Ok(());
        }
        Err(format!("got {count} series, expected {}: {:?}", self.series.len(), self.series))
    }

    fn check_matrix(&self, matrix: &[Series], when: When) -> Result<(), String> {
        if !matrix.is_sorted_by(|a, b| a.labels <= b.labels) {
            return Err("the matrix is not sorted".to_owned());
        }
        for series in matrix {
            let Some((_, wanted)) = self.wanted(&series.labels) else {
                return Err(format!("unexpected {} {:?}", series.labels, series.values));
            };
            let step = when.step.unwrap_or(1);
            let mut at = when.start;
            let mut points = Vec::new();
            for item in wanted {
                if *item != Item::Gap {
                    points.push((at, item));
                }
                at += step;
            }
            let have = samples_of(series);
            let same = have.len() == points.len()
                && have.iter().zip(&points).all(|(a, b)| a.0 == b.0 && a.1.is(b.1));
            if !same {
                return Err(format!("{}: got {have:?}, expected {points:?}", series.labels));
            }
        }
        self.check_count(matrix.len())
    }
}

/// A sample that was found.
#[derive(Clone, Debug)]
enum Found {
    Number(f64),
    Histogram(Arc<Histogram>),
}

impl From<&Point> for Found {
    fn from(point: &Point) -> Self {
        match point {
            Point::Number(sample) => Self::Number(sample.value),
            Point::Histogram(_, histogram) => Self::Histogram(Arc::clone(histogram)),
        }
    }
}

impl Found {
    /// Whether it is what was wanted, but for what rounding does.
    fn is(&self, wanted: &Item) -> bool {
        match (self, wanted) {
            (Self::Number(have), Item::Number(want)) => almost_equal(*want, *have, TOLERANCE),
            (Self::Histogram(have), Item::Histogram(want)) => {
                let fits = !want.hint_given || want.histogram.hint == have.hint;
                fits && same(&want.histogram, have)
            }
            _ => false,
        }
    }
}

/// Whether two histograms are the same, but for what rounding does and empty buckets.
#[expect(clippy::float_cmp, reason = "thresholds and bounds must be the very same")]
fn same(a: &Histogram, b: &Histogram) -> bool {
    let (a, b) = (a.clone().compacted(), b.clone().compacted());
    let near = |a: f64, b: f64| almost_equal(a, b, TOLERANCE);
    let sides = |a: &[Bar], b: &[Bar]| {
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| a.index == b.index && near(a.count, b.count))
    };
    a.schema == b.schema
        && a.bounds == b.bounds
        && a.zero_threshold == b.zero_threshold
        && near(a.zero_count, b.zero_count)
        && near(a.count, b.count)
        && near(a.sum, b.sum)
        && sides(&a.positive, &b.positive)
        && sides(&a.negative, &b.negative)
}

/// All samples of a series, in order of time.
fn samples_of(series: &Series) -> Vec<(i64, Found)> {
    let numbers = series.times.iter().zip(&series.values);
    let mut all: Vec<_> = numbers.map(|(at, &value)| (at.0, Found::Number(value))).collect();
    let histograms = series.histograms.iter();
    all.extend(histograms.map(|(at, h)| (at.0, Found::Histogram(Arc::clone(h)))));
    all.sort_by_key(|&(at, _)| at);
    all
}

fn check_notes(kind: &str, wanted: &[Text], none: bool, have: &[String]) -> Result<(), String> {
    if none && !have.is_empty() {
        return Err(format!("unexpected {kind}: {have:?}"));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    if let Some(missing) = wanted.iter().find(|text| !have.iter().any(|h| text.matches(h))) {
        return Err(format!("missing {kind} {missing:?}, got {have:?}"));
    }
    match have.iter().find(|h| !wanted.iter().any(|text| text.matches(h))) {
        Some(extra) => Err(format!("unexpected {kind}: {extra:?}")),
        None => Ok(()),
    }
}
