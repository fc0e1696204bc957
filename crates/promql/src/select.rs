//! Selectors: samples of the store as columns and as windows.

use std::rc::Rc;

use narthex_model::{ABSENT, Labels, Matcher, Sample, TimeRange, Timestamp, is_stale};
use narthex_store::{Reader, Samples, Selection};

use crate::column::{Column, Flow, Slots};
use crate::eval::{Evaluator, series_of, without_names};
use crate::functions::WindowsFn;
use crate::native::Setting;
use crate::plan::{At, Edge, Expr, Matrix, Node, Selector, Subquery};
use crate::steps::Steps;
use crate::window::{Frame, Walk, Walks, Window, Windows, drop_stale};
use crate::{Error, Series};

/// What a selected series takes besides its labels' texts, in bytes.
const SERIES_BYTES: usize = 256;

/// Takes columns one by one.
pub(crate) enum Taker<'t> {
    /// Keeps them, with their places in the order of the result.
    Keep(Vec<(usize, Column)>),
    /// Looks at each and its place, and tells how many samples more it holds now.
    Fold(&'t mut dyn FnMut(usize, &Column) -> Result<usize, Error>),
}

impl Taker<'_> {
    /// The columns that were kept, in order.
    pub(crate) fn columns(self) -> Vec<Column> {
        match self {
            Self::Keep(mut columns) => {
                columns.sort_unstable_by_key(|&(place, _)| place);
                columns.into_iter().map(|(_, column)| column).collect()
            }
            Self::Fold(_) => Vec::new(),
        }
    }
}

/// When a selector is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    /// At that time, if it is fixed.
    time: Option<i64>,
    /// Or so far back.
    offset: i64,
    /// No sample after that time is seen.
    until: Option<i64>,
}

/// What a range function makes of a series.
pub(crate) struct Visit<'v> {
    /// Of the window at a step.
    pub(crate) each: &'v mut dyn FnMut(usize, &Window<'_>) -> Result<f64, Error>,
    /// Of all windows, if they are plain and of numbers, where there is a faster way.
    pub(crate) all: Option<WindowsFn>,
}

