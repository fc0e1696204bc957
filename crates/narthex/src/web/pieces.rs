//! Bodies that are written while they are sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::Frame;

/// A piece is handed on when it has about this size.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// What writes itself a piece at a time.
pub(super) trait Fill {
    /// Appends to `out` until that has about [`PIECE_BYTES`] or all is written; nothing when all
    /// was written before.
    fn fill(&mut self, out: &mut Vec<u8>);
}

/// A body of pieces, each written when the client can take it.
#[derive(Debug)]
pub(super) struct Pieces<T> {
    /// What was written already.
    first: Option<Bytes>,
    rest: T,
}

impl<T> Pieces<T> {
    pub(super) fn new(rest: T) -> Self {
        Self { first: None, rest }
    }

    /// The body that `rest` goes on with after `first`.
    pub(super) fn after(first: Vec<u8>, rest: T) -> Self {
        Self { first: Some(first.into()), rest }
    }
}

impl<T: Fill + Unpin> HttpBody for Pieces<T> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let mut piece = Vec::with_capacity(PIECE_BYTES + 256);
        self.rest.fill(&mut piece);
        if piece.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }
}
