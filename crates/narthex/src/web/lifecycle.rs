//! Health, readiness, reload, shutdown.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::sync::oneshot;

use super::{Routes, text_error};
use crate::app::{App, Command};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/reload", get(only_post).post(reload).put(reload))
        .route("/-/quit", get(only_post).post(quit).put(quit))
}

/// A plain text answer without a new line that is not written in `text`.
fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

// Probes compare these texts, so they are those of Prometheus.
async fn healthy() -> Response {
    plain(StatusCode::OK, "Prometheus Server is Healthy.\n")
}

async fn ready() -> Response {
    plain(StatusCode::OK, "Prometheus Server is Ready.\n")
}

async fn only_post() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}

fn forbidden() -> Response {
    plain(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.")
}

async fn reload(State(app): State<Arc<App>>) -> Response {
    if !app.flags.enable_lifecycle {
        return forbidden();
    }
    let (sender, outcome) = oneshot::channel();
    if !app.command(Command::Reload(sender)) {
        return text_error(StatusCode::INTERNAL_SERVER_ERROR, "failed to reload config: busy");
    }
    match outcome.await {
        Ok(Ok(())) => StatusCode::OK.into_response(),
        Ok(Err(reason)) => {
            let text = format!("failed to reload config: {reason}");
            text_error(StatusCode::INTERNAL_SERVER_ERROR, &text)
        }
        Err(_) => text_error(StatusCode::INTERNAL_SERVER_ERROR, "failed to reload config: ended"),
    }
}

async fn quit(State(app): State<Arc<App>>) -> Response {
    if !app.flags.enable_lifecycle {
        return forbidden();
    }
    if !app.command(Command::Quit) {
        return text_error(StatusCode::INTERNAL_SERVER_ERROR, "busy");
    }
    plain(StatusCode::OK, "Requesting termination... Goodbye!")
}