impl Evaluator<'_> {
    /// Finds series, with the store's warnings noted.
    pub(crate) fn find(
        &mut self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Selection, Error> {
        let room = self.budget.bytes_left() / SERIES_BYTES;
        let selection = self.snapshot.select_in_turn(matchers, range, room)?;
        if selection.is_cut {
            self.budget.hold_bytes(usize::MAX)?;
        }
        for warning in &selection.warnings {
            self.notes.warn_plain(warning.clone());
        }
        self.budget.stats.series += selection.series.len() as u64;
        Ok(selection)
    }

    /// Reads one series into `samples`, which the budget holds until it is told otherwise.
    fn read(
        &mut self,
        series: &narthex_store::Series,
        range: TimeRange,
        reader: &mut Reader,
        samples: &mut Samples,
    ) -> Result<(), Error> {
        self.budget.tick()?;
        reader.read(series, samples)?;
        self.read_native(series, range, samples)?;
        for warning in samples.warnings.drain(..) {
            self.notes.warn_plain(warning);
        }
        self.budget.hold_bytes(size_of_val(samples.times.as_slice()))?;
        self.budget.hold(samples.times.len())
    }

    /// Reads all series that `selector` selects, those that stand together one after the other;
    /// calls `visit` with each, its place in the order of the selection and its samples.
    fn each_series(
        &mut self,
        selector: &Selector,
        range: TimeRange,
        mut visit: impl FnMut(&mut Self, (usize, &Labels), &mut Samples) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.counts_only = self.reads_counts_only(selector);
        let selection = self.find(&selector.matchers, range)?;
        let selected = selection.series.iter();
        let bytes = selected.map(|series| SERIES_BYTES + series.labels().heap_bytes()).sum();
        self.budget.hold_bytes(bytes)?;
        let mut order: Vec<_> = selection.series.iter().enumerate().collect();
        order.sort_by_key(|(_, series)| series.shelf());
        let mut samples = Samples::default();
        let mut reader = Reader::new(range);
        for (place, series) in order {
            self.read(series, range, &mut reader, &mut samples)?;
            let (held, times) = (samples.times.len(), size_of_val(samples.times.as_slice()));
            visit(self, (place, series.labels()), &mut samples)?;
            self.budget.release(held);
            self.budget.release_bytes(times);
        }
        self.budget.release_bytes(bytes);
        Ok(())
    }

    /// Gives a column away; the budget holds what is held then.
    pub(crate) fn give(
        &mut self,
        place: usize,
        column: Column,
        taker: &mut Taker<'_>,
    ) -> Result<(), Error> {
        let held = match taker {
            Taker::Keep(columns) => {
                let held = column.values.len();
                self.budget.hold_bytes(column.labels.heap_bytes())?;
                columns.push((place, column));
                held
            }
            Taker::Fold(fold) => fold(place, &column)?,
        };
        self.budget.hold(held)
    }

    /// An instant selector: at each step the newest sample within the lookback.
    pub(crate) fn select(
        &mut self,
        selector: &Selector,
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        self.select_with(selector, steps, |_, value| value)
    }

    /// An instant selector that gives `value(time, value)` of each sample found.
    pub(crate) fn select_with(
        &mut self,
        selector: &Selector,
        steps: Steps,
        value: impl Fn(Timestamp, f64) -> f64,
    ) -> Result<Vec<Column>, Error> {
        let mut taker = Taker::Keep(Vec::new());
        self.select_into(selector, steps, value, &mut taker)?;
        Ok(taker.columns())
    }

    /// The fixed time that `at` means.
    fn fixed(&self, at: Option<At>) -> Option<i64> {
        match (at?, self.unresolved) {
            (At::Time(time), _) => Some(time.0),
            (At::Start, None) => Some(self.times.start),
            (At::End, None) => Some(self.times.end),
            (At::Start | At::End, Some(_)) => None,
        }
    }

    /// When an instant selector is evaluated.
    ///
    /// Prometheus resolves fixed times before it evaluates a query, but not those in the parameter
    /// of an aggregation. There `start()` and `end()` do nothing, and a time is that of the first
    /// step only, from where the others go on, although no later sample is read.
    fn fixed_instant(&self, selector: &Selector) -> Result<Fixed, Error> {
        let offset = self.length(&selector.offset)?;
        let time = self.fixed(selector.at);
        Ok(match (time, self.unresolved) {
            (Some(time), Some(begin)) => Fixed {
                time: None,
                offset: offset.saturating_add(begin.saturating_sub(time)),
                until: Some(time.saturating_sub(offset)),
            },
            _ => Fixed { time, offset, until: None },
        })
    }

    /// As [`Evaluator::select_with`], column by column.
    pub(crate) fn select_into(
        &mut self,
        selector: &Selector,
        steps: Steps,
        value: impl Fn(Timestamp, f64) -> f64,
        taker: &mut Taker<'_>,
    ) -> Result<(), Error> {
        let frame = self.instant_frame(selector, steps)?;
        self.select_framed(selector, frame, value, taker)
    }

    /// As [`Evaluator::select_with`] of a plain selector, as `timestamp` sees it. Where the time is
    /// fixed, Prometheus overlooks the offset when it looks for the sample, but not when it reads
    /// those among which it looks.
    pub(crate) fn select_times(
        &mut self,
        selector: &Selector,
        steps: Steps,
        value: impl Fn(Timestamp, f64) -> f64,
    ) -> Result<Vec<Column>, Error> {
        let mut frame = self.instant_frame(selector, steps)?;
        if let Some(time) = frame.fixed {
            let offset = std::mem::take(&mut frame.offset);
            frame.until = Some(time.saturating_sub(offset.max(0)));
            frame.range = frame.range.saturating_add(offset.min(0));
        }
        let mut taker = Taker::Keep(Vec::new());
        if frame.range > 0 {
            self.select_framed(selector, frame, value, &mut taker)?;
        }
        Ok(taker.columns())
    }

    fn instant_frame(&self, selector: &Selector, steps: Steps) -> Result<Frame, Error> {
        let Fixed { time, offset, until } = self.fixed_instant(selector)?;
        Ok(Frame {
            steps,
            fixed: time,
            until,
            offset,
            range: self.lookback(),
            before: 0,
            after: if selector.edge == Edge::Smoothed { self.lookback() } else { 0 },
            edge: selector.edge,
        })
    }

    fn select_framed(
        &mut self,
        selector: &Selector,
        frame: Frame,
        value: impl Fn(Timestamp, f64) -> f64,
        taker: &mut Taker<'_>,
    ) -> Result<(), Error> {
        let smoothed = selector.edge == Edge::Smoothed;
        let mut walks = Walks::default();
        self.each_series(selector, frame.reach(), |this, (place, labels), samples| {
            let slots = if smoothed {
                drop_stale(samples);
                let native = this.natives.in_values(&samples.values);
                if native {
                    this.smooth_natives(&frame, samples, labels)
                } else {
                    smooth_instants(&frame, samples)
                }
            } else {
                instants(&walks.over(&frame, &samples.times).places, samples, &value)
            };
            let Some(column) = slots.column(labels.clone(), false) else { return Ok(()) };
            this.count_column(&column);
            this.give(place, column, taker)
        })
    }

    /// Counts the samples that an instant selector found.
    fn count_column(&mut self, column: &Column) {
        if self.natives.any() {
            let natives = Rc::clone(&self.natives);
            for (step, value) in column.iter() {
                self.budget.count(step, natives.samples_in(value));
            }
        } else if self.budget.counts_steps() {
            for (step, _) in column.iter() {
                self.budget.count(step, 1);
            }
        } else {
            self.budget.count(0, column.iter().count());
        }
    }

    /// Calls `visit` for each series and each step at which its window has a sample; `taker` gets
    /// the columns of what it answered. `node` is a range selector or a subquery.
    pub(crate) fn windows(
        &mut self,
        node: &Node,
        steps: Steps,
        visit: &mut Visit<'_>,
        taker: &mut Taker<'_>,
    ) -> Result<(), Error> {
        match &node.bare().expr {
            Expr::Matrix(matrix) => self.stored_windows(matrix, steps, visit, taker),
            Expr::Subquery(subquery) => self.subquery_windows(subquery, steps, visit, taker),
            _ => Err(Error::Execution("expected a range vector".to_owned())),
        }
    }

    fn matrix_frame(&self, matrix: &Matrix, steps: Steps) -> Result<Frame, Error> {
        let selector = &matrix.selector;
        let lookback = self.lookback();
        let (before, after) = match selector.edge {
            Edge::Plain => (0, 0),
            Edge::Anchored => (lookback, 0),
            Edge::Smoothed => (lookback, lookback),
        };
        Ok(Frame {
            steps,
            fixed: self.fixed(selector.at),
            until: None,
            offset: self.length(&selector.offset)?,
            range: self.length(&matrix.range)?,
            before,
            after,
            edge: selector.edge,
        })
    }

    fn stored_windows(
        &mut self,
        matrix: &Matrix,
        steps: Steps,
        visit: &mut Visit<'_>,
        taker: &mut Taker<'_>,
    ) -> Result<(), Error> {
        let frame = self.matrix_frame(matrix, steps)?;
        let mut walks = Walks::default();
        self.each_series(&matrix.selector, frame.reach(), |this, (place, labels), samples| {
            drop_stale(samples);
            let walk = walks.over(&frame, &samples.times);
            let slots = this.slide(&frame, walk, samples, labels, visit)?;
            match slots.column(labels.clone(), false) {
                Some(column) => this.give(place, column, taker),
                None => Ok(()),
            }
        })
    }

    fn subquery_frame(&self, subquery: &Subquery, steps: Steps) -> Result<Frame, Error> {
        Ok(Frame {
            steps,
            fixed: self.fixed(subquery.at),
            until: None,
            offset: self.length(&subquery.offset)?,
            range: self.length(&subquery.range)?,
            before: 0,
            after: 0,
            edge: Edge::Plain,
        })
    }

    /// Computes the inside of a subquery at its own steps, which are whole multiples of its step.
    fn subquery_columns(
        &mut self,
        subquery: &Subquery,
        frame: &Frame,
    ) -> Result<(Vec<Column>, Steps), Error> {
        let step = match &subquery.step {
            Some(step) => self.length(step)?,
            None => crate::eval::millis(self.options.default_step),
        }
        .max(1);
        let end = frame.end(frame.steps.count.saturating_sub(1));
        let left = frame.end(0).saturating_sub(frame.range);
        let mut start = step * (left / step);
        if start <= left {
            start = start.saturating_add(step);
        }
        if end < start {
            return Ok((Vec::new(), Steps::one(start, step)));
        }
        let steps = Steps::between(start, end, step)?;
        let (hints, unresolved) = (self.hints, self.unresolved);
        self.hints = hints.with_buckets();
        self.unresolved = unresolved.map(|_| steps.start);
        let flow = self.eval(&subquery.inner, steps);
        (self.hints, self.unresolved) = (hints, unresolved);
        let columns = match flow? {
            Flow::Vector(columns) => columns,
            _ => Vec::new(),
        };
        Ok((columns, steps))
    }

    fn subquery_windows(
        &mut self,
        subquery: &Subquery,
        steps: Steps,
        visit: &mut Visit<'_>,
        taker: &mut Taker<'_>,
    ) -> Result<(), Error> {
        let held = self.budget.held();
        let frame = self.subquery_frame(subquery, steps)?;
        // What a window sees is counted, not what it was computed from.
        let before = self.budget.aside();
        let inner = self.subquery_columns(subquery, &frame);
        self.budget.back(before);
        let (inner, inner_steps) = inner?;
        let inside = self.budget.held().saturating_sub(held);
        let mut samples = Samples::default();
        let mut walks = Walks::default();
        for (place, column) in inner.into_iter().enumerate() {
            self.budget.tick()?;
            samples.clear();
            let bytes = column.values.len().saturating_mul(size_of::<(Timestamp, f64)>());
            self.budget.hold_bytes(bytes)?;
            for (step, value) in column.iter() {
                samples.times.push(Timestamp(inner_steps.at(step)));
                samples.values.push(value);
            }
            drop_stale(&mut samples);
            self.natives.forget_resets(&mut samples.values);
            let walk = walks.over(&frame, &samples.times);
            self.starts.clear();
            let slots = self.slide(&frame, walk, &samples, &column.labels, visit)?;
            self.budget.release_bytes(bytes);
            if let Some(column) = slots.column(column.labels, column.drop_name) {
                self.give(place, column, taker)?;
            }
        }
        self.budget.release(inside);
        Ok(())
    }

    /// Slides a window over the samples of one series.
    fn slide(
        &mut self,
        frame: &Frame,
        walk: &Walk,
        samples: &Samples,
        labels: &Labels,
        visit: &mut Visit<'_>,
    ) -> Result<Slots, Error> {
        let natives = Rc::clone(&self.natives);
        let starts = self.starts_of(&samples.times);
        let is_native = !starts.is_empty() || natives.in_values(&samples.values);
        let native = is_native.then(|| Setting {
            natives: &natives,
            name: labels.metric_name(),
            starts: &starts,
        });
        let windows = Windows { times: &samples.times, values: &samples.values, walk, frame };
        if let (Some(all), None, Edge::Plain) = (visit.all, native, frame.edge) {
            self.budget.count_all(windows.places().iter().map(|(low, high)| high - low));
            return Ok(Slots::of(all(&windows, &mut self.budget)?));
        }
        let mut slots = Slots::with_room(walk.places.len());
        for step in 0..walk.places.len() {
            match windows.at(step, native) {
                Some(window) if !window.times.is_empty() => {
                    self.budget.work(window.times.len())?;
                    let counted = if is_native {
                        window.values.iter().map(|&value| natives.samples_in(value)).sum()
                    } else {
                        window.times.len()
                    };
                    self.budget.count(step, counted);
                    slots.push((visit.each)(step, &window)?);
                }
                _ => slots.push(ABSENT),
            }
        }
        Ok(slots)
    }

    /// The samples of a range vector at one time, sorted by labels.
    pub(crate) fn matrix(&mut self, node: &Node, at: i64) -> Result<Vec<Series>, Error> {
        let steps = Steps::one(at, 1);
        let mut matrix = match &node.bare().expr {
            Expr::Matrix(matrix) => self.stored_matrix(matrix, steps)?,
            Expr::Subquery(subquery) => {
                let frame = self.subquery_frame(subquery, steps)?;
                let before = self.budget.aside();
                let inner = self.subquery_columns(subquery, &frame);
                let counted = usize::try_from(self.budget.back(before)).unwrap_or(usize::MAX);
                self.budget.count(0, counted);
                let (columns, steps) = inner?;
                let columns = without_names(columns)?;
                columns.into_iter().map(|column| series_of(column, steps, &self.natives)).collect()
            }
            _ => Vec::new(),
        };
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(matrix)
    }

    fn stored_matrix(&mut self, matrix: &Matrix, steps: Steps) -> Result<Vec<Series>, Error> {
        let frame = self.matrix_frame(matrix, steps)?;
        self.counts_only = self.reads_counts_only(&matrix.selector);
        let selection = self.find(&matrix.selector.matchers, frame.reach())?;
        let mut out = Vec::new();
        let mut reader = Reader::new(frame.reach());
        for series in &selection.series {
            let mut samples = Samples::default();
            self.read(series, frame.reach(), &mut reader, &mut samples)?;
            drop_stale(&mut samples);
            let (times, values) = match frame.edge {
                Edge::Plain => (samples.times, samples.values),
                edge if self.natives.in_values(&samples.values) => {
                    let word = if edge == Edge::Anchored { "anchored" } else { "smoothed" };
                    return Err(Error::Execution(format!(
                        "{word} modifier is not supported with histograms"
                    )));
                }
                edge => extend(&frame, edge, &samples),
            };
            if !times.is_empty() {
                let counted = values.iter().map(|&value| self.natives.samples_in(value)).sum();
                self.budget.count(0, counted);
                out.push(Series::new(series.labels().clone(), times, values, &self.natives));
            }
        }
        Ok(out)
    }
}

