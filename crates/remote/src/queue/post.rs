//! One request of the protocol.

use std::time::Duration;

use narthex_net::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Session, StatusCode, header,
};

use super::Settings;
use crate::compose::Version;

/// Largest answer that is read; its beginning is logged.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The headers of every request, those of the protocol first.
pub(super) fn headers(settings: &Settings, version: Version) -> Vec<(HeaderName, HeaderValue)> {
    let (kind, number) = match version {
        Version::V1 => ("application/x-protobuf", "0.1.0"),
        Version::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    };
    let mut headers = vec![
        (header::CONTENT_ENCODING, HeaderValue::from_static("snappy")),
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (
            HeaderName::from_static("x-prometheus-remote-write-version"),
            HeaderValue::from_static(number),
        ),
    ];
    headers.extend_from_slice(&settings.headers);
    headers
}

/// The status and headers of an answer.
pub(super) type Sent = Result<(StatusCode, HeaderMap), narthex_net::Error>;

/// One POST of the protocol.
pub(super) struct Post<'a> {
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    pub(super) attempt: u32,
    pub(super) timeout: Duration,
}

impl Post<'_> {
    pub(super) async fn send(
        &self,
        session: &mut Session,
        body: &[u8],
        answer: &mut Vec<u8>,
    ) -> Sent {
        let mut with_attempt = Vec::new();
        let headers = if self.attempt == 0 {
            self.headers
        } else {
            with_attempt.extend_from_slice(self.headers);
            let name = HeaderName::from_static("retry-attempt");
            with_attempt.push((name, HeaderValue::from(self.attempt)));
            &with_attempt
        };
        let request = Request {
            method: Method::POST,
            headers,
            body,
            timeout: self.timeout,
            body_bytes_max: ANSWER_BYTES_MAX,
        };
        match session.send(&request, answer).await {
            Ok(head) => Ok((head.status, head.headers)),
            // What counts was said, though its text was too long or broken.
            Err(error) => match session.status() {
                Some(status) => Ok((status, HeaderMap::new())),
                None => Err(error),
            },
        }
    }
}
