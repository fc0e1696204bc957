//! The histograms of a query.
//!
//! Columns hold numbers. A histogram stands in one as a **handle**: a NaN of a kind that no
//! calculation gives, whose bits number the histogram within the query. So whatever only moves
//! values (selectors, windows, set operators, label functions) moves histograms too, and a query
//! without histograms pays nothing; what looks at values asks [`Natives::any`] first.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use narthex_model::histogram::{Bar, Hint};
use narthex_model::{ABSENT, Histogram, Labels, STALE, Sample, TimeRange, Timestamp};
use narthex_store::{Histograms, Samples, Series};

use crate::column::{Column, Slots};
use crate::eval::Evaluator;
use crate::functions::native::{smooth, words};
use crate::memory::{Part, Purse};
use crate::options::Release;
use crate::plan::{Expr, Func, Node, Selector, Span};
use crate::select::interpolate;
use crate::steps::Steps;
use crate::window::Frame;
use crate::{Error, Options};

/// The upper sixteen bits of a handle: a signalling NaN, which arithmetic would make a quiet one.
const TAG: u64 = 0x7ff5;

/// Most annotations of one query that come from histograms.
const NOTES_MAX: usize = 200;

/// Whether a value stands for a histogram.
#[inline]
pub(crate) fn is_handle(value: f64) -> bool {
    value.to_bits() >> 48 == TAG
}

/// How many samples of 16 bytes a histogram takes in Prometheus' memory.
fn samples_in(histogram: &Histogram) -> usize {
    /// What it takes there besides its lists, its time included.
    const FIXED_BYTES: usize = 168 + 8;
    let runs = |bars: &[Bar]| {
        let gaps = bars.windows(2).filter(|pair| match pair {
            [a, b] => b.index != a.index + 1,
            _ => false,
        });
        usize::from(!bars.is_empty()) + gaps.count()
    };
    let lists = [&histogram.positive, &histogram.negative].map(|bars| bars.len() + runs(bars));
    let numbers = histogram.bounds.len() + lists.iter().sum::<usize>();
    (FIXED_BYTES + numbers * size_of::<f64>()) / 16
}

/// What a function has to say besides its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Note {
    pub(crate) is_warning: bool,
    pub(crate) text: String,
    pub(crate) at: Span,
}

/// The histograms of one query, and what was noted about them.
#[derive(Debug)]
pub(crate) struct Natives {
    histograms: RefCell<Vec<Arc<Histogram>>>,
    notes: RefCell<Vec<Note>>,
    /// Numbers that the histograms consist of, about, and how many there may be.
    size: Cell<usize>,
    size_max: usize,
    samples_max: usize,
    purse: Rc<Purse>,
    canceled: Option<Arc<AtomicBool>>,
    release: Release,
}

impl Natives {
    pub(crate) fn new(options: &Options, purse: &Rc<Purse>) -> Self {
        Self {
            histograms: RefCell::default(),
            notes: RefCell::default(),
            size: Cell::new(0),
            size_max: options.memory_bytes_max / size_of::<f64>(),
            samples_max: options.max_samples,
            purse: Rc::clone(purse),
            canceled: options.canceled.clone(),
            release: options.release,
        }
    }

