//! Remote read: raw samples for Prometheus' `remote_read` and readers like Thanos' sidecar.
//!
//! A client that takes frames gets XOR chunks, series after series, while they are read; another
//! one gets all samples in one message. External labels are added to every series, and matchers
//! that ask for them are satisfied by that.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use hyper::body::Frame;
use narthex_model::{Labels, LabelsBuilder, MatchOp, Matcher, TimeRange};
use narthex_prometheus_tsdb::xor;
use narthex_promql::memory::Share;
use narthex_receive::{READ_BODY_BYTES_MAX, ReadQuery, ReadRequest};
use narthex_store::{Histograms, Samples, Selection, Snapshot, Store};
use tokio::sync::{Semaphore, mpsc};

use super::reply::Paid;
use super::{Routes, text_error};
use crate::app::App;

mod histogram;

use super::proto::Message;

/// Frames that wait for a slow client.
const FRAMES_WAITING_MAX: usize = 4;

/// Samples that one chunk has at most.
const CHUNK_SAMPLES: usize = xor::SAMPLES_BEST as usize;

/// Limits of remote read, from the flags.
#[derive(Debug)]
pub struct Limits {
    /// Samples of an answer that is not streamed.
    pub samples_max: usize,
    /// Bytes of a frame, about.
    pub frame_bytes: usize,
    /// Reads at the same time.
    pub turns: Semaphore,
}

pub(super) fn routes() -> Routes {
    Routes::new().route("/read", post(read))
}

