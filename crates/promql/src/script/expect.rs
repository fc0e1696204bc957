//! What a script expects of a query.

use narthex_model::regex::Pattern;
use narthex_model::{Labels, is_absent};

use super::series::{Floats, Line, parse, parse_number};
use super::{When, millis};
use crate::numeric::almost_equal;
use crate::{Error, Output, Series, Value};

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
    series: Vec<Floats>,
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
                    Line::Floats(labels, values) => expected.series.push((labels, values)),
                    _ => return Err("expects native histograms".to_owned()),
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
                let values = elements.iter().map(|(labels, s)| (labels, s.value)).collect();
                self.check_vector(values)
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
            let index = series.times.iter().position(|time| time.0 == when.start)?;
            series.values.get(index).copied()
        };
        if self.scalar.is_some() {
            let value = matrix.first().and_then(at_time).unwrap_or(f64::NAN);
            return self.check_scalar(value);
        }
        self.check_vector(matrix.iter().filter_map(|s| Some((&s.labels, at_time(s)?))).collect())
    }

    fn check_scalar(&self, value: f64) -> Result<(), String> {
        match self.scalar {
            Some(wanted) if almost_equal(wanted, value, TOLERANCE) => Ok(()),
            wanted => Err(format!("got the number {value}, expected {wanted:?}")),
        }
    }

    fn wanted(&self, labels: &Labels) -> Option<(usize, &Vec<f64>)> {
        let mut series = self.series.iter().enumerate();
        let found = series.find(|(_, (have, _))| have == labels)?;
        Some((found.0, &found.1.1))
    }

    fn check_vector(&self, elements: Vec<(&Labels, f64)>) -> Result<(), String> {
        if self.scalar.is_some() {
            return Err("got a vector, expected a number".to_owned());
        }
        let count = elements.len();
        for (position, (labels, value)) in elements.into_iter().enumerate() {
            let Some((place, wanted)) = self.wanted(labels) else {
                return Err(format!("unexpected {labels} {value}"));
            };
            if self.ordered && place != position {
                return Err(format!("{labels} stands at {position}, expected at {place}"));
            }
            match wanted.first() {
                Some(&wanted) if almost_equal(wanted, value, TOLERANCE) => {}
                wanted => return Err(format!("{labels} is {value}, expected {wanted:?}")),
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
            for &value in wanted {
                if !is_absent(value) {
                    points.push((at, value));
                }
                at += step;
            }
            let have: Vec<_> =
                series.times.iter().map(|time| time.0).zip(series.values.iter().copied()).collect();
            let same = have.len() == points.len()
                && have
                    .iter()
                    .zip(&points)
                    .all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1, TOLERANCE));
            if !same {
                return Err(format!("{}: got {have:?}, expected {points:?}", series.labels));
            }
        }
        self.check_count(matrix.len())
    }
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
