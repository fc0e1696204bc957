//! Text read line by line, for files that are too long to be held.

use narthex_model::{LabelsBuilder, MetricKind};

use crate::fault::{Fault, ParseErrorKind as Kind};
use crate::format::{Format, Step};
use crate::metadata::Meta;
use crate::series::{self, Normalise};

/// Longest line, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Line {
    /// A sample; its time in milliseconds since 1970, if it tells one.
    Sample {
        /// The value.
        value: f64,
        /// The time.
        at: Option<i64>,
    },
    /// Metadata.
    Meta,
    /// `# EOF`: nothing may follow.
    End,
}

/// Reads OpenMetrics text, as strictly as [`crate::Stencil`] does.
#[derive(Debug)]
pub struct Lines {
    kind: MetricKind,
}

impl Default for Lines {
    fn default() -> Self {
        Self { kind: MetricKind::Unknown }
    }
}

impl Lines {
    /// Reads the next line, its newline included. The labels of a sample go to `labels`, which is
    /// cleared first.
    pub fn read(&mut self, line: &[u8], labels: &mut LabelsBuilder) -> Result<Line, Kind> {
        self.line(line, labels).map_err(|fault| fault.kind)
    }

    fn line(&mut self, line: &[u8], labels: &mut LabelsBuilder) -> Result<Line, Fault> {
        if line.len() > LINE_BYTES_MAX {
            return Err(Fault::new(0, Kind::LineTooLong));
        }
        let format = Format::OpenMetrics;
        if line.first() == Some(&b'#') {
            let mut kind = None;
            let step = format.skip_meta(line, 0, LINE_BYTES_MAX, &mut |meta| {
                if let Meta::Kind(_, found) = meta {
                    kind = Some(found);
                }
            });
            self.kind = kind.unwrap_or(self.kind);
            return match step {
                Ok(Step::End(_)) => Ok(Line::End),
                // A line of metadata is not the end, and only the end was missed.
                Err(fault) if fault.kind == Kind::EofMissing => Ok(Line::Meta),
                Ok(Step::Sample(at)) => Err(Fault::new(at, Kind::ExpectedLineEnd)),
                Err(fault) => Err(fault),
            };
        }
        let checked = series::check(line, format)?;
        let normalise = match self.kind {
            MetricKind::Histogram if checked.has_le => Normalise::Le,
            MetricKind::Summary if checked.has_quantile => Normalise::Quantile,
            _ => Normalise::Nothing,
        };
        let text = line.get(..checked.len).unwrap_or_default();
        series::labels(text, format, normalise, labels);
        let value_at = format.value_start(line, checked.len)?;
        let found = format.suffix(line, value_at)?;
        if found.end != line.len() {
            return Err(Fault::new(found.end, Kind::ExpectedLineEnd));
        }
        Ok(Line::Sample { value: found.value, at: found.at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_one_by_one() {
        let mut lines = Lines::default();
        let mut labels = LabelsBuilder::default();
        let mut read = |line: &str| lines.read(line.as_bytes(), &mut labels);
        assert_eq!(read("# TYPE a histogram\n"), Ok(Line::Meta));
        let sample = |value, at| Ok(Line::Sample { value, at });
        assert_eq!(
            read("a_bucket{le=\"1\"} 5 1600000000.123\n"),
            sample(5.0, Some(1_600_000_000_123))
        );
        assert_eq!(read("b 0.5\n"), sample(0.5, None));
        assert_eq!(read("b 1 2 # {trace_id=\"x\"} 1\n"), sample(1.0, Some(2000)));
        assert!(read("b  1\n").is_err());
        assert!(read("\n").is_err());
        assert!(read("b 1 2").is_err());
        assert_eq!(read("# EOF\n"), Ok(Line::End));
        assert_eq!(read("# EOF"), Ok(Line::End));
        read("# TYPE a histogram\n").unwrap();
        read("a_bucket{le=\"1\"} 5 1\n").unwrap();
        assert_eq!(labels.get("le"), Some("1.0"));
    }
}
