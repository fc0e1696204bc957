//! The receiver of remote writes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use narthex_receive::{Answer, BODY_BYTES_MAX, Failure, Message};

use super::{Routes, text_error};
use crate::app::App;
use crate::inlet::{self, Inlet, Order, Stopping};

/// Longest wait for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time without a byte of a body while others wait for room.
const STALL_MAX: Duration = Duration::from_secs(2);

/// Most bytes of a body that are read after it was refused: a client that sends it all before it
/// listens would see a broken connection instead of the reason.
const DISCARDED_BYTES_MAX: usize = 8 * BODY_BYTES_MAX;

/// When a request is to come again that met too many others, in seconds.
const RETRY_SECONDS: &str = "1";

/// The only kind of body there is.
const PROTOBUF: &str = "application/x-protobuf";

/// The names of the messages.
const MESSAGES: [(&str, Message); 2] =
    [("prometheus.WriteRequest", Message::V1), ("io.prometheus.write.v2.Request", Message::V2)];

pub(super) fn routes() -> Routes {
    Routes::new().route("/write", post(write))
}

async fn write(State(app): State<Arc<App>>, request: Request) -> Response {
    let inlet = app.parts().and_then(|parts| parts.inlet.as_ref());
    let Some(inlet) = inlet.filter(|_| app.flags.enable_receiver) else {
        let text = "remote write receiver needs to be enabled with \
                    --web.enable-remote-write-receiver";
        return text_error(StatusCode::NOT_FOUND, text);
    };
    let message = match message_of(request.headers(), &app.flags.receiver_messages) {
        Ok(message) => message,
        Err(text) => return text_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text),
    };
    let body = match read_whole(inlet, request.into_body()).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    match inlet.write(body, Order::Write(message)).await {
        Ok(outcome) => answer(message, outcome),
        Err(Stopping) => text_error(StatusCode::SERVICE_UNAVAILABLE, &Stopping.to_string()),
    }
}

/// Reads the body of a request, or gives the answer to one that cannot be read.
pub(super) async fn read_whole(inlet: &Arc<Inlet>, from: Body) -> Result<inlet::Body, Response> {
    let read = match tokio::time::timeout(BODY_TIMEOUT, read(inlet, from)).await {
        Ok(read) => read,
        Err(_) => Err(again("the body did not come in time")),
    };
    if read.is_err() {
        inlet.refused();
    }
    read
}

/// The message that the head of a request announces.
fn message_of(headers: &HeaderMap, accepted: &[String]) -> Result<Message, String> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let encoding = text(CONTENT_ENCODING).unwrap_or("");
    if !matches!(encoding, "" | "snappy") {
        return Err(format!(
            "{encoding} encoding (compression) is not accepted by this server; only snappy is \
             acceptable"
        ));
    }
    let kind = text(CONTENT_TYPE).unwrap_or("");
    if kind.is_empty() {
        // As early senders did, and as Prometheus takes it.
        return Ok(Message::V1);
    }
    let mut parts = kind.split(';').map(str::trim);
    if parts.next() != Some(PROTOBUF) {
        return Err(format!(
            "expected {PROTOBUF} as the first (media) part, got {kind} content-type"
        ));
    }
    let Some(name) = parts.find_map(|part| part.strip_prefix("proto=")) else {
        return Ok(Message::V1);
    };
    let found = MESSAGES.iter().find(|(known, _)| *known == name);
    match found.filter(|_| accepted.iter().any(|accepted| accepted == name)) {
        Some((_, message)) => Ok(*message),
        None => Err(format!(
            "got {kind} content type; unknown remote write protobuf message {name}, supported: {}",
            accepted.join(", ")
        )),
    }
}

/// Reads the body as far as the limits allow.
async fn read(inlet: &Arc<Inlet>, mut from: Body) -> Result<inlet::Body, Response> {
    if from.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(refuse(from, too_large()).await);
    }
    let mut body = inlet.body();
    loop {
        let frame = match tokio::time::timeout(STALL_MAX, from.frame()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(body),
            // It can take its time, but no room that others need.
            Err(_) if inlet.is_tight() => return Err(again("the body came too slowly")),
            Err(_) => continue,
        };
        let frame = frame.map_err(|e| text_error(StatusCode::BAD_REQUEST, &e.to_string()))?;
        let Ok(piece) = frame.into_data() else { continue };
        if body.len() + piece.len() > BODY_BYTES_MAX {
            drop(body);
            return Err(refuse(from, too_large()).await);
        }
        if !body.push(&piece).await {
            drop(body);
            return Err(refuse(from, again("too many remote writes at the same time")).await);
        }
    }
}

/// The answer to a request that is to come again: with any other status Prometheus would not send
/// it again.
fn again(text: &str) -> Response {
    let mut response = text_error(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The answer to a request whose body is not taken, once its client listens; the connection ends
/// with it.
async fn refuse(mut from: Body, mut response: Response) -> Response {
    let mut left = DISCARDED_BYTES_MAX;
    while let Some(Ok(frame)) = from.frame().await {
        let length = frame.data_ref().map_or(0, bytes::Bytes::len);
        let Some(rest) = left.checked_sub(length) else { break };
        left = rest;
    }
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn too_large() -> Response {
    let text = format!("the body is larger than {BODY_BYTES_MAX} bytes");
    text_error(StatusCode::PAYLOAD_TOO_LARGE, &text)
}

/// The answer to a request of which nothing, or nobody knows what, was stored.
pub(super) fn failed(failure: &Failure) -> Response {
    let status = match failure {
        Failure::Malformed(_) => StatusCode::BAD_REQUEST,
        Failure::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if status.is_server_error() {
        tracing::error!(err = %failure, "Storing received samples failed");
    }
    text_error(status, &failure.to_string())
}

fn answer(message: Message, outcome: Result<Answer, Failure>) -> Response {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(failure) => return failed(&failure),
    };
    let mut response = match answer.refused.is_empty() {
        true => StatusCode::NO_CONTENT.into_response(),
        false => text_error(StatusCode::BAD_REQUEST, &answer.refused.to_string()),
    };
    if message == Message::V2 {
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", answer.told_samples()),
            ("x-prometheus-remote-write-histograms-written", answer.told_histograms()),
            ("x-prometheus-remote-write-exemplars-written", answer.exemplars),
        ] {
            response.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_the_message() {
        let accepted = MESSAGES.map(|(name, _)| name.to_owned());
        let of = |kind: &'static str, encoding: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            message_of(&headers, &accepted)
        };
        assert_eq!(of("application/x-protobuf", "snappy"), Ok(Message::V1));
        assert_eq!(of("", ""), Ok(Message::V1));
        let first = "application/x-protobuf;proto=prometheus.WriteRequest";
        assert_eq!(of(first, "snappy"), Ok(Message::V1));
        let second = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        assert_eq!(of(second, "snappy"), Ok(Message::V2));
        let unknown = of("application/x-protobuf;proto=foo.Bar", "snappy").unwrap_err();
        assert_eq!(
            unknown,
            "got application/x-protobuf;proto=foo.Bar content type; unknown remote write protobuf \
             message foo.Bar, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request"
        );
        assert!(of("text/plain", "snappy").unwrap_err().ends_with("got text/plain content-type"));
        assert!(of(first, "gzip").unwrap_err().starts_with("gzip encoding (compression)"));
    }
}
