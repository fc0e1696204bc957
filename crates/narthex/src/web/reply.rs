//! Success as the API tells it: the envelope around the data.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use hyper::body::{Frame, SizeHint};
use narthex_promql::memory::Share;

use super::json;

/// A whole body is handed on in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;

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
#[derive(Debug)]
pub struct Reply {
    body: Vec<u8>,
    notes: Notes,
    share: Option<Share>,
}

impl Reply {
    /// An answer whose data `put` writes.
    pub fn new(put: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut body = HEAD.to_vec();
        put(&mut body);
        Self { body, notes: Notes::default(), share: None }
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

    /// The answer, which gives `share` back when it is sent.
    #[must_use]
    pub fn paid_by(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    /// How many bytes the answer has so far.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let Self { mut body, notes, share } = self;
        notes.finish(&mut body);
        let body = Paid { rest: body.into(), _share: share };
        ([(CONTENT_TYPE, "application/json")], Body::new(body)).into_response()
    }
}

/// A whole body and the memory that it takes.
#[derive(Debug)]
pub struct Paid {
    rest: Bytes,
    _share: Option<Share>,
}

impl Paid {
    /// Sends `body`, then gives `share` back.
    pub fn new(body: impl Into<Bytes>, share: Share) -> Self {
        Self { rest: body.into(), _share: Some(share) }
    }
}

impl HttpBody for Paid {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
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
