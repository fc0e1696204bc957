//! Ways in that are not built: each says so.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::StatusCode;

use super::{Routes, text_error};
use crate::app::App;

pub(super) fn routes() -> Routes {
    Routes::new().route("/otlp/v1/metrics", post(otlp))
}

/// Prometheus' answer when the flag is off, a plain word when it is on.
fn off(app: &App, flag: &str, what: &str) -> Response {
    let on = app.flags.all.get(flag).is_some_and(|value| value == "true");
    let text = if on {
        format!("{what} is not supported by narthex yet")
    } else {
        format!("{what} needs to be enabled with --{flag}")
    };
    text_error(StatusCode::NOT_FOUND, &text)
}

async fn otlp(State(app): State<Arc<App>>) -> Response {
    off(&app, "web.enable-otlp-receiver", "otlp write receiver")
}
