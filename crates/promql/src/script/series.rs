//! Series with their values: `up{job="a"} 1 _ 0+1x5 stale`.

use narthex_model::{ABSENT, Labels, LabelsBuilder, METRIC_NAME, MatchOp, STALE};

use crate::plan;

/// Most values of one series.
const VALUES_MAX: usize = 1_000_000;

/// A series of numbers, [`ABSENT`] where there is none.
pub(super) type Floats = (Labels, Vec<f64>);

/// What a line describes.
#[derive(Clone, Debug)]
pub(super) enum Line {
    /// Numbers.
    Floats(Labels, Vec<f64>),
    /// Native histograms among numbers, with gaps in their places.
    Mixed(Labels, Vec<f64>),
    /// Native histograms only.
    Histograms,
    /// Start timestamps for the line that follows.
    StartTimestamps,
}

/// Reads a line.
pub(super) fn parse(line: &str) -> Result<Line, String> {
    let end = metric_end(line);
    let (metric, rest) = line.split_at(end);
    if rest.starts_with("@st") {
        return Ok(Line::StartTimestamps);
    }
    let labels = parse_metric(metric)?;
    let mut values = Vec::new();
    let histograms = parse_values(rest, &mut values)?;
    if !histograms {
        return Ok(Line::Floats(labels, values));
    }
    if values.iter().all(|&value| narthex_model::is_absent(value)) {
        return Ok(Line::Histograms);
    }
    Ok(Line::Mixed(labels, values))
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

/// Reads values; whether there were histograms among them, for which it leaves gaps.
fn parse_values(text: &str, out: &mut Vec<f64>) -> Result<bool, String> {
    let mut histograms = false;
    let mut rest = text.trim();
    while !rest.is_empty() {
        if rest.starts_with("{{") {
            histograms = true;
            let (count, tail) = skip_histogram(rest);
            out.resize(out.len() + count, ABSENT);
            rest = tail.trim_start();
            continue;
        }
        let (word, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        parse_value(word, out)?;
        rest = tail.trim_start();
        if out.len() > VALUES_MAX {
            return Err(format!("more than {VALUES_MAX} values"));
        }
    }
    Ok(histograms)
}

/// Skips `{{...}}`, `{{...}}x5`, `{{...}}+{{...}}x5`; gives how many values it stands for.
fn skip_histogram(text: &str) -> (usize, &str) {
    let close = |text: &str| text.find("}}").map_or(text.len(), |at| at + 2);
    let mut rest = text.get(close(text)..).unwrap_or("");
    if let Some(step) = rest.strip_prefix(['+', '-']).filter(|step| step.starts_with("{{")) {
        rest = step.get(close(step)..).unwrap_or("");
    }
    let Some(times) = rest.strip_prefix('x') else { return (1, rest) };
    let digits = times.bytes().take_while(u8::is_ascii_digit).count();
    let (count, rest) = times.split_at(digits);
    (count.parse::<usize>().unwrap_or(0).min(VALUES_MAX) + 1, rest)
}

/// Reads one word: a value, `_`, `stale`, or a run of values.
fn parse_value(word: &str, out: &mut Vec<f64>) -> Result<(), String> {
    let bad = || format!("bad value: {word}");
    let times = |text: &str| {
        text.parse::<usize>().ok().filter(|&times| times <= VALUES_MAX).ok_or_else(bad)
    };
    if word == "_" {
        out.push(ABSENT);
        return Ok(());
    }
    if let Some(count) = word.strip_prefix("_x") {
        out.resize(out.len() + times(count)?, ABSENT);
        return Ok(());
    }
    if word == "stale" {
        out.push(STALE);
        return Ok(());
    }
    if let Ok(value) = parse_number(word) {
        out.push(value);
        return Ok(());
    }
    let (values, count) = word.rsplit_once('x').ok_or_else(bad)?;
    let count = times(count)?;
    if values == "stale" {
        out.resize(out.len() + count + 1, STALE);
        return Ok(());
    }
    let (first, step) = match parse_number(values) {
        Ok(value) => (value, 0.0),
        Err(_) => split_step(values).ok_or_else(bad)?,
    };
    let mut value = first;
    for _ in 0..=count {
        out.push(value);
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
