//! Ways in that are not built: each says so.

use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use http::StatusCode;

use super::error::{ApiError, Kind};
use super::{Routes, text_error};

pub(super) fn routes() -> Routes {
    let admin = || post(admin).merge(put(admin));
    Routes::new()
        .route("/write", post(write))
        .route("/read", post(read))
        .route("/otlp/v1/metrics", post(otlp))
        .route("/admin/tsdb/snapshot", admin())
        .route("/admin/tsdb/delete_series", admin())
        .route("/admin/tsdb/clean_tombstones", admin())
}

async fn write() -> Response {
    // Prometheus' answer when the flag is off; here the flag changes nothing yet.
    let text = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";
    text_error(StatusCode::NOT_FOUND, text)
}

async fn otlp() -> Response {
    let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver";
    text_error(StatusCode::NOT_FOUND, text)
}

async fn read() -> Response {
    text_error(StatusCode::NOT_IMPLEMENTED, "remote read is not supported by narthex yet")
}

async fn admin() -> Response {
    ApiError::new(Kind::Unavailable, "admin APIs disabled").into_response()
}
