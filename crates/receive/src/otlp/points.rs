//! Data points and the series that they become.

use std::collections::HashMap;
use std::fmt::Write as _;

use narthex_model::histogram::CUSTOM_SCHEMA;
use narthex_model::{Hashing, Histogram, Labels, METRIC_NAME, STALE};

use super::labels::{self, Map, Resource, Scope};
use super::value::Attribute;
use super::{LABEL_BYTES_MAX, NOTES_MAX, Settings, buckets};
use crate::answer::Reason;
use crate::exemplar::Exemplar;
use crate::histogram::{BUCKETS_MAX, Incoming, signed};
use crate::receiver::{Intake, Met};
use crate::v1;
use crate::v2::{SERIES_MAX, Unreadable};
use crate::wire::{Field, Fields, Malformed, Sample, Value};

/// The zero bucket of exponential histograms, as Prometheus sets it.
const ZERO_THRESHOLD: f64 = 1e-128;

/// The finest resolution of native histograms, and the coarsest.
const SCALES: std::ops::RangeInclusive<i32> = -4..=8;

/// Most exemplars of a point.
const EXEMPLARS_MAX: usize = 1024;

/// Columns for the parts of native histograms in a request, at most: a bucket is little in a message
/// and as much as a series in the store.
const PARTS_MAX: usize = 200_000;

/// More characters than this an exemplar must not have, or it loses its attributes.
const EXEMPLAR_CHARS_MAX: usize = 128;

/// Milliseconds of a time in nanoseconds.
pub(super) fn millis(nanos: u64) -> i64 {
    nanos.cast_signed() / 1_000_000
}

/// What the points of a metric share.
#[derive(Debug)]
pub(super) struct Metric<'m> {
    pub(super) name: String,
    pub(super) resource: &'m Resource<'m>,
    pub(super) scope: &'m Scope,
}

/// Where series go.
#[derive(Debug)]
pub(super) struct Sink<'s, 'i> {
    intake: &'s mut Intake<'i>,
    pub(super) settings: &'s Settings,
    /// Series that may come yet.
    series_left: usize,
    /// Bytes of labels that may come yet.
    bytes_left: usize,
    /// Parts of native histograms that may come yet.
    parts_left: usize,
    /// The labels that the series of a point share, as remote write has them.
    base: Vec<u8>,
    /// Those of the current series.
    labels: Vec<u8>,
}

impl<'s, 'i> Sink<'s, 'i> {
    pub(super) fn new(intake: &'s mut Intake<'i>, settings: &'s Settings) -> Self {
        Self {
            intake,
            settings,
            series_left: SERIES_MAX,
            bytes_left: LABEL_BYTES_MAX,
            parts_left: PARTS_MAX,
            base: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// Tells what was left out.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        let notes = &mut self.intake.answer.notes;
        if notes.len() < NOTES_MAX {
            notes.push(what());
        }
    }

    /// No sample may be older, in milliseconds.
    pub(super) fn oldest(&self) -> i64 {
        self.intake.earliest
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Unreadable> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Unreadable::Labels)?;
        Ok(())
    }

    /// Sets the labels that the next series share; making them took `bytes` already.
    pub(super) fn begin(&mut self, labels: &Map, bytes: usize) -> Result<(), Unreadable> {
        self.spend(bytes)?;
        self.base.clear();
        labels::put(labels, &mut self.base);
        Ok(())
    }

