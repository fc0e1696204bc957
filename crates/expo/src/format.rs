//! The two formats behind one set of verbs.

use crate::fault::{Fault, ParseErrorKind};
use crate::metadata::Meta;
use crate::{number, openmetrics, text};

/// The format of a target's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The Prometheus text format, 0.0.4 and 1.0.0 (UTF-8 names in quotes).
    Text,
    /// OpenMetrics 1.0 (and 0.0.1) text.
    OpenMetrics,
}

/// What comes after comments and blank lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A sample's series begins here.
    Sample(usize),
    /// The body ends here.
    End(usize),
}

/// What follows a series: value, optional timestamp and the end of the line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suffix {
    pub(crate) value: f64,
    /// Milliseconds since 1970.
    pub(crate) at: Option<i64>,
    /// Just after the line's newline, or the end of the body.
    pub(crate) end: usize,
}

impl Format {
    /// Skips blank lines and comments from `at` on, handing HELP, TYPE and UNIT lines to `seen`.
    pub(crate) fn skip_meta<'a>(
        self,
        body: &'a [u8],
        at: usize,
        line_bytes_max: usize,
        seen: &mut impl FnMut(Meta<'a>),
    ) -> Result<Step, Fault> {
        match self {
            Self::Text => text::skip_meta(body, at, line_bytes_max, seen),
            Self::OpenMetrics => openmetrics::skip_meta(body, at, line_bytes_max, seen),
        }
    }

    /// Where the value begins, given where the series ends.
    pub(crate) fn value_start(self, body: &[u8], series_end: usize) -> Result<usize, Fault> {
        match self {
            Self::Text => text::value_start(body, series_end),
            Self::OpenMetrics => openmetrics::value_start(body, series_end),
        }
    }

    /// Reads the rest of a line from the first byte of its value.
    #[expect(clippy::inline_always, reason = "a call costs a tenth of the work on the hot path")]
    #[inline(always)]
    pub(crate) fn suffix(self, body: &[u8], at: usize) -> Result<Suffix, Fault> {
        let rest = body.get(at..).unwrap_or_default();
        let Some((value, len)) = number::short_decimal(rest) else {
            return self.long_suffix(body, at);
        };
        match rest.get(len) {
            Some(b'\n') => Ok(Suffix { value, at: None, end: at + len + 1 }),
            Some(b' ' | b'\t') => self.after_value(body, at + len, value),
            _ => self.long_suffix(body, at),
        }
    }

    /// [`Format::suffix`] for values that are no short decimals.
    #[cold]
    fn long_suffix(self, body: &[u8], at: usize) -> Result<Suffix, Fault> {
        let rest = body.get(at..).unwrap_or_default();
        let ends = |byte: &u8| match self {
            Self::Text => matches!(byte, b' ' | b'\t' | b'\n' | b'{'),
            Self::OpenMetrics => matches!(byte, b' ' | b'\n'),
        };
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        let token = rest.get(..len).unwrap_or_default();
        let value = number::value(token).ok_or(Fault::new(at, ParseErrorKind::BadNumber))?;
        self.after_value(body, at + len, value)
    }

    fn after_value(self, body: &[u8], at: usize, value: f64) -> Result<Suffix, Fault> {
        match self {
            Self::Text => text::after_value(body, at, value),
            Self::OpenMetrics => openmetrics::after_value(body, at, value),
        }
    }
}
