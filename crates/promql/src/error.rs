//! What can go wrong with a query, in Prometheus' words.

use std::fmt;
use std::time::Duration;

use narthex_model::time::format_duration;

/// The class of an [`Error`], which decides the API's `errorType` and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The query or its parameters are not in order: `bad_data`, 400.
    BadData,
    /// The query is in order, but could not be computed on this data: `execution`, 422.
    Execution,
    /// The query took longer than it may: `timeout`, 503.
    Timeout,
    /// The query was canceled: `canceled`, 499.
    Canceled,
    /// The query needs something that this program does not do: `execution`, 422.
    Unsupported,
    /// The store could not be read: `internal`, 500.
    Internal,
}

/// Why a query gave no answer. Its text is what Prometheus would say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a query.
    #[error("{0}")]
    Parse(ParseError),
    /// The parameters are not in order.
    #[error("{0}")]
    Parameter(String),
    /// The evaluation failed on this data.
    #[error("{0}")]
    Execution(String),
    /// More samples would have to be held than the limit allows.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// More memory would have to be held than the limit allows.
    #[error("query processing would need more than {max_bytes} bytes of memory in query execution")]
    TooMuchMemory {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// The deadline has passed.
    #[error("query timed out in expression evaluation (limit {})", format_duration(*.0))]
    Timeout(Duration),
    /// Somebody raised the flag.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// The construct is not supported.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The store failed.
    #[error("expanding series: {0}")]
    Store(String),
}

impl Error {
    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_) | Self::Parameter(_) => ErrorKind::BadData,
            Self::Execution(_) | Self::TooManySamples | Self::TooMuchMemory { .. } => {
                ErrorKind::Execution
            }
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::Canceled => ErrorKind::Canceled,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Store(_) => ErrorKind::Internal,
        }
    }
}

impl From<narthex_store::Error> for Error {
    fn from(error: narthex_store::Error) -> Self {
        Self::Store(error.to_string())
    }
}

/// Where and why a text is not a query. Prints as Prometheus does: `1:5: parse error: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What was found.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "unknown position: parse error: {}", self.message);
        }
        write!(f, "{}:{}: parse error: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}