    /// Begins a point; with `own_name` none of its attributes stands in the way of its name.
    fn point(
        &mut self,
        metric: &Metric<'_>,
        attributes: &[Attribute<'_>],
        own_name: bool,
    ) -> Result<(), Unreadable> {
        let shared = metric.resource.shared_bytes(metric.scope);
        self.spend(shared)?;
        let mut labels = metric.resource.labels(metric.scope, attributes, self.settings)?;
        if own_name {
            labels.remove(METRIC_NAME);
        }
        self.begin(&labels, 0)
    }

    /// Begins a series.
    fn series(&mut self, name: &str, extra: Option<(&str, &str)>) -> Result<Met, Unreadable> {
        self.series_left = self.series_left.checked_sub(1).ok_or(Unreadable::Series)?;
        self.labels.clear();
        self.labels.extend_from_slice(&self.base);
        for (name, value) in extra.into_iter().chain([(METRIC_NAME, name)]) {
            v1::put_label(&mut self.labels, name.as_bytes(), value.as_bytes());
        }
        self.spend(self.labels.len())?;
        let key = self.intake.receiver.keys.of_bytes(&self.labels);
        Ok(self.intake.meet(key, || v1::labels(&self.labels))?)
    }

    /// Takes a sample and its exemplars.
    fn sample(
        &mut self,
        name: &str,
        extra: Option<(&str, &str)>,
        sample: Sample,
        exemplars: Vec<Exemplar>,
    ) -> Result<(), Unreadable> {
        let mut met = self.series(name, extra)?;
        self.intake.one_sample(&mut met, sample, || shown(&self.labels));
        for exemplar in exemplars {
            self.intake.exemplar(&mut met, Some(exemplar));
        }
        Ok(())
    }

    /// Takes samples of the value 1.
    pub(super) fn samples(&mut self, name: &str, times: &[i64]) -> Result<(), Unreadable> {
        let mut met = self.series(name, None)?;
        for &at in times {
            let sample = Sample { value: 1.0, at };
            self.intake.one_sample(&mut met, sample, || shown(&self.labels));
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        name: &str,
        histogram: &Result<Incoming, Reason>,
        exemplars: Vec<Exemplar>,
    ) -> Result<(), Unreadable> {
        let parts = histogram.as_ref().map_or(0, |incoming| {
            let Histogram { positive, negative, bounds, .. } = &incoming.histogram;
            positive.len() + negative.len() + bounds.len()
        });
        self.parts_left = self.parts_left.checked_sub(parts).ok_or(Unreadable::Parts)?;
        let mut met = self.series(name, None)?;
        self.intake.one_histogram(&mut met, histogram, || shown(&self.labels));
        for exemplar in exemplars {
            self.intake.exemplar(&mut met, Some(exemplar));
        }
        Ok(())
    }
}

fn shown(labels: &[u8]) -> Option<Labels> {
    v1::labels(labels).ok()?.ok()?.build().ok()
}

/// What points of all kinds have.
#[derive(Debug, Default)]
struct Common<'p> {
    at: i64,
    attributes: Vec<Attribute<'p>>,
    exemplars: Vec<&'p [u8]>,
    /// Nothing was observed: the series ended.
    ended: bool,
}

impl<'p> Common<'p> {
    fn exemplar(&mut self, field: &Field<'p>) -> Result<(), Malformed> {
        if self.exemplars.len() == EXEMPLARS_MAX {
            return Err(Malformed::Crowded);
        }
        self.exemplars.push(field.bytes()?);
        Ok(())
    }

    fn sample(&self, value: f64) -> Sample {
        Sample { value: if self.ended { STALE } else { value }, at: self.at }
    }

    #[expect(clippy::cast_precision_loss, reason = "a sample is a double")]
    fn count(&self, count: u64) -> Sample {
        self.sample(count as f64)
    }

    /// The exemplars that can be kept.
    fn exemplars(&self) -> Result<Vec<(f64, Exemplar)>, Malformed> {
        let mut all = Vec::with_capacity(self.exemplars.len());
        for message in &self.exemplars {
            all.extend(exemplar(message)?);
        }
        Ok(all)
    }
}

/// Takes a `NumberDataPoint`.
pub(super) fn number(
    message: &[u8],
    metric: &Metric<'_>,
    has_exemplars: bool,
    sink: &mut Sink<'_, '_>,
) -> Result<(), Unreadable> {
    let (mut point, mut value) = (Common::default(), 0.0);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            3 => point.at = millis(field.fixed()?),
            4 => value = field.double()?,
            5 if has_exemplars => point.exemplar(&field)?,
            6 => value = whole(&field)?,
            7 => Attribute::push(&mut point.attributes, &field)?,
            8 => point.ended = field.varint()? & 1 != 0,
            _ => {}
        }
    }
    sink.point(metric, &point.attributes, true)?;
    let exemplars = point.exemplars()?.into_iter().map(|(_, exemplar)| exemplar).collect();
    sink.sample(&metric.name, None, point.sample(value), exemplars)
}

