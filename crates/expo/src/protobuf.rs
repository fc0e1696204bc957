//! The protobuf format: `io.prometheus.client.MetricFamily` messages, each behind its length.
//!
//! It is the only format that carries native histograms. Numbers of the fields are those of
//! Prometheus' published `metrics.proto`; creation times are skipped.

use narthex_model::{MetricKind, Timestamp};

use self::histogram::Native;
use self::wire::{Fields, Value, delimited};

mod histogram;
mod wire;

pub use self::histogram::NativeHistogram;

/// Why a body is no series of metric families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtobufError {
    /// A message ends too early.
    #[error("invalid protobuf: a message is cut off")]
    Truncated,
    /// A field is of a kind that it cannot be.
    #[error("invalid protobuf: a field has the wrong type")]
    BadField,
    /// A name or a text is not UTF-8.
    #[error("invalid protobuf: a text is not valid UTF-8")]
    NotUtf8,
    /// The spans of a histogram do not fit its buckets.
    #[error("invalid histogram: spans and buckets do not agree")]
    BadSpans,
    /// A histogram has a schema that is not known.
    #[error("invalid histogram: unknown schema {0}")]
    BadSchema(i32),
}

/// Which form of a histogram is wanted that comes in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Native histograms are read; else the classic form of all.
    pub native: bool,
    /// The classic form is read besides the native one.
    pub classic_too: bool,
    /// Exemplars are read.
    pub exemplars: bool,
}

/// One thing that a body says.
#[derive(Debug)]
pub enum Item<'i> {
    /// The metric family that the following samples belong to.
    Family {
        /// The metric's name.
        name: &'i str,
        /// Its kind.
        kind: MetricKind,
        /// Its help text.
        help: &'i str,
    },
    /// A number.
    Number {
        /// The metric's name, with the suffix of the series.
        name: &'i str,
        /// Its labels.
        labels: &'i [(&'i str, &'i str)],
        /// `le` or `quantile`, if the series has one.
        bound: Option<(&'static str, f64)>,
        /// The value.
        value: f64,
        /// The sample's own time, in milliseconds.
        at: Option<i64>,
        /// Its exemplar, if it has one.
        exemplar: Option<Exemplar<'i>>,
    },
    /// A native histogram.
    Histogram {
        /// The metric's name.
        name: &'i str,
        /// Its labels.
        labels: &'i [(&'i str, &'i str)],
        /// The histogram.
        value: NativeHistogram,
        /// The sample's own time, in milliseconds.
        at: Option<i64>,
        /// Its exemplars, the oldest first; each tells its time.
        exemplars: Vec<Exemplar<'i>>,
    },
}

/// A single observation with labels of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'i> {
    /// Its labels.
    pub labels: Vec<(&'i str, &'i str)>,
    /// What was observed.
    pub value: f64,
    /// When, if it tells.
    pub at: Option<Timestamp>,
}

impl<'i> Exemplar<'i> {
    fn read(message: &'i [u8]) -> Result<Self, ProtobufError> {
        let mut exemplar = Self { labels: Vec::new(), value: 0.0, at: None };
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => exemplar.labels.push(pair(value)?),
                2 => exemplar.value = value.double()?,
                3 => exemplar.at = Some(timestamp(value)?),
                _ => {}
            }
        }
        Ok(exemplar)
    }
}

/// A `google.protobuf.Timestamp`, in whole milliseconds.
fn timestamp(message: Value<'_>) -> Result<Timestamp, ProtobufError> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    let mut fields = message.message()?;
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => seconds = value.unsigned()?.cast_signed(),
            2 => nanos = value.unsigned()?.cast_signed(),
            _ => {}
        }
    }
    Ok(Timestamp(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)))
}

/// Takes one thing after the other.
type Visit<'v, E> = dyn FnMut(Item<'_>) -> Result<(), E> + 'v;