/// At each step the newest sample, unless it is too old or says that the series ended.
fn instants(
    places: &[(usize, usize)],
    samples: &Samples,
    value: &impl Fn(Timestamp, f64) -> f64,
) -> Slots {
    let mut slots = Slots::with_room(places.len());
    for &(low, high) in places {
        let newest = high.checked_sub(1).filter(|_| high > low);
        let found = newest.and_then(|at| Some((*samples.times.get(at)?, *samples.values.get(at)?)));
        slots.push(match found {
            Some((time, found)) if !is_stale(found) => value(time, found),
            _ => ABSENT,
        });
    }
    slots
}

/// At each step the value between the samples around it.
fn smooth_instants(frame: &Frame, samples: &Samples) -> Slots {
    let mut slots = Slots::default();
    for step in 0..frame.steps.count {
        let at = frame.end(step);
        let start = at.saturating_sub(frame.range);
        let low = samples.times.partition_point(|time| time.0 <= start);
        let high = samples.times.partition_point(|time| time.0 <= at.saturating_add(frame.after));
        let next = samples.times.partition_point(|time| time.0 < at);
        let sample = |index: usize| {
            let inside = (low..high).contains(&index);
            let (at, value) = (samples.times.get(index)?, samples.values.get(index)?);
            inside.then_some(Sample { at: *at, value: *value })
        };
        slots.push(match (sample(next.wrapping_sub(1)), sample(next)) {
            (_, Some(next)) if next.at.0 == at => next.value,
            (Some(before), Some(next)) => interpolate(before, next, at, false),
            (Some(before), None) => before.value,
            (None, _) => ABSENT,
        });
    }
    slots
}

