//! Walks the tree.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use narthex_model::{ABSENT, Labels, Sample, Timestamp, is_absent};
use narthex_store::Snapshot;

use crate::annotation::Annotations;
use crate::budget::Budget;
use crate::column::{Column, Flow, drop_metadata, join_same};
use crate::native::{Hints, Natives};
use crate::options::Release;
use crate::output::Point;
use crate::plan::duration::QueryTimes;
use crate::plan::{Expr, Length, Node, Span};
use crate::steps::Steps;
use crate::{Error, Options, Output, Plan, Series, Value, ValueType};

/// Computes `plan` at one time.
///
/// # Errors
/// See [`Error`]; [`Error::kind`] gives the class that the API reports.
pub fn instant(
    plan: &Plan,
    snapshot: &Snapshot,
    at: Timestamp,
    options: &Options,
) -> Result<Output, Error> {
    let times = Times { start: at.0, end: at.0, step: 0 };
    let mut evaluator = Evaluator::new(plan, snapshot, times, options)?;
    let steps = Steps::one(at.0, 1);
    if options.per_step_stats {
        evaluator.budget.count_steps(steps.count)?;
    }
    let value = match plan.value_type() {
        ValueType::Matrix => Value::Matrix(evaluator.matrix(&plan.root, at.0)?),
        _ => match evaluator.eval(&plan.root, steps)? {
            Flow::String(text) => Value::String(at, text),
            Flow::Scalar(values) => {
                Value::Scalar(Sample { at, value: values.first().copied().unwrap_or(f64::NAN) })
            }
            Flow::Vector(columns) => {
                let columns = without_names(columns)?;
                let natives = &evaluator.natives;
                let point = |column: &Column| Point::new(at, column.get(0), natives);
                Value::Vector(columns.iter().map(|c| (c.labels.clone(), point(c))).collect())
            }
        },
    };
    Ok(evaluator.output(value))
}

/// Computes `plan` at every `step` from `start` to `end`, both included. A step of nothing counts
/// as one millisecond.
///
/// # Errors
/// See [`Error`]; [`Error::kind`] gives the class that the API reports.
pub fn range(
    plan: &Plan,
    snapshot: &Snapshot,
    start: Timestamp,
    end: Timestamp,
    step: Duration,
    options: &Options,
) -> Result<Output, Error> {
    let found = plan.value_type();
    if !matches!(found, ValueType::Scalar | ValueType::Vector) {
        return Err(Error::Parameter(format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            found.documented()
        )));
    }
    let step = millis(step).max(1);
    let times = Times { start: start.0, end: end.0, step };
    let mut evaluator = Evaluator::new(plan, snapshot, times, options)?;
    if end < start {
        return Ok(evaluator.output(Value::Matrix(Vec::new())));
    }
    let steps = Steps::between(start.0, end.0, step)?;
    if options.per_step_stats {
        evaluator.budget.count_steps(steps.count)?;
    }
    let columns = match evaluator.eval(&plan.root, steps)? {
        Flow::Vector(columns) => without_names(columns)?,
        Flow::Scalar(values) => {
            vec![Column { labels: Labels::empty(), drop_name: false, first: 0, values }]
        }
        Flow::String(_) => Vec::new(),
    };
    // The times stand beside the values from now on.
    evaluator.budget.hold_bytes(columns.iter().map(|c| size_of_val(&*c.values)).sum())?;
    let natives = &evaluator.natives;
    let mut matrix: Vec<_> = columns.into_iter().map(|c| series_of(c, steps, natives)).collect();
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(evaluator.output(Value::Matrix(matrix)))
}

