//! Putting the parts of samples together.

use std::sync::Arc;

use narthex_model::histogram::{Bar, Hint};
use narthex_model::{Histogram, Labels, TimeRange, Timestamp, is_stale};

use super::{INTEGER, Part};
use crate::{Error, Samples, Series};

/// How far before a range the sample is looked for that tells whether the first one in the range
/// goes on from it, in milliseconds.
const BEFORE_MS: i64 = 3_600_000;

/// Most buckets, and most bounds, of one histogram that are put together.
const BUCKETS_MAX: usize = 65_536;

/// Histograms and start times of one series, each in order of time; buffers to be reused.
#[derive(Clone, Debug, Default)]
pub struct Histograms {
    /// When, strictly rising.
    pub times: Vec<Timestamp>,
    /// What, one per time; [`Histogram::stale`] where the series ended.
    pub values: Vec<Arc<Histogram>>,
    /// Which of them have counts that were whole numbers at their source, one per time.
    pub integer: Vec<bool>,
    /// When the counter started, by the time of the sample (a histogram or a number).
    pub starts: Vec<(Timestamp, Timestamp)>,
    /// What could not be read, for the user's eyes.
    pub warnings: Vec<String>,
}

impl Histograms {
    /// Empties the buffers.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The start time of the sample at `at`.
    pub fn start_at(&self, at: Timestamp) -> Option<Timestamp> {
        let place = self.starts.binary_search_by_key(&at, |&(at, _)| at).ok()?;
        self.starts.get(place).map(|&(_, start)| start)
    }
}

/// A series that holds one part.
#[derive(Clone, Debug)]
pub(crate) struct PartSeries {
    pub(crate) part: Part,
    pub(crate) series: Series,
}

/// A histogram that is being put together of its parts.
#[derive(Debug, Default)]
pub struct Draft {
    histogram: Histogram,
    bounds: Vec<f64>,
    flags: u8,
}

impl Draft {
    /// Adds the value of a part: bounds and buckets by rising number, all others in any order.
    pub fn take(&mut self, part: Part, value: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "a cast stays within the type")]
        let whole = value as i32;
        let histogram = &mut self.histogram;
        match part {
            Part::Count => histogram.count = value,
            Part::Sum => histogram.sum = value,
            Part::ZeroCount => histogram.zero_count = value,
            Part::ZeroThreshold => histogram.zero_threshold = value,
            Part::Schema => histogram.schema = whole,
            Part::Flags => self.flags = u8::try_from(whole).unwrap_or(0),
            Part::Bound(_) if self.bounds.len() < BUCKETS_MAX => self.bounds.push(value),
            Part::Positive(index) if histogram.positive.len() < BUCKETS_MAX => {
                histogram.positive.push(Bar { index, count: value });
            }
            Part::Negative(index) if histogram.negative.len() < BUCKETS_MAX => {
                histogram.negative.push(Bar { index, count: value });
            }
            // Start times are kept apart; what is beyond the limits is left out.
            Part::Start | Part::Bound(_) | Part::Positive(_) | Part::Negative(_) => {}
        }
    }

    /// The histogram, and whether its counts were whole numbers at their source.
    pub fn build(self) -> (Histogram, bool) {
        let integer = self.flags & INTEGER != 0;
        (self.finish(&Arc::from([])), integer)
    }

    fn finish(self, last_bounds: &Arc<[f64]>) -> Histogram {
        let mut histogram = self.histogram;
        if is_stale(histogram.count) || is_stale(histogram.sum) {
            return Histogram::stale();
        }
        histogram.hint = match self.flags & 3 {
            1 => Hint::Reset,
            2 => Hint::NotReset,
            3 => Hint::Gauge,
            _ => Hint::Unknown,
        };
        // Consecutive samples mostly have the same bounds, and share them.
        histogram.bounds = if **last_bounds == *self.bounds {
            Arc::clone(last_bounds)
        } else {
            Arc::from(self.bounds)
        };
        histogram
    }
}

impl Series {
    /// Whether the series has histograms or start times (in some range).
    pub fn has_parts(&self) -> bool {
        !self.parts().is_empty()
    }

