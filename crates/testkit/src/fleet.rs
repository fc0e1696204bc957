//! Fake exporters that replay recorded bodies, one after the other, at the pace of a clock.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::serve::{Pieces, listen, serve};

/// How a fleet answers.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many exporters there are.
    pub targets: usize,
    /// How long each body stands before the next takes its place.
    pub frame_time: Duration,
    /// Bytes of a chunk; 0 sends the body whole, with its length. Go's exporters come to 2048.
    pub chunk_bytes: usize,
}

/// Exporters on loopback. They end when it is dropped.
#[derive(Debug)]
pub struct Fleet {
    addresses: Vec<SocketAddr>,
    counts: Arc<Mutex<BTreeMap<String, u64>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Starts the exporters; each begins at another body, so that they do not answer alike.
    ///
    /// # Errors
    /// When a port cannot be bound or there are no bodies.
    pub async fn start(bodies: Vec<Bytes>, options: &Options) -> io::Result<Self> {
        /// Exporters begin this many bodies apart: a prime, so that they do not fall together.
        const STRIDE: usize = 37;
        if bodies.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no bodies to replay"));
        }
        let bodies = Arc::new(bodies);
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let start = Instant::now();
        let mut fleet = Self { addresses: Vec::new(), counts, tasks: Vec::new() };
        for target in 0..options.targets {
            let (listener, address) = listen(0).await?;
            let (bodies, counts) = (Arc::clone(&bodies), Arc::clone(&fleet.counts));
            let (frame_time, step) = (options.frame_time, options.chunk_bytes);
            let handle = move |request: Request<hyper::body::Incoming>| {
                count(&counts, &request);
                let frames = start.elapsed().as_nanos() / frame_time.as_nanos().max(1);
                let frame = usize::try_from(frames).unwrap_or(0) + target * STRIDE;
                let rest = bodies.get(frame % bodies.len()).cloned().unwrap_or_default();
                let mut response = Response::new(Pieces { rest, step });
                response.headers_mut().insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
                );
                async move { response }
            };
            fleet.addresses.push(address);
            fleet.tasks.push(tokio::spawn(serve(listener, handle)));
        }
        Ok(fleet)
    }

    /// Where the exporters listen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Requests so far, by the first word of the `User-Agent`.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.counts.lock().clone()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn count(counts: &Mutex<BTreeMap<String, u64>>, request: &Request<hyper::body::Incoming>) {
    let agent = request.headers().get(USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let agent = agent.split('/').next().unwrap_or("");
    let mut counts = counts.lock();
    match counts.get_mut(agent) {
        Some(count) => *count += 1,
        None => {
            counts.insert(agent.to_owned(), 1);
        }
    }
}
