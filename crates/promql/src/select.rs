//! Selectors: samples of the store as columns and as windows.

use narthex_model::{ABSENT, Labels, Sample, TimeRange, Timestamp, is_stale};
use narthex_store::{Samples, Selection};

use crate::column::{Column, Flow, Slots};
use crate::eval::{Evaluator, series_of, without_names};
use crate::plan::{Edge, Expr, Matrix, Node, Selector, Subquery};
use crate::steps::Steps;
use crate::{Error, Series};

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
}

/// Which window belongs to which step.
#[derive(Clone, Copy, Debug)]
struct Frame {
    steps: Steps,
    fixed: Option<i64>,
    offset: i64,
    range: i64,
    before: i64,
    after: i64,
    edge: Edge,
}

impl Frame {
    /// The right border of the window at `step`.
    fn end(&self, step: usize) -> i64 {
        self.fixed.unwrap_or_else(|| self.steps.at(step)).saturating_sub(self.offset)
    }

    /// All times that a window can touch.
    fn reach(&self) -> TimeRange {
        let first = self.end(0);
        let last = self.end(self.steps.count.saturating_sub(1));
        let start = first.saturating_sub(self.range + self.before).saturating_add(1);
        TimeRange::new(Timestamp(start), Timestamp(last.saturating_add(self.after)))
    }
}

/// Takes what a range function gives for each window of one series.
pub(crate) type Visit<'v> = dyn FnMut(usize, &Window<'_>) -> Result<f64, Error> + 'v;

