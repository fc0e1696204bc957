//! Taking a tree of nodes apart, key by key, noting all that is wrong on the way.

pub(crate) mod bytes;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use narthex_model::Labels;
use narthex_model::number::GoQuoted;
use narthex_model::time::{format_duration, parse_duration};

use crate::error::{Error, ISSUES_MAX, Issue};
use crate::node::{Entry, Node, Place, Yaml};
use crate::write::Out;

/// What the reading of one text shares.
pub(crate) struct Context<'a> {
    file: &'a str,
    env: &'a dyn Fn(&str) -> Option<String>,
    issues: Vec<Issue>,
    path: Vec<Step>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl<'a> Context<'a> {
    pub(crate) fn new(file: &'a str, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { file, env, issues: Vec::new(), path: Vec::new() }
    }

    /// An environment variable.
    pub(crate) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    /// Notes that something is wrong with the field that is being read.
    pub(crate) fn report(&mut self, place: Place, message: impl fmt::Display) {
        if self.issues.len() == ISSUES_MAX {
            return;
        }
        self.issues.push(Issue {
            file: self.file.to_owned(),
            line: place.line.max(1),
            column: place.column.max(1),
            field: self.field(),
            message: message.to_string(),
        });
    }

    /// As [`report`](Self::report), of the field `key` of the section that is being read.
    pub(crate) fn report_key(&mut self, node: &Node, key: &str, message: impl fmt::Display) {
        self.within_key(key, |cx| cx.report(node.place_of(key), message));
    }

    /// Notes that `node` is not `what`, which is a single value.
    pub(crate) fn expected(&mut self, node: &Node, what: &str) {
        match &node.value {
            Yaml::Scalar { text, .. } => {
                self.report(node.place, format!("expected {what}, found {}", GoQuoted(text)));
            }
            _ => self.expected_kind(node, what),
        }
    }

    /// Notes that `node` is of another kind than `what`. Its text is not shown: it may be a
    /// secret in the wrong place.
    pub(crate) fn expected_kind(&mut self, node: &Node, what: &str) {
        self.report(node.place, format!("expected {what}, found {}", node.kind()));
    }

    pub(crate) fn within_key<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(Step::Key(key.to_owned()));
        let result = read(self);
        self.path.pop();
        result
    }

    pub(crate) fn within_index<T>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(Step::Index(index));
        let result = read(self);
        self.path.pop();
        result
    }

    /// How much is wrong so far.
    pub(crate) fn issue_count(&self) -> usize {
        self.issues.len()
    }

    /// `value`, if nothing was wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, Error> {
        if self.issues.is_empty() { Ok(value) } else { Err(Error { issues: self.issues }) }
    }

    fn field(&self) -> String {
        let mut out = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if out.is_empty() => out.push_str(key),
                Step::Key(key) => {
                    out.push('.');
                    out.push_str(key);
                }
                Step::Index(index) => {
                    out.push('[');
                    out.push_str(&index.to_string());
                    out.push(']');
                }
            }
        }
        out
    }
}

/// Reads a whole text as one value; an empty text is the default.
pub(crate) fn read_text<T: Value + Default>(
    text: &str,
    file: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<T, Error> {
    let mut cx = Context::new(file, env);
    let node = match Node::parse(text) {
        Ok(node) => node,
        Err(fault) => {
            cx.report(fault.place, fault.message);
            return cx.finish(T::default());
        }
    };
    // An empty text is an empty mapping, so that what depends on other keys is filled in.
    let node = if node.is_null() { Node { value: Yaml::Map(Vec::new()), ..node } } else { node };
    let value = T::read(&node, &mut cx);
    cx.finish(value.unwrap_or_default())
}

/// Something that stands in a configuration.
pub(crate) trait Value: Sized {
    /// Reads it; `None` when it is unusable, which has been reported then.
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self>;

    /// How it is written.
    fn write(&self) -> Out;

    /// Whether it is left out when written, as Go's `omitempty` has it.
    fn is_zero(&self) -> bool {
        false
    }
}

/// The entries of a mapping that were not yet asked for.
pub(crate) struct Fields<'n> {
    entries: Vec<&'n Entry>,
    go_type: &'static str,
}

impl<'n> Fields<'n> {
    /// Opens a mapping; anything else is reported.
    pub(crate) fn open(
        node: &'n Node,
        go_type: &'static str,
        cx: &mut Context<'_>,
    ) -> Option<Self> {
        let Yaml::Map(entries) = &node.value else {
            cx.expected_kind(node, "a mapping");
            return None;
        };
        Some(Self { entries: entries.iter().collect(), go_type })
    }