    /// Whether the query has met a histogram.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.size.get() > 0
    }

    /// Takes a histogram in; gives its handle.
    pub(crate) fn put(&self, histogram: Arc<Histogram>) -> f64 {
        self.size.set(self.size.get().saturating_add(histogram.size()));
        let mut all = self.histograms.borrow_mut();
        all.push(histogram);
        f64::from_bits((TAG << 48) | (all.len() as u64 - 1))
    }

    /// Takes a new histogram in; gives its handle.
    pub(crate) fn add(&self, histogram: Histogram) -> f64 {
        self.put(Arc::new(histogram))
    }

    /// The histogram that a value stands for.
    pub(crate) fn get(&self, value: f64) -> Option<Arc<Histogram>> {
        if !is_handle(value) {
            return None;
        }
        let index = usize::try_from(value.to_bits() & 0xffff_ffff_ffff).ok()?;
        self.histograms.borrow().get(index).cloned()
    }

    /// How many samples a value counts as: a histogram counts by its size, as in Prometheus.
    pub(crate) fn samples_in(&self, value: f64) -> usize {
        self.get(value).map_or(1, |histogram| samples_in(&histogram))
    }

    /// Fails when the histograms take more than a query may hold.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let size = self.size.get();
        if size > self.size_max {
            return Err(Error::TooMuchMemory { max_bytes: self.size_max * size_of::<f64>() });
        }
        // As in Prometheus a histogram counts as several samples.
        if size / 2 > self.samples_max {
            return Err(Error::TooManySamples);
        }
        let canceled = || match &self.canceled {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(Error::Canceled),
            _ => Ok(()),
        };
        self.purse.hold(Part::Natives, size.saturating_mul(size_of::<f64>()), canceled)
    }

    /// Whether there is a histogram among values.
    #[inline]
    pub(crate) fn in_values(&self, values: &[f64]) -> bool {
        self.any() && values.iter().any(|&value| is_handle(value))
    }

    /// Whether a column has a histogram.
    pub(crate) fn in_columns(&self, columns: &[Column]) -> bool {
        self.any() && columns.iter().any(|column| self.in_values(&column.values))
    }

    /// Removes histograms from columns.
    pub(crate) fn strip(&self, columns: &mut [Column]) {
        if self.any() {
            for column in columns {
                column.map(|_, value| if is_handle(value) { ABSENT } else { value });
            }
        }
    }

    /// Makes the hints unknown: between samples that are further apart than they were stored, a
    /// counter may have been reset unseen.
    pub(crate) fn forget_resets(&self, values: &mut [f64]) {
        if !self.any() {
            return;
        }
        for value in values {
            let told = self.get(*value).filter(|h| matches!(h.hint, Hint::Reset | Hint::NotReset));
            if let Some(histogram) = told {
                let hint = Hint::Unknown;
                *value = self.add(Histogram { hint, ..Histogram::clone(&histogram) });
            }
        }
    }

    /// The value, of which nothing is known about resets if it is a histogram.
    pub(crate) fn without_hint(&self, value: f64) -> f64 {
        match self.get(value) {
            Some(histogram) if histogram.hint != Hint::Unknown => {
                self.add(Histogram { hint: Hint::Unknown, ..Histogram::clone(&histogram) })
            }
            _ => value,
        }
    }

    /// Which Prometheus is followed.
    pub(crate) fn release(&self) -> Release {
        self.release
    }

    /// The value with the other sign.
    pub(crate) fn negative(&self, value: f64) -> f64 {
        match self.get(value) {
            Some(histogram) => {
                let mut negative = Histogram::clone(&histogram);
                negative.multiply(-1.0);
                if self.release == Release::V3_5 {
                    negative.hint = histogram.hint;
                }
                self.add(negative)
            }
            None => -value,
        }
    }

    pub(crate) fn warn(&self, text: impl Into<String>, at: Span) {
        self.note(Note { is_warning: true, text: text.into(), at });
    }

    pub(crate) fn info(&self, text: impl Into<String>, at: Span) {
        self.note(Note { is_warning: false, text: text.into(), at });
    }

    fn note(&self, note: Note) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() < NOTES_MAX && !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// The notes so far, which are forgotten here.
    pub(crate) fn take_notes(&self) -> Vec<Note> {
        self.notes.take()
    }
}

/// What a window knows of its series where that has histograms or start times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) natives: &'a Natives,
    /// The metric's name.
    pub(crate) name: &'a str,
    /// When the counter started, in milliseconds, one per sample (0: not known) or none at all.
    pub(crate) starts: &'a [i64],
}

/// How the hints of a selector's histograms are read.
///
/// Prometheus reads no buckets where only counts and sums are asked for, and then looks for resets
/// as it reads; elsewhere it never says that there was one. Only annotations show the difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    asked: bool,
    kept: bool,
}

