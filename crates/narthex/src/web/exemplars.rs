//! Exemplars of the series that an expression reads.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use narthex_model::{Labels, Matcher, TimeRange, Timestamp};
use narthex_store::Store;
use narthex_store::exemplars::SeriesExemplars;

use super::Routes;
use super::error::{ApiError, Kind};
use super::json::{self, Object};
use super::params::Params;
use super::reply::Reply;
use crate::app::App;

/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

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
    let work = app.queries.run(app.flags.query_timeout, move |_| answer(&store, &sets, range));
    work.await?.map_err(|reason| ApiError::new(Kind::Execution, reason))
}

/// The exemplars within `range` of the series that any of `sets` matches.
fn answer(store: &Store, sets: &[Vec<Matcher>], range: TimeRange) -> Result<Response, String> {
    let wanted = |labels: &Labels| {
        sets.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(labels)))
    };
    let found = store.exemplars().select(range, wanted);
    let mut bytes = 0;
    let reply = Reply::new(|out| {
        json::list(out, &found, |out, series| {
            if out.len() <= ANSWER_BYTES_MAX {
                put(out, series);
            }
            bytes = out.len();
        });
    });
    if bytes > ANSWER_BYTES_MAX {
        return Err(format!("the answer would be larger than {ANSWER_BYTES_MAX} bytes"));
    }
    Ok(reply.into_response())
}

fn put(out: &mut Vec<u8>, series: &SeriesExemplars) {
    let mut object = Object::begin(out);
    json::labels(object.field("seriesLabels"), &series.labels);
    json::list(object.field("exemplars"), &series.exemplars, |out, exemplar| {
        let mut object = Object::begin(out);
        json::labels(object.field("labels"), &exemplar.labels);
        json::quoted_float(object.field("value"), exemplar.value);
        json::seconds(object.field("timestamp"), exemplar.at);
        object.end();
    });
    object.end();
}

#[cfg(test)]
mod tests {
    use narthex_store::Exemplar;

    use super::*;

    #[test]
    fn exemplars_are_written_as_prometheus_writes_them() {
        let exemplar = |value, at| Exemplar {
            labels: Labels::from_pairs([("trace_id", "a\"<b")]),
            value,
            at: Timestamp(at),
        };
        let series = SeriesExemplars {
            labels: Labels::from_pairs([("__name__", "c_total")]),
            exemplars: vec![exemplar(1e-7, 1_600_096_945_479), exemplar(f64::INFINITY, 1500)],
        };
        let mut out = Vec::new();
        put(&mut out, &series);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"seriesLabels\":{\"__name__\":\"c_total\"},\"exemplars\":[{\"labels\":{\"trace_id\":\
             \"a\\\"<b\"},\"value\":\"1e-07\",\"timestamp\":1600096945.479},{\"labels\":\
             {\"trace_id\":\"a\\\"<b\"},\"value\":\"+Inf\",\"timestamp\":1.500}]}"
        );
    }
}
