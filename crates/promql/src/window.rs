//! Windows that slide over the samples of a series.

use std::cell::OnceCell;

use narthex_model::Timestamp;
use narthex_store::Samples;

use crate::native::Setting;
use crate::numeric::seconds;
use crate::plan::Edge;
use crate::steps::Steps;

/// The samples that a range function sees at one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    /// When, ascending.
    pub(crate) times: &'a [Timestamp],
    /// What, one per time.
    pub(crate) values: &'a [f64],
    /// The left border, which does not belong to the window.
    pub(crate) start: i64,
    /// The right border, which does.
    pub(crate) end: i64,
    /// The time of evaluation.
    pub(crate) at: i64,
    /// Whether samples beyond the borders were added.
    pub(crate) edge: Edge,
    /// What there is besides numbers, if there is anything.
    pub(crate) native: Option<Setting<'a>>,
}

impl Window<'_> {
    /// The first sample.
    pub(crate) fn first(&self) -> Option<(Timestamp, f64)> {
        Some((*self.times.first()?, *self.values.first()?))
    }

    /// The last sample.
    pub(crate) fn last(&self) -> Option<(Timestamp, f64)> {
        Some((*self.times.last()?, *self.values.last()?))
    }

    /// The length in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        seconds(self.end - self.start)
    }

    /// Calls `compute` with the same window over other samples.
    pub(crate) fn with_samples(
        &self,
        times: &[Timestamp],
        values: &[f64],
        compute: impl FnOnce(&Window<'_>) -> f64,
    ) -> f64 {
        compute(&Window { times, values, native: None, ..*self })
    }

    /// How the samples lie in the window; none if there are fewer than two.
    pub(crate) fn shape(&self) -> Option<Shape> {
        Shape::of(self.times, (self.start, self.end))
    }
}

/// The windows of all steps over a series of numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows<'a> {
    pub(crate) times: &'a [Timestamp],
    pub(crate) values: &'a [f64],
    pub(crate) walk: &'a Walk,
    pub(crate) frame: &'a Frame,
}

impl<'a> Windows<'a> {
    /// The positions of each window's samples.
    pub(crate) fn places(&self) -> &'a [(usize, usize)] {
        &self.walk.places
    }

    /// How many samples all windows have together.
    pub(crate) fn samples(&self) -> usize {
        self.places().iter().map(|(low, high)| high - low).sum()
    }

    /// How the samples of each window lie in it; none for those with fewer than two. The windows
    /// must be plain.
    pub(crate) fn shapes(&self) -> &'a [Option<Shape>] {
        let Self { times, walk, frame, .. } = *self;
        walk.shapes.get_or_init(|| {
            let shape = |(step, &(low, high)): (usize, &(usize, usize))| {
                let end = frame.end(step);
                Shape::of(times.get(low..high)?, (end.saturating_sub(frame.range), end))
            };
            walk.places.iter().enumerate().map(shape).collect()
        })
    }

    /// The window at `step`, in which there may be more than numbers.
    pub(crate) fn at(&self, step: usize, native: Option<Setting<'a>>) -> Option<Window<'a>> {
        let Self { times, values, walk, frame } = *self;
        let &(low, high) = walk.places.get(step)?;
        let end = frame.end(step);
        Some(Window {
            times: times.get(low..high)?,
            values: values.get(low..high)?,
            start: end.saturating_sub(frame.range),
            end,
            at: frame.steps.at(step),
            edge: frame.edge,
            native: native.map(|native| {
                let starts = native.starts.get(low..high).unwrap_or(&[]);
                Setting { starts, ..native }
            }),
        })
    }
}

/// How samples lie in a window: what an extrapolation from them to the borders needs, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// From the first to the last.
    pub(crate) sampled: f64,
    /// What is taken for covered before the first, and after the last.
    pub(crate) to_start: f64,
    pub(crate) to_end: f64,
    /// What the change over the samples is to be multiplied with for that over the window, and for
    /// that per second of it.
    pub(crate) factor: f64,
    pub(crate) per_second: f64,
}

impl Shape {
    /// The shape of samples at `times` in a window with these borders.
    #[expect(clippy::cast_precision_loss, reason = "as Prometheus computes it")]
    fn of(times: &[Timestamp], (start, end): (i64, i64)) -> Option<Self> {
        let (&[first, .., last], gaps) = (times, times.len().saturating_sub(1)) else {
            return None;
        };
        let mut to_start = first.0.saturating_sub(start) as f64 / 1000.0;
        let mut to_end = end.saturating_sub(last.0) as f64 / 1000.0;
        let sampled = (last.0 - first.0) as f64 / 1000.0;
        let between = sampled / gaps as f64;
        // A sample is missing when the gap is a tenth longer than usual: then the series is taken
        // to begin or end half a gap away from the sample.
        let threshold = between * 1.1;
        if to_start >= threshold {
            to_start = between / 2.0;
        }
        if to_end >= threshold {
            to_end = between / 2.0;
        }
        let mut shape = Self { sampled, to_start, to_end, factor: 1.0, per_second: 1.0 };
        shape.factor = shape.factor_from(to_start);
        shape.per_second = shape.factor / seconds(end - start);
        Some(shape)
    }

