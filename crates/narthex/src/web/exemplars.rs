//! Exemplars of the series that an expression reads.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use narthex_model::{Labels, Matcher, TimeRange, Timestamp};
use narthex_store::Exemplar;
use narthex_store::exemplars::SeriesExemplars;

use super::Routes;
use super::error::ApiError;
use super::json::{self, Object};
use super::params::Params;
use super::pieces::{Fill, PIECE_BYTES, Pieces};
use super::reply::{HEAD, Notes};
use crate::app::App;

pub(super) fn routes() -> Routes {
    Routes::new().route("/query_exemplars", get(exemplars).post(exemplars))
}

async fn exemplars(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let start = params.time("start")?.unwrap_or(Timestamp::MIN);
    let end = params.time("end")?.unwrap_or(Timestamp::MAX);
    if end < start {
        return Err(ApiError::bad("end timestamp must not be before start timestamp"));
    }
    let plan =
        narthex_promql::parse(params.get("query")).map_err(|e| ApiError::bad(e.to_string()))?;
    let sets: Vec<Vec<Matcher>> =
        plan.selectors().iter().map(|selector| selector.matchers.clone()).collect();
    if sets.is_empty() {
        // As Prometheus answers an expression that reads no series.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let range = TimeRange::new(start, end);
    let Some(parts) = app.parts() else { return Err(ApiError::internal("the store is not open")) };
    let store = Arc::clone(&parts.store);
    let work = move |_: &_| {
        let wanted = |labels: &Labels| {
            sets.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(labels)))
        };
        store.exemplars().select(range, wanted)
    };
    let found = app.queries.run(app.flags.query_timeout, work).await?;
    let body = Body::new(Pieces::new(ExemplarBody::new(found)));
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// The exemplars of series, being written: a piece at a time, while the client takes them.
#[derive(Debug)]
struct ExemplarBody {
    found: Vec<SeriesExemplars>,
    /// The series to go on with, and its exemplar.
    next: (usize, usize),
    begun: bool,
    ended: bool,
}

impl ExemplarBody {
    fn new(found: Vec<SeriesExemplars>) -> Self {
        Self { found, next: (0, 0), begun: false, ended: false }
    }
}

impl Fill for ExemplarBody {
    fn fill(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(HEAD);
            out.push(b'[');
        }
        while out.len() < PIECE_BYTES
            && let Some(series) = self.found.get(self.next.0)
        {
            self.next = if let Some(exemplar) = series.exemplars.get(self.next.1) {
                if self.next.1 == 0 {
                    begin_series(out, &series.labels, self.next.0 == 0);
                } else {
                    out.push(b',');
                }
                put(out, exemplar);
                (self.next.0, self.next.1 + 1)
            } else {
                out.extend_from_slice(b"]}");
                (self.next.0 + 1, 0)
            };
        }
        if self.next.0 == self.found.len() && !std::mem::replace(&mut self.ended, true) {
            out.push(b']');
            Notes::default().finish(out);
        }
    }
}

fn begin_series(out: &mut Vec<u8>, labels: &Labels, first: bool) {
    out.extend_from_slice(if first { b"{\"seriesLabels\":" } else { b",{\"seriesLabels\":" });
    json::labels(out, labels);
    out.extend_from_slice(b",\"exemplars\":[");
}

fn put(out: &mut Vec<u8>, exemplar: &Exemplar) {
    let mut object = Object::begin(out);
    json::labels(object.field("labels"), &exemplar.labels);
    json::quoted_float(object.field("value"), exemplar.value);
    json::seconds(object.field("timestamp"), exemplar.at);
    object.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(found: Vec<SeriesExemplars>) -> (String, usize) {
        let (mut body, mut all, mut pieces) = (ExemplarBody::new(found), Vec::new(), 0);
        while !body.ended {
            let mut piece = Vec::new();
            body.fill(&mut piece);
            assert!(!piece.is_empty() && piece.len() < PIECE_BYTES + 1000);
            all.extend(piece);
            pieces += 1;
        }
        (String::from_utf8(all).unwrap(), pieces)
    }

    fn series(name: &str, exemplars: Vec<Exemplar>) -> SeriesExemplars {
        SeriesExemplars { labels: Labels::from_pairs([("__name__", name)]), exemplars }
    }

    fn exemplar(value: f64, at: i64) -> Exemplar {
        let labels = Labels::from_pairs([("trace_id", "a\"<b")]);
        Exemplar { labels, value, at: Timestamp(at) }
    }

    #[test]
    fn exemplars_are_written_as_prometheus_writes_them() {
        let all = vec![exemplar(1e-7, 1_600_096_945_479), exemplar(f64::INFINITY, 1500)];
        let found = vec![series("c_total", all), series("d", vec![exemplar(1.0, 0)])];
        let labels = r#"{"labels":{"trace_id":"a\"<b"},"value":"#;
        assert_eq!(
            text(found).0,
            format!(
                r#"{{"status":"success","data":[{}"1e-07","timestamp":1600096945.479}},{labels}"+Inf","timestamp":1.500}}]}},{}"1","timestamp":0}}]}}]}}"#,
                format_args!(r#"{{"seriesLabels":{{"__name__":"c_total"}},"exemplars":[{labels}"#),
                format_args!(r#"{{"seriesLabels":{{"__name__":"d"}},"exemplars":[{labels}"#),
            )
        );
        assert_eq!(text(Vec::new()).0, r#"{"status":"success","data":[]}"#);
    }

    #[test]
    fn large_answers_go_out_in_pieces() {
        let many = |name: &str| series(name, (0..3000).map(|at| exemplar(0.5, at)).collect());
        let (text, pieces) = text(vec![many("a"), many("b")]);
        assert!(pieces > 5, "{pieces}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        let lengths = read["data"].as_array().unwrap().iter();
        let lengths = lengths.map(|series| series["exemplars"].as_array().unwrap().len());
        assert_eq!(lengths.collect::<Vec<_>>(), [3000, 3000]);
    }
}
