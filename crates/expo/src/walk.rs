//! A body read line by line, for those who rewrite it.

use narthex_model::{LabelsBuilder, MetricKind};

use crate::exemplar::Exemplar;
use crate::fault::Fault;
use crate::format::{Format, Step, Suffix};
use crate::metadata::Meta;
use crate::series::{self, Normalise};
use crate::{number, openmetrics, scan};

/// One thing that a body says.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece<'a> {
    /// Lines between samples.
    Between {
        /// The lines, with their newlines.
        text: &'a [u8],
        /// The last `# TYPE` among them.
        family: Option<(String, MetricKind)>,
    },
    /// A sample.
    Sample {
        /// Its line, with its newline if it has one.
        line: &'a [u8],
        /// The line up to its exemplar, if it has one; else without its newline.
        bare: &'a [u8],
        /// The value.
        value: f64,
        /// Its timestamp as it stands there; empty if there is none.
        stamp: &'a [u8],
        /// Its exemplar, if it has one.
        exemplar: Option<Exemplar<'a>>,
    },
}

/// The way through a body, as strict as [`crate::Stencil`].
#[derive(Debug)]
pub struct Walk<'a> {
    body: &'a [u8],
    at: usize,
    format: Format,
    line_bytes_max: usize,
}

impl<'a> Walk<'a> {
    /// Begins at the first line of `body`; longer lines than `line_bytes_max` are faults.
    pub fn new(body: &'a [u8], format: Format, line_bytes_max: usize) -> Self {
        Self { body, at: 0, format, line_bytes_max }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    /// Reads on; `None` at the end, and where the body is faulty: then there is a
    /// [`Walk::rest`]. The labels of a sample go to `labels`, as they stand there, the metric's
    /// name among them.
    pub fn next(&mut self, labels: &mut LabelsBuilder) -> Option<Piece<'a>> {
        self.piece(labels).ok().flatten()
    }

    fn piece(&mut self, labels: &mut LabelsBuilder) -> Result<Option<Piece<'a>>, Fault> {
        let (start, mut last) = (self.at, None);
        if self.rest().is_empty() {
            return Ok(None);
        }
        let step = self.format.skip_meta(self.body, start, self.line_bytes_max, &mut |meta| {
            if let Meta::Kind(name, kind) = meta {
                last = Some((name, kind));
            }
        })?;
        let (Step::Sample(at) | Step::End(at)) = step;
        if at > start {
            self.at = at;
            let text = self.body.get(start..at).unwrap_or_default();
            let family = last.map(|(name, kind)| (series::unescaped(name).into_owned(), kind));
            return Ok(Some(Piece::Between { text, family }));
        }
        let rest = self.rest();
        let len = series::check(rest, self.format)?.len;
        let text = rest.get(..len).unwrap_or_default();
        let value_at = self.format.value_start(self.body, at + len)?;
        let Suffix { value, at: stamp, end } = self.format.suffix(self.body, value_at)?;
        series::labels(text, self.format, Normalise::Nothing, labels);
        let line = self.body.get(at..end).unwrap_or_default();
        let behind = self.body.get(value_at..end).unwrap_or_default();
        let exemplar = match self.format {
            Format::OpenMetrics => openmetrics::exemplar_of(behind),
            Format::Text => None,
        };
        // In numbers there is no such byte.
        let cut = scan::find(behind, b'#').filter(|_| exemplar.is_some());
        let end_of_bare = value_at + cut.unwrap_or(behind.len());
        let bare = self.body.get(at..end_of_bare).unwrap_or_default().trim_ascii_end();
        let stamp = if stamp.is_some() { second_word(behind) } else { &[] };
        self.at = end;
        Ok(Some(Piece::Sample { line, bare, value, stamp, exemplar }))
    }
}

/// The second of the words that blanks separate.
fn second_word(text: &[u8]) -> &[u8] {
    let words = text.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    words.filter(|word| !word.is_empty()).nth(1).unwrap_or_default()
}

/// Reads a bound of a bucket as Prometheus does; `None` if it is no number.
pub fn bound(text: &str) -> Option<f64> {
    number::value(text.as_bytes()).filter(|bound| !bound.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(body: &str, format: Format) -> (Vec<String>, String) {
        let mut walk = Walk::new(body.as_bytes(), format, 100);
        let (mut pieces, mut labels) = (Vec::new(), LabelsBuilder::default());
        while let Some(piece) = walk.next(&mut labels) {
            pieces.push(match piece {
                Piece::Between { text, family } => {
                    format!("{:?} {family:?}", String::from_utf8_lossy(text))
                }
                Piece::Sample { line, bare, value, stamp, exemplar } => {
                    assert!(line.starts_with(bare) && bare.ends_with(stamp));
                    assert!(!bare.contains(&b'#'));
                    let line = String::from_utf8_lossy(line);
                    let stamp = String::from_utf8_lossy(stamp);
                    let exemplar = exemplar.map(|exemplar| exemplar.value);
                    format!("{line:?} {} {value} {stamp:?} {exemplar:?}", labels.build())
                }
            });
        }
        (pieces, String::from_utf8_lossy(walk.rest()).into_owned())
    }

    #[test]
    fn text_is_read_piece_by_piece() {
        let body = "# HELP a b\n# TYPE a histogram\n\na{le=\"1\"} 2\t 1500\n # x\nb 3";
        let (found, rest) = pieces(body, Format::Text);
        assert_eq!(rest, "");
        assert_eq!(
            found,
            [
                r##""# HELP a b\n# TYPE a histogram\n\n" Some(("a", Histogram))"##,
                r#""a{le=\"1\"} 2\t 1500\n" {__name__="a", le="1"} 2 "1500" None"#,
                r#"" # x\n" None"#,
                r#""b 3" {__name__="b"} 3 "" None"#,
            ]
        );
    }

    #[test]
    fn openmetrics_is_read_piece_by_piece() {
        let body = "# TYPE a unknown\na 1 1.5 # {x=\"y\"} 7 8\na 1 # {} 2\n# EOF\n";
        let (found, rest) = pieces(body, Format::OpenMetrics);
        assert_eq!(rest, "");
        assert_eq!(
            found[1..],
            [
                r#""a 1 1.5 # {x=\"y\"} 7 8\n" {__name__="a"} 1 "1.5" Some(7.0)"#,
                r#""a 1 # {} 2\n" {__name__="a"} 1 "" Some(2.0)"#,
                r##""# EOF\n" None"##,
            ]
        );
    }

    #[test]
    fn a_fault_is_left_over() {
        assert_eq!(pieces("a 1\nb x\nc 2\n", Format::Text).1, "b x\nc 2\n");
        assert_eq!(pieces("a 1\n", Format::OpenMetrics).1, "");
        let long = format!("#{}", "x".repeat(100));
        assert_eq!(pieces(&long, Format::Text).1, long);
    }
}
