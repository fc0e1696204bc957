//! Histograms, which may have a classic and a native form at once.

use std::cmp::Ordering;

use narthex_model::Histogram;
use narthex_model::histogram::{Bar, EXPONENTIAL_SCHEMAS, Hint, Span, from_spans};

use super::wire::{Fields, Value};
use super::{Exemplar, ProtobufError};

/// The finest schema that is taken, though kept in a lower resolution.
const SCHEMA_MAX: i32 = 52;

/// A native histogram of a body.
#[derive(Clone, Debug)]
pub struct NativeHistogram {
    /// The histogram.
    pub histogram: Histogram,
    /// Whether its counts are whole numbers by their type.
    pub integer: bool,
}

/// A label that holds a bound, and the bound.
pub(super) type Bound = (&'static str, f64);

/// Takes a series of the classic form: the suffix of its name, its bound, its value and the
/// message of its exemplar.
pub(super) type Put<'p, 'a, E> =
    dyn FnMut(&str, Option<Bound>, f64, Option<&'a [u8]>) -> Result<(), E> + 'p;

/// The message as it is.
#[derive(Debug, Default)]
pub(super) struct Native<'a> {
    count: f64,
    float_count: f64,
    sum: f64,
    schema: i64,
    zero_threshold: f64,
    zero_count: f64,
    float_zero_count: f64,
    positive: Side,
    negative: Side,
    /// The classic form.
    pub(super) buckets: Vec<Bucket<'a>>,
    /// Messages of exemplars that belong to no bucket of the classic form.
    exemplars: Vec<&'a [u8]>,
}

/// A bucket of the classic form.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket<'a> {
    bound: f64,
    cumulated: f64,
    exemplar: Option<&'a [u8]>,
}

#[derive(Debug, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Side {
    /// The buckets; those of whole numbers are given as differences.
    #[expect(clippy::cast_precision_loss, reason = "counts are doubles")]
    fn bars(&self, integer: bool) -> Result<Vec<Bar>, ProtobufError> {
        let mut total = 0_i64;
        let bars = if integer {
            let counts = self.deltas.iter().map(|delta| {
                total = total.wrapping_add(*delta);
                total as f64
            });
            from_spans(&self.spans, counts)
        } else {
            from_spans(&self.spans, self.counts.iter().copied())
        };
        bars.ok_or(ProtobufError::BadSpans)
    }
}

impl<'a> Native<'a> {
    #[expect(clippy::cast_precision_loss, reason = "counts are doubles")]
    pub(super) fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut found = Self::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => found.count = value.unsigned()? as f64,
                2 => found.sum = value.double()?,
                3 => found.buckets.push(bucket(value)?),
                4 => found.float_count = value.double()?,
                5 => found.schema = value.zigzag()?,
                6 => found.zero_threshold = value.double()?,
                7 => found.zero_count = value.unsigned()? as f64,
                8 => found.float_zero_count = value.double()?,
                9 => found.negative.spans.push(span(value)?),
                10 => value.zigzags(&mut found.negative.deltas)?,
                11 => value.doubles(&mut found.negative.counts)?,
                12 => found.positive.spans.push(span(value)?),
                13 => value.zigzags(&mut found.positive.deltas)?,
                14 => value.doubles(&mut found.positive.counts)?,
                16 => found.exemplars.push(value.bytes()?),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether it has a native form: a span, or a zero bucket that has a width or a count.
    pub(super) fn is_native(&self) -> bool {
        !(self.positive.spans.is_empty() && self.negative.spans.is_empty())
            || self.zero_threshold > 0.0
            || self.zero_count > 0.0
            || self.float_zero_count > 0.0
    }

    fn is_integer(&self) -> bool {
        self.float_count <= 0.0 && self.float_zero_count <= 0.0
    }

