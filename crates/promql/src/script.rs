//! Runs test scripts in the language of Prometheus' own `*.test` files.
//!
//! A script loads series (`load 5m`), computes queries (`eval instant at 10m ...`,
//! `eval range from 0 to 10m step 5m ...`) and says what is expected. `clear` starts a block,
//! which stands alone. Samples go through a real store in memory.
//!
//! Native histograms are written `{{schema:0 count:4 sum:5 buckets:[1 2 1]}}`; `load_with_nhcb`
//! loads classic histograms as native ones too, and a line with `@st` behind the metric says when
//! the counters of the same metric's samples started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use narthex_model::time::parse_duration;
use narthex_model::{ABSENT, Labels, Timestamp, is_absent};
use narthex_store::histogram::{Part, parts};
use narthex_store::{Row, SourceRef, Store, Writer};

use crate::{Error, Options, Output, Plan, Release, plan};

mod expect;
mod native;
mod pin;
mod series;

use expect::Expectation;
use series::{Item, Line};

/// One query of a script, and how it went.
#[derive(Clone, Debug)]
pub struct Check {
    /// The line of the script, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// How it went.
    pub outcome: Outcome,
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Otherwise: what was wrong.
    Failed(String),
}

/// Runs a script; gives its checks in order, and as failed checks the lines that are none.
pub fn run(script: &str) -> Vec<Check> {
    let lines: Vec<String> = script.lines().map(clean).collect();
    let mut runner = Runner::new(&lines);
    while runner.at < runner.lines.len() {
        runner.command();
    }
    runner.checks
}

/// A line without space around it; nothing if it is a comment.
fn clean(line: &str) -> String {
    let line = line.trim();
    if line.starts_with('#') { String::new() } else { line.to_owned() }
}

struct Runner<'a> {
    lines: &'a [String],
    at: usize,
    checks: Vec<Check>,
    store: Arc<Store>,
    writer: Writer,
    source: SourceRef,
}

/// When a query is computed, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct When {
    start: i64,
    end: i64,
    /// None for an instant query.
    step: Option<i64>,
}

impl<'a> Runner<'a> {
    fn new(lines: &'a [String]) -> Self {
        let (store, mut writer) = narthex_store::testing::memory_store();
        let source = writer.new_source();
        Self { lines, at: 0, checks: Vec::new(), store, writer, source }
    }

    fn command(&mut self) {
        let line = self.lines.get(self.at).map_or("", String::as_str);
        let start = self.at;
        self.at += 1;
        let word = line.split_whitespace().next().unwrap_or("");
        let result = match word {
            "" => Ok(()),
            "clear" => {
                (self.store, self.writer) = narthex_store::testing::memory_store();
                self.source = self.writer.new_source();
                Ok(())
            }
            "load" => self.load(line, false),
            "load_with_nhcb" => self.load(line, true),
            word if word.starts_with("eval") => {
                self.eval(line, start);
                Ok(())
            }
            _ => Err(format!("unknown command: {line}")),
        };
        if let Err(message) = result {
            let outcome = Outcome::Failed(message);
            self.checks.push(Check { line: start + 1, query: line.to_owned(), outcome });
        }
    }