async fn read(State(app): State<Arc<App>>, request: Request) -> Response {
    let body = Limited::new(request.into_body(), READ_BODY_BYTES_MAX).collect().await;
    let body = match body {
        Ok(body) => body.to_bytes(),
        Err(error) => return text_error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let request = match ReadRequest::parse(&body) {
        Ok(request) => request,
        Err(failure) => return text_error(StatusCode::BAD_REQUEST, &failure.to_string()),
    };
    let Some(parts) = app.parts() else {
        return text_error(StatusCode::SERVICE_UNAVAILABLE, "the store is not open");
    };
    let external = app.config.load().config.global.external_labels.clone();
    let reader = Reader { store: Arc::clone(&parts.store), external };
    let snapshot = reader.store.snapshot();
    let natives = |query: &ReadQuery| snapshot.has_parts(&reader.matchers(query));
    // Frames hold chunks of floats only: who takes the other form, too, gets histograms by it.
    let whole_is_better = request.whole && request.queries.iter().any(natives);
    drop(snapshot);
    match request.streamed && !whole_is_better {
        true => streamed(&app, reader, request.queries),
        false => whole(&app, reader, request.queries).await,
    }
}

/// Answers with frames of chunks.
fn streamed(app: &Arc<App>, reader: Reader, queries: Vec<ReadQuery>) -> Response {
    let (sender, receiver) = mpsc::channel(FRAMES_WAITING_MAX);
    let held = Arc::clone(app);
    // Detached: the client takes the frames while they are made.
    tokio::spawn(async move {
        let Ok(_turn) = held.read_limits.turns.acquire().await else { return };
        let frame_bytes = held.read_limits.frame_bytes;
        let job = move || {
            for (index, query) in (0..).zip(&queries) {
                if let Err(error) = reader.frames(index, query, frame_bytes, &sender) {
                    // An answer that ends too early must not look whole.
                    let _ = sender.blocking_send(Err(std::io::Error::other(error)));
                    return;
                }
            }
        };
        // A panic was logged; the client sees a body that breaks off.
        let _ = tokio::task::spawn_blocking(job).await;
    });
    let kind = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    ([(CONTENT_TYPE, kind)], Body::new(Frames(receiver))).into_response()
}

/// Answers with one message.
async fn whole(app: &Arc<App>, reader: Reader, queries: Vec<ReadQuery>) -> Response {
    let Ok(_turn) = app.read_limits.turns.acquire().await else {
        return text_error(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down");
    };
    let samples_max = app.read_limits.samples_max;
    let mut share = Share::new(Some(Arc::clone(&app.query_memory)));
    let job = move || {
        let mut message = Message::default();
        let mut left = samples_max;
        for query in &queries {
            let result = reader.samples(query, &mut left, samples_max, |bytes| {
                // The message, its copy in the one around it, and that one compressed.
                let bytes = message.len() + 3 * bytes;
                share.hold(bytes, || Ok(())).map_err(|e| e.to_string())
            })?;
            message.message(1, &result);
        }
        let packed = message.packed();
        drop(message);
        share.send(packed.len());
        Ok::<_, String>((packed, share))
    };
    match tokio::task::spawn_blocking(job).await {
        Ok(Ok((body, share))) => {
            let head = [(CONTENT_TYPE, "application/x-protobuf"), (CONTENT_ENCODING, "snappy")];
            (head, Body::new(Paid::new(body, share))).into_response()
        }
        Ok(Err(text)) => text_error(StatusCode::BAD_REQUEST, &text),
        Err(_) => text_error(StatusCode::INTERNAL_SERVER_ERROR, "unexpected error"),
    }
}

/// Reads series for an answer.
struct Reader {
    store: Arc<Store>,
    external: Labels,
}

impl Reader {
    /// The matchers of a query that external labels do not satisfy.
    fn matchers(&self, query: &ReadQuery) -> Vec<Matcher> {
        let is_external = |matcher: &&Matcher| {
            let value = self.external.get(matcher.name());
            matcher.op() == MatchOp::Equal && value == Some(matcher.value())
        };
        let matchers = query.matchers.iter().filter(|matcher| !is_external(matcher));
        matchers.cloned().collect()
    }

    fn select(&self, snapshot: &Snapshot, query: &ReadQuery) -> Result<Selection, String> {
        snapshot.select(&self.matchers(query), query.range).map_err(|e| e.to_string())
    }

    /// The labels of a series, those of the configuration added where they are not there.
    fn labels(&self, labels: &Labels) -> Message {
        let mut message = Message::default();
        let mut builder = LabelsBuilder::from_labels(labels);
        for (name, value) in &self.external {
            if builder.get(name).is_none() {
                builder.set(name, value);
            }
        }
        for (name, value) in builder.iter() {
            let mut label = Message::default();
            label.bytes(1, name.as_bytes());
            label.bytes(2, value.as_bytes());
            message.message(1, &label);
        }
        message
    }

    /// One `QueryResult`.
    fn samples(
        &self,
        query: &ReadQuery,
        left: &mut usize,
        samples_max: usize,
        mut hold: impl FnMut(usize) -> Result<(), String>,
    ) -> Result<Message, String> {
        let mut result = Message::default();
        let (mut samples, mut histograms) = (Samples::default(), Histograms::default());
        for series in &self.select(&self.store.snapshot(), query)?.series {
            series.read(query.range, &mut samples).map_err(|e| e.to_string())?;
            histograms.clear();
            if series.has_parts() {
                series.read_parts(query.range, &mut histograms).map_err(|e| e.to_string())?;
            }
            if samples.is_empty() && histograms.times.is_empty() {
                continue;
            }
            *left = left
                .checked_sub(samples.len() + histograms.times.len())
                .ok_or_else(|| format!("exceeded sample limit ({samples_max})"))?;
            let mut message = self.labels(series.labels());
            for (at, value) in samples.times.iter().zip(&samples.values) {
                let mut sample = Message::default();
                sample.double(1, *value);
                sample.number(2, at.0);
                message.message(2, &sample);
            }
            let values = histograms.values.iter().zip(&histograms.integer);
            for (at, (histogram, whole)) in histograms.times.iter().zip(values) {
                message.message(4, &histogram::message(histogram, *whole, *at));
            }
            result.message(1, &message);
            hold(result.len())?;
        }
        Ok(result)
    }

    /// Sends the `ChunkedReadResponse`s of one query.
    fn frames(
        &self,
        index: i64,
        query: &ReadQuery,
        frame_bytes: usize,
        sender: &mpsc::Sender<std::io::Result<Bytes>>,
    ) -> Result<(), String> {
        let mut samples = Samples::default();
        for series in &self.select(&self.store.snapshot(), query)?.series {
            series.read(query.range, &mut samples).map_err(|e| e.to_string())?;
            let labels = self.labels(series.labels());
            let mut message = labels.clone();
            let mut has_chunks = false;
            let send = |message: &Message| {
                let mut frame = Message::default();
                frame.message(1, message);
                frame.number(2, index);
                let sent = sender.blocking_send(Ok(frame.framed()));
                sent.map_err(|_| "the client has left".to_owned())
            };
            let times = samples.times.chunks(CHUNK_SAMPLES);
            for (times, values) in times.zip(samples.values.chunks(CHUNK_SAMPLES)) {
                if has_chunks && message.len() >= frame_bytes {
                    send(&message)?;
                    message = labels.clone();
                }
                message.message(2, &chunk(times, values));
                has_chunks = true;
            }
            if has_chunks {
                send(&message)?;
            }
        }
        Ok(())
    }
}

/// A `Chunk` message.
fn chunk(times: &[narthex_model::Timestamp], values: &[f64]) -> Message {
    const XOR: i64 = 1;
    let mut appender = xor::Appender::default();
    for (at, value) in times.iter().zip(values) {
        appender.push(at.0, *value);
    }
    let mut message = Message::default();
    if let (Some(first), Some(last)) = (times.first(), times.last()) {
        let range = TimeRange::new(*first, *last);
        message.number(1, range.start.0);
        message.number(2, range.end.0);
    }
    message.number(3, XOR);
    message.bytes(4, &appender.finish());
    message
}

/// The frames on their way out.
struct Frames(mpsc::Receiver<std::io::Result<Bytes>>);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<std::io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|next| next.map(|piece| piece.map(Frame::data)))
    }
}