    /// Gives the series of the classic form.
    pub(super) fn classic<E>(&self, put: &mut Put<'_, 'a, E>) -> Result<(), E> {
        let count = if self.float_count > 0.0 { self.float_count } else { self.count };
        put("_count", None, count, None)?;
        put("_sum", None, self.sum, None)?;
        for &Bucket { bound, cumulated, exemplar } in &self.buckets {
            put("_bucket", Some(("le", bound)), cumulated, exemplar)?;
        }
        let whole = self.buckets.last().is_some_and(|bucket| bucket.bound == f64::INFINITY);
        if whole { Ok(()) } else { put("_bucket", Some(("le", f64::INFINITY)), count, None) }
    }

    /// The exemplars of the native form: its own, or else those of the buckets of the classic
    /// form. As in Prometheus, one that does not tell its time is left out: nobody could say
    /// whether it is new.
    pub(super) fn native_exemplars(&self) -> Result<Vec<Exemplar<'a>>, ProtobufError> {
        let of_buckets = || self.buckets.iter().filter_map(|bucket| bucket.exemplar).collect();
        let messages = match self.exemplars.is_empty() {
            true => of_buckets(),
            false => self.exemplars.clone(),
        };
        let mut exemplars = Vec::with_capacity(messages.len());
        for message in messages {
            exemplars.push(Exemplar::read(message)?);
        }
        exemplars.retain(|exemplar| exemplar.at.is_some());
        exemplars.sort_by(|a, b| {
            let by_value = || a.value.partial_cmp(&b.value).unwrap_or(Ordering::Equal);
            a.at.cmp(&b.at).then_with(by_value).then_with(|| a.labels.cmp(&b.labels))
        });
        Ok(exemplars)
    }

    /// The native form.
    pub(super) fn native(&self, gauge: bool) -> Result<NativeHistogram, ProtobufError> {
        let schema = i32::try_from(self.schema).unwrap_or(i32::MAX);
        if schema < *EXPONENTIAL_SCHEMAS.start() {
            return Err(ProtobufError::BadSchema(schema));
        }
        if schema > SCHEMA_MAX {
            return Err(ProtobufError::BadSchema(schema));
        }
        let integer = self.is_integer();
        let histogram = Histogram {
            hint: if gauge { Hint::Gauge } else { Hint::Unknown },
            schema,
            zero_threshold: self.zero_threshold,
            zero_count: if integer { self.zero_count } else { self.float_zero_count },
            count: if integer { self.count } else { self.float_count },
            sum: self.sum,
            positive: self.positive.bars(integer)?,
            negative: self.negative.bars(integer)?,
            ..Histogram::default()
        };
        let finest = *EXPONENTIAL_SCHEMAS.end();
        if schema > finest {
            let lowered = Histogram { hint: histogram.hint, ..histogram.reduced(finest) };
            return Ok(NativeHistogram { histogram: lowered, integer });
        }
        Ok(NativeHistogram { histogram, integer })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are doubles")]
fn bucket(message: Value<'_>) -> Result<Bucket<'_>, ProtobufError> {
    let (mut count, mut float_count) = (0.0, 0.0);
    let mut bucket = Bucket::default();
    let mut fields = message.message()?;
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => count = value.unsigned()? as f64,
            2 => bucket.bound = value.double()?,
            3 => bucket.exemplar = Some(value.bytes()?),
            4 => float_count = value.double()?,
            _ => {}
        }
    }
    bucket.cumulated = if float_count > 0.0 { float_count } else { count };
    Ok(bucket)
}

fn span(message: Value<'_>) -> Result<Span, ProtobufError> {
    let mut span = Span::default();
    let mut fields = message.message()?;
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => {
                let offset = i32::try_from(value.zigzag()?);
                span.offset = offset.map_err(|_| ProtobufError::BadSpans)?;
            }
            2 => {
                let length = u32::try_from(value.unsigned()?);
                span.length = length.map_err(|_| ProtobufError::BadSpans)?;
            }
            _ => {}
        }
    }
    Ok(span)
}
