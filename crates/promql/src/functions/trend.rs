//! Lines through samples, and smoothing.

use narthex_model::ABSENT;
use narthex_model::number::GoFloat;

use crate::Error;
use crate::numeric::Sum;
use crate::plan::Func;
use crate::window::Window;

/// Checks the scalar arguments of a function of this family.
pub(super) fn check(func: Func, numbers: &[f64]) -> Result<(), Error> {
    if func != Func::DoubleExponentialSmoothing {
        return Ok(());
    }
    for (name, short, &value) in
        [("smoothing", "sf"), ("trend", "tf")].iter().zip(numbers).map(|((n, s), v)| (n, s, v))
    {
        if value <= 0.0 || value >= 1.0 {
            let value =
                if value.is_finite() { format!("{value:.6}") } else { GoFloat(value).to_string() };
            return Err(Error::Execution(format!(
                "invalid {name} factor. Expected: 0 < {short} < 1, got: {value}"
            )));
        }
    }
    Ok(())
}

pub(super) fn deriv(window: &Window<'_>, _: &[f64]) -> f64 {
    match window.first() {
        Some((at, _)) if window.values.len() > 1 => regression(window, at.0).0,
        _ => ABSENT,
    }
}

pub(super) fn predict_linear(window: &Window<'_>, numbers: &[f64]) -> f64 {
    if window.values.len() < 2 {
        return ABSENT;
    }
    let (slope, intercept) = regression(window, window.at);
    slope * numbers.first().copied().unwrap_or(f64::NAN) + intercept
}

/// Slope per second and value at `at` of the line through all samples.
#[expect(clippy::cast_precision_loss, reason = "as Prometheus computes it")]
#[expect(clippy::float_cmp, reason = "whether all values are the very same")]
fn regression(window: &Window<'_>, at: i64) -> (f64, f64) {
    let mut n = 0.0;
    let (mut sum_of_x, mut sum_of_y) = (Sum::default(), Sum::default());
    let (mut products, mut squares) = (Sum::default(), Sum::default());
    let first = window.values.first().copied().unwrap_or(f64::NAN);
    let mut constant = true;
    for (index, (time, &y)) in window.times.iter().zip(window.values).enumerate() {
        constant &= index == 0 || y == first;
        n += 1.0;
        let x = time.0.saturating_sub(at) as f64 / 1e3;
        sum_of_x = sum_of_x.plus(x);
        sum_of_y = sum_of_y.plus(y);
        products = products.plus(x * y);
        squares = squares.plus(x * x);
    }
    if constant {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (x, y) = (sum_of_x.total(), sum_of_y.total());
    let covariance = products.total() - x * y / n;
    let variance = squares.total() - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

/// Holt's linear smoothing: the value and its trend, each following the samples by its factor.
pub(super) fn double_exponential_smoothing(window: &Window<'_>, numbers: &[f64]) -> f64 {
    let ([first, second, ..], [smoothing, trend, ..]) = (window.values, numbers) else {
        return ABSENT;
    };
    let (mut before, mut smooth, mut slope) = (0.0, *first, second - first);
    for (index, value) in window.values.iter().skip(1).enumerate() {
        let raw = smoothing * value;
        if index > 0 {
            let change = trend * (smooth - before);
            let kept = (1.0 - trend) * slope;
            slope = change + kept;
        }
        let rest = (1.0 - smoothing) * (smooth + slope);
        before = smooth;
        smooth = raw + rest;
    }
    smooth
}
