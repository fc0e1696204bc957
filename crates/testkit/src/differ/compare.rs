//! One question to two servers, and what differs in the answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use serde_json::Value;

use crate::http;

/// By how much two values may differ, absolute or relative to the larger one.
const TOLERANCE: f64 = 1e-9;

/// How often the first server is asked again when the answers differ.
const ASKED_AGAIN: usize = 10;

/// Longest part of an answer that is shown.
const SHOWN_BYTES_MAX: usize = 1200;

/// For which instants a query is asked; times in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// One instant.
    At(i64),
    /// Every `step` from `start` to `end`.
    Range {
        /// The first instant.
        start: i64,
        /// No instant is later.
        end: i64,
        /// From one to the next.
        step: i64,
    },
}

/// A query and its instants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The expression.
    pub query: String,
    /// When.
    pub when: When,
}

/// Both answers to a question and what differs.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is counted on its own")]
pub struct Comparison {
    /// What was asked.
    pub question: Question,
    /// What differs, one line each; empty: the answers are equal.
    pub differences: Vec<String>,
    /// Whether the texts of two equal kinds of error differ; that alone is no difference.
    pub other_words: bool,
    /// Whether annotations differ in the place of the query that they name; that alone is no
    /// difference.
    pub other_places: bool,
    /// Whether the first server, asked again, answers otherwise itself: the order of what it keeps
    /// in maps decides. Then nothing is compared.
    pub undecided: bool,
    /// Whether both answered with an error.
    pub failed: bool,
    /// The first server's answer.
    pub first: Value,
    /// The second server's answer.
    pub second: Value,
}

impl Comparison {
    /// The question, both answers and the differences, for a person.
    pub fn report(&self) -> String {
        let mut text = format!("{:?}\n  {}\n", self.question.when, self.question.query);
        for difference in &self.differences {
            let _ = writeln!(text, "  - {difference}");
        }
        for (name, answer) in [("first", &self.first), ("second", &self.second)] {
            let mut shown = answer.to_string();
            if shown.len() > SHOWN_BYTES_MAX {
                shown.truncate(shown.floor_char_boundary(SHOWN_BYTES_MAX));
                shown.push_str("...");
            }
            let _ = writeln!(text, "  {name}: {shown}");
        }
        text
    }
}

/// Asks the servers on two loopback ports.
///
/// # Errors
/// When one of them does not answer.
pub fn ask(ports: (u16, u16), question: &Question) -> io::Result<Comparison> {
    let (first, second) = (one(ports.0, question)?, one(ports.1, question)?);
    let mut judge = judge(question, &first, &second);
    let failed = first["status"] == "error" && second["status"] == "error";
    let mut other_words = failed && first["error"] != second["error"];
    let mut undecided = false;
    if other_words || !judge.differences.is_empty() {
        for _ in 0..ASKED_AGAIN {
            let again = one(ports.0, question)?;
            undecided |= !self::judge(question, &first, &again).differences.is_empty();
            undecided |= first["error"] != again["error"];
        }
    }
    if undecided {
        judge.differences.clear();
        other_words = false;
    }
    let Judge { differences, other_places, .. } = judge;
    let question = question.clone();
    let compared = Comparison {
        question,
        differences,
        other_words,
        other_places,
        undecided,
        failed,
        first,
        second,
    };
    Ok(compared)
}

fn judge(question: &Question, first: &Value, second: &Value) -> Judge {
    let ordered = is_ordered(&question.query);
    let mut judge = Judge { differences: Vec::new(), ordered, other_places: false };
    judge.answers(first, second);
    judge
}

fn one(port: u16, question: &Question) -> io::Result<Value> {
    let mut form = format!("query={}", http::encode(&question.query));
    let seconds = |ms: i64| format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
    let path = match question.when {
        When::At(at) => {
            let _ = write!(form, "&time={}", seconds(at));
            "/api/v1/query"
        }
        When::Range { start, end, step } => {
            let (start, end, step) = (seconds(start), seconds(end), seconds(step));
            let _ = write!(form, "&start={start}&end={end}&step={step}");
            "/api/v1/query_range"
        }
    };
    let head = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = http::ask(port, "POST", path, head, form.as_bytes())?;
    match answer.json() {
        Value::Null => {
            Err(io::Error::other(format!("no JSON, {}: {}", answer.status, answer.text())))
        }
        json => Ok(json),
    }
}

/// Whether the order of an instant query's result is defined.
fn is_ordered(query: &str) -> bool {
    let query = query.trim_start();
    query.starts_with("sort(") || query.starts_with("sort_desc(")
}

struct Judge {
    differences: Vec<String>,
    ordered: bool,
    other_places: bool,
}

impl Judge {
    fn differ(&mut self, text: impl Into<String>) {
        // A few tell enough.
        if self.differences.len() < 5 {
            self.differences.push(text.into());
        }
    }