/// The value at `at` on the line through two samples; a counter that fell starts at 0.
#[expect(clippy::cast_precision_loss, reason = "as Prometheus computes it")]
pub(crate) fn interpolate(before: Sample, next: Sample, at: i64, counter: bool) -> f64 {
    let from = if counter && next.value < before.value { 0.0 } else { before.value };
    let share = (next.value - from) * (at - before.at.0) as f64;
    from + share / (next.at.0 - before.at.0) as f64
}

/// The samples of an anchored or smoothed range, with one at each border.
fn extend(frame: &Frame, edge: Edge, samples: &Samples) -> (Vec<Timestamp>, Vec<f64>) {
    let (end, start) = (frame.end(0), frame.end(0).saturating_sub(frame.range));
    let at = frame.steps.at(0);
    let (times, values) = (samples.times.as_slice(), samples.values.as_slice());
    let window = Window { times, values, start, end, at, edge, native: None };
    let Some(borders) = crate::functions::extended::Borders::find(&window, false) else {
        return (Vec::new(), Vec::new());
    };
    let (mut times, mut values) = (vec![Timestamp(start)], vec![borders.left]);
    times.extend_from_slice(samples.times.get(borders.inside.clone()).unwrap_or(&[]));
    values.extend_from_slice(samples.values.get(borders.inside.clone()).unwrap_or(&[]));
    times.push(Timestamp(end));
    values.push(borders.right);
    (times, values)
}
