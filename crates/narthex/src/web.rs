//! The HTTP side: Prometheus' API, the lifecycle, `/metrics` and a small page.
//!
//! A request goes through [`around`] (readiness, CORS, compression, counting) to a handler; a
//! handler answers a [`reply::Reply`] or an [`error::ApiError`]. What reads the store runs on the
//! query pool, so that this thread only moves bytes.

mod admin;
pub mod body;
pub mod error;
mod exemplars;
mod expression;
mod features;
mod federate;
pub mod json;
mod lifecycle;
mod notifications;
mod openapi;
mod otlp;
mod page;
pub mod params;
mod pieces;
mod pools;
mod proto;
mod query;
mod quoting;
pub mod read;
mod receive;
mod remote;
pub mod reply;
pub mod result;
mod rules;
pub mod security;
mod self_metrics;
mod series;
pub mod server;
mod sip;
mod status;
mod targets;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, ORIGIN, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;

use crate::app::{App, Phase};
use body::Packing;

/// Bodies up to this size are compressed at once, which keeps their length known.
const PACKED_AT_ONCE_BYTES_MAX: u64 = 256 << 10;

/// What a handler answers.
pub type Answer = Result<reply::Reply, error::ApiError>;

/// All routes, below the route prefix.
pub fn router(app: &Arc<App>) -> Router {
    let api = Router::new()
        .merge(query::routes())
        .merge(exemplars::routes())
        .merge(expression::routes())
        .merge(series::routes())
        .merge(status::routes())
        .merge(targets::routes())
        .merge(pools::routes())
        .merge(rules::routes())
        .merge(notifications::routes())
        .merge(features::routes())
        .merge(self_metrics::routes())
        .merge(openapi::routes())
        .merge(read::routes())
        .merge(receive::routes())
        .merge(remote::routes())
        .merge(otlp::routes())
        .merge(admin::routes());
    let routes = Router::new()
        .nest("/api/v1", api)
        .merge(lifecycle::routes())
        .merge(page::routes())
        .merge(federate::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    let routes = match app.flags.route_prefix.as_str() {
        "" => routes,
        prefix => Router::new()
            .nest(prefix, routes)
            .merge(page::outside(prefix))
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed),
    };
    routes.layer(from_fn_with_state(Arc::clone(app), around)).with_state(Arc::clone(app))
}

type Routes = Router<Arc<App>>;

/// A plain text answer, as Go's `http.Error` writes it.
fn text_error(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

async fn not_found() -> Response {
    text_error(StatusCode::NOT_FOUND, "404 page not found")
}

async fn method_not_allowed() -> Response {
    text_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// The answer to a path that is no text.
fn unreadable() -> Response {
    let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::BAD_REQUEST, kind, "400 Bad Request").into_response()
}

/// What happens around every handler.
async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = app.clock.monotonic();
    let path = request.uri().path();
    let path = path.strip_prefix(app.flags.route_prefix.as_str()).unwrap_or(path);
    let is_api = path.starts_with("/api/v1/");
    let handler = request.extensions().get::<MatchedPath>().map(|path| handler_name(&app, path));
    let origin = request.headers().get(ORIGIN).cloned();
    let packing = packing(request.headers());
    // ORDER: who may not come in learns nothing, and no body is read.
    let early = match refused(&app, request.headers()).await {
        Some(response) => Some(response),
        None if !params::is_whole(path.as_bytes()) => Some(unreadable()),
        None => early_answer(&app, request.method(), path, is_api),
    };
    // The API has no such method, whatever a router makes of it.
    let headless = is_api && request.method() == Method::HEAD && handler.is_some();
    let mut response = match early {
        Some(response) => response,
        None if headless => method_not_allowed().await,
        None => next.run(request).await,
    };
    if let Some(security) = &app.security {
        security.put_headers(response.headers_mut());
    }
    if is_api {
        allow_origin(&app, response.headers_mut(), origin.as_ref());
    }
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let Some(handler) = handler else { return response };
    let took = app.clock.monotonic().saturating_sub(began);
    app.telemetry.http.answered(&handler, response.status().as_u16(), took);
    outgoing(&app, response, packing, handler).await
}

/// The route as Prometheus names it in its metrics.
fn handler_name(app: &App, path: &MatchedPath) -> Arc<str> {
    let path = path.as_str();
    let path = path.strip_prefix(app.flags.route_prefix.as_str()).unwrap_or(path);
    path.replace('{', ":").replace('}', "").into()
}

/// The answer to those who may not come in.
async fn refused(app: &App, headers: &HeaderMap) -> Option<Response> {
    let security = app.security.as_ref()?;
    if security.admits(headers).await {
        return None;
    }
    let mut response = text_error(StatusCode::UNAUTHORIZED, "Unauthorized");
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    Some(response)
}

/// The first way to compress that the client names and the server has.
fn packing(headers: &HeaderMap) -> Option<Packing> {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        Packing::of_name(name).filter(|_| !refused)
    })
}

/// The answer of requests that never reach a handler.
fn early_answer(app: &App, method: &Method, path: &str, is_api: bool) -> Option<Response> {
    if is_api && method == Method::OPTIONS {
        return Some(StatusCode::NO_CONTENT.into_response());
    }
    let waits = is_api || path == "/federate" || path == "/-/ready";
    let always = matches!(
        path,
        "/api/v1/status/walreplay" | "/api/v1/notifications" | "/api/v1/notifications/live"
    );
    let phase = app.phase();
    if phase == Phase::Ready || !waits || always {
        return None;
    }
    let mut response = text_error(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    let stopping = if phase == Phase::Stopping { "true" } else { "false" };
    let stopping = HeaderValue::from_static(stopping);
    response.headers_mut().insert("x-prometheus-stopping", stopping);
    Some(response)
}

fn allow_origin(app: &App, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return };
    if !origin.to_str().is_ok_and(|text| app.cors_origin.matches(text)) {
        return;
    }
    let allowed = "Accept, Authorization, Content-Type, Origin";
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Date"));
}

/// Compresses the body when that is wanted and worth it, and counts it.
async fn outgoing(
    app: &App,
    response: Response,
    packing: Option<Packing>,
    handler: Arc<str>,
) -> Response {
    use axum::body::HttpBody as _;
    let (mut head, body) = response.into_parts();
    let exact = body.size_hint().exact();
    let worth = exact.is_none_or(|bytes| bytes >= body::PACKED_BYTES_MIN)
        && !head.headers.contains_key(CONTENT_ENCODING)
        && !is_stream(&head.headers);
    let packing = packing.filter(|_| worth);
    if let Some(packing) = packing {
        head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(packing.name()));
        head.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        head.headers.remove(CONTENT_LENGTH);
    }
    let telemetry = Arc::clone(&app.telemetry);
    let body = body::Outgoing::new(body, packing, telemetry, handler);
    if packing.is_some() && exact.is_some_and(|bytes| bytes <= PACKED_AT_ONCE_BYTES_MAX) {
        return match body.collect().await {
            Ok(whole) => Response::from_parts(head, Body::from(whole.to_bytes())),
            Err(error) => error::ApiError::internal(error).into_response(),
        };
    }
    Response::from_parts(head, Body::new(body))
}

/// Whether a body is told bit by bit, each of which is to arrive at once, or is compressed itself.
fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    kind.starts_with("text/event-stream") || kind.starts_with("application/x-")
}

#[cfg(test)]
mod tests;
