//! The result of a query on its way out.
//!
//! A result is written piece by piece while the client takes it, so a large one is in memory as
//! numbers only, never a second time as text, and a slow client holds no thread.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use hyper::body::Frame;
use narthex_model::{Labels, Timestamp};
use narthex_promql::{Output, Series, Stats, Value};

use super::json::{self, Object};
use super::reply::{HEAD, Notes};
use crate::engine::Timings;

/// A piece is handed on when it has about this size.
const PIECE_BYTES: usize = 64 << 10;

/// A result being written.
#[derive(Debug)]
pub(super) struct ResultBody {
    value: Value,
    stats: Option<(Timings, Stats)>,
    notes: Notes,
    stage: Stage,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    /// The series with this number, from the sample with that number.
    Item(usize, usize),
    Tail,
    Done,
}

impl ResultBody {
    /// Writes `output`, at most `limit` series of it.
    pub(super) fn new(
        output: Output,
        stats: Option<(Timings, Stats)>,
        limit: Option<usize>,
    ) -> Self {
        let Output { mut value, warnings, infos, .. } = output;
        let mut notes = Notes { warnings, infos };
        let cut = match (&mut value, limit) {
            (Value::Vector(items), Some(limit)) => cut(items, limit),
            (Value::Matrix(items), Some(limit)) => cut(items, limit),
            _ => false,
        };
        if cut {
            notes.truncated();
        }
        Self { value, stats, notes, stage: Stage::Head }
    }

    /// Appends to `out` until that is full or all is written.
    fn fill(&mut self, out: &mut Vec<u8>) {
        while self.stage != Stage::Done && out.len() < PIECE_BYTES {
            self.stage = match self.stage {
                Stage::Head => self.head(out),
                Stage::Item(item, sample) => self.item(out, item, sample),
                Stage::Tail | Stage::Done => self.tail(out),
            };
        }
    }

    fn head(&self, out: &mut Vec<u8>) -> Stage {
        let kind = match &self.value {
            Value::Scalar(_) => "scalar",
            Value::String(..) => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        };
        out.extend_from_slice(HEAD);
        out.extend_from_slice(b"{\"resultType\":");
        json::string(out, kind);
        out.extend_from_slice(b",\"result\":[");
        match &self.value {
            Value::Scalar(sample) => {
                out.pop();
                json::scalar(out, sample.at, sample.value);
                Stage::Tail
            }
            Value::String(at, text) => {
                json::short_seconds(out, *at);
                out.push(b',');
                json::string(out, text);
                out.push(b']');
                Stage::Tail
            }
            Value::Vector(_) | Value::Matrix(_) => Stage::Item(0, 0),
        }
    }

    fn item(&self, out: &mut Vec<u8>, item: usize, sample: usize) -> Stage {
        match &self.value {
            Value::Vector(items) => match items.get(item) {
                Some((labels, sample)) => {
                    begin_item(out, item, labels);
                    out.extend_from_slice(b",\"value\":");
                    json::sample(out, sample.at, sample.value);
                    out.push(b'}');
                    Stage::Item(item + 1, 0)
                }
                None => close(out),
            },
            Value::Matrix(items) => match items.get(item) {
                Some(series) => samples(out, item, series, sample),
                None => close(out),
            },
            Value::Scalar(_) | Value::String(..) => Stage::Tail,
        }
    }

    fn tail(&self, out: &mut Vec<u8>) -> Stage {
        if let Some((timings, stats)) = &self.stats {
            out.extend_from_slice(b",\"stats\":");
            put_stats(out, timings, stats);
        }
        out.push(b'}');
        self.notes.finish(out);
        Stage::Done
    }
}

fn cut<T>(items: &mut Vec<T>, limit: usize) -> bool {
    let cut = items.len() > limit;
    items.truncate(limit);
    cut
}

fn close(out: &mut Vec<u8>) -> Stage {
    out.push(b']');
    Stage::Tail
}

fn begin_item(out: &mut Vec<u8>, item: usize, labels: &Labels) {
    if item > 0 {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"metric\":");
    json::labels(out, labels);
}

