//! Questions to a server on loopback, one connection each; blocking, for tests.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head, without the status line, as it came.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// Asks `GET path` of a loopback port.
///
/// # Errors
/// When there is no connection, or no answer within 30 s.
pub fn get(port: u16, path: &str) -> io::Result<Answer> {
    ask(port, "GET", path, "", &[])
}

/// Asks anything; `head` is further header lines, each ended by `\r\n`.
///
/// # Errors
/// As [`get`].
pub fn ask(port: u16, method: &str, path: &str, head: &str, body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{head}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer"))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let (status_line, head) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = status_line.split(' ').nth(1)?.parse().ok()?;
    let body = answer.get(end + 4..)?.to_vec();
    Some(Answer { status, head: head.to_owned(), body })
}

/// Percent-encodes a query parameter.
pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte as char),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// `data.result` of an instant query, an empty list on any failure.
pub fn query(port: u16, expression: &str, at_ms: Option<i64>) -> Vec<Value> {
    let mut path = format!("/api/v1/query?query={}", encode(expression));
    if let Some(ms) = at_ms {
        let _ = write!(path, "&time={}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
    }
    let result = get(port, &path).map(|answer| answer.json()["data"]["result"].take());
    match result {
        Ok(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}
