//! How often a series changed or fell.

use narthex_model::ABSENT;

use super::extended::compared;
use crate::window::Window;

pub(super) fn resets(window: &Window<'_>, _: &[f64]) -> f64 {
    count(window, |before, value| value < before)
}

#[expect(clippy::float_cmp, reason = "a change is any difference")]
pub(super) fn changes(window: &Window<'_>, _: &[f64]) -> f64 {
    count(window, |before, value| value != before && !(value.is_nan() && before.is_nan()))
}

#[expect(clippy::cast_precision_loss, reason = "a window holds far fewer than 2^53 samples")]
fn count(window: &Window<'_>, counts: impl Fn(f64, f64) -> bool) -> f64 {
    let Some(values) = compared(window) else { return ABSENT };
    let pairs = values.iter().zip(values.iter().skip(1));
    pairs.filter(|(before, value)| counts(**before, **value)).count() as f64
}