/// Takes a `HistogramDataPoint`.
pub(super) fn histogram(
    message: &[u8],
    metric: &Metric<'_>,
    sink: &mut Sink<'_, '_>,
) -> Result<(), Unreadable> {
    let (mut point, mut count, mut sum) = (Common::default(), 0, None);
    let (mut counts, mut bounds) = (Vec::new(), Vec::new());
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            3 => point.at = millis(field.fixed()?),
            4 => count = field.fixed()?,
            5 => sum = Some(field.double()?),
            6 => fixed(&field, &mut counts, |bits| bits)?,
            7 => fixed(&field, &mut bounds, f64::from_bits)?,
            8 => point.exemplar(&field)?,
            9 => Attribute::push(&mut point.attributes, &field)?,
            10 => point.ended = field.varint()? & 1 != 0,
            _ => {}
        }
    }
    if sink.settings.to_custom_buckets {
        sink.point(metric, &point.attributes, true)?;
        let histogram = custom(&point, &counts, bounds, (count, sum));
        let exemplars = point.exemplars()?.into_iter().map(|(_, exemplar)| exemplar).collect();
        return sink.histogram(&metric.name, &histogram, exemplars);
    }
    sink.point(metric, &point.attributes, false)?;
    let name = |suffix: &str| format!("{}{suffix}", metric.name);
    if let Some(sum) = sum {
        sink.sample(&name("_sum"), None, point.sample(sum), Vec::new())?;
    }
    sink.sample(&name("_count"), None, point.count(count), Vec::new())?;
    let mut of_bucket = by_bucket(point.exemplars()?, &bounds, counts.len());
    let (bucket, mut cumulated) = (name("_bucket"), 0_u64);
    for (bound, here) in bounds.iter().zip(&counts) {
        cumulated = cumulated.wrapping_add(*here);
        let le = plain(*bound);
        let sample = point.count(cumulated);
        let exemplars = of_bucket.remove(&bound.to_bits()).unwrap_or_default();
        sink.sample(&bucket, Some(("le", &le)), sample, exemplars)?;
    }
    let rest = of_bucket.remove(&f64::INFINITY.to_bits()).unwrap_or_default();
    sink.sample(&bucket, Some(("le", "+Inf")), point.count(count), rest)
}

/// Exemplars by the bits of the bound of their bucket: the least that they are not above.
fn by_bucket(
    exemplars: Vec<(f64, Exemplar)>,
    bounds: &[f64],
    counts: usize,
) -> HashMap<u64, Vec<Exemplar>, Hashing> {
    let mut order: Vec<f64> = bounds.iter().copied().take(counts).collect();
    order.sort_by(f64::total_cmp);
    let mut of_bucket: HashMap<u64, Vec<Exemplar>, Hashing> = HashMap::default();
    for (value, exemplar) in exemplars.into_iter().filter(|(value, _)| !value.is_nan()) {
        let first = order.partition_point(|bound| *bound < value);
        let bound = order.get(first).copied().unwrap_or(f64::INFINITY);
        of_bucket.entry(bound.to_bits()).or_default().push(exemplar);
    }
    of_bucket
}