/// Drops the names that were to go at the end.
pub(crate) fn without_names(mut columns: Vec<Column>) -> Result<Vec<Column>, Error> {
    for column in &mut columns {
        if column.drop_name {
            column.labels = drop_metadata(&column.labels);
        }
    }
    join_same(columns, false)
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A column as the samples that it has.
pub(crate) fn series_of(column: Column, steps: Steps, natives: &Natives) -> Series {
    if column.is_full() {
        let used = column.first..column.first + column.values.len();
        let times = used.map(|step| Timestamp(steps.at(step))).collect();
        return Series::new(column.labels, times, column.values, natives);
    }
    let (times, values) =
        column.iter().map(|(step, value)| (Timestamp(steps.at(step)), value)).unzip();
    Series::new(column.labels, times, values, natives)
}

/// The times of the whole query, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// 0 for an instant query.
    pub(crate) step: i64,
}

/// Computes one query.
#[derive(Debug)]
pub(crate) struct Evaluator<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) options: &'a Options,
    pub(crate) times: Times,
    pub(crate) notes: Annotations,
    pub(crate) budget: Budget<'a>,
    pub(crate) natives: Rc<Natives>,
    /// When the counter of the series that was read last started, by the time of the sample.
    pub(crate) starts: Vec<(Timestamp, i64)>,
    /// How hints of histograms are read.
    pub(crate) hints: Hints,
    /// Whether of the histograms of the series that is read nothing but counts and sums is wanted.
    pub(crate) counts_only: bool,
    /// Within the parameter of an aggregation, where its evaluation begins.
    pub(crate) unresolved: Option<i64>,
    /// Where the selector or the aggregation stands that is begun.
    pub(crate) place: Span,
}

impl<'a> Evaluator<'a> {
    fn new(
        plan: &Plan,
        snapshot: &'a Snapshot,
        times: Times,
        options: &'a Options,
    ) -> Result<Self, Error> {
        if let (Some(error), false) = (&plan.experimental, options.experimental) {
            return Err(error.clone());
        }
        let notes = Annotations::new(&plan.text);
        let budget = Budget::new(options);
        let natives = Rc::new(Natives::new(options, budget.purse()));
        Ok(Self {
            snapshot,
            options,
            times,
            notes,
            budget,
            natives,
            starts: Vec::new(),
            hints: Hints::default(),
            counts_only: false,
            unresolved: None,
            place: Span::default(),
        })
    }

    fn output(mut self, value: Value) -> Output {
        for note in self.natives.take_notes() {
            if note.is_warning {
                self.notes.warn(&note.text, note.at);
            } else {
                self.notes.info(&note.text, note.at);
            }
        }
        let (warnings, infos) = self.notes.into_parts();
        let per_step = self.budget.take_steps();
        let (mut stats, share) = self.budget.end(value.heap_bytes());
        let start = Timestamp(self.times.start);
        stats.samples_per_step = per_step.map(|steps| (start, self.times.step, steps.into()));
        Output { value, warnings, infos, stats, share: Arc::new(share) }
    }

    /// Marks the name of `column` for removal, or removes it at once.
    pub(crate) fn drop_name(&self, column: &mut Column) {
        if !self.options.delayed_name_removal {
            column.labels = drop_metadata(&column.labels);
        }
        column.drop_name = true;
    }

    /// The length in milliseconds.
    pub(crate) fn length(&self, length: &Length) -> Result<i64, Error> {
        let range_ms = self.times.end.saturating_sub(self.times.start);
        let times = QueryTimes { step_ms: self.times.step, range_ms };
        length.resolve(times).map_err(Error::Parameter)
    }

    /// How far back instant selectors look, in milliseconds.
    pub(crate) fn lookback(&self) -> i64 {
        millis(self.options.lookback).max(1)
    }

    /// Computes `node` at all `steps`.
    pub(crate) fn eval(&mut self, node: &Node, steps: Steps) -> Result<Flow, Error> {
        self.budget.check()?;
        match &node.expr {
            Expr::Number(value) => {
                self.budget.hold(steps.count)?;
                return Ok(Flow::Scalar(vec![*value; steps.count]));
            }
            Expr::String(text) => return Ok(Flow::String(text.clone())),
            Expr::Paren(inner) => return self.eval(inner, steps),
            _ => {}
        }
        if node.invariant && steps.count > 1 && self.unresolved.is_none() {
            let before = self.budget.aside();
            let once = self.eval_varying(node, Steps { count: 1, ..steps });
            // As in Prometheus it counts as if each step had computed it.
            let counted = self.budget.back(before);
            self.budget.count_each(steps.count, counted);
            return self.repeat(once?, steps.count);
        }
        self.eval_varying(node, steps)
    }