    /// Reads the histograms and start times in `range` into `out`, which is cleared first.
    ///
    /// Their hints say what Prometheus' storage says: of a counter, whether the sample goes on
    /// from the one before it without a reset. A damaged chunk is left out and named in
    /// `out.warnings`.
    pub fn read_parts(&self, range: TimeRange, out: &mut Histograms) -> Result<(), Error> {
        out.clear();
        let start = Timestamp(range.start.0.saturating_sub(BEFORE_MS));
        let wide = TimeRange::new(start, range.end);
        let mut samples = Samples::default();
        let mut drafts: Vec<Draft> = Vec::new();
        let mut times: Vec<Timestamp> = Vec::new();
        // The count comes first: where there is one there is a sample.
        for PartSeries { part, series } in self.parts() {
            series.read(wide, &mut samples)?;
            out.warnings.append(&mut samples.warnings);
            match part {
                Part::Start => out.starts.extend(starts(&samples, range)),
                Part::Count => {
                    let first = samples.times.partition_point(|&at| at < range.start);
                    let first = first.saturating_sub(1);
                    times = samples.times.split_off(first.min(samples.times.len()));
                    samples.times.clone_from(&times);
                    samples.values.drain(..first.min(samples.values.len()));
                    drafts.resize_with(times.len(), Draft::default);
                    fill(*part, &samples, &times, &mut drafts);
                }
                _ => fill(*part, &samples, &times, &mut drafts),
            }
        }
        self.finish(range, times, drafts, out)
    }

    /// Makes the histograms of the drafts; the first may lie before the range.
    fn finish(
        &self,
        range: TimeRange,
        times: Vec<Timestamp>,
        drafts: Vec<Draft>,
        out: &mut Histograms,
    ) -> Result<(), Error> {
        let mut numbers = Samples::default();
        let between = times.first().filter(|_| self.has_numbers());
        if let Some(&first) = between {
            self.read(TimeRange::new(first, range.end), &mut numbers)?;
        }
        let mut before: Option<(Timestamp, Arc<Histogram>)> = None;
        let mut bounds: Arc<[f64]> = Arc::from([]);
        for (at, draft) in times.into_iter().zip(drafts) {
            let integer = draft.flags & INTEGER != 0;
            let mut histogram = draft.finish(&bounds);
            bounds = Arc::clone(&histogram.bounds);
            if histogram.hint != Hint::Gauge {
                let goes_on = before.as_ref().is_some_and(|(since, before)| {
                    histogram.continues(before) && !has_between(&numbers, *since, at)
                });
                histogram.hint = if goes_on { Hint::NotReset } else { Hint::Unknown };
            }
            let histogram = Arc::new(histogram);
            before = Some((at, Arc::clone(&histogram)));
            if at >= range.start {
                out.times.push(at);
                out.values.push(histogram);
                out.integer.push(integer);
            }
        }
        Ok(())
    }
}

/// The start times in `range`.
#[expect(clippy::cast_possible_truncation, reason = "a cast stays within the type")]
fn starts(samples: &Samples, range: TimeRange) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let pairs = samples.times.iter().zip(&samples.values);
    pairs
        .filter(move |&(&at, value)| at >= range.start && !is_stale(*value))
        .map(|(&at, &value)| (at, Timestamp(value as i64)))
}

/// Whether there is a number between two times.
fn has_between(numbers: &Samples, since: Timestamp, at: Timestamp) -> bool {
    let next = numbers.times.partition_point(|&time| time <= since);
    numbers.times.get(next).is_some_and(|&time| time < at)
}

/// Gives each draft its value of one part.
fn fill(part: Part, samples: &Samples, times: &[Timestamp], drafts: &mut [Draft]) {
    let mut rows = times.iter().zip(drafts).peekable();
    for (at, &value) in samples.times.iter().zip(&samples.values) {
        while rows.next_if(|(time, _)| *time < at).is_some() {}
        match rows.peek_mut() {
            Some((time, draft)) if *time == at => {
                // The end of the series is told by the count.
                if part == Part::Count || !is_stale(value) {
                    draft.take(part, value);
                }
            }
            Some(_) => {}
            None => return,
        }
    }
}

/// Parts of the same series go to that series; those of a series without numbers make one.
pub(crate) fn attach(
    mut series: Vec<Series>,
    parts: Vec<(Labels, PartSeries)>,
    empty: impl Fn(Labels) -> Series,
) -> Vec<Series> {
    let mut parts = parts;
    parts.sort_by(|(a, x), (b, y)| a.cmp(b).then(x.part.cmp(&y.part)));
    let count = series.len();
    let mut parts = parts.into_iter().peekable();
    while let Some((labels, first)) = parts.next() {
        let mut all = vec![first];
        while let Some((_, next)) = parts.next_if(|(have, _)| *have == labels) {
            all.push(next);
        }
        let place =
            series.get(..count).unwrap_or(&[]).binary_search_by(|s| s.labels().cmp(&labels));
        if let Some(series) = place.ok().and_then(|place| series.get_mut(place)) {
            series.set_parts(all);
        } else {
            let mut whole = empty(labels);
            whole.set_parts(all);
            series.push(whole);
        }
    }
    series.sort_by(|a, b| a.labels().cmp(b.labels()));
    series
}
