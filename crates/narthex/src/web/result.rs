//! The result of a query on its way out.
//!
//! A result is written piece by piece while the client takes it, so a large one is in memory as
//! numbers only, never a second time as text, and a slow client holds no thread.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use narthex_model::{Labels, Timestamp};
use narthex_promql::memory::Share;
use narthex_promql::{Output, Point, Series, Stats, Value};

use super::json::{self, Object};
use super::pieces::{Fill, PIECE_BYTES, Pieces};
use super::reply::{HEAD, Notes};
use crate::engine::Timings;

/// A result being written.
#[derive(Debug)]
pub(super) struct ResultBody {
    value: Value,
    stats: Option<(Timings, Stats)>,
    notes: Notes,
    stage: Stage,
    /// Holds the memory that `value` takes.
    _share: Arc<Share>,
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
        let Output { mut value, warnings, infos, share, .. } = output;
        let mut notes = Notes { warnings, infos };
        let cut = match (&mut value, limit) {
            (Value::Vector(items), Some(limit)) => cut(items, limit),
            (Value::Matrix(items), Some(limit)) => cut(items, limit),
            _ => false,
        };
        if cut {
            notes.truncated();
        }
        Self { value, stats, notes, stage: Stage::Head, _share: share }
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
                Some((labels, point)) => {
                    begin_item(out, item, labels);
                    match point {
                        Point::Number(sample) => {
                            out.extend_from_slice(b",\"value\":");
                            json::sample(out, sample.at, sample.value);
                        }
                        Point::Histogram(at, histogram) => {
                            out.extend_from_slice(b",\"histogram\":");
                            json::histogram(out, *at, histogram);
                        }
                    }
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

/// Writes samples of a series from number `from` on, as many as fit: first those that are
/// numbers, then the histograms.
fn samples(out: &mut Vec<u8>, item: usize, series: &Series, from: usize) -> Stage {
    if from == 0 {
        begin_item(out, item, &series.labels);
    }
    let begin = |out: &mut Vec<u8>, first: bool, name: &[u8]| {
        out.extend_from_slice(if first { name } else { b"," });
    };
    let pairs = series.times.iter().zip(&series.values).enumerate().skip(from);
    let mut numbers = json::Samples::default();
    for (index, (at, value)) in pairs {
        if out.len() >= PIECE_BYTES && index > from {
            return Stage::Item(item, index);
        }
        begin(out, index == 0, b",\"values\":[");
        numbers.put(out, *at, *value);
    }
    let numbers = series.times.len();
    if from < numbers {
        out.push(b']');
    }
    let done = from.saturating_sub(numbers);
    for (index, (at, histogram)) in series.histograms.iter().enumerate().skip(done) {
        if out.len() >= PIECE_BYTES && numbers + index > from {
            return Stage::Item(item, numbers + index);
        }
        begin(out, index == 0, b",\"histograms\":[");
        json::histogram(out, *at, histogram);
    }
    if !series.histograms.is_empty() {
        out.push(b']');
    }
    out.push(b'}');
    Stage::Item(item + 1, 0)
}

fn put_step(out: &mut Vec<u8>, (at, count): (Timestamp, &u64)) {
    out.push(b'[');
    json::short_seconds(out, at);
    // Writing into a Vec cannot fail.
    let _ = write!(out, ",{count}]");
}

/// Writes what a query took.
pub fn put_stats(out: &mut Vec<u8>, timings: &Timings, stats: &Stats) {
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
    if let Some((start, step, counts)) = &stats.samples_per_step {
        let times = std::iter::successors(Some(*start), |at| Some(at.plus_millis(*step)));
        json::list(samples.field("totalQueryableSamplesPerStep"), times.zip(&**counts), put_step);
    }
    samples
        .plain("totalQueryableSamples", stats.samples_total)
        .plain("peakSamples", stats.samples_peak);
    samples.end();
    object.end();
}

impl Fill for ResultBody {
    fn fill(&mut self, out: &mut Vec<u8>) {
        while self.stage != Stage::Done && out.len() < PIECE_BYTES {
            self.stage = match self.stage {
                Stage::Head => self.head(out),
                Stage::Item(item, sample) => self.item(out, item, sample),
                Stage::Tail | Stage::Done => self.tail(out),
            };
        }
    }
}

impl IntoResponse for ResultBody {
    fn into_response(mut self) -> Response {
        let mut first = Vec::new();
        self.fill(&mut first);
        let body = match self.stage {
            // Small results are whole at once, which keeps their length known.
            Stage::Done => Body::from(first),
            _ => Body::new(Pieces::after(first, self)),
        };
        ([(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use narthex_model::histogram::Bar;
    use narthex_model::{Histogram, Sample};

    use super::*;

    async fn text(value: Value, limit: Option<usize>) -> String {
        let share = Arc::new(Share::new(None));
        let stats = Stats::default();
        let output = Output { value, warnings: vec![], infos: vec![], stats, share };
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
            text(Value::Vector(vec![(labels.clone(), Point::Number(sample))]), None).await,
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

    fn histogram() -> Arc<Histogram> {
        let bars = |counts: &[f64]| {
            let bars = (0..).zip(counts);
            bars.map(|(index, &count)| Bar { index, count }).collect::<Vec<_>>()
        };
        Arc::new(Histogram {
            count: 6.0,
            sum: -0.5,
            zero_count: 1.0,
            zero_threshold: 0.001,
            positive: bars(&[2.0, 0.0, 1.0]),
            negative: bars(&[2.0]),
            ..Histogram::default()
        })
    }

    const HISTOGRAM: &str = concat!(
        r#"{"count":"6","sum":"-0.5","buckets":[[1,"-1","-0.5","2"],[3,"-0.001","0.001","1"],"#,
        r#"[0,"0.5","1","2"],[0,"2","4","1"]]}"#
    );

    #[tokio::test]
    async fn histograms_have_their_own_field() {
        let labels = Labels::from_pairs([("a", "b")]);
        let point = Point::Histogram(Timestamp(1000), histogram());
        let answer = text(Value::Vector(vec![(labels.clone(), point)]), None).await;
        let want = format!(r#"[{{"metric":{{"a":"b"}},"histogram":[1,{HISTOGRAM}]}}]"#);
        assert!(answer.contains(&want), "{answer}");
        let empty = Arc::new(Histogram::default());
        let series = Series {
            labels,
            times: vec![Timestamp(0), Timestamp(2000)],
            values: vec![1.0, 2.0],
            histograms: vec![(Timestamp(1000), histogram()), (Timestamp(3000), empty)],
        };
        let answer = text(Value::Matrix(vec![series.clone()]), None).await;
        let histograms =
            format!(r#""histograms":[[1,{HISTOGRAM}],[3,{{"count":"0","sum":"0"}}]]}}]"#);
        let want = format!(r#""values":[[0,"1"],[2,"2"]],{histograms}"#);
        assert!(answer.contains(&want), "{answer}");
        let only = Series { times: vec![], values: vec![], ..series };
        let answer = text(Value::Matrix(vec![only]), None).await;
        assert!(answer.contains(&format!(r#"{{"a":"b"}},{histograms}"#)), "{answer}");
    }

    #[tokio::test]
    async fn many_histograms_come_in_pieces() {
        let times = (0..3000).map(|n| Timestamp(n * 1000));
        let series = Series {
            labels: Labels::empty(),
            times: vec![],
            values: vec![],
            histograms: times.map(|at| (at, histogram())).collect(),
        };
        let text = text(Value::Matrix(vec![series]), None).await;
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["data"]["result"][0]["histograms"].as_array().unwrap().len(), 3000);
    }

    #[tokio::test]
    async fn a_large_matrix_comes_in_pieces_and_whole() {
        let series = |name: &str| Series {
            labels: Labels::from_pairs([("a", name)]),
            times: (0..20_000).map(|n| Timestamp(n * 1000)).collect(),
            values: (0..20_000).map(f64::from).collect(),
            histograms: Vec::new(),
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