    fn eval_varying(&mut self, node: &Node, steps: Steps) -> Result<Flow, Error> {
        match &node.expr {
            Expr::Vector(selector) => {
                self.place = node.span;
                Ok(Flow::Vector(self.select(selector, steps)?))
            }
            Expr::Unary(negative, inner) => self.unary(*negative, inner, steps),
            Expr::Binary(binary) => self.binary(binary, node.span, steps),
            Expr::Aggregate(aggregate) => {
                self.place = node.span;
                Ok(Flow::Vector(self.aggregate(aggregate, steps)?))
            }
            Expr::Call(call) => self.call(call, node.span, steps),
            Expr::Number(_) | Expr::String(_) | Expr::Paren(_) => self.eval(node, steps),
            Expr::Matrix(_) | Expr::Subquery(_) => {
                Err(Error::Unsupported("a range vector in this place".to_owned()))
            }
        }
    }

    /// Computes a node that is a vector.
    pub(crate) fn vector(&mut self, node: &Node, steps: Steps) -> Result<Vec<Column>, Error> {
        match self.eval(node, steps)? {
            Flow::Vector(columns) => Ok(columns),
            _ => Err(Error::Execution("expected an instant vector".to_owned())),
        }
    }

    /// Computes a node that is a number.
    pub(crate) fn scalar(&mut self, node: &Node, steps: Steps) -> Result<Vec<f64>, Error> {
        match self.eval(node, steps)? {
            Flow::Scalar(values) => Ok(values),
            _ => Err(Error::Execution("expected a scalar".to_owned())),
        }
    }

    /// Says that `columns` are held, and no more what was before, when `held` were.
    pub(crate) fn keep(&mut self, columns: &[Column], held: usize) -> Result<(), Error> {
        let now = self.budget.held();
        self.budget.release(now.saturating_sub(held));
        self.budget.hold(columns.iter().map(|column| column.values.len()).sum())
    }

    fn repeat(&mut self, once: Flow, count: usize) -> Result<Flow, Error> {
        match once {
            Flow::Scalar(values) => {
                self.budget.hold(count)?;
                Ok(Flow::Scalar(vec![values.first().copied().unwrap_or(f64::NAN); count]))
            }
            Flow::String(text) => Ok(Flow::String(text)),
            Flow::Vector(mut columns) => {
                self.budget.hold(columns.len().saturating_mul(count))?;
                for column in &mut columns {
                    column.values = vec![column.get(0); count];
                    column.first = 0;
                }
                columns.retain(|column| column.values.first().is_some_and(|&v| !is_absent(v)));
                Ok(Flow::Vector(columns))
            }
        }
    }

    fn unary(&mut self, negative: bool, inner: &Node, steps: Steps) -> Result<Flow, Error> {
        let mut flow = self.eval(inner, steps)?;
        if !negative {
            return Ok(flow);
        }
        match &mut flow {
            Flow::Scalar(values) => {
                for value in values {
                    *value = -*value;
                }
            }
            Flow::String(_) => {}
            Flow::Vector(columns) => {
                let natives = Rc::clone(&self.natives);
                for column in columns.iter_mut() {
                    column.map(|_, value| natives.negative(value));
                    self.drop_name(column);
                }
                if !self.options.delayed_name_removal {
                    let strict = self.options.release == Release::V3_5;
                    return Ok(Flow::Vector(join_same(std::mem::take(columns), strict)?));
                }
            }
        }
        Ok(flow)
    }
}

/// 1 or 0.
pub(crate) fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// The value if `keep`, else none.
pub(crate) fn only_if(keep: bool, value: f64) -> f64 {
    if keep { value } else { ABSENT }
}