    /// The factor if the series began `to_start` before the first sample.
    pub(crate) fn factor_from(&self, to_start: f64) -> f64 {
        if self.sampled == 0.0 {
            1.0
        } else {
            (self.sampled + to_start + self.to_end) / self.sampled
        }
    }
}

/// Which window belongs to which step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) steps: Steps,
    pub(crate) fixed: Option<i64>,
    /// No sample after this is seen.
    pub(crate) until: Option<i64>,
    pub(crate) offset: i64,
    pub(crate) range: i64,
    pub(crate) before: i64,
    pub(crate) after: i64,
    pub(crate) edge: Edge,
}

impl Frame {
    /// The right border of the window at `step`.
    pub(crate) fn end(&self, step: usize) -> i64 {
        self.fixed.unwrap_or_else(|| self.steps.at(step)).saturating_sub(self.offset)
    }

    /// All times that a window can touch.
    pub(crate) fn reach(&self) -> narthex_model::TimeRange {
        let first = self.end(0);
        let last = self.end(self.steps.count.saturating_sub(1));
        let start = first.saturating_sub(self.range + self.before).saturating_add(1);
        let end = last.saturating_add(self.after).min(self.until.unwrap_or(i64::MAX));
        narthex_model::TimeRange::new(Timestamp(start), Timestamp(end))
    }
}

/// How many rows of times are remembered: the series of so many targets may alternate.
const WALKS_MAX: usize = 16;

/// And only rows with fewer times and steps than this.
const WALK_MAX: usize = 1 << 15;

/// Where the windows of all steps begin and end in a row of times. The series of a target have
/// the same times, so this is found once for all of them.
#[derive(Debug, Default)]
pub(crate) struct Walks {
    known: Vec<Walk>,
    last: usize,
    none: Walk,
}

/// The windows of all steps over one row of times.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    times: Vec<Timestamp>,
    /// For each step the first sample of its window and the one behind its last.
    pub(crate) places: Vec<(usize, usize)>,
    /// How the samples lie in each window, if that was asked for.
    shapes: OnceCell<Vec<Option<Shape>>>,
}

impl Walks {
    /// The windows over samples at `times`.
    pub(crate) fn over(&mut self, frame: &Frame, times: &[Timestamp]) -> &Walk {
        // One step is found sooner than remembered, and long rows would take much memory.
        let short = times.len().saturating_add(frame.steps.count) <= WALK_MAX;
        let room = if frame.steps.count > 1 && short { WALKS_MAX } else { 1 };
        let is_known = |walk: &Walk| frame.steps.count > 1 && are_same(&walk.times, times);
        if self.known.get(self.last).is_some_and(is_known) {
            // Series come target by target.
        } else if let Some(at) = self.known.iter().position(is_known) {
            self.last = at;
        } else if self.known.len() < room {
            self.last = self.known.len();
            self.known.push(Walk::of(frame, times));
        } else {
            self.last = (self.last + 1) % room;
            if let Some(walk) = self.known.get_mut(self.last) {
                *walk = Walk::of(frame, times);
            }
        }
        self.known.get(self.last).unwrap_or(&self.none)
    }
}

impl Walk {
    fn of(frame: &Frame, times: &[Timestamp]) -> Self {
        let mut walk = Self::default();
        if frame.steps.count > 1 {
            walk.times.extend_from_slice(times);
        }
        walk.places.reserve(frame.steps.count);
        let (mut low, mut high) = (0, 0);
        for step in 0..frame.steps.count {
            let end = frame.end(step);
            let start = end.saturating_sub(frame.range).saturating_sub(frame.before);
            low = advance(times, low, start);
            high = advance(times, high.max(low), end.saturating_add(frame.after));
            walk.places.push((low, high));
        }
        walk
    }
}

/// The first index from `from` on whose time is behind `border`.
fn advance(times: &[Timestamp], from: usize, border: i64) -> usize {
    // Neighbouring windows most often lie a few samples apart; far ones are searched for.
    const NEAR: usize = 8;
    let mut at = from;
    while let Some(time) = times.get(at) {
        if time.0 > border {
            return at;
        }
        at += 1;
        if at == from + NEAR {
            let rest = times.get(at..).unwrap_or(&[]);
            return at + rest.partition_point(|time| time.0 <= border);
        }
    }
    times.len()
}

/// How many values are looked at together: processors compare several at once, if none of them
/// ends the search.
const TOGETHER: usize = 64;

fn are_same(times: &[Timestamp], others: &[Timestamp]) -> bool {
    let parts = times.chunks(TOGETHER).zip(others.chunks(TOGETHER));
    times.len() == others.len()
        && parts.map(|(a, b)| a.iter().zip(b).fold(0, |d, (a, b)| d | (a.0 ^ b.0))).all(|d| d == 0)
}

/// Removes staleness markers: ranges do not see them.
pub(crate) fn drop_stale(samples: &mut Samples) {
    let is_stale = narthex_model::is_stale;
    let mut parts = samples.values.chunks(TOGETHER);
    if !parts.any(|part| part.iter().fold(false, |any, &value| any | is_stale(value))) {
        return;
    }
    let mut keep = samples.values.iter().map(|&value| !is_stale(value));
    samples.times.retain(|_| keep.next().unwrap_or(true));
    samples.values.retain(|&value| !is_stale(value));
}
