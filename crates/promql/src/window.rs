//! Windows that slide over the samples of a series.

use std::cell::OnceCell;

use narthex_model::Timestamp;
use narthex_store::Samples;

use crate::native::Setting;
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
    /// The series that the window lies in, and where it begins there.
    pub(crate) track: &'a Track<'a>,
    pub(crate) low: usize,
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
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53 ms")]
    pub(crate) fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }

    /// Calls `compute` with the same window over other samples.
    pub(crate) fn with_samples(
        &self,
        times: &[Timestamp],
        values: &[f64],
        compute: impl FnOnce(&Window<'_>) -> f64,
    ) -> f64 {
        let track = Track::new(times, values);
        let Self { start, end, at, edge, .. } = *self;
        let window =
            Window { times, values, start, end, at, edge, track: &track, low: 0, native: None };
        compute(&window)
    }

    /// The values from which the series fell to a lower one within the window.
    pub(crate) fn fallen(&self) -> impl Iterator<Item = f64> {
        let falls = self.track.falls();
        // Most series never fall.
        let from = if falls.is_empty() { 0 } else { falls.partition_point(|&p| p <= self.low) };
        let end = self.low + self.values.len();
        let within = falls.get(from..).unwrap_or(&[]).iter().take_while(move |&&p| p < end);
        within.filter_map(|&position| self.track.values.get(position - 1).copied())
    }
}

/// The samples of one series, and what is found out about all of them at once.
#[derive(Debug)]
pub(crate) struct Track<'a> {
    times: &'a [Timestamp],
    values: &'a [f64],
    falls: OnceCell<Vec<usize>>,
    native: Option<Setting<'a>>,
}

impl<'a> Track<'a> {
    pub(crate) fn new(times: &'a [Timestamp], values: &'a [f64]) -> Self {
        Self { times, values, falls: OnceCell::new(), native: None }
    }

    /// With what there is besides numbers.
    pub(crate) fn with_native(self, native: Option<Setting<'a>>) -> Self {
        Self { native, ..self }
    }

    /// The window over the samples from `low` to before `high`.
    pub(crate) fn window(
        &'a self,
        frame: &Frame,
        step: usize,
        (low, high): (usize, usize),
    ) -> Option<Window<'a>> {
        let end = frame.end(step);
        Some(Window {
            times: self.times.get(low..high)?,
            values: self.values.get(low..high)?,
            start: end.saturating_sub(frame.range),
            end,
            at: frame.steps.at(step),
            edge: frame.edge,
            track: self,
            low,
            native: self.native.map(|native| {
                let starts = native.starts.get(low..high).unwrap_or(&[]);
                Setting { starts, ..native }
            }),
        })
    }

    /// The positions of values that are lower than the one before.
    fn falls(&self) -> &[usize] {
        self.falls.get_or_init(|| {
            let pairs = self.values.iter().zip(self.values.iter().skip(1));
            let fallen = pairs.enumerate().filter(|(_, (before, value))| value < before);
            fallen.map(|(position, _)| position + 1).collect()
        })
    }
}

/// Which window belongs to which step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) steps: Steps,
    pub(crate) fixed: Option<i64>,
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
        narthex_model::TimeRange::new(Timestamp(start), Timestamp(last.saturating_add(self.after)))
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
    next: usize,
}

#[derive(Debug, Default)]
struct Walk {
    times: Vec<Timestamp>,
    places: Vec<(usize, usize)>,
}

impl Walks {
    /// For each step the first sample of its window and the one behind its last.
    pub(crate) fn places(&mut self, frame: &Frame, times: &[Timestamp]) -> &[(usize, usize)] {
        // One step is found sooner than remembered, and long rows would take much memory.
        let short = times.len().saturating_add(frame.steps.count) <= WALK_MAX;
        let room = if frame.steps.count > 1 && short { WALKS_MAX } else { 1 };
        let mut known = self.known.iter();
        let known = known.position(|walk| frame.steps.count > 1 && walk.times == times);
        let at = known.unwrap_or_else(|| {
            if self.known.len() < room {
                self.known.push(Walk::default());
                self.next = self.known.len() - 1;
            } else {
                self.next = (self.next + 1) % room;
            }
            if let Some(walk) = self.known.get_mut(self.next) {
                walk.follow(frame, times);
            }
            self.next
        });
        self.known.get(at).map_or(&[], |walk| &walk.places)
    }
}

impl Walk {
    fn follow(&mut self, frame: &Frame, times: &[Timestamp]) {
        self.times.clear();
        if frame.steps.count > 1 {
            self.times.extend_from_slice(times);
        }
        self.places.clear();
        let (mut low, mut high) = (0, 0);
        for step in 0..frame.steps.count {
            let end = frame.end(step);
            let start = end.saturating_sub(frame.range).saturating_sub(frame.before);
            low = advance(times, low, start);
            high = advance(times, high.max(low), end.saturating_add(frame.after));
            self.places.push((low, high));
        }
    }
}

/// The first index from `from` on whose time is behind `border`.
fn advance(times: &[Timestamp], from: usize, border: i64) -> usize {
    // Neighbouring windows most often lie a few samples apart; far ones are searched for.
    const NEAR: usize = 8;
    let rest = times.get(from..).unwrap_or(&[]);
    match rest.iter().take(NEAR).position(|time| time.0 > border) {
        Some(near) => from + near,
        None if rest.len() <= NEAR => times.len(),
        None => from + rest.partition_point(|time| time.0 <= border),
    }
}

/// Removes staleness markers: ranges do not see them.
pub(crate) fn drop_stale(samples: &mut Samples) {
    if !samples.values.iter().any(|&value| narthex_model::is_stale(value)) {
        return;
    }
    let mut keep = samples.values.iter().map(|&value| !narthex_model::is_stale(value));
    samples.times.retain(|_| keep.next().unwrap_or(true));
    samples.values.retain(|&value| !narthex_model::is_stale(value));
}
