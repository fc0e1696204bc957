//! How remote write is doing, and having it offer a stretch of time again: for `narthex ctl
//! remote`. Not in Prometheus.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use narthex_model::TimeRange;
use narthex_remote::{Error, QueueStats, Refused};

use super::error::{ApiError, Kind};
use super::json::{self, Object};
use super::params::Params;
use super::reply::Reply;
use super::server::Local;
use super::{Answer, Routes};
use crate::app::{App, Parts};
use crate::clock::rfc3339;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/narthex/remote", get(status))
        .route("/narthex/remote/resend", post(resend))
}

fn parts(app: &App) -> Result<&Parts, ApiError> {
    app.parts().ok_or_else(|| ApiError::internal("remote write has not begun"))
}

/// As JSON, or with `format=text` as a person reads it.
async fn status(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let parts = parts(&app)?;
    let (queues, last) = (parts.remote.stats(), parts.store.last_seq().0);
    if params.get("format") == "text" {
        let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        return Ok((kind, text(&queues, last)).into_response());
    }
    let reply =
        Reply::new(|out| json::list(out, &queues, |out, queue| put_queue(out, queue, last)));
    Ok(reply.into_response())
}

/// The queues as a person reads them.
fn text(queues: &[QueueStats], last: u64) -> String {
    let mut text = String::new();
    for queue in queues {
        // Writing into a string cannot fail.
        let _ = put_text(&mut text, queue, last);
    }
    if queues.is_empty() {
        text.push_str("there is no remote_write in the configuration\n");
    }
    text
}

fn put_text(out: &mut String, queue: &QueueStats, last: u64) -> std::fmt::Result {
    let QueueStats { name, url, place, rows_behind, bytes_behind, .. } = queue;
    writeln!(out, "{name}  {url}")?;
    let bytes = bytes(*bytes_behind);
    writeln!(
        out,
        "  place       row {} of {last}: {rows_behind} rows behind, about {bytes}",
        place.0
    )?;
    let newest = queue.highest_sent.map_or("nothing yet".to_owned(), rfc3339);
    writeln!(out, "  lag         {:.1} s; newest sent {newest}", queue.lag.as_secs_f64())?;
    writeln!(
        out,
        "  rate        {:.0} samples/s; since the start {} sent, {} of them again, {} refused",
        queue.samples_per_second, queue.samples, queue.samples_retried, queue.samples_failed,
    )?;
    if queue.rows_lost > 0 {
        writeln!(out, "  lost        {} rows were gone before they were sent", queue.rows_lost)?;
    }
    match &queue.last_error {
        Some((at, text)) => writeln!(out, "  last error  {}: {text}", rfc3339(*at))?,
        None => writeln!(out, "  last error  none")?,
    }
    for refused in &queue.refused_times {
        let [from, to] = [refused.times.start, refused.times.end].map(rfc3339);
        let (samples, reason) = (refused.samples, refused.reason.name());
        writeln!(out, "  refused     {from} to {to}: up to {samples} samples, {reason}")?;
        writeln!(out, "              narthex ctl remote resend {name} --from {from} --to {to}")?;
    }
    if queue.offers > 0 {
        writeln!(out, "  resending   {} stretches of time", queue.offers)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rounded figure")]
fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} bytes"),
        10_000..10_000_000 => format!("{:.0} kB", count as f64 / 1e3),
        _ => format!("{:.0} MB", count as f64 / 1e6),
    }
}

fn put_queue(out: &mut Vec<u8>, queue: &QueueStats, last: u64) {
    let mut object = Object::begin(out);
    object
        .text("name", &queue.name)
        .text("url", &queue.url)
        .plain("place", queue.place.0)
        .plain("last", last)
        .plain("rowsBehind", queue.rows_behind)
        .plain("bytesBehind", queue.bytes_behind)
        .plain("lagSeconds", queue.lag.as_secs_f64())
        .plain("samplesPerSecond", format_args!("{:.1}", queue.samples_per_second))
        .plain("samplesSent", queue.samples)
        .plain("samplesRetried", queue.samples_retried)
        .plain("samplesFailed", queue.samples_failed)
        .plain("rowsLost", queue.rows_lost)
        .plain("resendsPending", queue.offers);
    if let Some(at) = queue.highest_sent {
        object.text("newestSent", &rfc3339(at));
    }
    if let Some((at, text)) = &queue.last_error {
        object.text("lastError", text).text("lastErrorAt", &rfc3339(*at));
    }
    json::list(object.field("refused"), &queue.refused_times, put_refused);
    object.end();
}

fn put_refused(out: &mut Vec<u8>, refused: &Refused) {
    let mut object = Object::begin(out);
    object
        .text("from", &rfc3339(refused.times.start))
        .text("to", &rfc3339(refused.times.end))
        .plain("samples", refused.samples)
        .text("reason", refused.reason.name());
    object.end();
}

/// Only asked from this machine, or where the admin API is open to all: it makes work.
async fn resend(
    State(app): State<Arc<App>>,
    Extension(local): Extension<Local>,
    params: Params,
) -> Answer {
    if !local.0 {
        let text = "only a client on this machine may have samples sent again";
        return Err(ApiError::new(Kind::Unavailable, text));
    }
    let (start, end) = (params.time_required("start")?, params.time_required("end")?);
    if start > end {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let remote = Arc::clone(&parts(&app)?.remote);
    let name = params.get("name").to_owned();
    // It looks for the rows on disk.
    let found =
        tokio::task::spawn_blocking(move || remote.resend(&name, TimeRange::new(start, end)));
    let rows = found.await.map_err(ApiError::internal)?.map_err(|error| match error {
        Error::UnknownQueue { .. } => ApiError::new(Kind::NotFound, error.to_string()),
        other => ApiError::internal(other),
    })?;
    Ok(Reply::new(|out| {
        let mut object = Object::begin(out);
        object.plain("rows", rows);
        object.end();
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use narthex_model::Timestamp;

    use super::*;

    #[test]
    fn a_person_can_read_it() {
        let at = |second: i64| Timestamp(1_795_000_000_000 + second * 1000);
        let queue = QueueStats {
            name: "thanos".to_owned(),
            url: "http://user:xxxxx@receive/api".to_owned(),
            rows_behind: 30,
            bytes_behind: 123_456,
            lag: Duration::from_millis(12_340),
            samples_per_second: 1700.4,
            samples: 5000,
            samples_retried: 20,
            samples_failed: 7,
            highest_sent: Some(at(5)),
            last_error: Some((at(9), "server returned 409".to_owned())),
            offers: 1,
            ..QueueStats::default()
        };
        assert_eq!(
            text(&[queue], 120),
            "thanos  http://user:xxxxx@receive/api\n  \
             place       row 0 of 120: 30 rows behind, about 123 kB\n  \
             lag         12.3 s; newest sent 2026-11-18T11:06:45.000Z\n  \
             rate        1700 samples/s; since the start 5000 sent, 20 of them again, 7 refused\n  \
             last error  2026-11-18T11:06:49.000Z: server returned 409\n  \
             resending   1 stretches of time\n"
        );
        assert!(text(&[], 0).starts_with("there is no"));
    }
}