    /// The entry of `key`, which then counts as known.
    pub(crate) fn take(&mut self, key: &str) -> Option<&'n Node> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(&self.entries.swap_remove(at).node)
    }

    /// Reads `key` into `target`, which keeps its value where the key is absent, null or wrong.
    pub(crate) fn set<T: Value>(&mut self, key: &str, target: &mut T, cx: &mut Context<'_>) {
        self.set_with(key, target, cx, T::read);
    }

    /// As [`set`](Self::set), with a way to read of the caller's own.
    pub(crate) fn set_with<T>(
        &mut self,
        key: &str,
        target: &mut T,
        cx: &mut Context<'_>,
        read: fn(&Node, &mut Context<'_>) -> Option<T>,
    ) {
        let Some(node) = self.take(key).filter(|node| !node.is_null()) else { return };
        if let Some(value) = cx.within_key(key, |cx| read(node, cx)) {
            *target = value;
        }
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(mut self, cx: &mut Context<'_>) {
        self.entries.sort_by_key(|entry| entry.place.line);
        for entry in self.entries {
            let message = format!("field {} not found in type {}", entry.key, self.go_type);
            cx.report(entry.place, message);
        }
    }
}

impl Value for bool {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let known = match &node.value {
            Yaml::Scalar { text, typed } => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" if *typed => Some(true),
                "false" | "no" | "off" if *typed => Some(false),
                "y" => Some(true),
                "n" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if known.is_none() {
            cx.expected(node, "true or false");
        }
        known
    }

    fn write(&self) -> Out {
        Out::Plain(self.to_string())
    }

    fn is_zero(&self) -> bool {
        !*self
    }
}

/// Reads a whole number as YAML 1.1 writes them: decimal, `0x`, `0o` or `0`, `0b`, with `_`.
fn integer(node: &Node) -> Option<i128> {
    let Yaml::Scalar { text, typed: true } = &node.value else { return None };
    let text = text.replace('_', "");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let radix = |prefix: &str, radix| {
        digits.strip_prefix(prefix).and_then(|digits| i128::from_str_radix(digits, radix).ok())
    };
    let octal = digits.len() > 1 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let value = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
        .or_else(|| radix("0", 8).filter(|_| octal))
        .or_else(|| digits.parse().ok())
        .or_else(|| whole_float(digits))?;
    Some(if negative { -value } else { value })
}

/// `1e6` is a whole number to Go's YAML.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole_float(digits: &str) -> Option<i128> {
    let value: f64 = digits.parse().ok()?;
    (value.fract().abs() < f64::EPSILON && value.abs() < 1e18).then_some(value as i128)
}

macro_rules! integers {
    ($($type:ty, $what:literal;)*) => {$(
        impl Value for $type {
            fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
                let value = integer(node).and_then(|value| Self::try_from(value).ok());
                if value.is_none() {
                    cx.expected(node, $what);
                }
                value
            }

            fn write(&self) -> Out {
                Out::Plain(self.to_string())
            }

            fn is_zero(&self) -> bool {
                *self == 0
            }
        }
    )*};
}

integers! {
    u64, "a whole number that is not negative";
    i64, "a whole number";
}

impl Value for f64 {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let value = match &node.value {
            Yaml::Scalar { text, typed: true } => text.replace('_', "").parse().ok(),
            _ => None,
        };
        if value.is_none() {
            cx.expected(node, "a number");
        }
        value
    }

    fn write(&self) -> Out {
        Out::Plain(self.to_string())
    }

    fn is_zero(&self) -> bool {
        self.to_bits() << 1 == 0
    }
}

impl Value for String {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match &node.value {
            Yaml::Scalar { text, .. } => Some(text.clone()),
            // Go leaves a string empty where the file has nothing.
            Yaml::Null => Some(Self::new()),
            _ => {
                cx.expected(node, "a string");
                None
            }
        }
    }

    fn write(&self) -> Out {
        Out::Text(self.clone())
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl Value for Duration {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Yaml::Scalar { text, .. } = &node.value else {
            cx.expected(node, "a duration such as 15s");
            return None;
        };
        parse_duration(text).inspect_err(|error| cx.report(node.place, error)).ok()
    }

    fn write(&self) -> Out {
        Out::Plain(format_duration(*self))
    }

    fn is_zero(&self) -> bool {
        Duration::is_zero(self)
    }
}

impl<T: Value> Value for Option<T> {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        T::read(node, cx).map(Some)
    }

    fn write(&self) -> Out {
        self.as_ref().map_or(Out::Null, T::write)
    }

    fn is_zero(&self) -> bool {
        self.is_none()
    }
}

impl<T: Value> Value for Box<T> {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        T::read(node, cx).map(Box::new)
    }

    fn write(&self) -> Out {
        T::write(self)
    }

    fn is_zero(&self) -> bool {
        T::is_zero(self)
    }
}

impl<T: Value> Value for Vec<T> {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Yaml::List(items) = &node.value else {
            cx.expected_kind(node, "a list");
            return None;
        };
        let read = |(index, item)| cx.within_index(index, |cx| T::read(item, cx));
        Some(items.iter().enumerate().filter_map(read).collect())
    }

    fn write(&self) -> Out {
        Out::List(self.iter().map(T::write).collect())
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Yaml::Map(entries) = &node.value else {
            cx.expected_kind(node, "a mapping");
            return None;
        };
        let read = |entry: &Entry| {
            let value = cx.within_key(&entry.key, |cx| T::read(&entry.node, cx))?;
            Some((entry.key.clone(), value))
        };
        Some(entries.iter().filter_map(read).collect())
    }

    fn write(&self) -> Out {
        Out::Map(self.iter().map(|(key, value)| (key.clone(), value.write())).collect())
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// A set of labels: names of the classic alphabet or any other that is not empty.
impl Value for Labels {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let pairs = BTreeMap::<String, String>::read(node, cx)?;
        if pairs.contains_key("") {
            cx.report(node.place, "\"\" is not a valid label name");
            return None;
        }
        Some(Self::from_pairs(pairs))
    }

    fn write(&self) -> Out {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), Out::Text(value.to_owned()));
        Out::Map(self.iter().map(pair).collect())
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// Whether a header may be called `name` (RFC 9110 token).
pub(crate) fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}
