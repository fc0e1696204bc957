//! Functions, one file per family.

use narthex_model::{ABSENT, Labels};

use self::native::Case;
use crate::Error;
use crate::annotation::TEXTS_MAX;
use crate::budget::Budget;
use crate::column::{Column, Flow, join_same};
use crate::eval::Evaluator;
use crate::native::is_handle;
use crate::options::Release;
use crate::plan::{Call, Edge, Expr, Func, Node, Selector, Span};
use crate::select::{Taker, Visit};
use crate::steps::Steps;
use crate::window::{Window, Windows};

mod absent;
mod counter;
mod date;
pub(crate) mod extended;
mod histogram;
mod info;
mod label;
mod math;
pub(crate) mod native;
mod order;
mod over_time;
mod rate;
mod sliding;
mod trend;

/// What a function of a range makes of one window; [`ABSENT`] for nothing. The numbers are its
/// scalar arguments at that step.
pub(crate) type WindowFn = fn(&Window<'_>, &[f64]) -> f64;

/// The window function of `func`, if it is a function of a range.
pub(crate) fn window_fn(func: Func, release: Release) -> Option<WindowFn> {
    Some(match func {
        Func::Rate => rate::rate,
        Func::Increase => rate::increase,
        Func::Delta => rate::delta,
        Func::Irate => rate::irate,
        Func::Idelta => rate::idelta,
        Func::Changes => counter::changes,
        Func::Resets => counter::resets,
        Func::Deriv => trend::deriv,
        Func::PredictLinear => trend::predict_linear,
        Func::DoubleExponentialSmoothing => trend::double_exponential_smoothing,
        Func::AvgOverTime => over_time::avg,
        Func::SumOverTime => over_time::sum,
        Func::MinOverTime => over_time::min,
        Func::MaxOverTime => over_time::max,
        Func::CountOverTime => over_time::count,
        Func::FirstOverTime => over_time::first,
        Func::LastOverTime => over_time::last,
        Func::PresentOverTime | Func::AbsentOverTime => over_time::present,
        Func::StddevOverTime => over_time::stddev,
        Func::StdvarOverTime => over_time::stdvar,
        Func::MadOverTime if release == Release::V3_5 => over_time::mad_of_most,
        Func::MadOverTime => over_time::mad,
        Func::QuantileOverTime => over_time::quantile,
        Func::TsOfFirstOverTime => over_time::ts_of_first,
        Func::TsOfLastOverTime => over_time::ts_of_last,
        Func::TsOfMaxOverTime => over_time::ts_of_max,
        Func::TsOfMinOverTime => over_time::ts_of_min,
        _ => return None,
    })
}

/// What a function of a range makes of all plain windows of a series of numbers: for each step the same
/// as its [`WindowFn`] of each, but found sooner.
pub(crate) type WindowsFn = fn(&Windows<'_>, &mut Budget<'_>) -> Result<Vec<f64>, Error>;

/// The faster way to compute `func` of a range, if there is one.
fn windows_fn(func: Func) -> Option<WindowsFn> {
    Some(match func {
        Func::Rate => rate::rates,
        Func::Increase => rate::increases,
        Func::Delta => rate::deltas,
        Func::AvgOverTime => sliding::avg,
        Func::SumOverTime => sliding::sum,
        Func::MinOverTime => sliding::min,
        Func::MaxOverTime => sliding::max,
        _ => return None,
    })
}

/// Computes a function of a range, which may hold more than numbers.
fn apply(
    func: Func,
    compute: WindowFn,
    window: &Window<'_>,
    numbers: &[f64],
    at: Span,
) -> Result<f64, Error> {
    match window.native {
        None => Ok(compute(window, numbers)),
        Some(setting) => native::range(func, compute, window, numbers, Case { setting, at }),
    }
}

fn is_range(node: &Node) -> bool {
    node.value_type() == crate::ValueType::Matrix
}

impl Call {
    /// The argument `index`.
    fn arg(&self, index: usize) -> Result<&Node, Error> {
        let name = self.function.name;
        self.args
            .get(index)
            .ok_or_else(|| Error::Execution(format!("argument {index} of {name}() is missing")))
    }

    /// The argument that is a range.
    fn range(&self) -> Result<&Node, Error> {
        let range = self.args.iter().find(|arg| is_range(arg));
        range.ok_or_else(|| Error::Execution("expected a range vector".to_owned()))
    }

    /// Where an argument stands for annotations: without parentheses, which 3.5 keeps around what
    /// it computes once for a query that it computes at each step.
    fn place(&self, arg: &Node, release: Release) -> Span {
        let at_once =
            !self.function.func.depends_on_time() && self.args.iter().all(|arg| arg.invariant);
        if release == Release::V3_5 && arg.invariant && !at_once {
            arg.span
        } else {
            arg.bare().span
        }
    }

    /// Where the range stands. Prometheus does not know that of samples that it computed.
    fn range_place(&self, release: Release) -> Result<Span, Error> {
        let range = self.range()?;
        Ok(match &range.bare().expr {
            Expr::Subquery(_) => Span::default(),
            _ => self.place(range, release),
        })
    }

    /// The text that the argument `index` is.
    fn text(&self, index: usize) -> Result<&str, Error> {
        match &self.arg(index)?.bare().expr {
            Expr::String(text) => Ok(text),
            _ => Err(Error::Execution("expected a string literal".to_owned())),
        }
    }
}

/// Whether a column has a value that is no histogram.
pub(crate) fn has_number(column: &Column) -> bool {
    column.iter().any(|(_, value)| !is_handle(value))
}

impl Evaluator<'_> {
    /// Computes a call.
    pub(crate) fn call(&mut self, call: &Call, span: Span, steps: Steps) -> Result<Flow, Error> {
        let hints = self.hints;
        self.hints = hints.within(call.function.func);
        let flow = self.call_inside(call, span, steps);
        self.hints = hints;
        flow
    }

    fn call_inside(&mut self, call: &Call, span: Span, steps: Steps) -> Result<Flow, Error> {
        let func = call.function.func;
        if let Some(compute) = window_fn(func, self.options.release) {
            return self.range_call(call, compute, steps).map(Flow::Vector);
        }
        if let Some(numbers) = self.number_call(call, steps)? {
            return Ok(Flow::Scalar(numbers));
        }
        let held = self.budget.held();
        let columns = match func {
            Func::Timestamp => self.timestamp(call, steps)?,
            Func::StartTimestamp => self.start_timestamp(call, steps)?,
            Func::Absent => self.absent(call, steps)?,
            Func::Vector => self.vector_of(call, steps)?,
            Func::LabelReplace => self.label_replace(call, steps)?,
            Func::LabelJoin => self.label_join(call, steps)?,
            Func::Sort | Func::SortDesc => self.sort(call, span, steps)?,
            Func::SortByLabel | Func::SortByLabelDesc => self.sort_by_label(call, span, steps)?,
            Func::HistogramQuantile
            | Func::HistogramQuantiles
            | Func::HistogramFraction
            | Func::HistogramAvg
            | Func::HistogramCount
            | Func::HistogramStddev
            | Func::HistogramStdvar
            | Func::HistogramSum => self.histogram(call, steps)?,
            Func::Info => self.info(call, steps)?,
            Func::Clamp | Func::ClampMax | Func::ClampMin | Func::Round => {
                self.bounded(call, steps)?
            }
            _ => match date::field(func) {
                Some(field) => self.dates(call, field, steps)?,
                None => self.math(call, steps)?,
            },
        };
        self.keep(&columns, held)?;
        Ok(Flow::Vector(columns))
    }

    /// Functions that give a number per step.
    fn number_call(&mut self, call: &Call, steps: Steps) -> Result<Option<Vec<f64>>, Error> {
        let times = self.times;
        #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ms")]
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let length = crate::numeric::seconds;
        let constant = match call.function.func {
            Func::Pi => std::f64::consts::PI,
            Func::Start => seconds(times.start),
            Func::End => seconds(times.end),
            Func::Step if times.start == times.end => 0.0,
            Func::Step => length(times.step),
            Func::Range => length(times.end.saturating_sub(times.start)),
            Func::Time => {
                self.budget.hold(steps.count)?;
                return Ok(Some(steps.iter().map(seconds).collect()));
            }
            Func::Scalar => return self.scalar_of(call, steps).map(Some),
            Func::MinOf | Func::MaxOf => return self.choose_number(call, steps).map(Some),
            _ => return Ok(None),
        };
        self.budget.hold(steps.count)?;
        Ok(Some(vec![constant; steps.count]))
    }

    /// A function of a range.
    fn range_call(
        &mut self,
        call: &Call,
        compute: WindowFn,
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        let func = call.function.func;
        let mut taker = Taker::Keep(Vec::new());
        let range = self.range_into(call, compute, steps, &mut taker)?;
        let mut columns = taker.columns();
        if func == Func::AbsentOverTime {
            return self.absent_over_time(range, &columns, steps);
        }
        let of_numbers = columns.iter().filter(|column| has_number(column));
        self.note_counters(call, of_numbers.map(|column| &column.labels));
        if !func.keeps_name() {
            for column in &mut columns {
                self.drop_name(column);
            }
        }
        if self.options.delayed_name_removal {
            return Ok(columns);
        }
        join_same(columns, true)
    }

    /// Computes the columns of a function of a range, names and all; gives the range.
    pub(crate) fn range_into<'c>(
        &mut self,
        call: &'c Call,
        compute: WindowFn,
        steps: Steps,
        taker: &mut Taker<'_>,
    ) -> Result<&'c Node, Error> {
        let func = call.function.func;
        let range = call.range()?;
        check_edge(call, range)?;
        let place = call.range_place(self.options.release)?;
        let mut numbers = Vec::new();
        for arg in call.args.iter().filter(|arg| !is_range(arg)) {
            let place = call.place(arg, self.options.release);
            numbers.push((self.scalar(arg, steps)?, place));
        }
        if numbers.is_empty() {
            let mut each = |_: usize, window: &Window<'_>| apply(func, compute, window, &[], place);
            let mut visit = Visit { each: &mut each, all: windows_fn(func) };
            self.windows(range, steps, &mut visit, taker)?;
            return Ok(range);
        }
        let mut at_step = vec![0.0; numbers.len()];
        let mut wrong = Vec::new();
        let mut each = |step: usize, window: &Window<'_>| {
            for (slot, (values, _)) in at_step.iter_mut().zip(&numbers) {
                *slot = values.get(step).copied().unwrap_or(f64::NAN);
            }
            trend::check(func, &at_step)?;
            if let (Func::QuantileOverTime, Some(&q)) = (func, at_step.first())
                && !(0.0..=1.0).contains(&q)
                && window.values.iter().any(|&value| !is_handle(value))
                && wrong.last() != Some(&q)
                && wrong.len() < TEXTS_MAX
            {
                wrong.push(q);
            }
            apply(func, compute, window, &at_step, place)
        };
        self.windows(range, steps, &mut Visit { each: &mut each, all: None }, taker)?;
        for q in wrong {
            self.warn_quantile(&[q], numbers.first().map_or(range.span, |(_, span)| *span));
        }
        Ok(range)
    }

    /// Notes metrics of numbers that are not named like counters, if the function takes counters.
    pub(crate) fn note_counters<'l>(
        &mut self,
        call: &Call,
        labels: impl Iterator<Item = &'l Labels>,
    ) {
        const ENDS: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
        if !matches!(call.function.func, Func::Rate | Func::Increase) {
            return;
        }
        let Ok(place) = call.range_place(self.options.release) else { return };
        let mut last = "";
        for labels in labels {
            let name = labels.metric_name();
            if name.is_empty() || name == last || ENDS.iter().any(|end| name.ends_with(end)) {
                continue;
            }
            last = name;
            let message = format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                crate::plan::quoted(name)
            );
            self.notes.info(&message, place);
        }
    }

    fn vector_of(&mut self, call: &Call, steps: Steps) -> Result<Vec<Column>, Error> {
        let values = self.scalar(call.arg(0)?, steps)?;
        Ok(vec![Column { labels: Labels::empty(), drop_name: false, first: 0, values }])
    }

    /// The only element at each step, or NaN.
    fn scalar_of(&mut self, call: &Call, steps: Steps) -> Result<Vec<f64>, Error> {
        let held = self.budget.held();
        let columns = self.numbers(call.arg(0)?, steps)?;
        let mut values = vec![ABSENT; steps.count];
        for column in &columns {
            for (step, value) in column.iter() {
                if let Some(slot) = values.get_mut(step) {
                    *slot = if narthex_model::is_absent(*slot) { value } else { f64::NAN };
                }
            }
        }
        values.iter_mut().filter(|v| narthex_model::is_absent(**v)).for_each(|v| *v = f64::NAN);
        self.keep(&[], held)?;
        self.budget.hold(steps.count)?;
        Ok(values)
    }

    fn choose_number(&mut self, call: &Call, steps: Steps) -> Result<Vec<f64>, Error> {
        let mut first = self.scalar(call.arg(0)?, steps)?;
        let second = self.scalar(call.arg(1)?, steps)?;
        let greater = call.function.func == Func::MaxOf;
        for (a, b) in first.iter_mut().zip(second) {
            *a =
                if greater { crate::numeric::go_max(*a, b) } else { crate::numeric::go_min(*a, b) };
        }
        Ok(first)
    }

    /// The time of each sample that a selector finds; of anything else the time of evaluation.
    fn timestamp(&mut self, call: &Call, steps: Steps) -> Result<Vec<Column>, Error> {
        let arg = call.arg(0)?;
        let mut columns = if let Expr::Vector(selector) = &arg.bare().expr {
            // Also of a smoothed selector, the time of the sample before.
            let plain = Selector { edge: Edge::Plain, ..selector.clone() };
            self.select_times(&plain, steps, |at, _| at.seconds())?
        } else {
            let mut columns = self.vector(arg, steps)?;
            let seconds = |step| narthex_model::Timestamp(steps.at(step)).seconds();
            for column in &mut columns {
                column.map(|step, _| seconds(step));
            }
            columns
        };
        for column in &mut columns {
            self.drop_name(column);
        }
        join_same(columns, false)
    }
}

/// Whether the function can do with `anchored` or `smoothed` ranges.
fn check_edge(call: &Call, range: &Node) -> Result<(), Error> {
    let Expr::Matrix(matrix) = &range.bare().expr else { return Ok(()) };
    let (word, allowed): (_, &[&str]) = match matrix.selector.edge {
        Edge::Plain => return Ok(()),
        Edge::Anchored => ("anchored", &["changes", "delta", "increase", "rate", "resets"]),
        Edge::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
    };
    let name = call.function.name;
    if allowed.contains(&name) {
        return Ok(());
    }
    let allowed = allowed.join(", ");
    Err(Error::Execution(format!(
        "{word} modifier can only be used with: {allowed} - not with {name}"
    )))
}
