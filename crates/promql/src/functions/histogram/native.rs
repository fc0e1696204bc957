//! What native histograms tell: counts, sums, quantiles, fractions, variance.

use narthex_model::histogram::{Estimate, Oddity};
use narthex_model::{ABSENT, Histogram};

use super::format;
use crate::column::{Column, Slots};
use crate::eval::Evaluator;
use crate::functions::native::words;
use crate::native::{Natives, is_handle};
use crate::plan::{Func, Span};

/// A number that a histogram has.
fn figure(func: Func, histogram: &Histogram) -> f64 {
    match func {
        Func::HistogramCount => histogram.count,
        Func::HistogramSum => histogram.sum,
        Func::HistogramAvg => histogram.sum / histogram.count,
        Func::HistogramStdvar => histogram.variance(),
        _ => histogram.variance().sqrt(),
    }
}

impl Natives {
    /// Takes the histograms out of columns, into columns of their own.
    pub(super) fn split(&self, columns: &mut Vec<Column>) -> Vec<Column> {
        let mut split = Vec::new();
        if !self.any() {
            return split;
        }
        for column in &mut *columns {
            if self.in_values(&column.values) {
                let mut own = column.clone();
                own.map(|_, value| if is_handle(value) { value } else { ABSENT });
                split.push(own);
            }
        }
        self.strip(columns);
        columns.retain(|column| !column.is_empty());
        split
    }

    /// Replaces each histogram by one of its numbers.
    pub(super) fn figures(&self, func: Func, columns: &mut [Column]) {
        for column in columns {
            column.map(|_, value| self.get(value).map_or(ABSENT, |h| figure(func, &h)));
        }
    }
}

impl Evaluator<'_> {
    /// Removes both where a native and a classic histogram have the same labels.
    pub(super) fn drop_conflicts(
        &self,
        natives: &mut [Column],
        histograms: &[super::Histogram],
        columns: &mut [Column],
        place: Span,
    ) {
        for native in natives {
            let labels = native.labels.filtered(|name| name != super::BOUND);
            let Some(classic) = histograms.iter().find(|h| h.labels == labels) else { continue };
            let mut conflict = false;
            native.map(|step, value| {
                let mut both = false;
                for (_, index) in &classic.columns {
                    let Some(column) = columns.get_mut(*index) else { continue };
                    column.map(|at, value| {
                        both |= at == step;
                        if at == step { ABSENT } else { value }
                    });
                }
                conflict |= both;
                if both { ABSENT } else { value }
            });
            if conflict {
                self.natives
                    .warn(words::mixed_kinds(labels.metric_name(), self.natives.release()), place);
            }
        }
    }

    /// The quantiles of native histograms; with `label` that label says which.
    pub(super) fn native_quantiles(
        &self,
        natives: &[Column],
        (q, label): (&[f64], Option<&str>),
        at: Span,
        out: &mut Vec<Column>,
    ) {
        for native in natives {
            let mut by_value: Vec<(u64, Slots)> = Vec::new();
            for (step, value) in native.iter() {
                let Some(histogram) = self.natives.get(value) else { continue };
                let q = q.get(step).copied().unwrap_or(f64::NAN);
                let value = self.estimated(histogram.quantile(q), native, at);
                let key = if label.is_some() { q.to_bits() } else { 0 };
                let place = by_value.iter().position(|(have, _)| *have == key);
                let place = place.unwrap_or_else(|| {
                    by_value.push((key, Slots::default()));
                    by_value.len() - 1
                });
                if let Some((_, slots)) = by_value.get_mut(place) {
                    slots.set(step, value);
                }
            }
            for (key, slots) in by_value {
                let mut labels = native.labels.clone();
                if let Some(label) = label {
                    let mut builder = narthex_model::LabelsBuilder::from_labels(&labels);
                    builder.set(label, &format::open_metrics(f64::from_bits(key)));
                    labels = builder.build();
                }
                out.extend(slots.column(labels, native.drop_name));
            }
        }
    }

    /// The fractions of observations of native histograms.
    pub(super) fn native_fractions(
        &self,
        natives: &[Column],
        (low, high): (&[f64], &[f64]),
        place: Span,
        out: &mut Vec<Column>,
    ) {
        let at = |values: &[f64], step: usize| values.get(step).copied().unwrap_or(f64::NAN);
        for native in natives {
            let mut column = native.clone();
            column.map(|step, value| match self.natives.get(value) {
                Some(histogram) => {
                    let fraction = histogram.fraction(at(low, step), at(high, step));
                    self.estimated(fraction, native, place)
                }
                None => ABSENT,
            });
            out.push(column);
        }
    }

    /// The value of an estimate, with what is odd about it noted.
    fn estimated(&self, estimate: Estimate, column: &Column, at: Span) -> f64 {
        if let Some(oddity) = estimate.oddity {
            let text = match oddity {
                Oddity::NanResult => {
                    "input to histogram_quantile has NaN observations, result is NaN"
                }
                Oddity::NanSkew => {
                    "input to histogram_quantile has NaN observations, result is skewed higher"
                }
                Oddity::NanExcluded => {
                    "input to histogram_fraction has NaN observations, which are excluded from \
                     all fractions"
                }
            };
            let name = words::of_metric(column.labels.metric_name(), self.natives.release());
            self.natives.info(format!("{text}{name}"), at);
        }
        estimate.value
    }
}
