//! Native histograms of several shapes.

use prost::Message as _;

use super::{SAMPLES_PER_REQUEST, STALE, STEP_MS};
use crate::differ::random::Random;
use crate::receiver::Label;

/// A request with native histograms.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NativeRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) series: Vec<NativeSeries>,
}

/// A series of them.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NativeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<crate::receiver::Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(super) histograms: Vec<Native>,
}

/// One of them, with whole counts.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Native {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, tag = "6")]
    zero_count: u64,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<NativeSpan>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<NativeSpan>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    /// 3 for a gauge.
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    pub(super) timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    custom_values: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct NativeSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// What a histogram counts so far.
#[derive(Clone, Debug, Default)]
struct Counts {
    above: [i64; 4],
    below: [i64; 2],
    zero: u64,
    sum: f64,
}

impl Counts {
    fn begun_at(count: i64) -> Self {
        Self { above: [count; 4], below: [count; 2], zero: 0, sum: 0.0 }
    }

    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    fn grow(&mut self, random: &mut Random) {
        for count in self.above.iter_mut().chain(&mut self.below) {
            let more = i64::try_from(random.below(4)).unwrap_or(0);
            *count += more;
            self.sum += more as f64 * 0.3;
        }
        self.zero += u64::from(random.chance(20));
    }

    fn total(&self) -> u64 {
        self.zero + self.above.iter().chain(&self.below).sum::<i64>().unsigned_abs()
    }

    fn histogram(&self, timestamp: i64) -> Native {
        Native {
            count: self.total(),
            sum: self.sum,
            schema: 0,
            zero_threshold: 0.001,
            zero_count: self.zero,
            negative_spans: vec![NativeSpan { offset: 0, length: 2 }],
            negative_deltas: deltas(&self.below),
            positive_spans: vec![
                NativeSpan { offset: -2, length: 3 },
                NativeSpan { offset: 2, length: 1 },
            ],
            positive_deltas: deltas(&self.above),
            reset_hint: 0,
            timestamp,
            custom_values: Vec::new(),
        }
    }

    /// With custom bounds; all observations are positive ones.
    fn custom(&self, timestamp: i64, bounds: &[f64]) -> Native {
        Native {
            count: self.above.iter().sum::<i64>().unsigned_abs(),
            schema: -53,
            zero_threshold: 0.0,
            zero_count: 0,
            negative_spans: Vec::new(),
            negative_deltas: Vec::new(),
            positive_spans: vec![NativeSpan { offset: 0, length: 4 }],
            custom_values: bounds.to_vec(),
            ..self.histogram(timestamp)
        }
    }
}

/// All series of one instance, with samples at `steps` steps from `first_ms` on.
pub(super) fn series(
    random: &mut Random,
    instance: &str,
    (first_ms, steps): (i64, usize),
) -> Vec<NativeSeries> {
    let mut all = Vec::new();
    let mut add = |name: &str, make: &mut dyn FnMut(&mut Random, usize, i64) -> Option<Native>| {
        let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
        let labels = vec![
            label("__name__", &format!("demo_native_{name}seconds")),
            label("instance", instance),
            label("job", "demo"),
        ];
        let at = |step: usize| first_ms + i64::try_from(step).unwrap_or(0) * STEP_MS;
        let histograms = (0..steps).filter_map(|step| make(random, step, at(step))).collect();
        all.push(NativeSeries { labels, samples: Vec::new(), histograms });
    };
    let mut counts = Counts::begun_at(100_000);
    add("", &mut |random, step, at| {
        counts.grow(random);
        Some(Native { schema: i32::from(step < steps / 2), ..counts.histogram(at) })
    });
    let mut counts = Counts::default();
    add("fresh_", &mut |random, step, at| {
        if step > 0 && step.is_multiple_of(170) {
            counts = Counts::default();
        }
        counts.grow(random);
        Some(counts.histogram(at))
    });
    add("gauge_", &mut |random, _, at| {
        let mut counts = Counts::default();
        for _ in 0..random.below(20) {
            counts.grow(random);
        }
        Some(Native { reset_hint: 3, ..counts.histogram(at) })
    });
    let mut counts = Counts::begun_at(1000);
    add("wide_", &mut |random, step, at| {
        counts.grow(random);
        let schema = [0, 3, -1, 2][step / 40 % 4];
        let zero_threshold = [0.001, 0.001, 0.2, 0.001][step / 60 % 4];
        Some(Native { schema, zero_threshold, ..counts.histogram(at) })
    });
    let mut counts = Counts::begun_at(10);
    add("nan_", &mut |random, step, at| {
        counts.grow(random);
        let histogram = counts.histogram(at);
        let count = histogram.count + u64::try_from(step / 10).unwrap_or(0);
        let sum = if step < 10 { histogram.sum } else { f64::NAN };
        Some(Native { count, sum, ..histogram })
    });
    let mut counts = Counts::begun_at(50);
    add("custom_", &mut |random, _, at| {
        // No gaps: where a gap is at the end of a chunk, Prometheus 3.5 mixes up the bounds.
        counts.grow(random);
        Some(counts.custom(at, &[0.1, 0.5, 2.0]))
    });
    let mut counts = Counts::begun_at(70);
    add("ending_", &mut |random, step, at| {
        counts.grow(random);
        match step % 50 {
            0..30 => Some(counts.histogram(at)),
            30 => Some(Native { sum: STALE, ..Native { timestamp: at, ..Native::default() } }),
            _ => None,
        }
    });
    all.push(mixed(random, instance, (first_ms, steps)));
    all
}

/// A series that has numbers now, and histograms then; a request has one kind of them, as one
/// with both would not be in order of time.
#[expect(clippy::cast_precision_loss, reason = "a few hundred steps")]
fn mixed(random: &mut Random, instance: &str, (first_ms, steps): (i64, usize)) -> NativeSeries {
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    let mut series = NativeSeries {
        labels: vec![
            label("__name__", "demo_native_mixed_seconds"),
            label("instance", instance),
            label("job", "demo"),
        ],
        ..NativeSeries::default()
    };
    let mut counts = Counts::begun_at(5);
    for step in 0..steps {
        let timestamp = first_ms + i64::try_from(step).unwrap_or(0) * STEP_MS;
        counts.grow(random);
        if step / SAMPLES_PER_REQUEST % 3 == 1 {
            series.samples.push(crate::receiver::Sample { value: step as f64, timestamp });
        } else {
            series.histograms.push(counts.histogram(timestamp));
        }
    }
    series
}

/// The first count, then by how much each exceeds the one before.
fn deltas(counts: &[i64]) -> Vec<i64> {
    let before = std::iter::once(&0).chain(counts);
    counts.iter().zip(before).map(|(count, before)| count - before).collect()
}

impl NativeRequest {
    /// Its bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}
