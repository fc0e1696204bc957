//! From the text of a script to its commands.

use std::time::Duration;

use narthex_model::Labels;
use narthex_model::time::parse_duration;

use super::series::{self, Slot};

/// The script is not in order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

pub(super) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

pub(super) struct Load {
    pub(super) gap_ms: i64,
    pub(super) lines: Vec<(Labels, Vec<Slot>)>,
    /// Native histograms are made of the classic ones as well.
    pub(super) with_histograms: bool,
    /// A line gives start times.
    pub(super) start_times: bool,
}

pub(super) struct Eval {
    pub(super) line: usize,
    pub(super) query: String,
    pub(super) when: When,
    pub(super) expected: Vec<(Labels, Vec<Slot>)>,
    pub(super) scalar: Option<f64>,
    pub(super) string: Option<String>,
    /// Start, end and step of an expected range vector, in ms.
    pub(super) matrix: Option<(i64, i64, i64)>,
    pub(super) ordered: bool,
    pub(super) fail: Option<Text>,
    pub(super) warn: Expect,
    pub(super) info: Expect,
}

#[derive(Clone, Copy)]
pub(super) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// What is expected of the annotations of one kind.
#[derive(Default)]
pub(super) struct Expect {
    pub(super) some: Vec<Text>,
    pub(super) none: bool,
}

/// What a text has to be.
pub(super) enum Text {
    Any,
    Exactly(String),
    Matching(String),
}

type Lines<'a> = std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'a>>>;

/// The commands of a script.
pub(super) fn commands(script: &str) -> Result<Vec<Command>, ScriptError> {
    let mut commands = Vec::new();
    let mut lines = script.lines().enumerate().peekable();
    while let Some((at, text)) = lines.next() {
        let line = at + 1;
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let word = text.split_whitespace().next().unwrap_or("");
        let rest = text.strip_prefix(word).unwrap_or("").trim();
        let command = match word {
            "clear" => Command::Clear,
            "load" | "load_with_nhcb" => {
                Command::Load(load(rest, word == "load_with_nhcb", line, &mut lines)?)
            }
            _ if word.starts_with("eval") => {
                Command::Eval(Box::new(eval(word, rest, line, &mut lines)?))
            }
            _ => return Err(error(line, format!("unknown command {word:?}"))),
        };
        commands.push(command);
    }
    Ok(commands)
}

fn error(line: usize, message: impl Into<String>) -> ScriptError {
    ScriptError { line, message: message.into() }
}

/// The lines that belong to a command: up to a blank one. Comments are left out.
fn body<'a>(lines: &mut Lines<'a>) -> Vec<(usize, &'a str)> {
    let mut body = Vec::new();
    while let Some((at, text)) = lines.next_if(|(_, text)| !text.trim().is_empty()) {
        if !text.trim_start().starts_with('#') {
            body.push((at + 1, text.trim()));
        }
    }
    body
}

fn load(
    gap: &str,
    with_histograms: bool,
    line: usize,
    lines: &mut Lines<'_>,
) -> Result<Load, ScriptError> {
    let gap_ms = millis(gap).map_err(|e| error(line, e))?;
    let mut load = Load { gap_ms, lines: Vec::new(), with_histograms, start_times: false };
    for (line, text) in body(lines) {
        let (labels, rest) = series::labels(text).map_err(|e| error(line, e))?;
        if rest.starts_with("@st") {
            load.start_times = true;
            continue;
        }
        let values = series::values(rest).map_err(|e| error(line, e))?;
        load.lines.push((labels, values));
    }
    Ok(load)
}

fn eval(word: &str, rest: &str, line: usize, lines: &mut Lines<'_>) -> Result<Eval, ScriptError> {
    let (when, query) = when(rest).map_err(|e| error(line, e))?;
    let mut eval = Eval {
        line,
        query: query.to_owned(),
        when,
        expected: Vec::new(),
        scalar: None,
        string: None,
        matrix: None,
        ordered: word == "eval_ordered",
        fail: (word == "eval_fail").then_some(Text::Any),
        warn: Expect::default(),
        info: Expect::default(),
    };
    if word == "eval_warn" {
        eval.warn.some.push(Text::Any);
    }
    if word == "eval_info" {
        eval.info.some.push(Text::Any);
    }
    for (line, text) in body(lines) {
        if let Some(rest) = text.strip_prefix("expect ") {
            expect(&mut eval, rest.trim()).map_err(|e| error(line, e))?;
        } else if let Some(number) = series::number(text) {
            eval.scalar = Some(number);
        } else {
            let (labels, rest) = series::labels(text).map_err(|e| error(line, e))?;
            let values = series::values(rest).map_err(|e| error(line, e))?;
            eval.expected.push((labels, values));
        }
    }
    Ok(eval)
}

/// `instant at T QUERY` or `range from A to B step S QUERY`.
fn when(text: &str) -> Result<(When, &str), String> {
    let mut rest = text;
    let mut word = || {
        rest = rest.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        word
    };
    let kind = word();
    let mut next = |name: &str| match word() {
        found if found == name => millis(word()),
        found => Err(format!("expected {name:?}, found {found:?}")),
    };
    let when = match kind {
        "instant" => When::Instant(next("at")?),
        "range" => When::Range { start: next("from")?, end: next("to")?, step: next("step")? },
        _ => return Err(format!("unknown kind of evaluation {kind:?}")),
    };
    Ok((when, rest.trim()))
}

fn expect(eval: &mut Eval, text: &str) -> Result<(), String> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let text = || match (rest.strip_prefix("msg:"), rest.strip_prefix("regex:")) {
        (Some(exactly), _) => Text::Exactly(exactly.trim().to_owned()),
        (_, Some(regex)) => Text::Matching(regex.trim().to_owned()),
        _ => Text::Any,
    };
    match word {
        "fail" => eval.fail = Some(text()),
        "warn" => eval.warn.some.push(text()),
        "info" => eval.info.some.push(text()),
        "no_warn" => eval.warn.none = true,
        "no_info" => eval.info.none = true,
        "ordered" => eval.ordered = true,
        "string" => eval.string = Some(series::unquote(rest)?),
        "range" => {
            let times = rest.strip_prefix("vector").unwrap_or(rest).trim();
            let (When::Range { start, end, step }, _) = when(&format!("range {times} -"))? else {
                return Err("a range vector has a start, an end and a step".to_owned());
            };
            eval.matrix = Some((start, end, step));
        }
        _ => return Err(format!("unknown expectation {word:?}")),
    }
    Ok(())
}

/// A duration, or a number of seconds.
fn millis(text: &str) -> Result<i64, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let duration = match digits.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string()),
        Err(_) => parse_duration(digits).map_err(|e| e.to_string()),
    };
    let ms = duration.map_err(|e| format!("{text:?}: {e}"))?.as_millis();
    i64::try_from(ms).map(|ms| sign * ms).map_err(|e| e.to_string())
}