impl Hints {
    /// Within the arguments of a function.
    pub(crate) fn within(self, func: Func) -> Self {
        match func {
            Func::HistogramCount | Func::HistogramSum | Func::HistogramAvg => {
                Self { asked: true, ..self }
            }
            Func::HistogramQuantile | Func::HistogramQuantiles | Func::HistogramFraction => {
                Self { kept: true, ..self }
            }
            _ => self,
        }
    }

    /// Within a subquery or a trim, which look at buckets.
    pub(crate) fn with_buckets(self) -> Self {
        Self { kept: true, ..self }
    }

    fn are_found(self) -> bool {
        self.asked && !self.kept
    }
}

impl Evaluator<'_> {
    /// Whether of histograms that `selector` selects nothing but counts and sums is wanted.
    pub(crate) fn reads_counts_only(&self, selector: &Selector) -> bool {
        match self.natives.release() {
            Release::V3_5 => selector.counts_only,
            Release::Newest => self.hints.are_found(),
        }
    }

    /// Puts the histograms of a series among its samples, which are those of `range`.
    pub(crate) fn read_native(
        &mut self,
        series: &Series,
        range: TimeRange,
        samples: &mut Samples,
    ) -> Result<(), Error> {
        self.starts.clear();
        if !series.has_parts() {
            return Ok(());
        }
        let mut read = Histograms::default();
        series.read_parts(range, &mut read)?;
        for warning in read.warnings.drain(..) {
            self.notes.warn_plain(warning);
        }
        self.starts.extend(read.starts.iter().map(|&(at, start)| (at, start.0)));
        if read.times.is_empty() {
            return Ok(());
        }
        if self.counts_only {
            let release = self.natives.release();
            find_resets(&mut read.values, release);
            drop_buckets(&mut read.values, release);
        }
        let mut merged = Samples::default();
        let mut numbers = samples.times.iter().zip(&samples.values).peekable();
        for (&at, histogram) in read.times.iter().zip(read.values) {
            while let Some((&time, &value)) = numbers.next_if(|(time, _)| **time < at) {
                merged.times.push(time);
                // A foreign value must not pass for a histogram.
                merged.values.push(if is_handle(value) { f64::NAN } else { value });
            }
            if numbers.peek().is_some_and(|(time, _)| **time == at) {
                continue;
            }
            let stale = histogram.is_stale();
            merged.times.push(at);
            merged.values.push(if stale { STALE } else { self.natives.put(histogram) });
        }
        for (&time, &value) in numbers {
            merged.times.push(time);
            merged.values.push(if is_handle(value) { f64::NAN } else { value });
        }
        samples.times = merged.times;
        samples.values = merged.values;
        self.natives.check()
    }

    /// The start times of the series that was read last, one for each of `times`; none at all if
    /// none is known.
    pub(crate) fn starts_of(&self, times: &[Timestamp]) -> Vec<i64> {
        if self.starts.is_empty() {
            return Vec::new();
        }
        let mut known = self.starts.iter().peekable();
        let start_of = |&at: &Timestamp| {
            while known.next_if(|(time, _)| *time < at).is_some() {}
            known.peek().filter(|(time, _)| *time == at).map_or(0, |&&(_, start)| start)
        };
        times.iter().map(start_of).collect()
    }

    /// Whether a selector in `node` selects histograms or samples with start times.
    pub(crate) fn meets_parts(&self, node: &Node) -> bool {
        let of = |selector: &Selector| self.snapshot.has_parts(&selector.matchers);
        match &node.expr {
            Expr::Vector(selector) => of(selector),
            Expr::Matrix(matrix) => of(&matrix.selector),
            _ => node.children().any(|child| self.meets_parts(child)),
        }
    }

    /// Computes a vector, of which histograms are left out.
    pub(crate) fn numbers(&mut self, node: &Node, steps: Steps) -> Result<Vec<Column>, Error> {
        let mut columns = self.vector(node, steps)?;
        self.natives.strip(&mut columns);
        Ok(columns)
    }

    /// At each step the histogram between those around it.
    pub(crate) fn smooth_natives(
        &self,
        frame: &Frame,
        samples: &Samples,
        labels: &Labels,
    ) -> Slots {
        let natives = &self.natives;
        let mut slots = Slots::default();
        for step in 0..frame.steps.count {
            let at = frame.end(step);
            let start = at.saturating_sub(frame.range);
            let low = samples.times.partition_point(|time| time.0 <= start);
            let end = at.saturating_add(frame.after);
            let high = samples.times.partition_point(|time| time.0 <= end);
            let next = samples.times.partition_point(|time| time.0 < at);
            let sample = |index: usize| {
                let inside = (low..high).contains(&index);
                let sample = (samples.times.get(index)?.0, *samples.values.get(index)?);
                inside.then_some(sample)
            };
            let inside = samples.values.get(low..high).unwrap_or(&[]);
            let histograms = inside.iter().filter(|value| is_handle(**value)).count();
            let place = (labels.metric_name(), self.place);
            if histograms > 0 && histograms < inside.len() {
                natives.warn(words::mixed_range(place.0), place.1);
                slots.push(ABSENT);
                continue;
            }
            slots.push(match (sample(next.wrapping_sub(1)), sample(next)) {
                (_, Some((time, value))) if time == at => value,
                (Some(before), Some(next)) if histograms > 0 => {
                    smooth(natives, before, next, at, place)
                }
                (Some(before), Some(next)) => {
                    let of = |(at, value)| Sample { at: Timestamp(at), value };
                    interpolate(of(before), of(next), at, false)
                }
                // What was known of resets says nothing of a value that is carried on.
                (Some((_, value)), None) => natives.without_hint(value),
                (None, _) => ABSENT,
            });
        }
        slots
    }

    /// The start time of each sample that a selector finds, 0 where it is not known; of anything
    /// else nothing.
    pub(crate) fn start_timestamp(
        &mut self,
        call: &crate::plan::Call,
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        let Some(Expr::Vector(selector)) = call.args.first().map(|arg| &arg.bare().expr) else {
            return Ok(Vec::new());
        };
        #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ms")]
        let millis = |at: Timestamp| at.0 as f64;
        let mut columns = self.select_with(selector, steps, |at, _| millis(at))?;
        let all = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
        let selection = self.find(&selector.matchers, all)?;
        for column in &mut columns {
            let found = selection.series.binary_search_by(|s| s.labels().cmp(&column.labels));
            let series = found.ok().and_then(|place| selection.series.get(place));
            let mut read = Histograms::default();
            if let Some(series) = series.filter(|series| series.has_parts()) {
                series.read_parts(all, &mut read)?;
            }
            column.map(|_, at| {
                #[expect(clippy::cast_possible_truncation, reason = "it was a whole number")]
                let start = read.start_at(Timestamp(at as i64));
                start.map_or(0.0, Timestamp::seconds)
            });
            self.drop_name(column);
        }
        crate::column::join_same(columns, false)
    }
}

/// Leaves nothing but count and sum.
fn drop_buckets(histograms: &mut [Arc<Histogram>], release: Release) {
    for histogram in histograms {
        let &Histogram { hint, schema, count, sum, .. } = &**histogram;
        let schema = if release == Release::V3_5 { 0 } else { schema };
        *histogram = Arc::new(Histogram { hint, schema, count, sum, ..Histogram::default() });
    }
}

/// Says of histograms whose hint is not known whether they were reset since the one before.
fn find_resets(histograms: &mut [Arc<Histogram>], release: Release) {
    let mut before: Option<Arc<Histogram>> = None;
    for histogram in histograms {
        if histogram.is_stale() {
            continue;
        }
        let was = histogram.clone();
        if let (Hint::Unknown, Some(before)) = (histogram.hint, &before) {
            let others = release == Release::V3_5 && was.is_custom() && was.bounds != before.bounds;
            let hint =
                if others || was.is_reset_since(before) { Hint::Reset } else { Hint::NotReset };
            *histogram = Arc::new(Histogram { hint, ..Histogram::clone(histogram) });
        }
        before = Some(was);
    }
}
