//! Series and their values as scripts write them: `name{a="b"} 0+1x5 _ stale 7`.

use narthex_model::{Labels, LabelsBuilder, METRIC_NAME, STALE};

/// Most values that one token may stand for.
const REPEAT_MAX: usize = 1_000_000;

/// The value of a series at one step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Empty,
    Value(f64),
    /// A native histogram.
    Histogram,
}

/// Splits a line into the labels and what follows them.
pub(super) fn labels(line: &str) -> Result<(Labels, &str), String> {
    let mut builder = LabelsBuilder::default();
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(name_end);
    if !name.is_empty() {
        builder.set(METRIC_NAME, name);
    }
    if let Some(inside) = rest.strip_prefix('{') {
        rest = pairs(inside, &mut builder)?;
    }
    Ok((builder.build(), rest.trim_start()))
}

/// Reads pairs up to the closing brace and gives what follows it.
fn pairs<'a>(text: &'a str, builder: &mut LabelsBuilder) -> Result<&'a str, String> {
    let mut rest = text.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let (name, after) = if rest.starts_with(['"', '\'', '`']) {
            quoted(rest)?
        } else {
            let end = rest.find(|c: char| c == '=' || c.is_whitespace());
            let (name, after) = rest.split_at(end.ok_or("a label without a value")?);
            (name.to_owned(), after)
        };
        rest = after.trim_start();
        match rest.strip_prefix('=') {
            Some(after) => {
                let (value, after) = quoted(after.trim_start())?;
                builder.set(&name, &value);
                rest = after.trim_start();
            }
            // A quoted word alone is the metric's name.
            None => {
                builder.set(METRIC_NAME, &name);
            }
        }
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        if rest.is_empty() {
            return Err("labels without an end".to_owned());
        }
    }
}

/// Reads a quoted text at the beginning of `text`; gives what follows it, too.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let quote = text.chars().next().filter(|c| ['"', '\'', '`'].contains(c));
    let quote = quote.ok_or_else(|| format!("expected a quoted text: {text}"))?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            let (whole, rest) = text.split_at(at + 1);
            return Ok((unquote(whole)?, rest));
        }
    }
    Err(format!("a text without an end: {text}"))
}

/// What a quoted text stands for.
pub(super) fn unquote(text: &str) -> Result<String, String> {
    let query = crate::parse(text).map_err(|e| e.to_string())?;
    match &query.root().expr {
        crate::plan::Expr::String(value) => Ok(value.clone()),
        _ => Err(format!("expected a quoted text: {text}")),
    }
}

/// A number as Go reads it.
pub(super) fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(narthex_model::sample::NORMAL_NAN),
        "Inf" | "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

/// The values behind a series.
pub(super) fn values(text: &str) -> Result<Vec<Slot>, String> {
    let mut values = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("{{") {
            let end = after.find("}}").ok_or("a histogram without an end")?;
            let after = after.get(end + 2..).unwrap_or("");
            let tail = after.find(char::is_whitespace).unwrap_or(after.len());
            let (repeat, after) = after.split_at(tail);
            let count = repeat.rsplit('x').next().and_then(|n| n.parse::<usize>().ok());
            let count = count.filter(|_| !repeat.is_empty()).unwrap_or(0).min(REPEAT_MAX);
            values.extend(std::iter::repeat_n(Slot::Histogram, count + 1));
            // `{{...}}+{{...}}x5`: the second one is read in the next turn of a longer token.
            rest = after.trim_start();
            continue;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        expand(token, &mut values)?;
        rest = after.trim_start();
    }
    Ok(values)
}

/// `_`, `_x3`, `stale`, `5`, `5x3`, `5+1x3`, `5-1x3`: the last three stand for four values.
fn expand(token: &str, values: &mut Vec<Slot>) -> Result<(), String> {
    let wrong = || format!("not a value: {token}");
    let (what, times) = match token.rsplit_once('x') {
        Some((what, times)) => {
            let times: usize = times.parse().map_err(|_| wrong())?;
            (what, Some(times.min(REPEAT_MAX)))
        }
        None => (token, None),
    };
    if what == "_" {
        values.extend(std::iter::repeat_n(Slot::Empty, times.unwrap_or(1)));
        return Ok(());
    }
    if what == "stale" {
        values.extend(std::iter::repeat_n(Slot::Value(STALE), times.map_or(1, |n| n + 1)));
        return Ok(());
    }
    let step_at = what.char_indices().skip(1).find(|&(at, c)| {
        let before = what.get(..at).and_then(|text| text.chars().last());
        (c == '+' || c == '-') && !matches!(before, Some('e' | 'E'))
    });
    let (first, step) = match step_at {
        Some((at, _)) => {
            let (first, step) = what.split_at(at);
            (number(first).ok_or_else(wrong)?, number(step).ok_or_else(wrong)?)
        }
        None => (number(what).ok_or_else(wrong)?, 0.0),
    };
    // Added up as the scripts' own reader does, so that rounding is the same.
    let mut value = first;
    for _ in 0..=times.unwrap_or(0) {
        values.push(Slot::Value(value));
        value += step;
    }
    Ok(())
}
