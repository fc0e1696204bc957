//! OTLP metrics, `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest`, as the
//! series that Prometheus 3.5 makes of them.
//!
//! Gauges and sums are numbers, histograms and summaries their classic series (or native
//! histograms with custom buckets), exponential histograms native ones. Points go to the same
//! intake as those of remote write, labels in the form that they have there; nothing is gathered
//! for the whole request.

mod buckets;
mod json;
mod labels;
mod name;
mod points;
mod value;

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use self::labels::{Resource, Scope};
use self::name::Kind;
use self::points::{Metric, Sink};
use crate::answer::Failure;
use crate::receiver::{Intake, PLAIN_BYTES_MAX};
use crate::v2::Unreadable;
use crate::wire::{Fields, Malformed};

/// Bytes of the labels of all series of a request, at most: a resource may be large, and stands
/// in each of its series.
pub(crate) const LABEL_BYTES_MAX: usize = 64 << 20;

/// Samples of `target_info` for one resource, at most.
const TARGET_SAMPLES_MAX: usize = 10_000;

/// Most things that are told of what was left out.
const NOTES_MAX: usize = 5;

/// The aggregation temporality that has a place in Prometheus.
const CUMULATIVE: u64 = 2;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Compressed with gzip; else it is not.
    pub gzip: bool,
    /// JSON; else protobuf.
    pub json: bool,
}

impl Form {
    /// Writes the message of a body to `plain`; returns its length.
    pub(crate) fn unpack(self, body: &[u8], plain: &mut Vec<u8>) -> Result<usize, Failure> {
        plain.clear();
        match (self.json, self.gzip) {
            (false, false) => plain.extend_from_slice(body),
            (false, true) => gunzip(body, PLAIN_BYTES_MAX, plain)?,
            (true, false) => json::to_protobuf(body, plain)?,
            (true, true) => {
                let mut text = Vec::new();
                gunzip(body, json::JSON_BYTES_MAX, &mut text)?;
                json::to_protobuf(&text, plain)?;
            }
        }
        Ok(plain.len())
    }
}

/// Decompresses `body` into `out`, `most` bytes at most.
fn gunzip(body: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    let read = MultiGzDecoder::new(body).take(most as u64 + 1).read_to_end(out);
    read.map_err(|e| Failure::Malformed(format!("gzip: {e}")))?;
    if out.len() > most {
        return Err(Failure::TooLarge(format!("the message has more than {most} bytes")));
    }
    Ok(())
}

/// How names are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// Whether metrics get suffixes for their unit and kind.
    pub suffixes: bool,
    /// Whether names stay as they are, whatever their alphabet.
    pub utf8: bool,
}

/// Which attributes of a resource become labels of its series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promote {
    /// These.
    Only(Vec<String>),
    /// All but these.
    AllBut(Vec<String>),
}

/// How requests are translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How names are made.
    pub names: Names,
    /// Which attributes of a resource become labels of its series.
    pub promote: Promote,
    /// Whether `service.name` and the like stay in `target_info`.
    pub keep_identifying: bool,
    /// Whether histograms become native ones with custom buckets.
    pub to_custom_buckets: bool,
    /// Whether the data of a scope stands in labels.
    pub promote_scope: bool,
    /// How far queries look back, in milliseconds: `target_info` has two samples in that time.
    pub lookback_ms: i64,
}

/// Takes every point of a request; what is left out is told in `intake`.
pub(crate) fn walk(
    message: &[u8],
    settings: &Settings,
    intake: &mut Intake<'_>,
) -> Result<(), Unreadable> {
    let mut sink = Sink::new(intake, settings);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            resource(field.bytes()?, &mut sink)?;
        }
    }
    Ok(())
}

/// The times of the points of a resource.
#[derive(Clone, Copy, Debug)]
struct Span {
    earliest: u64,
    latest: u64,
}

/// Takes a `ResourceMetrics`.
fn resource(message: &[u8], sink: &mut Sink<'_, '_>) -> Result<(), Unreadable> {
    let mut of = &[][..];
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            of = field.bytes()?;
        }
    }
    let resource = Resource::read(of, sink.settings)?;
    let mut span = Span { earliest: u64::MAX, latest: 0 };
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == 2 {
            scope(field.bytes()?, &resource, &mut span, sink)?;
        }
    }
    if span.earliest < u64::MAX {
        target(&resource, span, sink)?;
    }
    Ok(())
}

