//! Samples like those of the compliance suite's demo service, and some odd ones.

use std::io;

use prost::Message as _;

use super::random::Random;
use crate::http;
use crate::proto::{Label, Sample, TimeSeries, WriteRequest};

mod native;

/// From one sample of a series to the next, in milliseconds.
const STEP_MS: i64 = 15_000;

/// Samples of a series that go into one request.
const SAMPLES_PER_REQUEST: usize = 40;

/// The staleness marker.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// The instances of the demo service; the queries name them.
const INSTANCES: [&str; 3] =
    ["demo.promlabs.com:10000", "demo.promlabs.com:10001", "demo.promlabs.com:10002"];

/// Upper bounds of the histogram.
const BOUNDS: [&str; 10] =
    ["0.0001", "0.001", "0.01", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];

/// All series, each with its samples in order of time.
#[derive(Clone, Debug, Default)]
pub struct Data {
    series: Vec<TimeSeries>,
    native: Vec<TimeSeries>,
    first_ms: i64,
    steps: usize,
}

impl Data {
    /// Samples of `steps` steps of 15 s, the last one at `end_ms`.
    pub fn new(seed: u64, end_ms: i64, steps: usize) -> Self {
        let steps_ms = i64::try_from(steps.saturating_sub(1)).unwrap_or(0) * STEP_MS;
        let native = Vec::new();
        let mut data = Self { series: Vec::new(), native, first_ms: end_ms - steps_ms, steps };
        let mut random = Random::new(seed);
        for (index, instance) in INSTANCES.iter().enumerate() {
            // Targets are not scraped at whole seconds, but for the first one here.
            let late_ms = i64::try_from(index).unwrap_or(0) * -3_137;
            let mut target = Target { data: &mut data, random: &mut random, instance, late_ms };
            target.machine(index);
            target.requests(index);
            target.batch(index);
            target.comings_and_goings(index);
        }
        data.odd(&mut random);
        data.many(&mut random);
        for instance in INSTANCES {
            let steps = (data.first_ms, steps);
            data.native.extend(native::series(&mut random, instance, steps));
        }
        data
    }

    /// The time of the first samples, in ms.
    pub fn first_ms(&self) -> i64 {
        self.first_ms
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.series.iter().map(|series| series.samples.len()).sum()
    }

    /// Sends everything to the remote-write receiver on a loopback port, in order of time.
    ///
    /// # Errors
    /// When the receiver does not take it.
    pub fn push(&self, port: u16) -> io::Result<()> {
        let mut from = i64::MIN;
        let mut step = 0;
        while from < i64::MAX {
            step += SAMPLES_PER_REQUEST;
            let ms = i64::try_from(step).unwrap_or(0) * STEP_MS;
            let until = if step >= self.steps { i64::MAX } else { self.first_ms + ms };
            for series in [&self.series, &self.native] {
                push(port, &between(series, from..until).encode_to_vec())?;
            }
            from = until;
        }
        Ok(())
    }

    /// Adds a series whose value at each step is what `value` tells: `None` leaves a gap.
    fn add(
        &mut self,
        labels: &[(&str, &str)],
        late_ms: i64,
        mut value: impl FnMut(usize) -> Option<f64>,
    ) {
        let mut labels: Vec<Label> = labels
            .iter()
            .map(|(name, value)| Label { name: (*name).into(), value: (*value).into() })
            .collect();
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        let at = |step| self.first_ms + late_ms + i64::try_from(step).unwrap_or(0) * STEP_MS;
        let sample = |step| Some(Sample { value: value(step)?, timestamp: at(step) });
        let samples = (0..self.steps).filter_map(sample).collect();
        self.series.push(TimeSeries { labels, samples, ..TimeSeries::default() });
    }

