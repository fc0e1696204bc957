//! Functions of ranges that hold histograms or start times.

use std::sync::Arc;

use narthex_model::histogram::Hint;
use narthex_model::{ABSENT, Histogram, Timestamp};

use super::WindowFn;
use crate::Error;
use crate::native::{Setting, is_handle};
use crate::options::Release;
use crate::plan::{Edge, Func, Span, quoted};
use crate::window::Window;

mod extended;
mod over_time;
mod rate;
mod resets;
pub(crate) mod words;

pub(crate) use extended::smooth;
pub(crate) use over_time::{Seen, average, sum};

/// One sample of a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point<T> {
    pub(crate) at: i64,
    /// When the counter started, or 0.
    pub(crate) start: i64,
    pub(crate) value: T,
}

/// A window, its numbers and its histograms apart.
#[derive(Debug, Default)]
pub(crate) struct Split {
    pub(crate) numbers: Vec<Point<f64>>,
    pub(crate) histograms: Vec<Point<Arc<Histogram>>>,
}

/// What a function knows besides the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) setting: Setting<'a>,
    /// Where the range stands.
    pub(crate) at: Span,
}

impl Case<'_> {
    fn warn(&self, text: String) {
        self.setting.natives.warn(text, self.at);
    }

    fn info(&self, text: String) {
        self.setting.natives.info(text, self.at);
    }

    fn mixed(&self) -> f64 {
        self.warn(words::mixed_range(self.setting.name));
        ABSENT
    }

    fn mixed_schemas(&self) -> f64 {
        self.warn(words::mixed_schemas(self.setting.name));
        ABSENT
    }

    fn not_a_counter(&self) {
        let name = quoted(self.setting.name);
        self.warn(format!("this native histogram metric is not a counter: {name}"));
    }

    fn not_a_gauge(&self) {
        let name = quoted(self.setting.name);
        self.warn(format!("this native histogram metric is not a gauge: {name}"));
    }

    fn put(&self, histogram: Histogram) -> f64 {
        self.setting.natives.add(histogram)
    }
}

fn is_gauge(histogram: &Histogram) -> bool {
    histogram.hint == Hint::Gauge
}

/// Whether the counter began anew between two histograms. In 3.5 other bounds are a reset.
fn is_reset(before: &Histogram, now: &Histogram, case: Case<'_>) -> bool {
    let strict = case.setting.natives.release() == Release::V3_5 && now.hint != Hint::NotReset;
    (strict && now.is_custom() && now.bounds != before.bounds) || now.is_reset_since(before)
}

impl Split {
    fn new(window: &Window<'_>, setting: Setting<'_>) -> Self {
        let mut split = Self::default();
        let samples = window.times.iter().zip(window.values).enumerate();
        for (index, (&Timestamp(at), &value)) in samples {
            let start = setting.starts.get(index).copied().unwrap_or(0);
            match setting.natives.get(value) {
                Some(value) => split.histograms.push(Point { at, start, value }),
                None => split.numbers.push(Point { at, start, value }),
            }
        }
        split
    }
}

/// Whether the counter began anew between two samples, by its start times.
pub(crate) fn restarted<T>(before: &Point<T>, now: &Point<T>) -> bool {
    // A start at the time of the sample itself says that it is not known, a later one is wrong.
    if now.start == 0 || now.start >= now.at || now.start < before.at {
        return false;
    }
    if now.start > before.at {
        return true;
    }
    // A start at the sample before: each sample counts for itself, unless it is not known of that
    // sample either.
    before.start < before.at && before.start != 0
}

/// Computes `func` of a window that may hold histograms or start times; `compute` is the function
/// of numbers.
pub(crate) fn range(
    func: Func,
    compute: WindowFn,
    window: &Window<'_>,
    numbers: &[f64],
    case: Case<'_>,
) -> Result<f64, Error> {
    case.setting.natives.check()?;
    let value = match func {
        // What these give or count may be either.
        Func::FirstOverTime
        | Func::LastOverTime
        | Func::CountOverTime
        | Func::PresentOverTime
        | Func::AbsentOverTime
        | Func::TsOfFirstOverTime
        | Func::TsOfLastOverTime => compute(window, numbers),
        Func::Rate => rate::rate(window, rate::RATE, compute, case),
        Func::Increase => rate::rate(window, rate::INCREASE, compute, case),
        Func::Delta => rate::rate(window, rate::DELTA, compute, case),
        Func::Irate => rate::instant(window, true, case),
        Func::Idelta => rate::instant(window, false, case),
        Func::Resets => resets::resets(window, case),
        Func::Changes => resets::changes(window, case),
        Func::SumOverTime | Func::AvgOverTime if has_histogram(window) => {
            over_time::total(window, func == Func::AvgOverTime, case)
        }
        _ => of_numbers(func, compute, window, numbers, case),
    };
    Ok(value)
}

fn has_histogram(window: &Window<'_>) -> bool {
    window.values.iter().any(|&value| is_handle(value))
}

/// A function that leaves histograms out, and says so.
fn of_numbers(
    func: Func,
    compute: WindowFn,
    window: &Window<'_>,
    numbers: &[f64],
    case: Case<'_>,
) -> f64 {
    if !has_histogram(window) {
        return compute(window, numbers);
    }
    let pairs = window.times.iter().zip(window.values).filter(|(_, value)| !is_handle(**value));
    let (times, values): (Vec<Timestamp>, Vec<f64>) = pairs.unzip();
    if values.is_empty() {
        return ABSENT;
    }
    let name = quoted(case.setting.name);
    case.info(format!(
        "ignored histograms in a range containing both floats and histograms for metric name {name}"
    ));
    let lines =
        matches!(func, Func::Deriv | Func::PredictLinear | Func::DoubleExponentialSmoothing);
    if lines && values.len() < 2 {
        return ABSENT;
    }
    window.with_samples(&times, &values, |window| compute(window, numbers))
}

/// Whether a window is anchored or smoothed.
fn is_extended(window: &Window<'_>) -> bool {
    window.edge != Edge::Plain
}