/// Takes a `ScopeMetrics`.
fn scope(
    message: &[u8],
    resource: &Resource<'_>,
    span: &mut Span,
    sink: &mut Sink<'_, '_>,
) -> Result<(), Unreadable> {
    let (mut of, mut schema) = (&[][..], &[][..]);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => of = field.bytes()?,
            3 => schema = field.bytes()?,
            _ => {}
        }
    }
    let scope = Scope::read(of, schema, sink.settings)?;
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == 2 {
            metric(field.bytes()?, resource, &scope, span, sink)?;
        }
    }
    Ok(())
}

/// Takes a `Metric`.
fn metric(
    message: &[u8],
    resource: &Resource<'_>,
    scope: &Scope,
    span: &mut Span,
    sink: &mut Sink<'_, '_>,
) -> Result<(), Unreadable> {
    let (mut name, mut unit, mut data) = (&[][..], &[][..], None);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = field.bytes()?,
            3 => unit = field.bytes()?,
            5 | 7 | 9 | 10 | 11 => data = Some((field.number, field.bytes()?)),
            _ => {}
        }
    }
    let (name, unit) = (String::from_utf8_lossy(name), String::from_utf8_lossy(unit));
    let Some((form, data)) = data else {
        sink.note(|| format!("metric {name} has an unsupported metric type"));
        return Ok(());
    };
    let (mut temporality, mut monotonic, mut empty) = (0, false, true);
    let mut fields = Fields::new(data);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => {
                empty = false;
                let at = time(field.bytes()?)?;
                span.earliest = span.earliest.min(at);
                span.latest = span.latest.max(at);
            }
            2 => temporality = field.varint()?,
            3 => monotonic = field.varint()? != 0,
            _ => {}
        }
    }
    if matches!(form, 7 | 9 | 10) && temporality != CUMULATIVE {
        sink.note(|| format!("invalid temporality and type combination for metric \"{name}\""));
        return Ok(());
    }
    if empty {
        sink.note(|| format!("empty data points. {name} is dropped"));
        return Ok(());
    }
    let kind = match form {
        5 => Kind::Gauge,
        7 if monotonic => Kind::Counter,
        _ => Kind::Other,
    };
    let name = name::metric(&name, &unit, kind, sink.settings.names);
    let metric = Metric { name, resource, scope };
    let mut fields = Fields::new(data);
    while let Some(field) = fields.next()? {
        if field.number != 1 {
            continue;
        }
        let point = field.bytes()?;
        match form {
            5 | 7 => points::number(point, &metric, form == 7, sink)?,
            9 => points::histogram(point, &metric, sink)?,
            10 => points::exponential(point, &metric, sink)?,
            _ => points::summary(point, &metric, sink)?,
        }
    }
    Ok(())
}

/// The time of a point of any kind, in nanoseconds.
fn time(point: &[u8]) -> Result<u64, Malformed> {
    let mut at = 0;
    let mut fields = Fields::new(point);
    while let Some(field) = fields.next()? {
        if field.number == 3 {
            at = field.fixed()?;
        }
    }
    Ok(at)
}

/// Writes `target_info` for the time of the points of a resource.
fn target(resource: &Resource<'_>, span: Span, sink: &mut Sink<'_, '_>) -> Result<(), Unreadable> {
    let Some(labels) = resource.target(sink.settings)? else { return Ok(()) };
    let millis = |nanos: u64| points::millis(nanos);
    let (earliest, latest) = (millis(span.earliest), millis(span.latest));
    let step = (sink.settings.lookback_ms / 2).max(1);
    // What is too old is not made first.
    let skipped = sink.oldest().saturating_sub(earliest).max(0) / step;
    let mut at = earliest.saturating_add(skipped.saturating_mul(step));
    let mut times = Vec::new();
    while at < latest && times.len() < TARGET_SAMPLES_MAX {
        times.push(at);
        at = at.saturating_add(step);
    }
    times.push(latest);
    times.dedup();
    sink.begin(&labels, 0)?;
    sink.samples("target_info", &times)
}
