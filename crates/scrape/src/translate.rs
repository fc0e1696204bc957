//! From the protobuf format to lines of text.
//!
//! A binary body is turned into the lines that a target would have written, so that stencil,
//! relabelling and limits work on it as on any other. A native histogram becomes one line for each
//! of its parts, with the label that nothing from outside may have.

use std::io::Write as _;

use narthex_config::ScrapeConfig;
use narthex_expo::protobuf::{Exemplar, Item, NativeHistogram, ProtobufError, Wanted, read};
use narthex_model::labels::{is_legacy_label_name, is_legacy_metric_name};
use narthex_model::number::GoFloat;
use narthex_model::{Histogram, Labels, MetricKind, PART, Timestamp};
use narthex_store::Part;
use narthex_store::histogram::parts;

/// Most bytes of text that a body may become.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// Why a binary body cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// It cannot be read.
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
    /// It would be too much text.
    #[error("protobuf body too large: more than {TEXT_BYTES_MAX} bytes as text")]
    TooLarge,
    /// A label has the name that is kept for parts.
    #[error("invalid label name: \"\\x01\" is reserved")]
    Reserved,
    /// A histogram has more buckets than `native_histogram_bucket_limit` in every resolution.
    #[error("histogram bucket limit exceeded (limit: {0})")]
    TooManyBuckets(u64),
}

/// What a body was before it was made text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Translated {
    /// Its bytes.
    pub bytes: usize,
    /// Lines that are no samples of their own: the parts of histograms beyond one each.
    pub extra_lines: u32,
}

/// An exemplar of a body that was made text, which has no place for it.
#[derive(Clone, Debug, PartialEq)]
pub struct LineExemplar {
    /// The number of the sample that it belongs to, in the order of the lines.
    pub sample: u32,
    /// Its labels.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When, if it tells.
    pub at: Option<Timestamp>,
}

impl LineExemplar {
    fn new(sample: u32, exemplar: &Exemplar<'_>) -> Self {
        let Exemplar { labels, value, at } = exemplar;
        let labels = Labels::from_pairs(labels.iter().copied());
        Self { sample, labels, value: *value, at: *at }
    }
}

/// Appends `body` as text to `out`, and its exemplars to `exemplars` where that is given.
pub(crate) fn translate(
    body: &[u8],
    config: &ScrapeConfig,
    out: &mut Vec<u8>,
    mut exemplars: Option<&mut Vec<LineExemplar>>,
) -> Result<Translated, TranslateError> {
    let mut samples = 0;
    let mut translated = Translated { bytes: body.len(), extra_lines: 0 };
    let wanted = Wanted {
        native: config.scrape_native_histograms == Some(true),
        classic_too: config.always_scrape_classic_histograms == Some(true),
        exemplars: exemplars.is_some(),
    };
    read(body, wanted, &mut |item| {
        match item {
            Item::Family { name, kind, help } => put_family(out, name, kind, help),
            Item::Number { name, labels, bound, value, at, exemplar } => {
                let bound = bound.map(|(label, bound)| (label, open_metrics(bound)));
                let extra = bound.as_ref().map(|(label, bound)| (*label, bound.as_str()));
                put_line(out, name, labels, extra, value, at)?;
                if let (Some(exemplar), Some(all)) = (exemplar, &mut exemplars) {
                    all.push(LineExemplar::new(samples, &exemplar));
                }
                samples += 1;
            }
            Item::Histogram { name, labels, value, at, exemplars: found } => {
                let NativeHistogram { histogram, integer } = value;
                let histogram = limited(histogram, config)?;
                let mut lines = 0;
                let mut result = Ok(());
                parts(&histogram, integer, |part, value| {
                    lines += 1;
                    let part = (PART, &*part.to_string());
                    let put = put_line(out, name, labels, Some(part), value, at);
                    result = result.clone().and(put);
                });
                result?;
                translated.extra_lines += lines - 1;
                if let Some(all) = &mut exemplars {
                    all.extend(found.iter().map(|found| LineExemplar::new(samples, found)));
                }
                samples += lines;
            }
        }
        if out.len() > TEXT_BYTES_MAX { Err(TranslateError::TooLarge) } else { Ok(()) }
    })?;
    Ok(translated)
}

/// Whether labels are of a part that is no sample of its own.
pub(crate) fn is_extra(part: Option<&str>) -> bool {
    part.is_some_and(|part| Part::parse(part) != Some(Part::Count))
}

/// Lowers the resolution until the configured limits hold.
#[expect(clippy::cast_possible_truncation, reason = "held within the schemas")]
fn limited(mut histogram: Histogram, config: &ScrapeConfig) -> Result<Histogram, TranslateError> {
    let factor = config.native_histogram_min_bucket_factor;
    if factor > 1.0 && !histogram.is_custom() {
        // The finest schema whose buckets grow by this factor at least.
        let finest = (-factor.log2().log2()).floor().clamp(-4.0, 8.0) as i32;
        lower(&mut histogram, finest);
    }
    let limit = config.native_histogram_bucket_limit;
    if limit == 0 {
        return Ok(histogram);
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    while histogram.positive.len() + histogram.negative.len() > most {
        if histogram.is_custom() || histogram.schema <= -4 {
            return Err(TranslateError::TooManyBuckets(limit));
        }
        let coarser = histogram.schema - 1;
        lower(&mut histogram, coarser);
    }
    Ok(histogram)
}

fn lower(histogram: &mut Histogram, schema: i32) {
    if schema < histogram.schema {
        let hint = histogram.hint;
        *histogram = histogram.reduced(schema);
        histogram.hint = hint;
    }
}

fn put_family(out: &mut Vec<u8>, name: &str, kind: MetricKind, help: &str) {
    let kind = match kind {
        MetricKind::Unknown => "untyped",
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

fn put_line(
    out: &mut Vec<u8>,
    name: &str,
    labels: &[(&str, &str)],
    extra: Option<(&str, &str)>,
    value: f64,
    at: Option<i64>,
) -> Result<(), TranslateError> {
    let mut separator: &[u8] = b"{";
    if is_legacy_metric_name(name) {
        out.extend_from_slice(name.as_bytes());
    } else {
        out.push(b'{');
        put_quoted(out, name);
        separator = b",";
    }
    if labels.iter().any(|(label, _)| *label == PART) {
        return Err(TranslateError::Reserved);
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
    if let Some(at) = at {
        let _ = write!(out, " {at}");
    }
    out.push(b'\n');
    Ok(())
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
fn open_metrics(value: f64) -> String {
    let text = GoFloat(value).to_string();
    let whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if whole { format!("{text}.0") } else { text }
}
