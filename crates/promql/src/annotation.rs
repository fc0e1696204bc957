//! What a query says besides its value.

use std::collections::BTreeMap;

use crate::plan::Span;

/// Most texts of one kind that a query gives: one for each instant of the longest range query.
pub(crate) const TEXTS_MAX: usize = 12_000;

/// Collects the warnings and infos of a query, each text once: of several places that one is about,
/// the last is named, as in Prometheus.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    text: String,
    warnings: BTreeMap<String, Option<Span>>,
    infos: BTreeMap<String, Option<Span>>,
}

impl Annotations {
    /// For the query `text`, in which places are named.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Adds `PromQL warning: MESSAGE (line:column)`.
    pub(crate) fn warn(&mut self, message: &str, at: Span) {
        add(&mut self.warnings, format!("PromQL warning: {message}"), Some(at));
    }

    /// Adds `PromQL info: MESSAGE (line:column)`.
    pub(crate) fn info(&mut self, message: &str, at: Span) {
        add(&mut self.infos, format!("PromQL info: {message}"), Some(at));
    }

    /// Adds a text as it is.
    pub(crate) fn warn_plain(&mut self, text: String) {
        add(&mut self.warnings, text, None);
    }

    /// The warnings and the infos.
    pub(crate) fn into_parts(self) -> (Vec<String>, Vec<String>) {
        let placed = |notes: BTreeMap<String, Option<Span>>| {
            let notes = notes.into_iter().map(|(text, at)| match at {
                None => text,
                Some(at) => {
                    let (line, column) = at.line_column(&self.text);
                    format!("{text} ({line}:{column})")
                }
            });
            notes.collect()
        };
        (placed(self.warnings), placed(self.infos))
    }
}

fn add(to: &mut BTreeMap<String, Option<Span>>, text: String, at: Option<Span>) {
    if to.len() < TEXTS_MAX || to.contains_key(&text) {
        to.insert(text, at);
    }
}
