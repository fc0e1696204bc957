//! Sums and means of histograms over time.

use std::sync::Arc;

use narthex_model::histogram::{Hint, Reconciled, Running};
use narthex_model::{ABSENT, Histogram};

use super::words::{self, Operation, Unfit};
use super::{Case, Split};
use crate::options::Release;
use crate::window::Window;

/// What was seen while histograms were added up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    release: Release,
    reset: bool,
    not_reset: bool,
    bounds: bool,
}

impl Seen {
    pub(crate) fn new(release: Release) -> Self {
        Self { release, reset: false, not_reset: false, bounds: false }
    }

    /// Notes what an addition did; 3.5 does not reconcile bounds.
    fn done(&mut self, done: Reconciled) -> Result<(), Unfit> {
        if done.bounds && self.release == Release::V3_5 {
            return Err(Unfit::Bounds);
        }
        self.bounds |= done.bounds;
        Ok(())
    }

    fn look(&mut self, histogram: &Histogram) {
        self.reset |= histogram.hint == Hint::Reset;
        self.not_reset |= histogram.hint == Hint::NotReset;
    }

    /// The texts that follow from it: a warning and an info.
    pub(crate) fn texts(self) -> (Option<String>, Option<String>) {
        let collided = self.reset && self.not_reset && self.release == Release::Newest;
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
    let mut seen = Seen::new(case.setting.natives.release());
    let histograms = split.histograms.iter().map(|point| &point.value);
    let total = if mean { average(histograms, &mut seen) } else { sum(histograms, &mut seen) };
    let (warning, info) = seen.texts();
    let value = match total {
        Ok(Some(total)) => case.put(total),
        Ok(None) => ABSENT,
        Err(why) => {
            case.warn(words::unfit(why, case.setting.name));
            return ABSENT;
        }
    };
    if let Some(text) = warning {
        case.warn(text);
    }
    if let Some(text) = info {
        case.info(text);
    }
    value
}

/// The sum of histograms; 3.5 does not care for what rounding loses.
pub(crate) fn sum<'h>(
    mut histograms: impl Iterator<Item = &'h Arc<Histogram>>,
    seen: &mut Seen,
) -> Result<Option<Histogram>, Unfit> {
    let Some(first) = histograms.next() else { return Ok(None) };
    seen.look(first);
    if seen.release == Release::V3_5 {
        let mut sum = Histogram::clone(first);
        for histogram in histograms {
            seen.done(sum.add(histogram)?)?;
        }
        return Ok(Some(sum));
    }
    let mut running = Running::new(first);
    for histogram in histograms {
        seen.look(histogram);
        seen.done(running.add(histogram)?)?;
    }
    Ok(Some(running.total(1.0)))
}

/// The mean of histograms: of their sum, unless that would overflow.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
pub(crate) fn average<'h>(
    histograms: impl Iterator<Item = &'h Arc<Histogram>> + Clone,
    seen: &mut Seen,
) -> Result<Option<Histogram>, Unfit> {
    if seen.release == Release::V3_5 {
        return moved(histograms, seen);
    }
    let mut rest = histograms.clone();
    let Some(first) = rest.next() else { return Ok(None) };
    seen.look(first);
    let mut running = Running::new(first);
    let mut count = 1_usize;
    for histogram in rest {
        seen.look(histogram);
        seen.done(running.add(histogram)?)?;
        count += 1;
        if running.raw().has_overflow() {
            return incremental(histograms, seen).map(Some);
        }
    }
    Ok(Some(running.total(count as f64)))
}

/// The mean as 3.5 computes it: moved by each histogram, whatever rounding loses.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
fn moved<'h>(
    histograms: impl Iterator<Item = &'h Arc<Histogram>>,
    seen: &mut Seen,
) -> Result<Option<Histogram>, Unfit> {
    let mut found: Option<Histogram> = None;
    for (index, histogram) in histograms.enumerate() {
        let Some(mean) = &mut found else {
            found = Some(Histogram::clone(histogram));
            continue;
        };
        let count = (index + 1) as f64;
        let (mut step, mut share) = (Histogram::clone(histogram), mean.clone());
        step.divide(count);
        share.divide(count);
        seen.done(step.subtract(&share)?)?;
        seen.done(mean.add(&step)?)?;
    }
    Ok(found)
}

/// The mean, moved a little by each histogram.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
fn incremental<'h>(
    histograms: impl Iterator<Item = &'h Arc<Histogram>>,
    seen: &mut Seen,
) -> Result<Histogram, Unfit> {
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
        seen.done(mean.add(&part)?)?;
    }
    Ok(running.map_or_else(Histogram::default, |mean| mean.total(1.0)))
}
