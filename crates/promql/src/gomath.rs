//! Elementary functions as Go computes them on x86-64, to the last bit.
//!
//! Every library rounds these a little differently, and a query can make the last digit visible:
//! `count_values` turns it into a label, `floor` and comparisons into another value. Go's results
//! come from Cephes, from FreeBSD's libm and from Hart and Cheney, in portable code, so the same
//! steps give the same bits everywhere; `exp` and `ln` follow its x86-64 assembly.
#![expect(clippy::excessive_precision, reason = "constants stand as in their sources")]

mod circle;
mod exponential;
mod hyperbola;
mod logarithm;
mod reduce;

pub(crate) use circle::{acos, asin, atan, atan2, cos, sin, tan};
pub(crate) use exponential::exp;
pub(crate) use hyperbola::{acosh, asinh, atanh, cosh, sinh, tanh};
pub(crate) use logarithm::{ln, log2, log10};

/// The value at `x` of the polynomial with these coefficients, highest power first.
fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    let mut rest = coefficients.iter();
    let first = rest.next().copied().unwrap_or(0.0);
    rest.fold(first, |sum, &coefficient| sum * x + coefficient)
}

/// `change(|x|)` with the sign of `x`.
fn odd(x: f64, change: impl FnOnce(f64) -> f64) -> f64 {
    if x < 0.0 { -change(-x) } else { change(x) }
}

#[cfg(test)]
mod tests;
