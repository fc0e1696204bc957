//! The body of an answer on its way out: compressed when the client asked for it, and counted.

use std::io::{self, Write as _};
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
pub const PACKED_BYTES_MIN: u64 = 512;

/// How far back zstd looks, as a power of two: more takes more memory for each answer.
const ZSTD_WINDOW_LOG: u32 = 17;

/// Compressed bytes are handed on in pieces of about this size.
const PIECE_BYTES: usize = 16 << 10;

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// gzip
    Gzip,
    /// zstd
    Zstd,
}

impl Packing {
    /// The way that headers call `name`.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Gzip, Self::Zstd].into_iter().find(|way| way.name().eq_ignore_ascii_case(name))
    }

    /// Its name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Compresses what is written to it.
enum Packer {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl Packer {
    fn new(packing: Packing) -> io::Result<Self> {
        Ok(match packing {
            Packing::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Packing::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(piece),
            Self::Zstd(encoder) => encoder.write_all(piece),
        }
    }

    /// What is compressed so far and was not taken yet.
    fn ready(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

/// A body that is compressed piece by piece, so that a large answer is never in memory twice, and
/// whose size is counted when it is done or dropped.
#[derive(Debug)]
pub struct Outgoing {
    inner: Body,
    packer: Option<Packer>,
    bytes: u64,
    telemetry: Arc<Telemetry>,
    handler: Arc<str>,
}

impl Outgoing {
    /// Sends `inner`, compressed as `packing` says.
    pub fn new(
        inner: Body,
        packing: Option<Packing>,
        telemetry: Arc<Telemetry>,
        handler: Arc<str>,
    ) -> Self {
        // zstd can only fail for want of memory; the plain body would then belie its header.
        let packer = packing.map(Packer::new).transpose();
        let (inner, packer) = match packer {
            Ok(packer) => (inner, packer),
            Err(error) => {
                tracing::error!(err = %error, "An answer could not be compressed");
                (Body::empty(), None)
            }
        };
        Self { inner, packer, bytes: 0, telemetry, handler }
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
                    let Some(encoder) = this.packer.take() else { return Poll::Ready(None) };
                    let rest = encoder.finish().map_err(axum::Error::new);
                    return match rest {
                        Ok(rest) => this.sent(rest.into()),
                        Err(error) => Poll::Ready(Some(Err(error))),
                    };
                }
            };
            let Some(piece) = piece else { continue };
            let Some(encoder) = &mut this.packer else { return this.sent(piece) };
            if let Err(error) = encoder.write(&piece) {
                return Poll::Ready(Some(Err(axum::Error::new(error))));
            }
            if encoder.ready().len() >= PIECE_BYTES {
                let ready = std::mem::take(encoder.ready());
                return this.sent(ready.into());
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.packer.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.packer.is_some() { SizeHint::default() } else { self.inner.size_hint() }
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
        let text: Vec<u8> = (0..50_000u32).flat_map(|n| (n ^ (n << 7)).to_le_bytes()).collect();
        let telemetry = Arc::new(Telemetry::default());
        let handler: Arc<str> = "/x".into();
        let pack = |packing| {
            let handler = Arc::clone(&handler);
            Outgoing::new(text.clone().into(), Some(packing), Arc::clone(&telemetry), handler)
        };
        let body = pack(Packing::Zstd);
        let sent = body.collect().await.unwrap().to_bytes();
        assert_eq!(zstd::decode_all(&sent[..]).unwrap(), text);
        let before = sent.len();
        let body = pack(Packing::Gzip);
        assert_eq!(body.size_hint().exact(), None);
        let sent = body.collect().await.unwrap().to_bytes();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, text);
        assert!(telemetry.http.render_to_string().contains(&format!(
            "prometheus_http_response_size_bytes_sum{{handler=\"/x\"}} {}",
            before + sent.len()
        )));
    }
}