    /// Values that calculations trip over, and names that are hard to write.
    fn odd(&mut self, random: &mut Random) {
        let mut odd = |kind: &str, value: &mut dyn FnMut(usize) -> Option<f64>| {
            self.add(&[("__name__", "odd_values"), ("kind", kind)], 0, value);
        };
        odd("nan", &mut |_| Some(f64::NAN));
        odd("inf", &mut |_| Some(f64::INFINITY));
        odd("minus_inf", &mut |_| Some(f64::NEG_INFINITY));
        odd("zero", &mut |step| Some(if step % 2 == 0 { 0.0 } else { -0.0 }));
        odd("sometimes_nan", &mut |step| Some(if step % 7 == 0 { f64::NAN } else { small(step) }));
        odd("sometimes_inf", &mut |step| Some(if step % 9 == 0 { f64::INFINITY } else { 1.0 }));
        odd("huge", &mut |step| Some(1e300 * small(step)));
        odd("tiny", &mut |step| Some(1e-300 * small(step)));
        odd("large_and_small", &mut |step| Some([1.0, 1e100, 1.0, -1e100][step % 4]));
        odd("sparse", &mut |step| (step % 11 == 0).then(|| small(step)));
        odd("negative", &mut |step| Some(-small(step) - 0.5));
        let mut walk = 0.0;
        odd("walk", &mut |_| {
            walk += random.unit() - 0.5;
            Some(walk)
        });
        for (name, label, value) in [
            ("odd.metric", "odd.label", "va\"lue\\"),
            ("odd_labels", "\u{fc}ml\u{e4}ut", "\u{1f600} smile"),
            ("odd_labels", "quantile", "0.5"),
            ("odd_labels", "le", "not a number"),
            ("odd:colon", "_", "new\nline"),
        ] {
            self.add(&[("__name__", name), (label, value)], -1, |step| Some(small(step)));
        }
        // One that is only there in the last third.
        let from = self.steps - self.steps / 3;
        self.add(&[("__name__", "odd_newcomer")], 0, |step| (step >= from).then(|| small(step)));
    }