    fn answers(&mut self, first: &Value, second: &Value) {
        for field in ["status", "errorType"] {
            if first[field] != second[field] {
                self.differ(format!("{field}: {} and {}", first[field], second[field]));
            }
        }
        for field in ["warnings", "infos"] {
            let (a, b) = (notes(&first[field]), notes(&second[field]));
            let texts = |notes: &[String]| -> Vec<String> {
                notes.iter().map(|note| without_place(note).to_owned()).collect()
            };
            if texts(&a) != texts(&b) {
                self.differ(format!("{field}: {a:?} and {b:?}"));
            } else if a != b {
                self.other_places = true;
            }
        }
        let (first, second) = (&first["data"], &second["data"]);
        if first["resultType"] != second["resultType"] {
            let (a, b) = (&first["resultType"], &second["resultType"]);
            return self.differ(format!("resultType: {a} and {b}"));
        }
        match first["resultType"].as_str() {
            Some("scalar") => self.sample("scalar", &first["result"], &second["result"]),
            Some("string") if first["result"] != second["result"] => self.differ("the strings"),
            Some("string") | None => {}
            Some(_) => self.series(&first["result"], &second["result"]),
        }
    }

    fn series(&mut self, first: &Value, second: &Value) {
        if self.ordered {
            let values = |list: &Value| -> Value {
                let list = list.as_array().into_iter().flatten();
                list.map(|series| series["value"][1].clone()).collect()
            };
            if !is_near(&values(first), &values(second)) {
                self.differ("the order");
            }
        }
        let (mut first, second) = (by_labels(first), by_labels(second));
        for (labels, b) in &second {
            match first.remove(labels) {
                None => self.differ(format!("only in the second: {labels}")),
                Some(a) if a.len() != b.len() => self.differ(format!("twice: {labels}")),
                Some(a) => {
                    for (a, b) in a.iter().zip(b) {
                        self.one_series(labels, a, b);
                    }
                }
            }
        }
        for labels in first.keys() {
            self.differ(format!("only in the first: {labels}"));
        }
    }

    fn one_series(&mut self, labels: &str, first: &Value, second: &Value) {
        for field in ["value", "histogram"] {
            match (&first[field], &second[field]) {
                (Value::Null, Value::Null) => {}
                (a, b) => self.sample(labels, a, b),
            }
        }
        for field in ["values", "histograms"] {
            let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
            let (a, b) = (list(&first[field]), list(&second[field]));
            if a.len() != b.len() {
                self.differ(format!("{labels}: {} and {} {field}", a.len(), b.len()));
                continue;
            }
            for (a, b) in a.iter().zip(&b) {
                self.sample(labels, a, b);
            }
        }
    }

    fn sample(&mut self, labels: &str, first: &Value, second: &Value) {
        if first[0] != second[0] {
            self.differ(format!("{labels}: at {} and at {}", first[0], second[0]));
        } else if !is_near(&first[1], &second[1]) {
            let at = &first[0];
            self.differ(format!("{labels} at {at}: {} and {}", first[1], second[1]));
        }
    }
}

/// Annotations, in any order. Servers cut them at ten, and which ten is chance.
fn notes(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    let mut notes: Vec<String> = list.filter_map(Value::as_str).map(str::to_owned).collect();
    notes.sort();
    if notes.iter().any(|note| note.contains(" annotations omitted")) {
        return vec!["more than ten".to_owned()];
    }
    notes
}

/// An annotation without `(line:column)` at its end.
fn without_place(note: &str) -> &str {
    note.rsplit_once(" (").map_or(note, |(text, _)| text)
}

fn by_labels(list: &Value) -> BTreeMap<String, Vec<&Value>> {
    let mut found: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for series in list.as_array().into_iter().flatten() {
        found.entry(series["metric"].to_string()).or_default().push(series);
    }
    found
}

/// Whether two values are equal but for rounding: numbers as text, or histograms made of them.
fn is_near(first: &Value, second: &Value) -> bool {
    match (first, second) {
        (Value::String(a), Value::String(b)) if a == b => true,
        (Value::String(a), Value::String(b)) => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0),
            _ => false,
        },
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_near(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_near(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge(first: &Value, second: &Value) -> Vec<String> {
        let question = Question { query: String::new(), when: When::At(0) };
        super::judge(&question, first, second).differences
    }

    #[test]
    fn sees_what_differs() {
        let vector = |value: &str, name: &str| {
            json!({"status": "success", "data": {"resultType": "vector", "result": [
                {"metric": {"__name__": name}, "value": [1.5, value]}]}})
        };
        assert!(judge(&vector("1", "a"), &vector("1.0000000001", "a")).is_empty());
        assert_eq!(judge(&vector("1", "a"), &vector("1.001", "a")).len(), 1);
        assert_eq!(judge(&vector("NaN", "a"), &vector("1", "a")).len(), 1);
        assert_eq!(judge(&vector("1", "a"), &vector("1", "b")).len(), 2);
        let error = json!({"status": "error", "errorType": "execution"});
        assert_eq!(judge(&vector("1", "a"), &error).len(), 3);
        let warned = json!({"status": "success", "warnings": ["w"]});
        assert_eq!(judge(&json!({"status": "success"}), &warned).len(), 1);
    }
}
