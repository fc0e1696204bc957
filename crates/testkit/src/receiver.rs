//! A remote-write receiver (protocol 1.0) that remembers what came.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use parking_lot::Mutex;
use prost::Message;
use tokio::task::JoinHandle;

use crate::proto::{TimeSeries, WriteRequest};
use crate::serve::{Pieces, listen, serve, text};

/// What came on one path.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Per series, as `name="value",...` in the order sent.
    pub series: HashMap<String, Series>,
    /// Requests that were taken.
    pub requests: u64,
    /// Bytes of their bodies, compressed.
    pub wire_bytes: u64,
    /// Samples in them, repeated ones included.
    pub samples: u64,
    /// Samples that were older than one of their series before. Where samples are kept, those that
    /// came before are not counted.
    pub out_of_order: u64,
    /// Samples that came before with another value; counted where samples are kept.
    pub contradicted: u64,
    /// Requests that could not be read.
    pub malformed: u64,
}

/// What came of one series.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Samples that were new.
    pub count: u64,
    /// First and last time in ms.
    pub first_ms: i64,
    /// See `first_ms`.
    pub last_ms: i64,
    /// All of them, when the receiver keeps them: time in ms and bits of the value.
    pub samples: Vec<(i64, u64)>,
}

/// What is wrong with a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It stores nothing and answers this status, with a Retry-After in seconds if given.
    Status(u16, Option<u32>),
    /// It never answers.
    Hang,
    /// It stores what comes, and takes so long before.
    Slow(Duration),
    /// It closes connections without reading what comes.
    Reset,
    /// It stores what comes, and closes the connection without an answer.
    LoseAnswer,
    /// It answers 400 to requests with a series whose key, as in [`Received::series`], contains
    /// this, and stores nothing of them.
    RefuseSeries(String),
}

/// How the receiver behaves.
#[derive(Clone, Debug, Default)]
struct Mood {
    keep_samples: bool,
    /// By path.
    troubles: HashMap<String, Trouble>,
}

/// A receiver on loopback. It ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<BTreeMap<String, Received>>>,
    mood: Arc<Mutex<Mood>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Listens on `port` (0: a free one). `keep_samples` remembers every sample, not only counts.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, keep_samples: bool) -> io::Result<Self> {
        let (listener, address) = listen(port).await?;
        let state = Arc::new(Mutex::new(BTreeMap::new()));
        let mood = Arc::new(Mutex::new(Mood { keep_samples, ..Mood::default() }));
        let (to_state, to_mood) = (Arc::clone(&state), Arc::clone(&mood));
        let handle = move |request| take(request, Arc::clone(&to_state), Arc::clone(&to_mood));
        let task = tokio::spawn(serve(listener, handle));
        Ok(Self { address, state, mood, task })
    }

    /// Where it listens; any path takes writes, and each is counted apart.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this is wrong with what comes on `path`, or nothing.
    pub fn trouble(&self, path: &str, trouble: Option<Trouble>) {
        let troubles = &mut self.mood.lock().troubles;
        match trouble {
            Some(trouble) => troubles.insert(path.to_owned(), trouble),
            None => troubles.remove(path),
        };
    }

    /// What came on a path so far.
    pub fn received(&self, path: &str) -> Received {
        self.state.lock().get(path).cloned().unwrap_or_default()
    }

    /// Looks at what came on a path, without copying it.
    pub fn look<T>(&self, path: &str, f: impl FnOnce(&Received) -> T) -> T {
        f(self.state.lock().entry(path.to_owned()).or_default())
    }

    /// Stops listening and gives back what came, for a receiver that is down for a while.
    pub async fn stop(self) -> BTreeMap<String, Received> {
        self.task.abort();
        while !self.task.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        std::mem::take(&mut *self.state.lock())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes a request; `None` when there is no answer to it.
async fn take(
    request: Request<Incoming>,
    state: Arc<Mutex<BTreeMap<String, Received>>>,
    mood: Arc<Mutex<Mood>>,
) -> Option<Response<Pieces>> {
    let path = request.uri().path().to_owned();
    let Mood { keep_samples, mut troubles } = mood.lock().clone();
    let trouble = troubles.remove(&path);
    if trouble == Some(Trouble::Reset) {
        return None;
    }
    let Ok(body) = request.into_body().collect().await else {
        return Some(text(400, "cut short"));
    };
    let body = body.to_bytes();
    match trouble {
        Some(Trouble::Status(status, retry_after)) => {
            let mut response = text(status, "refused for a test");
            if let Some(seconds) = retry_after {
                response.headers_mut().insert("retry-after", seconds.into());
            }
            return Some(response);
        }
        Some(Trouble::Hang) => std::future::pending().await,
        Some(Trouble::Slow(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let plain = snap::raw::Decoder::new().decompress_vec(&body).ok();
    let decoded = plain.and_then(|plain| WriteRequest::decode(plain.as_slice()).ok());
    let mut state = state.lock();
    let received = state.entry(path).or_default();
    let Some(decoded) = decoded else {
        received.malformed += 1;
        return Some(text(400, "not a snappy-compressed write request"));
    };
    if let Some(Trouble::RefuseSeries(part)) = &trouble
        && decoded.timeseries.iter().any(|series| key_of(series).contains(part))
    {
        return Some(text(400, "a series is refused for a test"));
    }
    received.requests += 1;
    received.wire_bytes += body.len() as u64;
    for series in &decoded.timeseries {
        received.note(series, keep_samples);
    }
    (trouble != Some(Trouble::LoseAnswer)).then(|| text(204, ""))
}

/// A series' labels, as in [`Received::series`].
fn key_of(series: &TimeSeries) -> String {
    let mut key = String::with_capacity(160);
    for label in &series.labels {
        key.push_str(&label.name);
        key.push_str("=\"");
        key.push_str(&label.value);
        key.push_str("\",");
    }
    key
}

impl Received {
    fn note(&mut self, incoming: &TimeSeries, keep_samples: bool) {
        let known = self.series.entry(key_of(incoming)).or_default();
        for sample in &incoming.samples {
            self.samples += 1;
            if known.count > 0 && sample.timestamp <= known.last_ms {
                match known.at(sample.timestamp) {
                    Some(bits) => self.contradicted += u64::from(bits != sample.value.to_bits()),
                    None => self.out_of_order += u64::from(sample.timestamp < known.last_ms),
                }
                continue;
            }
            if known.count == 0 {
                known.first_ms = sample.timestamp;
            }
            known.count += 1;
            known.last_ms = sample.timestamp;
            if keep_samples {
                known.samples.push((sample.timestamp, sample.value.to_bits()));
            }
        }
    }

    /// The distinct samples that came.
    pub fn distinct(&self) -> u64 {
        self.series.values().map(|series| series.count).sum()
    }
}

impl Series {
    /// The bits of the value at a time, if it came and is kept.
    fn at(&self, time_ms: i64) -> Option<u64> {
        let place = self.samples.binary_search_by_key(&time_ms, |&(at, _)| at).ok()?;
        self.samples.get(place).map(|&(_, bits)| bits)
    }
}
