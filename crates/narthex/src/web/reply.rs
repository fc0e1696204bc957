//! Success as the API tells it: the envelope around the data.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use super::json;

/// Most warnings, and most infos, in one answer; the rest is counted.
const NOTES_MAX: usize = 10;

/// What every answer begins with.
pub const HEAD: &[u8] = br#"{"status":"success","data":"#;

/// What a user should know about an answer although it succeeded.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Things that make the answer doubtful.
    pub warnings: Vec<String>,
    /// Things that may make it doubtful.
    pub infos: Vec<String>,
}

impl Notes {
    /// Writes what follows the data, the closing brace included.
    pub fn finish(&self, out: &mut Vec<u8>) {
        put(out, "warnings", "warning", &self.warnings);
        put(out, "infos", "info", &self.infos);
        out.push(b'}');
    }

    /// Says that a limit of the request cut the answer.
    pub fn truncated(&mut self) {
        self.warnings.push("results truncated due to limit".to_owned());
    }
}

fn put(out: &mut Vec<u8>, field: &str, word: &str, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    let more = notes.len().saturating_sub(NOTES_MAX);
    let more = (more > 0).then(|| format!("{more} more {word} annotations omitted"));
    let shown = notes.iter().take(NOTES_MAX).map(String::as_str);
    out.push(b',');
    json::string(out, field);
    out.push(b':');
    json::strings(out, shown.chain(more.as_deref()));
}

/// An answer whose data is complete.
#[derive(Clone, Debug)]
pub struct Reply {
    body: Vec<u8>,
    notes: Notes,
}

impl Reply {
    /// An answer whose data `put` writes.
    pub fn new(put: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut body = HEAD.to_vec();
        put(&mut body);
        Self { body, notes: Notes::default() }
    }

    /// An answer whose data is this JSON text.
    pub fn literal(data: &str) -> Self {
        Self::new(|out| out.extend_from_slice(data.as_bytes()))
    }

    /// The answer with these notes.
    #[must_use]
    pub fn with(mut self, notes: Notes) -> Self {
        self.notes = notes;
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let Self { mut body, notes } = self;
        notes.finish(&mut body);
        ([(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_cut_at_ten() {
        let warnings = (0..12).map(|n| format!("w{n}")).collect();
        let notes = Notes { warnings, infos: vec!["i".to_owned()] };
        let mut out = Vec::new();
        notes.finish(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with(r#""w9","2 more warning annotations omitted"],"infos":["i"]}"#));
        let mut out = Vec::new();
        Notes::default().finish(&mut out);
        assert_eq!(out, b"}");
    }
}
