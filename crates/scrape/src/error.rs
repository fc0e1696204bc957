//! Why a scrape failed, in the words that the targets page shows.

use narthex_expo::ParseErrorKind;

use crate::resolve::ResolveError;
use crate::translate::TranslateError;

/// Why a scrape brought nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScrapeError {
    /// Connecting, asking or reading failed.
    #[error(transparent)]
    Net(narthex_net::Error),
    /// The target answered with another status than 200.
    #[error("server returned HTTP status {0}")]
    Status(String),
    /// The body is larger than `body_size_limit`, or than the program's own limit.
    #[error("body size limit exceeded")]
    BodyTooLarge,
    /// The Content-Type names no format that can be read and there is no fallback.
    #[error("{0}")]
    ContentType(String),
    /// A line could not be read.
    #[error(transparent)]
    Parse(#[from] narthex_expo::ParseError),
    /// A binary body could not be taken.
    #[error(transparent)]
    Translate(#[from] TranslateError),
    /// A line's labels broke a rule.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// More samples than `sample_limit`.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// The store holds as many series as it may.
    #[error("{0}")]
    SeriesLimit(String),
    /// The pool has more targets than `target_limit`.
    #[error("target_limit exceeded (number of targets: {count}, limit: {limit})")]
    TargetLimit {
        /// Targets that discovery found.
        count: usize,
        /// Targets there may be.
        limit: u64,
    },
    /// The store failed; this is no fault of the target.
    #[error(transparent)]
    Store(#[from] narthex_store::Error),
}

impl ScrapeError {
    /// Whether the target gave no body; what is wrong in a body is another matter.
    pub(crate) fn is_of_asking(&self) -> bool {
        matches!(self, Self::Net(_) | Self::Status(_) | Self::BodyTooLarge)
    }
}

impl From<narthex_net::Error> for ScrapeError {
    fn from(error: narthex_net::Error) -> Self {
        match error.is_body_limit() {
            true => Self::BodyTooLarge,
            false => Self::Net(error),
        }
    }
}

impl ScrapeError {
    /// Whether there were more series than one target, or the store, may have.
    pub(crate) fn is_series_limit(&self) -> bool {
        match self {
            Self::SeriesLimit(_) => true,
            Self::Parse(error) => error.kind == ParseErrorKind::TooManySlots,
            _ => false,
        }
    }

    /// Samples that were read before the error.
    pub(crate) fn samples_before(&self) -> u32 {
        match self {
            Self::Parse(error) => error.samples_before,
            _ => 0,
        }
    }
}