    /// The lines up to the next empty one.
    fn body(&mut self) -> &'a [String] {
        let rest = self.lines.get(self.at..).unwrap_or(&[]);
        let len = rest.iter().position(String::is_empty).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or(&[])
    }

    fn load(&mut self, line: &str, converts: bool) -> Result<(), String> {
        let step = line.split_whitespace().nth(1).unwrap_or("");
        let step = millis(step)?;
        let mut loaded: Vec<(Labels, Vec<Item>)> = Vec::new();
        let mut starts = Vec::new();
        for line in self.body() {
            match series::parse(line)? {
                Line::Starts(labels, times) => starts.push((labels, times)),
                Line::Samples(labels, items) => {
                    // Of a series that is described twice the last description counts.
                    loaded.retain(|(have, _)| *have != labels);
                    loaded.push((labels, items));
                }
            }
        }
        if converts {
            let converted = native::converted(&loaded);
            self.append(step, &converted, &[]).map_err(|error| error.to_string())?;
        }
        self.append(step, &loaded, &starts).map_err(|error| error.to_string())
    }

    fn append(
        &mut self,
        step: i64,
        series: &[(Labels, Vec<Item>)],
        starts: &[(Labels, Vec<Option<i64>>)],
    ) -> Result<(), narthex_store::Error> {
        let columns = columns(step, series, starts);
        let layout = self.writer.new_layout(self.source)?;
        let mut refs = Vec::new();
        for labels in columns.keys() {
            refs.push(self.writer.resolve(labels)?);
        }
        self.writer.add_columns(layout, &refs)?;
        let len = columns.values().map(Vec::len).max().unwrap_or(0);
        let mut at = 0;
        for index in 0..len {
            let value = |values: &Vec<f64>| values.get(index).copied().unwrap_or(ABSENT);
            let values: Vec<f64> = columns.values().map(value).collect();
            if values.iter().any(|&value| !is_absent(value)) {
                let at = Timestamp(at);
                self.writer.append(&Row { layout, at, values: &values, changed: None })?;
            }
            at += step;
        }
        Ok(())
    }

    fn eval(&mut self, line: &str, start: usize) {
        let body = self.body();
        let (query, result) = match parse_eval(line) {
            Ok((mode, when, query)) => (query.to_owned(), self.check(mode, when, query, body)),
            Err(message) => (line.to_owned(), Err(message)),
        };
        let outcome = result.map_or_else(Outcome::Failed, |()| Outcome::Passed);
        self.checks.push(Check { line: start + 1, query, outcome });
    }

    fn check(&self, mode: &str, when: When, query: &str, body: &[String]) -> Result<(), String> {
        let expectation = Expectation::parse(mode, body)?;
        let plan = match plan::parse(query) {
            Ok(plan) => plan,
            Err(error) => return expectation.check_error(&error),
        };
        self.compare(&expectation, &plan, when)?;
        if when.step.is_some() {
            return Ok(());
        }
        for (plan, at) in pin::variants(&plan, when.start) {
            let when = When { start: at, end: at, step: None };
            self.compare(&expectation, &plan, when)
                .map_err(|message| format!("pinned and at {at} ms: {message}"))?;
        }
        Ok(())
    }

    fn compare(&self, expectation: &Expectation, plan: &Plan, when: When) -> Result<(), String> {
        let output = match self.compute(plan, when) {
            Ok(output) => output,
            Err(error) => return expectation.check_error(&error),
        };
        expectation.check(&output, when)?;
        if when.step.is_some() || !expectation.holds_in_ranges(plan.text()) {
            return Ok(());
        }
        // The middle step of a range query must give the same.
        let minute = 60_000;
        let around =
            When { start: when.start - minute, end: when.start + minute, step: Some(minute) };
        let output = self.compute(plan, around).map_err(|error| error.to_string())?;
        expectation
            .check_middle(output, when)
            .map_err(|message| format!("in a range query: {message}"))
    }

    fn compute(&self, plan: &Plan, when: When) -> Result<Output, Error> {
        let options = Options {
            experimental: true,
            delayed_name_removal: true,
            release: Release::Newest,
            default_step: Duration::from_secs(60),
            ..Options::default()
        };
        let snapshot = self.store.snapshot();
        let start = Timestamp(when.start);
        match when.step {
            None => crate::instant(plan, &snapshot, start, &options),
            Some(step) => {
                let step = Duration::from_millis(u64::try_from(step).unwrap_or(0));
                crate::range(plan, &snapshot, start, Timestamp(when.end), step, &options)
            }
        }
    }
}

/// The columns that the store is given for series with samples at every `step`.
fn columns(
    step: i64,
    series: &[(Labels, Vec<Item>)],
    starts: &[(Labels, Vec<Option<i64>>)],
) -> BTreeMap<Labels, Vec<f64>> {
    let mut columns: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    let mut put = |labels: Labels, index: usize, value: f64| {
        let column = columns.entry(labels).or_default();
        column.resize(column.len().max(index + 1), ABSENT);
        if let Some(slot) = column.get_mut(index) {
            *slot = value;
        }
    };
    for (labels, items) in series {
        let known = starts.iter().find(|(have, _)| have == labels);
        let mut at = 0;
        for (index, item) in items.iter().enumerate() {
            match item {
                Item::Gap => {}
                Item::Number(value) => put(labels.clone(), index, *value),
                Item::Histogram(described) => {
                    parts(&described.histogram, false, |part, value| {
                        put(part.labels(labels), index, value);
                    });
                }
            }
            let start = known.and_then(|(_, times)| times.get(index).copied().flatten());
            if let (Some(start), false) = (start, *item == Item::Gap) {
                #[expect(clippy::cast_precision_loss, reason = "times of scripts are small")]
                put(Part::Start.labels(labels), index, (at + start) as f64);
            }
            at += step;
        }
    }
    columns
}

fn millis(text: &str) -> Result<i64, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    i64::try_from(duration.as_millis()).map_err(|error| error.to_string())
}

/// Splits `eval[_mode] instant at T QUERY` and `eval[_mode] range from A to B step S QUERY`.
fn parse_eval(line: &str) -> Result<(&str, When, &str), String> {
    let mut words = Words(line);
    let mode = words.next().strip_prefix("eval").unwrap_or("").trim_start_matches('_');
    match words.next() {
        "instant" => {
            words.expect("at")?;
            let at = millis(words.next())?;
            Ok((mode, When { start: at, end: at, step: None }, words.0))
        }
        "range" => {
            words.expect("from")?;
            let start = millis(words.next())?;
            words.expect("to")?;
            let end = millis(words.next())?;
            words.expect("step")?;
            let step = millis(words.next())?;
            Ok((mode, When { start, end, step: Some(step) }, words.0))
        }
        _ => Err("an evaluation is instant or range".to_owned()),
    }
}

/// Takes words off the front of a line.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        let (word, rest) = self.0.split_once(char::is_whitespace).unwrap_or((self.0, ""));
        self.0 = rest.trim_start();
        word
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        match self.next() {
            word if word == wanted => Ok(()),
            word => Err(format!("expected {wanted}, got {word}")),
        }
    }
}

#[cfg(test)]
mod tests;
