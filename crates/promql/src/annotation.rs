//! What a query says besides its value.

use std::collections::BTreeSet;

use crate::plan::Span;

/// Most texts of one kind that a query gives.
const TEXTS_MAX: usize = 100;

/// Collects the warnings and infos of a query, each text once.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    text: String,
    warnings: BTreeSet<String>,
    infos: BTreeSet<String>,
}

impl Annotations {
    /// For the query `text`, in which places are named.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Adds `PromQL warning: MESSAGE (line:column)`.
    pub(crate) fn warn(&mut self, message: &str, at: Span) {
        let (line, column) = at.line_column(&self.text);
        self.warn_plain(format!("PromQL warning: {message} ({line}:{column})"));
    }

    /// Adds `PromQL info: MESSAGE (line:column)`.
    pub(crate) fn info(&mut self, message: &str, at: Span) {
        let (line, column) = at.line_column(&self.text);
        if self.infos.len() < TEXTS_MAX {
            self.infos.insert(format!("PromQL info: {message} ({line}:{column})"));
        }
    }

    /// Adds a text as it is.
    pub(crate) fn warn_plain(&mut self, text: String) {
        if self.warnings.len() < TEXTS_MAX {
            self.warnings.insert(text);
        }
    }

    /// The warnings and the infos.
    pub(crate) fn into_parts(self) -> (Vec<String>, Vec<String>) {
        (self.warnings.into_iter().collect(), self.infos.into_iter().collect())
    }
}
