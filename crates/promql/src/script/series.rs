//! Series with their values: `up{job="a"} 1 _ 0+1x5 stale {{count:1}}`.

use narthex_model::{Histogram, Labels, LabelsBuilder, METRIC_NAME, MatchOp, STALE};

use super::native;
use crate::plan;

/// Most values of one series.
pub(super) const VALUES_MAX: usize = 1_000_000;

/// A histogram, and whether its hint was given.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described {
    pub(super) histogram: Histogram,
    pub(super) hint_given: bool,
}

/// A sample as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// None.
    Gap,
    /// A number.
    Number(f64),
    /// A native histogram.
    Histogram(Box<Described>),
}

/// A series and its samples.
pub(super) type Samples = (Labels, Vec<Item>);

/// What a line describes.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// Samples.
    Samples(Labels, Vec<Item>),
    /// Start times of a series, in milliseconds from the sample's time.
    Starts(Labels, Vec<Option<i64>>),
}

/// Reads a line.
pub(super) fn parse(line: &str) -> Result<Line, String> {
    let end = metric_end(line);
    let (metric, rest) = line.split_at(end);
    let labels = parse_metric(metric)?;
    if let Some(starts) = rest.strip_prefix("@st") {
        return Ok(Line::Starts(labels, parse_starts(starts)?));
    }
    let mut items = Vec::new();
    parse_values(rest, &mut items)?;
    Ok(Line::Samples(labels, items))
}

/// Where the metric ends: behind its `}`, or at the first space.
fn metric_end(line: &str) -> usize {
    let mut quote = None;
    let mut depth = 0;
    let mut skip = false;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            _ if skip => skip = false,
            (Some(_), '\\') => skip = true,
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            (None, ' ' | '\t' | '@') if depth == 0 => {
                // A space may stand before the brace.
                if line.get(at..).is_some_and(|rest| rest.trim_start().starts_with('{'))
                    && !line.get(at..).is_some_and(|rest| rest.trim_start().starts_with("{{"))
                {
                    continue;
                }
                return at;
            }
            _ => {}
        }
    }
    line.len()
}

/// Reads a metric in the form of a selector.
fn parse_metric(text: &str) -> Result<Labels, String> {
    let text = text.trim();
    if text == "{}" {
        return Ok(Labels::empty());
    }
    let plan = plan::parse(text).map_err(|error| format!("{text}: {error}"))?;
    let plan::Expr::Vector(selector) = &plan.root().expr else {
        return Err(format!("not a series: {text}"));
    };
    let mut builder = LabelsBuilder::default();
    for matcher in &selector.matchers {
        if matcher.op() != MatchOp::Equal {
            return Err(format!("not a series: {text}"));
        }
        builder.set(matcher.name(), matcher.value());
    }
    if builder.get(METRIC_NAME).is_none() && !selector.name.is_empty() {
        builder.set(METRIC_NAME, &selector.name);
    }
    Ok(builder.build())
}

/// Reads values.
fn parse_values(text: &str, out: &mut Vec<Item>) -> Result<(), String> {
    let mut rest = text.trim();
    while !rest.is_empty() {
        if rest.starts_with("{{") {
            rest = native::parse_run(rest, out)?.trim_start();
        } else {
            let (word, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            parse_value(word, out)?;
            rest = tail.trim_start();
        }
        if out.len() > VALUES_MAX {
            return Err(format!("more than {VALUES_MAX} values"));
        }
    }
    Ok(())
}

/// Reads start times: `_`, `-1m`, `-30s-1mx2`.
fn parse_starts(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut starts = Vec::new();
    for word in text.split_whitespace() {
        let (value, times) = match word.rsplit_once('x') {
            Some((value, times)) => (value, parse_times(times)? + 1),
            None => (word, 1),
        };
        if value.starts_with('_') {
            starts.resize(starts.len() + times - usize::from(times > 1), None);
            continue;
        }
        let later = value.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-'));
        let (first, step) = value.split_at(later.map_or(value.len(), |(at, _)| at));
        let (mut start, step) = (signed(first)?, if step.is_empty() { 0 } else { signed(step)? });
        for _ in 0..times {
            starts.push(Some(start));
            start += step;
        }
    }
    Ok(starts)
}

/// Reads a duration with a sign, in milliseconds.
fn signed(text: &str) -> Result<i64, String> {
    let (sign, length) = match text.strip_prefix('-') {
        Some(length) => (-1, length),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    Ok(sign * super::millis(length)?)
}

/// Reads how often something is repeated.
pub(super) fn parse_times(text: &str) -> Result<usize, String> {
    let times = text.parse::<usize>().ok().filter(|&times| times <= VALUES_MAX);
    times.ok_or_else(|| format!("bad number of times: {text}"))
}

/// Reads one word: a value, `_`, `stale`, or a run of values.
fn parse_value(word: &str, out: &mut Vec<Item>) -> Result<(), String> {
    let bad = || format!("bad value: {word}");
    if word == "_" {
        out.push(Item::Gap);
        return Ok(());
    }
    if let Some(count) = word.strip_prefix("_x") {
        out.resize(out.len() + parse_times(count)?, Item::Gap);
        return Ok(());
    }
    if word == "stale" {
        out.push(Item::Number(STALE));
        return Ok(());
    }
    if let Ok(value) = parse_number(word) {
        out.push(Item::Number(value));
        return Ok(());
    }
    let (values, count) = word.rsplit_once('x').ok_or_else(bad)?;
    let count = parse_times(count).map_err(|_| bad())?;
    if values == "stale" {
        out.resize(out.len() + count + 1, Item::Number(STALE));
        return Ok(());
    }
    let (first, step) = match parse_number(values) {
        Ok(value) => (value, 0.0),
        Err(_) => split_step(values).ok_or_else(bad)?,
    };
    let mut value = first;
    for _ in 0..=count {
        out.push(Item::Number(value));
        value += step;
    }
    Ok(())
}

/// Splits `a+b` and `a-b`.
fn split_step(text: &str) -> Option<(f64, f64)> {
    for (at, sign) in text.match_indices(['+', '-']) {
        let (first, step) = (text.get(..at)?, text.get(at + 1..)?);
        if let (Ok(first), Ok(step)) = (parse_number(first), parse_number(step)) {
            return Some((first, if sign == "-" { -step } else { step }));
        }
    }
    None
}

/// Reads a number. There is no hexadecimal: `0x5` is zero, six times.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || ".iInN".contains(c)) {
        return Err(format!("bad number: {text}"));
    }
    text.parse().map_err(|_| format!("bad number: {text}"))
}
