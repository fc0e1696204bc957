//! A small HTTP server on loopback, for the stand-ins.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A body that goes out in pieces of `step` bytes, as Go's servers send what they compute.
#[derive(Debug)]
pub(crate) struct Pieces {
    pub(crate) rest: Bytes,
    /// 0: the whole, with a Content-Length.
    pub(crate) step: usize,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let step = if self.step == 0 { self.rest.len() } else { self.step.min(self.rest.len()) };
        let piece = self.rest.split_to(step);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.step {
            0 => SizeHint::with_exact(self.rest.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

/// A short answer.
pub(crate) fn text(status: u16, body: &str) -> Response<Pieces> {
    let rest = Bytes::copy_from_slice(body.as_bytes());
    let mut response = Response::new(Pieces { rest, step: 0 });
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// Binds a loopback port: the given one, or a free one for 0.
pub(crate) async fn listen(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Answers requests with `handle` until the task is aborted; its connections end with it. Where
/// `handle` has no answer, the connection is closed.
pub(crate) async fn serve<H, F>(listener: TcpListener, handle: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output: Into<Option<Response<Pieces>>>> + Send + 'static,
{
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let handle = handle.clone();
        let service = hyper::service::service_fn(move |request| {
            let answer = handle(request);
            async move { answer.await.into().ok_or("no answer") }
        });
        let http = hyper::server::conn::http1::Builder::new();
        let connection = http.serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            // A client that goes away is its own business.
            let _ = connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
}
