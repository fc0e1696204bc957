//! Why a body was refused.

/// Bytes of the body shown before and after the place of an error.
const EXCERPT_BEFORE_BYTES: usize = 48;
const EXCERPT_AFTER_BYTES: usize = 16;

/// Why and where a body was refused. A body is taken whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind} near \"{excerpt}\"")]
pub struct ParseError {
    /// The line of the body, counted from 1.
    pub line: usize,
    /// Samples that were read well before the error.
    pub samples_before: u32,
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The bytes around the error, at most 64 of them, escaped to printable ASCII.
    pub excerpt: String,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum ParseErrorKind {
    #[error("expected a metric name, a brace or a comment")]
    ExpectedStart,
    #[error("expected a metric name after HELP, TYPE or UNIT")]
    ExpectedMetadataName,
    #[error("expected text after the metric name")]
    ExpectedMetadataText,
    #[error("expected a label name")]
    ExpectedLabelName,
    #[error("expected an equals sign")]
    ExpectedEqual,
    #[error("expected a quoted label value")]
    ExpectedLabelValue,
    #[error("expected a comma or a closing brace")]
    ExpectedComma,
    #[error("expected a value after the series")]
    ExpectedValue,
    #[error("expected a timestamp or the end of the line")]
    ExpectedTimestamp,
    #[error("expected the end of the line")]
    ExpectedLineEnd,
    #[error("metric name not set")]
    NameMissing,
    #[error("metric name set twice")]
    NameTwice,
    #[error("empty name")]
    NameEmpty,
    #[error("label name is not unique")]
    LabelTwice,
    #[error("name is not valid UTF-8")]
    NameNotUtf8,
    #[error("label value is not valid UTF-8")]
    LabelValueNotUtf8,
    #[error("help text is not valid UTF-8")]
    HelpNotUtf8,
    #[error("invalid number")]
    BadNumber,
    #[error("invalid timestamp")]
    BadTimestamp,
    #[error("invalid metric type")]
    BadType,
    #[error("unit is not a suffix of the metric name")]
    BadUnit,
    #[error("data does not end with # EOF")]
    EofMissing,
    #[error("unexpected data after # EOF")]
    DataAfterEof,
    #[error("line is longer than the limit")]
    LineTooLong,
    #[error("more series than the limit")]
    TooManySlots,
    #[error("body is 4 GiB or longer")]
    BodyTooLong,
}

/// An error at a byte of the body; becomes a [`ParseError`] once the body is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) kind: ParseErrorKind,
}

impl Fault {
    pub(crate) fn new(at: usize, kind: ParseErrorKind) -> Self {
        Self { at, kind }
    }

    /// Adds what only the whole body tells: line number and excerpt.
    pub(crate) fn explain(self, body: &[u8], samples_before: u32) -> ParseError {
        let at = self.at.min(body.len());
        let (before, after) = body.split_at(at);
        let line = before.split(|&byte| byte == b'\n').count();
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let from = line_start.max(at.saturating_sub(EXCERPT_BEFORE_BYTES));
        let shown = before.get(from..).unwrap_or_default().iter();
        let shown =
            shown.chain(after.iter().take(EXCERPT_AFTER_BYTES).take_while(|&&b| b != b'\n'));
        let excerpt = shown.flat_map(|&byte| byte.escape_ascii()).map(char::from).collect();
        ParseError { line, samples_before, kind: self.kind, excerpt }
    }
}