    /// Many equal counters, for aggregations and matching.
    fn many(&mut self, random: &mut Random) {
        for number in 0..40 {
            let (number, group) = (number.to_string(), (number % 4).to_string());
            let labels = [("__name__", "many_total"), ("i", &number), ("group", &group)];
            let mut total = 0.0;
            self.add(&labels, -500, |_| {
                total += (random.unit() * 20.0).floor();
                Some(total)
            });
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred steps")]
fn small(step: usize) -> f64 {
    step as f64
}

struct Target<'a> {
    data: &'a mut Data,
    random: &'a mut Random,
    instance: &'a str,
    late_ms: i64,
}

impl Target<'_> {
    fn add(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        mut value: impl FnMut(&mut Random, usize) -> Option<f64>,
    ) {
        let own = [("__name__", name), ("instance", self.instance), ("job", "demo")];
        let all: Vec<_> = own.iter().chain(labels).copied().collect();
        let random = &mut *self.random;
        self.data.add(&all, self.late_ms, |step| value(random, step));
    }

    /// A counter that falls back to zero at some steps.
    fn counter(&mut self, name: &str, labels: &[(&str, &str)], rate: f64, reset_every: usize) {
        let mut total = rate * 1000.0;
        self.add(name, labels, |random, step| {
            total += rate * (0.5 + random.unit()) * 15.0;
            if step > 0 && step.is_multiple_of(reset_every) {
                total = random.unit() * rate;
            }
            Some(total)
        });
    }

    fn machine(&mut self, index: usize) {
        let resets = [usize::MAX, 97, 211][index % 3];
        for (mode, rate) in [("idle", 3.1), ("system", 0.2), ("user", 0.7)] {
            self.counter("demo_cpu_usage_seconds_total", &[("mode", mode)], rate, resets);
        }
        for (kind, base) in [("free", 4e9), ("used", 2e9), ("cached", 1.5e9), ("buffers", 3e8)] {
            self.add("demo_memory_usage_bytes", &[("type", kind)], |random, _| {
                Some((base * (0.8 + 0.4 * random.unit())).floor())
            });
        }
        self.add("demo_num_cpus", &[], |_, _| Some(4.0));
        self.add("demo_disk_total_bytes", &[], |_, _| Some(160e9));
        let mut used = 20e9;
        self.add("demo_disk_usage_bytes", &[], |random, _| {
            used += random.unit() * 1e6;
            Some(used)
        });
        self.add("demo_build_info", &[("version", ["1.0", "1.1", "1.1"][index % 3])], |_, _| {
            Some(1.0)
        });
        self.add("target_info", &[("host_name", self.instance), ("os", "linux")], |_, _| Some(1.0));
        self.add("up", &[], |_, step| Some(if step % 50 == 49 { 0.0 } else { 1.0 }));
    }

    fn requests(&mut self, index: usize) {
        for (method, path, status, rate) in [
            ("GET", "/api/foo", "200", 5.0),
            ("GET", "/api/bar", "200", 1.0),
            ("POST", "/api/foo", "500", 0.1),
            ("POST", "/api/nonexistent", "404", 0.01),
        ] {
            let labels = [("method", method), ("path", path), ("status", status)];
            let mut totals = [0.0; BOUNDS.len()];
            let mut columns = vec![Vec::new(); BOUNDS.len()];
            for step in 0..self.data.steps {
                if index == 1 && step == 130 {
                    totals = [0.0; BOUNDS.len()];
                }
                let mut sum = 0.0;
                for (bound, total) in totals.iter_mut().enumerate() {
                    sum += (rate * self.random.unit() * [1.0, 4.0, 8.0, 3.0][bound % 4]).floor();
                    *total += sum;
                    columns[bound].push(*total);
                }
            }
            let name = "demo_api_request_duration_seconds";
            for (bound, column) in BOUNDS.iter().zip(&columns) {
                let all = [&labels[..], &[("le", *bound)]].concat();
                self.add(&format!("{name}_bucket"), &all, |_, step| column.get(step).copied());
            }
            let count = columns.last().cloned().unwrap_or_default();
            self.add(&format!("{name}_count"), &labels, |_, step| count.get(step).copied());
            self.add(&format!("{name}_sum"), &labels, |_, step| Some(count.get(step)? * 0.037));
            self.counter("demo_api_http_requests_total", &labels, rate, 301);
        }
        self.add("demo_api_http_requests_in_progress", &[], |random, _| {
            Some((random.unit() * 4.0).floor())
        });
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
    fn batch(&mut self, index: usize) {
        let started = self.data.first_ms as f64 / 1000.0;
        let mut last = started;
        self.add("demo_batch_last_run_timestamp_seconds", &[], |_, step| {
            if step % 20 == 0 {
                last = started + small(step) * 15.0;
            }
            Some(last)
        });
        let mut last = started - 3600.0;
        self.add("demo_batch_last_success_timestamp_seconds", &[], |random, step| {
            if step % 20 == index && random.chance(60) {
                last = started + small(step) * 15.0 + 0.123;
            }
            Some(last)
        });
        self.add("demo_batch_last_run_duration_seconds", &[], |random, step| {
            Some(if step % 20 == 0 { 10.0 * random.unit() } else { 5.0 })
        });
        self.counter("demo_items_shipped_total", &[], 2.0, usize::MAX);
    }

    /// Series that end with a marker, or without one, and come back.
    fn comings_and_goings(&mut self, index: usize) {
        let period = [40, 52, 64][index % 3];
        self.add("demo_intermittent_metric", &[], |_, step| match step % period {
            n if n < period / 2 => Some(1.0),
            n if n == period / 2 => Some(STALE),
            _ => None,
        });
        self.add("demo_vanishing_total", &[], |_, step| match step % period {
            n if n < period / 3 => Some(small(step)),
            _ => None,
        });
    }
}

fn push(port: u16, request: &[u8]) -> io::Result<()> {
    let body = snap::raw::Encoder::new().compress_vec(request);
    let body = body.map_err(io::Error::other)?;
    let head = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
    let answer = http::ask(port, "POST", "/api/v1/write", head, &body)?;
    match answer.status {
        200..300 => Ok(()),
        status => Err(io::Error::other(format!("{status}: {}", answer.text()))),
    }
}

/// What `series` have within these times.
fn between(series: &[TimeSeries], times: std::ops::Range<i64>) -> WriteRequest {
    let part = |series: &TimeSeries| {
        let samples = series.samples.iter().filter(|it| times.contains(&it.timestamp));
        let histograms = series.histograms.iter().filter(|it| times.contains(&it.timestamp));
        TimeSeries {
            labels: series.labels.clone(),
            samples: samples.copied().collect(),
            histograms: histograms.cloned().collect(),
            ..TimeSeries::default()
        }
    };
    let parts = series.iter().map(part);
    let timeseries = parts.filter(|it| !it.histograms.is_empty() || !it.samples.is_empty());
    WriteRequest { timeseries: timeseries.collect(), ..WriteRequest::default() }
}