/// Reads a body; calls `visit` with each thing that it says.
///
/// # Errors
/// If the body is broken; what came before the place has been visited.
pub fn read<E: From<ProtobufError>>(
    body: &[u8],
    wanted: Wanted,
    visit: &mut Visit<'_, E>,
) -> Result<(), E> {
    let mut rest = body;
    while !rest.is_empty() {
        let family = Family::read(delimited(&mut rest)?)?;
        let Family { name, kind, help, .. } = family;
        visit(Item::Family { name, kind, help })?;
        for metric in &family.metrics {
            family.metric(metric, wanted, visit)?;
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: MetricKind,
    metrics: Vec<&'a [u8]>,
}

/// A metric, its value not read yet.
#[derive(Debug, Default)]
struct Metric<'a> {
    labels: Vec<(&'a str, &'a str)>,
    at: Option<i64>,
    number: Option<f64>,
    exemplar: Option<&'a [u8]>,
    summary: Option<&'a [u8]>,
    histogram: Option<&'a [u8]>,
}

impl<'a> Family<'a> {
    fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut family = Self::default();
        let mut fields = Fields::new(message);
        // The numbers of the types are those of `MetricType`; without one it is a counter.
        family.kind = MetricKind::Counter;
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => family.name = value.text()?,
                2 => family.help = value.text()?,
                3 => {
                    family.kind = match value.unsigned()? {
                        0 => MetricKind::Counter,
                        1 => MetricKind::Gauge,
                        2 => MetricKind::Summary,
                        4 => MetricKind::Histogram,
                        5 => MetricKind::GaugeHistogram,
                        _ => MetricKind::Unknown,
                    };
                }
                4 => family.metrics.push(value.bytes()?),
                _ => {}
            }
        }
        Ok(family)
    }

    fn metric<E: From<ProtobufError>>(
        &self,
        message: &[u8],
        wanted: Wanted,
        visit: &mut Visit<'_, E>,
    ) -> Result<(), E> {
        let metric = Metric::read(message)?;
        let Metric { labels, at, .. } = &metric;
        let at = *at;
        let exemplar = |message: Option<_>| {
            message.filter(|_| wanted.exemplars).map(Exemplar::read).transpose()
        };
        if let Some(value) = metric.number {
            let exemplar = exemplar(metric.exemplar.filter(|_| self.kind == MetricKind::Counter))?;
            let (name, bound) = (self.name, None);
            return visit(Item::Number { name, labels, bound, value, at, exemplar });
        }
        let put = |visit: &mut Visit<'_, E>, suffix: &str, bound, value, message| {
            let name = format!("{}{suffix}", self.name);
            let exemplar = exemplar(message)?;
            visit(Item::Number { name: &name, labels, bound, value, at, exemplar })
        };
        if let Some(summary) = metric.summary {
            let summary = Summary::read(summary)?;
            put(visit, "_count", None, summary.count, None)?;
            put(visit, "_sum", None, summary.sum, None)?;
            for (quantile, value) in summary.quantiles {
                put(visit, "", Some(("quantile", quantile)), value, None)?;
            }
        }
        if let Some(histogram) = metric.histogram {
            let histogram = Native::read(histogram)?;
            let native = wanted.native && histogram.is_native();
            if native {
                let gauge = self.kind == MetricKind::GaugeHistogram;
                let exemplars =
                    if wanted.exemplars { histogram.native_exemplars()? } else { Vec::new() };
                let (name, value) = (self.name, histogram.native(gauge)?);
                visit(Item::Histogram { name, labels, value, at, exemplars })?;
            }
            if !native || (wanted.classic_too && !histogram.buckets.is_empty()) {
                histogram.classic(&mut |suffix, bound, value, message| {
                    put(visit, suffix, bound, value, message)
                })?;
            }
        }
        Ok(())
    }
}

impl<'a> Metric<'a> {
    fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut metric = Self::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => metric.labels.push(pair(value)?),
                // Gauge, counter and untyped have their value in the same place.
                2 | 3 | 5 => {
                    let (found, exemplar) = simple(value)?;
                    metric.number = Some(found);
                    metric.exemplar = exemplar;
                }
                4 => metric.summary = Some(value.bytes()?),
                6 => metric.at = Some(value.unsigned()?.cast_signed()),
                7 => metric.histogram = Some(value.bytes()?),
                _ => {}
            }
        }
        Ok(metric)
    }
}

fn pair(message: Value<'_>) -> Result<(&str, &str), ProtobufError> {
    let (mut name, mut value) = ("", "");
    let mut fields = message.message()?;
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// The value of a gauge, counter or untyped metric, and the exemplar that a counter may have.
fn simple(message: Value<'_>) -> Result<(f64, Option<&[u8]>), ProtobufError> {
    let (mut value, mut exemplar) = (0.0, None);
    let mut fields = message.message()?;
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => value = field.double()?,
            2 => exemplar = Some(field.bytes()?),
            _ => {}
        }
    }
    Ok((value, exemplar))
}

#[derive(Debug, Default)]
struct Summary {
    count: f64,
    sum: f64,
    quantiles: Vec<(f64, f64)>,
}

impl Summary {
    #[expect(clippy::cast_precision_loss, reason = "a sample is a double")]
    fn read(message: &[u8]) -> Result<Self, ProtobufError> {
        let mut summary = Self::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => summary.count = value.unsigned()? as f64,
                2 => summary.sum = value.double()?,
                3 => {
                    let (mut quantile, mut found) = (0.0, 0.0);
                    let mut inner = value.message()?;
                    while let Some((number, value)) = inner.next()? {
                        match number {
                            1 => quantile = value.double()?,
                            2 => found = value.double()?,
                            _ => {}
                        }
                    }
                    summary.quantiles.push((quantile, found));
                }
                _ => {}
            }
        }
        Ok(summary)
    }
}

#[cfg(test)]
mod tests;
