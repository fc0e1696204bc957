//! The body of an answer on its way out: compressed when the client asked for it, and counted.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Frame, SizeHint};

use crate::telemetry::Telemetry;

/// Bodies smaller than this are not compressed, in bytes.
pub const GZIP_BYTES_MIN: u64 = 512;

/// Compressed bytes are handed on in pieces of about this size.
const PIECE_BYTES: usize = 16 << 10;

/// A body that is compressed piece by piece, so that a large answer is never in memory twice, and
/// whose size is counted when it is done or dropped.
#[derive(Debug)]
pub struct Outgoing {
    inner: Body,
    gzip: Option<GzEncoder<Vec<u8>>>,
    bytes: u64,
    telemetry: Arc<Telemetry>,
    handler: Arc<str>,
}

impl Outgoing {
    /// Sends `inner`, compressed when `gzip`.
    pub fn new(inner: Body, gzip: bool, telemetry: Arc<Telemetry>, handler: Arc<str>) -> Self {
        let gzip = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        Self { inner, gzip, bytes: 0, telemetry, handler }
    }

    fn sent(&mut self, piece: Bytes) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.bytes += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            let piece = match Pin::new(&mut this.inner).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
                Poll::Ready(None) => {
                    let Some(encoder) = this.gzip.take() else { return Poll::Ready(None) };
                    let rest = encoder.finish().map_err(axum::Error::new);
                    return match rest {
                        Ok(rest) => this.sent(rest.into()),
                        Err(error) => Poll::Ready(Some(Err(error))),
                    };
                }
            };
            let Some(piece) = piece else { continue };
            let Some(encoder) = &mut this.gzip else { return this.sent(piece) };
            if let Err(error) = encoder.write_all(&piece) {
                return Poll::Ready(Some(Err(axum::Error::new(error))));
            }
            if encoder.get_ref().len() >= PIECE_BYTES {
                let ready = std::mem::take(encoder.get_mut());
                return this.sent(ready.into());
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.gzip.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.gzip.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.telemetry.http.sent(&self.handler, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn compresses_in_pieces() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| (n ^ (n << 7)).to_le_bytes()).collect();
        let telemetry = Arc::new(Telemetry::default());
        let handler: Arc<str> = "/x".into();
        let body = Outgoing::new(text.clone().into(), true, Arc::clone(&telemetry), handler);
        assert_eq!(body.size_hint().exact(), None);
        let sent = body.collect().await.unwrap().to_bytes();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, text);
        assert!(telemetry.http.render_to_string().contains(&format!(
            "prometheus_http_response_size_bytes_sum{{handler=\"/x\"}} {}",
            sent.len()
        )));
    }
}
