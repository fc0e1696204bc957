//! Errors as the API tells them.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::json::Object;

/// The `errorType` of an answer, which decides its status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong: 400.
    BadData,
    /// The query failed while it was computed: 422.
    Execution,
    /// The client went away or the query was stopped: 499.
    Canceled,
    /// The query took too long: 503.
    Timeout,
    /// Something here failed: 500.
    Internal,
    /// There is no such thing: 404.
    NotFound,
    /// The feature is off or not built: 500, as Prometheus answers.
    Unavailable,
}

impl Kind {
    /// The word in the answer.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
        }
    }

    /// The status code of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            // 499 is nginx' code for a client that went away; it is within the valid range.
            Self::Canceled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Internal | Self::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An error answer of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", kind.as_str())]
pub struct ApiError {
    /// What sort of error.
    pub kind: Kind,
    /// The text for the user.
    pub text: String,
}

impl ApiError {
    /// An error of this kind.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// The request is wrong.
    pub fn bad(text: impl Into<String>) -> Self {
        Self::new(Kind::BadData, text)
    }

    /// The value of a parameter is wrong.
    pub fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad(format!("invalid parameter \"{name}\": {reason}"))
    }

    /// Something here failed.
    pub fn internal(text: impl std::fmt::Display) -> Self {
        Self::new(Kind::Internal, text.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(64 + self.text.len());
        let mut object = Object::begin(&mut body);
        object
            .text("status", "error")
            .text("errorType", self.kind.as_str())
            .text("error", &self.text);
        object.end();
        (self.kind.status(), [(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

impl From<crate::query_pool::QueryPoolError> for ApiError {
    fn from(error: crate::query_pool::QueryPoolError) -> Self {
        use crate::query_pool::QueryPoolError as E;
        let kind = match error {
            E::Queue => Kind::Timeout,
            E::Panic(_) => Kind::Execution,
            E::Thread(_) => Kind::Internal,
            E::Closed => Kind::Canceled,
        };
        Self::new(kind, error.to_string())
    }
}