/// A histogram with custom buckets.
fn custom(
    point: &Common<'_>,
    counts: &[u64],
    bounds: Vec<f64>,
    (count, sum): (u64, Option<f64>),
) -> Result<Incoming, Reason> {
    let (at, integer) = (point.at, true);
    if point.ended {
        return Ok(Incoming { histogram: Histogram::stale(), integer, at });
    }
    let empty = counts.iter().take_while(|&&count| count == 0).count();
    let filled = counts.get(empty..).unwrap_or_default();
    let offset = i32::try_from(empty).map_err(|_| Reason::BadHistogram)?;
    let positive = buckets::bars(filled, offset, 0, 0).ok_or(Reason::BadHistogram)?;
    let rising = bounds.is_sorted_by(|a, b| a < b) && bounds.iter().all(|bound| bound.is_finite());
    let fits = bounds.len() <= BUCKETS_MAX && counts.len() <= bounds.len() + 1;
    if !rising || !fits {
        return Err(Reason::BadHistogram);
    }
    let histogram = Histogram {
        schema: CUSTOM_SCHEMA,
        count: float(count),
        sum: sum.unwrap_or(0.0),
        positive,
        bounds: bounds.into(),
        ..Histogram::default()
    };
    Ok(Incoming { histogram, integer, at })
}

/// Takes an `ExponentialHistogramDataPoint`.
pub(super) fn exponential(
    message: &[u8],
    metric: &Metric<'_>,
    sink: &mut Sink<'_, '_>,
) -> Result<(), Unreadable> {
    let (mut point, mut histogram) = (Common::default(), Histogram::default());
    let (mut scale, mut sides) = (0, [(0, Vec::new()), (0, Vec::new())]);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        let [positive, negative] = &mut sides;
        match field.number {
            1 => Attribute::push(&mut point.attributes, &field)?,
            3 => point.at = millis(field.fixed()?),
            4 => histogram.count = float(field.fixed()?),
            5 => histogram.sum = field.double()?,
            6 => scale = i32::try_from(signed(field.varint()?)).unwrap_or(i32::MIN),
            7 => histogram.zero_count = float(field.fixed()?),
            8 => *positive = side(field.bytes()?)?,
            9 => *negative = side(field.bytes()?)?,
            10 => point.ended = field.varint()? & 1 != 0,
            11 => point.exemplar(&field)?,
            _ => {}
        }
    }
    if scale < *SCALES.start() {
        sink.note(|| {
            format!(
                "cannot convert exponential to native histogram. Scale must be >= -4, was {scale}"
            )
        });
        return Ok(());
    }
    let down = u32::try_from(scale - SCALES.end()).unwrap_or(0);
    histogram.schema = scale.min(*SCALES.end());
    histogram.zero_threshold = ZERO_THRESHOLD;
    let [positive, negative] = sides.map(|(offset, counts)| {
        (counts.len() <= BUCKETS_MAX).then(|| buckets::bars(&counts, offset, down, 1)).flatten()
    });
    let incoming = match positive.zip(negative) {
        Some((positive, negative)) => {
            (histogram.positive, histogram.negative) = (positive, negative);
            let histogram = if point.ended { Histogram::stale() } else { histogram };
            Ok(Incoming { histogram, integer: true, at: point.at })
        }
        None => Err(Reason::BadHistogram),
    };
    sink.point(metric, &point.attributes, true)?;
    let exemplars = point.exemplars()?.into_iter().map(|(_, exemplar)| exemplar).collect();
    sink.histogram(&metric.name, &incoming, exemplars)
}

/// Reads `Buckets`: the number of the first, and how many observations each holds.
fn side(message: &[u8]) -> Result<(i32, Vec<u64>), Malformed> {
    let (mut offset, mut counts) = (0, Vec::new());
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Value::Varint(number)) => {
                offset = i32::try_from(signed(number)).unwrap_or(i32::MAX);
            }
            (2, Value::Varint(count)) if counts.len() <= BUCKETS_MAX => counts.push(count),
            (2, Value::Bytes(packed)) => {
                let mut packed = Fields::new(packed);
                while let Some(count) = packed.packed()?.filter(|_| counts.len() <= BUCKETS_MAX) {
                    counts.push(count);
                }
            }
            _ => {}
        }
    }
    Ok((offset, counts))
}