impl Evaluator<'_> {
    /// Finds series, with the store's warnings noted.
    pub(crate) fn find(
        &mut self,
        matchers: &[narthex_model::Matcher],
        range: TimeRange,
    ) -> Result<Selection, Error> {
        let selection = self.snapshot.select(matchers, range)?;
        for warning in &selection.warnings {
            self.notes.warn_plain(warning.clone());
        }
        self.budget.stats.series += selection.series.len() as u64;
        Ok(selection)
    }

    /// Reads one series; the budget holds what `samples` holds afterwards.
    fn read(
        &mut self,
        series: &narthex_store::Series,
        range: TimeRange,
        samples: &mut Samples,
    ) -> Result<(), Error> {
        self.budget.release(samples.times.len());
        samples.clear();
        self.budget.tick()?;
        series.read(range, samples)?;
        for warning in samples.warnings.drain(..) {
            self.notes.warn_plain(warning);
        }
        self.budget.hold(samples.times.len())
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
        let smoothed = selector.edge == Edge::Smoothed;
        let frame = Frame {
            steps,
            fixed: self.fixed(selector.at),
            offset: self.length(&selector.offset)?,
            range: self.lookback(),
            before: 0,
            after: if smoothed { self.lookback() } else { 0 },
            edge: selector.edge,
        };
        let selection = self.find(&selector.matchers, frame.reach())?;
        let mut samples = Samples::default();
        let mut columns = Vec::new();
        for series in &selection.series {
            self.read(series, frame.reach(), &mut samples)?;
            if smoothed {
                drop_stale(&mut samples);
            }
            let slots = if smoothed {
                smooth_instants(&frame, &samples)
            } else {
                instants(&frame, &samples, &value)
            };
            if let Some(column) = slots.column(series.labels().clone(), false) {
                self.budget.hold(column.values.len())?;
                self.budget.stats.samples_total += column.values.len() as u64;
                columns.push(column);
            }
        }
        self.budget.release(samples.times.len());
        Ok(columns)
    }

    /// Calls `visit` for each series and each step at which its window has a sample; gives the
    /// columns of what it answered. `node` is a range selector or a subquery.
    pub(crate) fn windows(
        &mut self,
        node: &Node,
        steps: Steps,
        visit: &mut Visit<'_>,
    ) -> Result<Vec<Column>, Error> {
        match &node.bare().expr {
            Expr::Matrix(matrix) => self.stored_windows(matrix, steps, visit),
            Expr::Subquery(subquery) => self.subquery_windows(subquery, steps, visit),
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
    ) -> Result<Vec<Column>, Error> {
        let frame = self.matrix_frame(matrix, steps)?;
        let selection = self.find(&matrix.selector.matchers, frame.reach())?;
        let mut samples = Samples::default();
        let mut columns = Vec::new();
        for series in &selection.series {
            self.read(series, frame.reach(), &mut samples)?;
            drop_stale(&mut samples);
            let column = self.slide(&frame, series.labels(), false, &samples, visit)?;
            columns.extend(column);
        }
        self.budget.release(samples.times.len());
        Ok(columns)
    }

    fn subquery_frame(&self, subquery: &Subquery, steps: Steps) -> Result<Frame, Error> {
        Ok(Frame {
            steps,
            fixed: self.fixed(subquery.at),
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
        let columns = match self.eval(&subquery.inner, steps)? {
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
    ) -> Result<Vec<Column>, Error> {
        let held = self.budget.held();
        let frame = self.subquery_frame(subquery, steps)?;
        let (inner, inner_steps) = self.subquery_columns(subquery, &frame)?;
        let mut samples = Samples::default();
        let mut columns = Vec::new();
        for column in inner {
            self.budget.tick()?;
            samples.clear();
            for (step, value) in column.iter() {
                samples.times.push(Timestamp(inner_steps.at(step)));
                samples.values.push(value);
            }
            drop_stale(&mut samples);
            let slid = self.slide(&frame, &column.labels, column.drop_name, &samples, visit)?;
            columns.extend(slid);
        }
        self.keep(&columns, held)?;
        Ok(columns)
    }

    /// Slides a window over the samples of one series.
    fn slide(
        &mut self,
        frame: &Frame,
        labels: &Labels,
        drop_name: bool,
        samples: &Samples,
        visit: &mut Visit<'_>,
    ) -> Result<Option<Column>, Error> {
        let mut slots = Slots::default();
        let (mut low, mut high) = (0, 0);
        for step in 0..frame.steps.count {
            let end = frame.end(step);
            let start = end.saturating_sub(frame.range);
            let is_before = |border: i64| move |time: &Timestamp| time.0 <= border;
            low = advance(&samples.times, low, is_before(start.saturating_sub(frame.before)));
            high =
                advance(&samples.times, high.max(low), is_before(end.saturating_add(frame.after)));
            let (Some(times), Some(values)) =
                (samples.times.get(low..high), samples.values.get(low..high))
            else {
                continue;
            };
            self.budget.stats.samples_total += times.len() as u64;
            if times.is_empty() {
                slots.push(ABSENT);
                continue;
            }
            let at = frame.steps.at(step);
            let window = Window { times, values, start, end, at, edge: frame.edge };
            slots.push(visit(step, &window)?);
        }
        if slots.is_empty() {
            return Ok(None);
        }
        let column = slots.column(labels.clone(), drop_name);
        self.budget.hold(column.as_ref().map_or(0, |column| column.values.len()))?;
        Ok(column)
    }

    /// The samples of a range vector at one time, sorted by labels.
    pub(crate) fn matrix(&mut self, node: &Node, at: i64) -> Result<Vec<Series>, Error> {
        let steps = Steps::one(at, 1);
        let mut matrix = match &node.bare().expr {
            Expr::Matrix(matrix) => self.stored_matrix(matrix, steps)?,
            Expr::Subquery(subquery) => {
                let frame = self.subquery_frame(subquery, steps)?;
                let (columns, steps) = self.subquery_columns(subquery, &frame)?;
                let columns = without_names(columns)?;
                columns.into_iter().map(|column| series_of(column, steps)).collect()
            }
            _ => Vec::new(),
        };
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(matrix)
    }

    fn stored_matrix(&mut self, matrix: &Matrix, steps: Steps) -> Result<Vec<Series>, Error> {
        let frame = self.matrix_frame(matrix, steps)?;
        let selection = self.find(&matrix.selector.matchers, frame.reach())?;
        let mut out = Vec::new();
        for series in &selection.series {
            let mut samples = Samples::default();
            self.read(series, frame.reach(), &mut samples)?;
            drop_stale(&mut samples);
            let (times, values) = match frame.edge {
                Edge::Plain => (samples.times, samples.values),
                edge => extend(&frame, edge, &samples),
            };
            if !times.is_empty() {
                self.budget.stats.samples_total += times.len() as u64;
                out.push(Series { labels: series.labels().clone(), times, values });
            }
        }
        Ok(out)
    }
}

/// The first index from `from` on whose time is not `before` the border any more.
fn advance(times: &[Timestamp], from: usize, before: impl Fn(&Timestamp) -> bool) -> usize {
    let rest = times.get(from..).unwrap_or(&[]);
    from + rest.iter().take_while(|time| before(time)).count()
}

/// Removes staleness markers: ranges do not see them.
fn drop_stale(samples: &mut Samples) {
    if !samples.values.iter().any(|&value| is_stale(value)) {
        return;
    }
    let mut keep = samples.values.iter().map(|&value| !is_stale(value));
    samples.times.retain(|_| keep.next().unwrap_or(true));
    samples.values.retain(|&value| !is_stale(value));
}

/// At each step the newest sample, unless it is too old or says that the series ended.
fn instants(frame: &Frame, samples: &Samples, value: &impl Fn(Timestamp, f64) -> f64) -> Slots {
    let mut slots = Slots::default();
    let mut next = 0;
    for step in 0..frame.steps.count {
        let end = frame.end(step);
        next = advance(&samples.times, next, |time| time.0 <= end);
        let index = next.wrapping_sub(1);
        let found = match (samples.times.get(index), samples.values.get(index)) {
            (Some(&time), Some(&found))
                if time.0 > end.saturating_sub(frame.range) && !is_stale(found) =>
            {
                value(time, found)
            }
            _ => ABSENT,
        };
        slots.push(found);
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
    let window = Window { times: &samples.times, values: &samples.values, start, end, at, edge };
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
