//! The text that a body becomes.

use std::io::Write as _;

use narthex_config::ScrapeConfig;
use narthex_model::labels::{is_legacy_label_name, is_legacy_metric_name};
use narthex_model::number::GoFloat;
use narthex_model::{Histogram, MetricKind, PART};
use narthex_store::Part;
use narthex_store::histogram::parts;

use super::{LineExemplar, TEXT_BYTES_MAX, TranslateError, Translated, limited};

/// Text that is being written.
#[derive(Debug)]
pub(super) struct Text<'t> {
    out: &'t mut Vec<u8>,
    config: &'t ScrapeConfig,
    exemplars: Option<&'t mut Vec<LineExemplar>>,
    samples: u32,
    extra_lines: u32,
}

impl<'t> Text<'t> {
    pub(super) fn new(
        out: &'t mut Vec<u8>,
        config: &'t ScrapeConfig,
        exemplars: Option<&'t mut Vec<LineExemplar>>,
    ) -> Self {
        Self { out, config, exemplars, samples: 0, extra_lines: 0 }
    }

    /// What `body` was, whose text this is.
    pub(super) fn done(&self, body: &[u8]) -> Translated {
        Translated { bytes: body.len(), extra_lines: self.extra_lines }
    }

    /// Takes everything back and leaves `body` as it is.
    pub(super) fn give_up(self, body: &[u8]) -> Translated {
        self.out.clear();
        self.out.extend_from_slice(body);
        if let Some(exemplars) = self.exemplars {
            exemplars.clear();
        }
        Translated { bytes: body.len(), extra_lines: 0 }
    }

    pub(super) fn check(&self) -> Result<(), TranslateError> {
        if self.out.len() > TEXT_BYTES_MAX { Err(TranslateError::TooLarge) } else { Ok(()) }
    }

    /// Lines without samples, as they are.
    pub(super) fn raw(&mut self, lines: &[u8]) {
        self.end_line();
        self.out.extend_from_slice(lines);
    }

    /// The line of a sample, as it is.
    pub(super) fn raw_sample(&mut self, line: &[u8]) {
        self.raw(line);
        self.samples += 1;
    }

    /// The last line of a body may lack its end.
    fn end_line(&mut self) {
        if self.samples > 0 && self.out.last().is_some_and(|&byte| byte != b'\n') {
            self.out.push(b'\n');
        }
    }

    /// The metadata of a family.
    pub(super) fn family(&mut self, name: &str, kind: MetricKind, help: &str) {
        let out = &mut *self.out;
        let kind = match kind {
            MetricKind::Unknown => "untyped",
            // The text format has no word for it; this one nobody else uses.
            MetricKind::GaugeHistogram => "\u{1}gaugehistogram",
            kind => kind.as_str(),
        };
        for (word, text) in [("HELP", help), ("TYPE", kind)] {
            out.extend_from_slice(b"# ");
            out.extend_from_slice(word.as_bytes());
            out.push(b' ');
            if is_legacy_metric_name(name) {
                out.extend_from_slice(name.as_bytes());
            } else {
                put_quoted(out, name);
            }
            out.push(b' ');
            for &byte in text.as_bytes() {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    byte => out.push(byte),
                }
            }
            out.push(b'\n');
        }
    }

    /// A number, with one label more where `extra` says so. `stamp` is its timestamp, or empty.
    pub(super) fn number(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        extra: Option<(&str, &str)>,
        value: f64,
        stamp: &[u8],
        exemplar: Option<LineExemplar>,
    ) -> Result<(), TranslateError> {
        self.bring(exemplar);
        self.end_line();
        if labels.iter().any(|(label, _)| *label == PART) {
            return Err(TranslateError::Reserved);
        }
        put_line(self.out, name, labels, extra, value, stamp);
        self.samples += 1;
        Ok(())
    }

    /// A native histogram, whose counts may be whole numbers, one line for each of its parts.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        (histogram, integer): (Histogram, bool),
        stamp: &[u8],
        exemplars: Vec<LineExemplar>,
    ) -> Result<(), TranslateError> {
        let histogram = limited(histogram, self.config)?;
        self.bring(exemplars);
        let (mut lines, mut result) = (0, Ok(()));
        parts(&histogram, integer, |part, value| {
            lines += 1;
            let part = (PART, &*part.to_string());
            let put = self.number(name, labels, Some(part), value, stamp, None);
            result = result.clone().and(put);
        });
        self.extra_lines += lines - 1;
        result
    }

    /// A native histogram that came before in the same body: of it only what makes it a sample.
    pub(super) fn repeated(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        count: f64,
        stamp: &[u8],
    ) -> Result<(), TranslateError> {
        let part = (PART, &*Part::Count.to_string());
        self.number(name, labels, Some(part), count, stamp, None)
    }

    /// Keeps the exemplars of the next sample.
    fn bring(&mut self, exemplars: impl IntoIterator<Item = LineExemplar>) {
        if let Some(all) = &mut self.exemplars {
            let sample = self.samples;
            all.extend(exemplars.into_iter().map(|found| LineExemplar { sample, ..found }));
        }
    }
}

fn put_line(
    out: &mut Vec<u8>,
    name: &str,
    labels: &[(&str, &str)],
    extra: Option<(&str, &str)>,
    value: f64,
    stamp: &[u8],
) {
    let mut separator: &[u8] = b"{";
    if is_legacy_metric_name(name) {
        out.extend_from_slice(name.as_bytes());
    } else {
        out.push(b'{');
        put_quoted(out, name);
        separator = b",";
    }
    for (label, value) in labels.iter().copied().chain(extra) {
        out.extend_from_slice(separator);
        separator = b",";
        if is_legacy_label_name(label) {
            out.extend_from_slice(label.as_bytes());
        } else {
            put_quoted(out, label);
        }
        out.push(b'=');
        put_quoted(out, value);
    }
    if separator == b"," {
        out.push(b'}');
    }
    // Writing into a Vec cannot fail.
    let _ = write!(out, " {}", GoFloat(value));
    if !stamp.is_empty() {
        out.push(b' ');
        out.extend_from_slice(stamp);
    }
    out.push(b'\n');
}

fn put_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}

/// A number as OpenMetrics writes it: `1.0` for 1.
pub(super) fn open_metrics(value: f64) -> String {
    let text = GoFloat(value).to_string();
    let whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if whole { format!("{text}.0") } else { text }
}