/// Takes a `SummaryDataPoint`.
pub(super) fn summary(
    message: &[u8],
    metric: &Metric<'_>,
    sink: &mut Sink<'_, '_>,
) -> Result<(), Unreadable> {
    let (mut point, mut count, mut sum) = (Common::default(), 0, 0.0);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            3 => point.at = millis(field.fixed()?),
            4 => count = field.fixed()?,
            5 => sum = field.double()?,
            7 => Attribute::push(&mut point.attributes, &field)?,
            8 => point.ended = field.varint()? & 1 != 0,
            _ => {}
        }
    }
    sink.point(metric, &point.attributes, false)?;
    let name = |suffix: &str| format!("{}{suffix}", metric.name);
    sink.sample(&name("_sum"), None, point.sample(sum), Vec::new())?;
    sink.sample(&name("_count"), None, point.count(count), Vec::new())?;
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number != 6 {
            continue;
        }
        let (mut quantile, mut value) = (0.0, 0.0);
        let mut inner = Fields::new(field.bytes()?);
        while let Some(field) = inner.next()? {
            match field.number {
                1 => quantile = field.double()?,
                2 => value = field.double()?,
                _ => {}
            }
        }
        let quantile = plain(quantile);
        sink.sample(&metric.name, Some(("quantile", &quantile)), point.sample(value), Vec::new())?;
    }
    Ok(())
}

/// Reads an `Exemplar`; `None` if nobody could keep it.
fn exemplar(message: &[u8]) -> Result<Option<(f64, Exemplar)>, Malformed> {
    let (mut at, mut value, mut labels) = (0, None, Vec::new());
    let (mut trace, mut span, mut attributes) = (&[][..], &[][..], Vec::new());
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            2 => at = millis(field.fixed()?),
            3 => value = Some(field.double()?),
            4 => span = field.bytes()?,
            5 => trace = field.bytes()?,
            6 => value = Some(whole(&field)?),
            7 => Attribute::push(&mut attributes, &field)?,
            _ => {}
        }
    }
    let Some(value) = value else { return Ok(None) };
    for (name, id, length) in [("trace_id", trace, 16), ("span_id", span, 8)] {
        if id.len() == length && id.iter().any(|&byte| byte != 0) {
            let mut hex = String::with_capacity(2 * length);
            for byte in id {
                // Writing into a String cannot fail.
                let _ = write!(hex, "{byte:02x}");
            }
            labels.push((name.to_owned(), hex));
        }
    }
    let mut more = Vec::new();
    for attribute in attributes {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        more.push((text(attribute.key), text(&attribute.text()?)));
    }
    let chars = |(name, value): &(String, String)| name.chars().count() + value.chars().count();
    if labels.iter().chain(&more).map(chars).sum::<usize>() <= EXEMPLAR_CHARS_MAX {
        labels.append(&mut more);
    }
    let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(Exemplar::new(pairs, value, at).map(|exemplar| (value, exemplar)))
}

/// A list of numbers of eight bytes, packed or not; of too many the rest is left out.
fn fixed<T>(
    field: &Field<'_>,
    into: &mut Vec<T>,
    of_bits: impl Fn(u64) -> T,
) -> Result<(), Malformed> {
    if let Value::Fixed64(bits) = field.value {
        into.push(of_bits(bits));
        return Ok(());
    }
    let (chunks, rest) = field.bytes()?.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Malformed::CutShort);
    }
    let room = SERIES_MAX.saturating_sub(into.len());
    into.extend(chunks.iter().take(room).map(|bytes| of_bits(u64::from_le_bytes(*bytes))));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a sample is a double")]
fn whole(field: &Field<'_>) -> Result<f64, Malformed> {
    Ok(field.fixed()?.cast_signed() as f64)
}

#[expect(clippy::cast_precision_loss, reason = "counts are floats from here on")]
fn float(count: u64) -> f64 {
    count as f64
}

/// A number in digits, never with an exponent.
fn plain(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}