/// Writes samples of a series from number `from` on, as many as fit.
fn samples(out: &mut Vec<u8>, item: usize, series: &Series, from: usize) -> Stage {
    if from == 0 {
        begin_item(out, item, &series.labels);
        out.extend_from_slice(b",\"values\":[");
    }
    let pairs = series.times.iter().zip(&series.values).enumerate().skip(from);
    for (index, (at, value)) in pairs {
        if out.len() >= PIECE_BYTES && index > from {
            return Stage::Item(item, index);
        }
        if index > 0 {
            out.push(b',');
        }
        json::sample(out, Timestamp(at.millis()), *value);
    }
    out.extend_from_slice(b"]}");
    Stage::Item(item + 1, 0)
}

fn put_stats(out: &mut Vec<u8>, timings: &Timings, stats: &Stats) {
    let seconds = |time: Duration| time.as_secs_f64();
    let mut object = Object::begin(out);
    let mut times = Object::begin(object.field("timings"));
    times
        .plain("evalTotalTime", seconds(timings.prepare + timings.eval))
        .plain("resultSortTime", 0)
        .plain("queryPreparationTime", seconds(timings.prepare))
        .plain("innerEvalTime", seconds(timings.eval))
        .plain("execQueueTime", seconds(timings.queue))
        .plain("execTotalTime", seconds(timings.queue + timings.prepare + timings.eval));
    times.end();
    let mut samples = Object::begin(object.field("samples"));
    samples
        .plain("totalQueryableSamples", stats.samples_total)
        .plain("peakSamples", stats.samples_peak);
    samples.end();
    object.end();
}

impl IntoResponse for ResultBody {
    fn into_response(mut self) -> Response {
        let mut first = Vec::new();
        self.fill(&mut first);
        let body = match self.stage {
            // Small results are whole at once, which keeps their length known.
            Stage::Done => Body::from(first),
            _ => Body::new(Pieces { first: Some(first.into()), rest: self }),
        };
        ([(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// A body that is written while it is sent.
#[derive(Debug)]
struct Pieces {
    first: Option<Bytes>,
    rest: ResultBody,
}

impl HttpBody for Pieces {
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use narthex_model::Sample;

    use super::*;

    async fn text(value: Value, limit: Option<usize>) -> String {
        let output = Output { value, warnings: vec![], infos: vec![], stats: Stats::default() };
        let response = ResultBody::new(output, None, limit).into_response();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_kind_of_value() {
        let sample = Sample { at: Timestamp(1500), value: 0.25 };
        let labels = Labels::from_pairs([("__name__", "up")]);
        let data = |data: &str| format!(r#"{{"status":"success","data":{data}}}"#);
        assert_eq!(
            text(Value::Scalar(sample), None).await,
            data(r#"{"resultType":"scalar","result":[1.5,"0.25"]}"#)
        );
        assert_eq!(
            text(Value::String(Timestamp(2000), "a\"b".into()), None).await,
            data(r#"{"resultType":"string","result":[2,"a\"b"]}"#)
        );
        assert_eq!(
            text(Value::Vector(vec![(labels, sample)]), None).await,
            data(concat!(
                r#"{"resultType":"vector","result":[{"metric":{"__name__":"up"},"#,
                r#""value":[1.500,"0.25"]}]}"#
            ))
        );
        assert_eq!(
            text(Value::Matrix(vec![]), None).await,
            data(r#"{"resultType":"matrix","result":[]}"#)
        );
    }

    #[tokio::test]
    async fn a_large_matrix_comes_in_pieces_and_whole() {
        let series = |name: &str| Series {
            labels: Labels::from_pairs([("a", name)]),
            times: (0..20_000).map(|n| Timestamp(n * 1000)).collect(),
            values: (0..20_000).map(f64::from).collect(),
        };
        let all = vec![series("x"), series("y"), series("z")];
        let text = text(Value::Matrix(all), Some(2)).await;
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["warnings"][0], "results truncated due to limit");
        let result = json["data"]["result"].as_array().unwrap();
        assert_eq!(result.len(), 2);
        for item in result {
            let values = item["values"].as_array().unwrap();
            assert_eq!(values.len(), 20_000);
            assert_eq!(values[19_999], serde_json::json!([19_999, "19999"]));
        }
    }
}
