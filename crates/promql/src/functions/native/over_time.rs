//! Sums and means of histograms over time.

use std::sync::Arc;

use narthex_model::histogram::{Hint, Incompatible, Running};
use narthex_model::{ABSENT, Histogram};

use super::words::{self, Operation};
use super::{Case, Split};
use crate::window::Window;

/// What was seen while histograms were added up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) reset: bool,
    pub(crate) not_reset: bool,
    pub(crate) bounds: bool,
}

impl Seen {
    pub(crate) fn look(&mut self, histogram: &Histogram) {
        self.reset |= histogram.hint == Hint::Reset;
        self.not_reset |= histogram.hint == Hint::NotReset;
    }

    /// The texts that follow from it: a warning and an info.
    pub(crate) fn texts(self) -> (Option<String>, Option<String>) {
        let collided = self.reset && self.not_reset;
        (
            collided.then(|| words::collision(Operation::Aggregate)),
            self.bounds.then(|| words::reconciled(Operation::Aggregate)),
        )
    }
}

/// `sum_over_time`, `avg_over_time`.
pub(super) fn total(window: &Window<'_>, mean: bool, case: Case<'_>) -> f64 {
    let split = Split::new(window, case.setting);
    if !split.numbers.is_empty() {
        return case.mixed();
    }
    let mut seen = Seen::default();
    let histograms = split.histograms.iter().map(|point| &point.value);
    let total = if mean { average(histograms, &mut seen) } else { sum(histograms, &mut seen) };
    let (warning, info) = seen.texts();
    let value = match total {
        Ok(Some(total)) => case.put(total),
        Ok(None) => ABSENT,
        Err(Incompatible) => return case.mixed_schemas(),
    };
    if let Some(text) = warning {
        case.warn(text);
    }
    if let Some(text) = info {
        case.info(text);
    }
    value
}

/// The sum of histograms.
pub(crate) fn sum<'h>(
    mut histograms: impl Iterator<Item = &'h Arc<Histogram>>,
    seen: &mut Seen,
) -> Result<Option<Histogram>, Incompatible> {
    let Some(first) = histograms.next() else { return Ok(None) };
    seen.look(first);
    let mut running = Running::new(first);
    for histogram in histograms {
        seen.look(histogram);
        seen.bounds |= running.add(histogram)?.bounds;
    }
    Ok(Some(running.total(1.0)))
}

/// The mean of histograms: of their sum, unless that would overflow.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
pub(crate) fn average<'h>(
    histograms: impl Iterator<Item = &'h Arc<Histogram>> + Clone,
    seen: &mut Seen,
) -> Result<Option<Histogram>, Incompatible> {
    let mut rest = histograms.clone();
    let Some(first) = rest.next() else { return Ok(None) };
    seen.look(first);
    let mut running = Running::new(first);
    let mut count = 1_usize;
    for histogram in rest {
        seen.look(histogram);
        seen.bounds |= running.add(histogram)?.bounds;
        count += 1;
        if running.raw().has_overflow() {
            return incremental(histograms, seen).map(Some);
        }
    }
    Ok(Some(running.total(count as f64)))
}

/// The mean, moved a little by each histogram.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
fn incremental<'h>(
    histograms: impl Iterator<Item = &'h Arc<Histogram>>,
    seen: &mut Seen,
) -> Result<Histogram, Incompatible> {
    let mut running: Option<Running> = None;
    for (index, histogram) in histograms.enumerate() {
        seen.look(histogram);
        let Some(mean) = &mut running else {
            running = Some(Running::new(histogram));
            continue;
        };
        let count = (index + 1) as f64;
        let share = (count - 1.0) / count;
        mean.scale(|value| value * share);
        let mut part = Histogram::clone(histogram);
        part.divide(count);
        seen.bounds |= mean.add(&part)?.bounds;
    }
    Ok(running.map_or_else(Histogram::default, |mean| mean.total(1.0)))
}
