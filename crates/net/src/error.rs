//! What can go wrong on the way, in the words that users of Prometheus know from `lastError`.

use std::io;

use narthex_model::number::GoQuoted;

/// Why an exchange failed, or a client could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing usable was answered: it failed before the body.
    #[error("{method} {}: {failure}", GoQuoted(.url))]
    Request {
        /// The method as Go prints it: `Get`, `Post`.
        method: String,
        /// The address, with a password masked.
        url: String,
        /// What happened.
        failure: Failure,
    },
    /// The answer began, but its body could not be read.
    #[error("{0}")]
    Body(Failure),
    /// The body is larger than the caller takes, on the wire or decompressed.
    #[error("body size limit exceeded")]
    BodyTooLarge,
    /// The client's configuration cannot be used.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// Whether the deadline passed.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::Request { failure: Failure::Deadline, .. } | Self::Body(Failure::Deadline)
        )
    }

    /// Whether the body exceeded the caller's limit.
    pub fn is_body_limit(&self) -> bool {
        matches!(self, Self::BodyTooLarge)
    }

    pub(crate) fn config(text: impl Into<String>) -> Self {
        Self::Config(text.into())
    }
}

/// What happened on the wire.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No connection could be made.
    #[error("{0}")]
    Dial(String),
    /// Reading or writing failed.
    #[error("{doing} tcp: {doing}: {}", go_text(.source))]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// The failure itself.
        source: io::Error,
    },
    /// The peer closed the connection before it answered.
    #[error("EOF")]
    Eof,
    /// The peer closed the connection within its answer.
    #[error("unexpected EOF")]
    UnexpectedEof,
    /// The deadline passed.
    #[error("context deadline exceeded")]
    Deadline,
    /// The handshake failed.
    #[error("{0}")]
    Tls(String),
    /// What was answered is not HTTP/1.1 as it should be.
    #[error("{0}")]
    Protocol(String),
    /// The head of the answer is longer than [`crate::session::HEAD_BYTES_MAX`].
    #[error("net/http: server response headers exceeded {0} bytes; aborted")]
    HeadTooLarge(usize),
    /// One redirect after the other.
    #[error("stopped after {0} redirects")]
    Redirects(usize),
    /// A secret could not be had: its file is not readable, or the token was refused.
    #[error("{0}")]
    Credentials(String),
    /// The body could not be decompressed.
    #[error("{0}")]
    Decode(String),
}

impl Failure {
    pub(crate) fn read(source: io::Error) -> Self {
        Self::Io { doing: "read", source }
    }

    pub(crate) fn write(source: io::Error) -> Self {
        Self::Io { doing: "write", source }
    }
}

/// The text of a system error as Go has it: no capital, no number.
pub(crate) fn go_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => return "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => return "connection reset by peer".to_owned(),
        io::ErrorKind::BrokenPipe => return "broken pipe".to_owned(),
        io::ErrorKind::TimedOut => return "connection timed out".to_owned(),
        io::ErrorKind::NotFound => return "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => return "permission denied".to_owned(),
        _ => {}
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_go_writes_it() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(go_text(&refused), "connection refused");
        let unreachable = io::Error::from_raw_os_error(101);
        assert_eq!(go_text(&unreachable), "network is unreachable");
        let error = Error::Request {
            method: "Get".into(),
            url: "http://a:1/m".into(),
            failure: Failure::Deadline,
        };
        assert_eq!(error.to_string(), r#"Get "http://a:1/m": context deadline exceeded"#);
        assert!(error.is_timeout());
    }
}
