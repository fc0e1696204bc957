//! Queries: parameters in, result out.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, OriginalUri, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::request::Parts;

use super::Routes;
use super::error::{ApiError, Kind};
use super::params::{self, Params};
use super::result::ResultBody;
use super::server::Peer;
use crate::app::App;
use crate::engine::{self, Ask, When};
use crate::query_log::Origin;

/// Most instants of a range query.
const POINTS_MAX: i128 = 11_000;

/// A step is never less; times are whole milliseconds.
const STEP_MIN: Duration = Duration::from_millis(1);

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/query", get(instant).post(instant))
        .route("/query_range", get(range).post(range))
}

async fn instant(
    State(app): State<Arc<App>>,
    origin: Origin,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let at = params.time("time")?.unwrap_or_else(|| app.clock.now());
    answer(&app, &params, origin, When::At(at), limit).await
}

async fn range(
    State(app): State<Arc<App>>,
    origin: Origin,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = params.limit()?;
    let when = range_of(&params)?;
    answer(&app, &params, origin, when, limit).await
}

/// The instants of a range query, checked in the order of Prometheus.
fn range_of(params: &Params) -> Result<When, ApiError> {
    let start = params.time_required("start")?;
    let end = params.time_required("end")?;
    if end < start {
        let reason = "end timestamp must not be before start time";
        return Err(ApiError::parameter("end", reason));
    }
    let step = params::duration(params.get("step"));
    let step = step.map_err(|reason| ApiError::parameter("step", reason))?;
    let step = step.ok_or_else(|| {
        let reason = "zero or negative query resolution step widths are not accepted. \
                      Try a positive integer";
        ApiError::parameter("step", reason)
    })?;
    let length_ns = (i128::from(end.millis()) - i128::from(start.millis())) * 1_000_000;
    let step_ns = i128::try_from(step.as_nanos()).unwrap_or(i128::MAX);
    if length_ns / step_ns > POINTS_MAX {
        return Err(ApiError::bad(
            "exceeded maximum resolution of 11,000 points per timeseries. \
             Try decreasing the query resolution (?step=XX)",
        ));
    }
    Ok(When::Range { start, end, step: step.max(STEP_MIN) })
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        // The path that the router has not shortened.
        let path = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
        Ok(Self {
            client: parts.extensions.get::<Peer>().and_then(|peer| peer.0),
            method: parts.method.to_string(),
            path: path.path().to_owned(),
        })
    }
}

async fn answer(
    app: &Arc<App>,
    params: &Params,
    origin: Origin,
    when: When,
    limit: Option<usize>,
) -> Result<Response, ApiError> {
    let timeout = timeout(params, app.flags.query_timeout)?;
    let lookback = match params.get("lookback_delta") {
        "" => None,
        text => params::duration(text).map_err(|reason| {
            ApiError::bad(format!("error parsing lookback delta duration: {reason}"))
        })?,
    };
    let query = params.get("query").to_owned();
    let per_step_stats = params.get("stats") == "all";
    let answered =
        engine::ask(app, Ask { query, when, timeout, lookback, per_step_stats, origin }).await?;
    let stats = (!params.get("stats").is_empty())
        .then_some((answered.timings, answered.output.stats.clone()));
    Ok(ResultBody::new(answered.output, stats, limit).into_response())
}

/// The shorter of the flag and the parameter.
fn timeout(params: &Params, most: Duration) -> Result<Duration, ApiError> {
    match params.get("timeout") {
        "" => Ok(most),
        text => match params::duration(text) {
            Ok(Some(asked)) if asked >= STEP_MIN => Ok(asked.min(most)),
            // What has run out before it began is told as Prometheus tells it.
            Ok(None) => Err(ApiError::parameter("query", "context deadline exceeded")),
            Ok(_) => Err(ApiError::new(Kind::Execution, "context deadline exceeded")),
            Err(reason) => Err(ApiError::parameter("timeout", reason)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range_text(query: &str) -> String {
        match range_of(&Params::parse(b"", query).unwrap()) {
            Ok(when) => format!("{when:?}"),
            Err(error) => error.text,
        }
    }

    #[test]
    fn ranges_are_checked_in_order() {
        assert_eq!(
            range_text(""),
            "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"
        );
        assert_eq!(
            range_text("start=1&end=0&step=x"),
            "invalid parameter \"end\": end timestamp must not be before start time"
        );
        assert_eq!(
            range_text("start=1&end=2&step=x"),
            "invalid parameter \"step\": cannot parse \"x\" to a valid duration"
        );
        assert!(range_text("start=1&end=2&step=-1").contains("zero or negative"));
        assert!(range_text("start=0&end=11000.001&step=1").starts_with("Range"));
        assert!(range_text("start=0&end=11001&step=1").starts_with("exceeded maximum"));
        assert!(range_text("start=0&end=0&step=1e-9").ends_with("step: 1ms }"));
        assert!(range_text("start=-1e300&end=1e300&step=1e9").starts_with("exceeded maximum"));
    }

    #[test]
    fn the_shorter_timeout_counts() {
        let most = Duration::from_secs(120);
        let of = |query| timeout(&Params::parse(b"", query).unwrap(), most);
        assert_eq!(of("").unwrap(), most);
        assert_eq!(of("timeout=1m").unwrap(), Duration::from_secs(60));
        assert_eq!(of("timeout=1h").unwrap(), most);
        assert_eq!(
            of("timeout=0").unwrap_err(),
            ApiError::parameter("query", "context deadline exceeded")
        );
        assert!(of("timeout=x").unwrap_err().text.starts_with("invalid parameter \"timeout\""));
    }
}
