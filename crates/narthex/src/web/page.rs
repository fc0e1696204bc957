//! Pages outside the API: `/`, `/metrics`, `/version`.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use narthex_model::time::format_duration;

use super::{Routes, status};
use crate::app::{App, Phase};
use crate::telemetry::Page;

/// Paths of Prometheus' pages; all of them lead to the one page there is.
const OTHER_PAGES: [&str; 13] = [
    "/graph",
    "/query",
    "/alerts",
    "/targets",
    "/rules",
    "/status",
    "/tsdb-status",
    "/flags",
    "/config",
    "/service-discovery",
    "/alertmanager-discovery",
    "/classic/graph",
    "/new/graph",
];

pub(super) fn routes() -> Routes {
    let routes = Routes::new()
        .route("/", get(home))
        .route("/metrics", get(metrics))
        .route("/version", get(version));
    OTHER_PAGES.iter().fold(routes, |routes, path| routes.route(path, get(to_home)))
}

/// What a route prefix needs outside of it: the page with the slash that its links need, and the
/// way there from the root.
pub(super) fn outside(prefix: &str) -> Routes {
    Routes::new().route(&format!("{prefix}/"), get(home)).route("/", get(to_home))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    ([(CONTENT_TYPE, kind)], own_metrics(&app)).into_response()
}

/// The server's own metrics in text format.
pub(super) fn own_metrics(app: &App) -> String {
    let mut page = Page::default();
    app.telemetry.render(&mut page, app.started);
    crate::telemetry::file_logs(&mut page, &app.file_logs);
    let ready = u8::from(app.phase() == Phase::Ready);
    page.gauge("prometheus_ready", "Whether Prometheus startup was fully completed.", ready.into());
    if let Some(parts) = app.parts() {
        let stats = parts.store.stats();
        crate::telemetry::store(&mut page, &stats);
        crate::telemetry::exemplars(&mut page, &parts.store.exemplars().stats());
        let queues = parts.remote.stats();
        crate::telemetry::remote(&mut page, &queues, &stats);
        crate::telemetry::sent_exemplars(&mut page, &queues);
        crate::telemetry::scrape(&mut page, &parts.scrape);
        crate::telemetry::discovery(&mut page, &parts.discovery.stats());
        if let Some(inlet) = &parts.inlet {
            crate::telemetry::receive(&mut page, inlet.counters());
        }
    }
    page.gauge(
        "prometheus_api_notification_active_subscribers",
        "The current number of active notification subscribers.",
        u32::try_from(app.notifications.listeners()).unwrap_or(u32::MAX).into(),
    );
    page.into_text()
}

async fn version() -> Response {
    let mut out = Vec::new();
    status::build_info(&mut out);
    out.push(b'\n');
    ([(CONTENT_TYPE, "application/json")], out).into_response()
}

async fn to_home(State(app): State<Arc<App>>) -> Redirect {
    Redirect::to(&format!("{}/", app.flags.route_prefix))
}

/// Replaces what has a meaning in HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

const PAGE_HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>narthex</title>\
<style>body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2em .8em .2em 0;\
border-bottom:1px solid #ddd;vertical-align:top}input{width:30em;max-width:70%}\
.down{color:#b00}</style><h1>narthex</h1>";

const LINKS: [&str; 10] = [
    "api/v1/targets",
    "api/v1/status/tsdb",
    "api/v1/status/config",
    "api/v1/status/flags",
    "api/v1/status/runtimeinfo",
    "api/v1/status/buildinfo",
    "api/v1/rules",
    "api/v1/metadata",
    "-/ready",
    "metrics",
];

/// Most targets on the page; the API tells all.
const TARGETS_MAX: usize = 200;

fn targets(out: &mut String, app: &App) {
    let Some(parts) = app.parts() else { return };
    let pools = parts.scrape.pools();
    out.push_str(
        "<h2>Targets</h2><table><tr><th>Job<th>Target<th>Labels<th>State<th>Last error</tr>",
    );
    let all = pools.iter().flat_map(|pool| pool.active.iter().map(move |target| (pool, target)));
    for (pool, target) in all.take(TARGETS_MAX) {
        let state = match target.health.up {
            None => "unknown",
            Some(true) => "up",
            Some(false) => "<span class=\"down\">down</span>",
        };
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{state}<td>{}</tr>",
            escape(&pool.name),
            escape(&target.url),
            escape(&target.labels.to_string()),
            escape(&target.health.last_error),
        );
    }
    out.push_str("</table>");
    let count: usize = pools.iter().map(|pool| pool.active.len()).sum();
    if count > TARGETS_MAX {
        let _ = write!(out, "<p>{} more targets.</p>", count - TARGETS_MAX);
    }
}

/// A small page without scripts: a query form, the targets, links.
async fn home(State(app): State<Arc<App>>, OriginalUri(uri): OriginalUri) -> Response {
    if !uri.path().ends_with('/') {
        return to_home(State(app)).await.into_response();
    }
    let mut out = PAGE_HEAD.to_owned();
    let settings = app.config.load();
    let retention = crate::flags::retention_text(app.flags.retention(&settings.config));
    let uptime = app.clock.now().millis() - app.started.millis();
    let uptime = std::time::Duration::from_secs(u64::try_from(uptime / 1000).unwrap_or(0));
    let _ = write!(
        out,
        "<p>Version {}, up {}, keeps {}.</p><form action=\"api/v1/query\">\
         <input name=\"query\" value=\"up\" aria-label=\"PromQL expression\"> \
         <button>Query</button></form>",
        escape(crate::build::VERSION),
        format_duration(uptime),
        escape(&retention),
    );
    targets(&mut out, &app);
    out.push_str("<h2>Links</h2><ul>");
    for link in LINKS {
        let _ = write!(out, "<li><a href=\"{link}\">/{link}</a>");
    }
    out.push_str("</ul></html>\n");
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(out)).into_response()
}
