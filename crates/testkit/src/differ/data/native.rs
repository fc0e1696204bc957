//! Native histograms of several shapes.

use super::{SAMPLES_PER_REQUEST, STALE, STEP_MS};
use crate::differ::random::Random;
use crate::proto::{BucketSpan, Histogram, Label, Sample, TimeSeries};

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

    fn histogram(&self, timestamp: i64) -> Histogram {
        Histogram {
            count_int: Some(self.total()),
            sum: self.sum,
            schema: 0,
            zero_threshold: 0.001,
            zero_count_int: Some(self.zero),
            negative_spans: vec![BucketSpan { offset: 0, length: 2 }],
            negative_deltas: deltas(&self.below),
            positive_spans: vec![
                BucketSpan { offset: -2, length: 3 },
                BucketSpan { offset: 2, length: 1 },
            ],
            positive_deltas: deltas(&self.above),
            timestamp,
            ..Histogram::default()
        }
    }

    /// With custom bounds; all observations are positive ones.
    fn custom(&self, timestamp: i64, bounds: &[f64]) -> Histogram {
        Histogram {
            count_int: Some(self.above.iter().sum::<i64>().unsigned_abs()),
            schema: -53,
            zero_threshold: 0.0,
            zero_count_int: Some(0),
            negative_spans: Vec::new(),
            negative_deltas: Vec::new(),
            positive_spans: vec![BucketSpan { offset: 0, length: 4 }],
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
) -> Vec<TimeSeries> {
    let mut all = Vec::new();
    let mut add =
        |name: &str, make: &mut dyn FnMut(&mut Random, usize, i64) -> Option<Histogram>| {
            let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
            let labels = vec![
                label("__name__", &format!("demo_native_{name}seconds")),
                label("instance", instance),
                label("job", "demo"),
            ];
            let at = |step: usize| first_ms + i64::try_from(step).unwrap_or(0) * STEP_MS;
            let histograms = (0..steps).filter_map(|step| make(random, step, at(step))).collect();
            all.push(TimeSeries { labels, histograms, ..TimeSeries::default() });
        };
    let mut counts = Counts::begun_at(100_000);
    add("", &mut |random, step, at| {
        counts.grow(random);
        Some(Histogram { schema: i32::from(step < steps / 2), ..counts.histogram(at) })
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
        Some(Histogram { reset_hint: 3, ..counts.histogram(at) })
    });
    let mut counts = Counts::begun_at(1000);
    add("wide_", &mut |random, step, at| {
        counts.grow(random);
        let schema = [0, 3, -1, 2][step / 40 % 4];
        let zero_threshold = [0.001, 0.001, 0.2, 0.001][step / 60 % 4];
        Some(Histogram { schema, zero_threshold, ..counts.histogram(at) })
    });
    let mut counts = Counts::begun_at(10);
    add("nan_", &mut |random, step, at| {
        counts.grow(random);
        let histogram = counts.histogram(at);
        let more = u64::try_from(step / 10).unwrap_or(0);
        let count_int = histogram.count_int.map(|count| count + more);
        let sum = if step < 10 { histogram.sum } else { f64::NAN };
        Some(Histogram { count_int, sum, ..histogram })
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
            30 => Some(Histogram {
                sum: STALE,
                ..Histogram { timestamp: at, ..Histogram::default() }
            }),
            _ => None,
        }
    });
    all.push(mixed(random, instance, (first_ms, steps)));
    all
}

/// A series that has numbers now, and histograms then; a request has one kind of them, as one
/// with both would not be in order of time.
#[expect(clippy::cast_precision_loss, reason = "a few hundred steps")]
fn mixed(random: &mut Random, instance: &str, (first_ms, steps): (i64, usize)) -> TimeSeries {
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    let mut series = TimeSeries {
        labels: vec![
            label("__name__", "demo_native_mixed_seconds"),
            label("instance", instance),
            label("job", "demo"),
        ],
        ..TimeSeries::default()
    };
    let mut counts = Counts::begun_at(5);
    for step in 0..steps {
        let timestamp = first_ms + i64::try_from(step).unwrap_or(0) * STEP_MS;
        counts.grow(random);
        if step / SAMPLES_PER_REQUEST % 3 == 1 {
            series.samples.push(Sample { value: step as f64, timestamp });
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
