//! Quantiles and fractions of classic histograms: series with an `le` label.

use std::collections::HashMap;

use narthex_model::{ABSENT, Hashing, Labels, LabelsBuilder, METRIC_NAME, is_absent};

use self::bucket::{Bucket, fraction, quantile};
use crate::Error;
use crate::column::{Column, Slots, drop_metadata, join_same};
use crate::eval::Evaluator;
use crate::functions::native::words::of_metric;
use crate::options::Release;
use crate::plan::{Call, Func, Span, quoted};
use crate::steps::Steps;

mod bucket;
mod format;
mod native;
mod repair;

use repair::Repairs;

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";

/// The columns of one histogram with their upper bounds.
#[derive(Debug)]
struct Histogram {
    labels: Labels,
    drop_name: bool,
    columns: Vec<(f64, usize)>,
}

impl Evaluator<'_> {
    pub(super) fn histogram(&mut self, call: &Call, steps: Steps) -> Result<Vec<Column>, Error> {
        let vector = match call.function.func {
            Func::HistogramQuantile => 1,
            Func::HistogramFraction => 2,
            _ => 0,
        };
        let release = self.options.release;
        let arg = call.arg(vector)?.bare();
        let at = call.place(call.arg(vector)?, release);
        // Where observations of NaN are said to be: 3.5 names the number before them.
        let place = match release {
            Release::V3_5 => call.place(call.arg(0)?, release),
            Release::Newest => at,
        };
        let (mut numbers, mut places) = (Vec::new(), Vec::new());
        for (index, arg) in call.args.iter().enumerate() {
            if index != vector && arg.value_type() == crate::ValueType::Scalar {
                numbers.push(self.scalar(arg, steps)?);
                places.push(call.place(arg, release));
            }
        }
        let mut repairs = Repairs::default();
        let mut columns = self.vector(arg, steps)?;
        // Behind what was said of the vector: the last place of a text is named.
        for (values, &place) in numbers.iter().zip(&places) {
            self.warn_each_quantile(call.function.func, values, place);
        }
        let mut natives = self.natives.split(&mut columns);
        let func = call.function.func;
        let mut out = Vec::new();
        if !func.reads_buckets() {
            return self.figures(func, natives);
        }
        let histograms = self.histograms(&columns, at);
        self.drop_conflicts(&mut natives, &histograms, &mut columns, at);
        for column in &mut natives {
            self.drop_name(column);
        }
        if call.function.func == Func::HistogramQuantiles {
            let label = call.text(1)?;
            for q in &numbers {
                self.native_quantiles(&natives, (q, Some(label)), place, &mut out);
                for histogram in &histograms {
                    let q = (q.as_slice(), Some(label));
                    self.quantiles(histogram, &columns, q, steps, &mut repairs, &mut out)?;
                }
            }
        } else {
            match numbers.as_slice() {
                [q] => self.native_quantiles(&natives, (q, None), place, &mut out),
                [low, high] => self.native_fractions(&natives, (low, high), place, &mut out),
                _ => {}
            }
            for histogram in &histograms {
                match numbers.as_slice() {
                    [q] => {
                        let q = (q.as_slice(), None);
                        self.quantiles(histogram, &columns, q, steps, &mut repairs, &mut out)?;
                    }
                    [low, high] => {
                        out.extend(fractions(histogram, &columns, (low, high, release), steps));
                    }
                    _ => {}
                }
            }
            for column in &mut out {
                self.drop_name(column);
            }
        }
        for text in repairs.texts(release == Release::Newest) {
            self.notes.info(&text, at);
        }
        join_same(out, false)
    }

    /// Functions that take native histograms only, and leave numbers out.
    fn figures(&self, func: Func, mut natives: Vec<Column>) -> Result<Vec<Column>, Error> {
        self.natives.figures(func, &mut natives);
        for column in &mut natives {
            // Type and unit stay, unless they go at the end.
            if !self.options.delayed_name_removal {
                column.labels = column.labels.filtered(|name| name != METRIC_NAME);
            }
            column.drop_name = true;
        }
        join_same(natives, false)
    }

    /// Warns of each different value that is no quantile.
    fn warn_each_quantile(&mut self, func: Func, values: &[f64], at: Span) {
        let mut last = None;
        let quantiles = if func == Func::HistogramFraction { &[] } else { values };
        for &value in quantiles {
            if last != Some(value.to_bits()) && !(0.0..=1.0).contains(&value) {
                self.warn_quantile(&[value], at);
            }
            last = Some(value.to_bits());
        }
    }

    /// Sorts columns into histograms; warns of those without a bound.
    fn histograms(&mut self, columns: &[Column], at: Span) -> Vec<Histogram> {
        let mut places: HashMap<Labels, usize, Hashing> = HashMap::default();
        let mut histograms: Vec<Histogram> = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let bound = column.labels.get(BOUND).unwrap_or("");
            let Some(bound) = parse_bound(bound) else {
                let name = of_metric(column.labels.metric_name(), self.options.release);
                let bound = quoted(bound);
                let message = format!(
                    "bucket label \"{BOUND}\" is missing or has a malformed value of {bound}{name}"
                );
                self.notes.warn(&message, at);
                continue;
            };
            let mut builder = LabelsBuilder::from_labels(&column.labels);
            builder.remove(BOUND);
            let labels = builder.build();
            let next = histograms.len();
            let place = *places.entry(labels.clone()).or_insert(next);
            if place == next {
                let drop_name = column.drop_name;
                histograms.push(Histogram { labels, drop_name, columns: Vec::new() });
            }
            if let Some(histogram) = histograms.get_mut(place) {
                histogram.columns.push((bound, index));
            }
        }
        histograms
    }

    fn quantiles(
        &mut self,
        histogram: &Histogram,
        columns: &[Column],
        (q, label): (&[f64], Option<&str>),
        steps: Steps,
        repairs: &mut Repairs,
        out: &mut Vec<Column>,
    ) -> Result<(), Error> {
        let labelled = LabelledSlots::new(histogram, label, self.options.delayed_name_removal);
        let mut by_label: Vec<(u64, Slots)> = Vec::new();
        let mut buckets = Vec::new();
        for step in 0..steps.count {
            self.budget.tick()?;
            if !gather(histogram, columns, step, &mut buckets) {
                continue;
            }
            let q = q.get(step).copied().unwrap_or(f64::NAN);
            let (value, repair) = quantile(q, &mut buckets);
            if let Some(repair) = repair {
                let name = of_metric(histogram.labels.metric_name(), self.options.release);
                repairs.add(&name, steps.at(step), repair);
            }
            let key = if label.is_some() { q.to_bits() } else { 0 };
            let place = by_label.iter().position(|(have, _)| *have == key).unwrap_or_else(|| {
                by_label.push((key, Slots::default()));
                by_label.len() - 1
            });
            if let Some((_, slots)) = by_label.get_mut(place) {
                slots.set(step, value);
            }
        }
        for (key, slots) in by_label {
            out.extend(slots.column(labelled.labels(f64::from_bits(key)), true));
        }
        Ok(())
    }
}

/// The labels of a histogram's quantiles.
struct LabelledSlots<'a> {
    base: Labels,
    label: Option<&'a str>,
}

impl<'a> LabelledSlots<'a> {
    fn new(histogram: &Histogram, label: Option<&'a str>, delayed: bool) -> Self {
        let base = if delayed || label.is_none() {
            histogram.labels.clone()
        } else {
            drop_metadata(&histogram.labels)
        };
        Self { base, label }
    }

    fn labels(&self, q: f64) -> Labels {
        let Some(label) = self.label else { return self.base.clone() };
        let mut builder = LabelsBuilder::from_labels(&self.base);
        builder.set(label, &format::open_metrics(q));
        builder.build()
    }
}

/// Reads a bound as Go reads numbers.
fn parse_bound(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && !text.contains(char::is_whitespace);
    let bound: f64 = plain.then(|| text.parse().ok()).flatten()?;
    // A number that is too large is none.
    let written = !bound.is_infinite() || !text.contains(|c: char| c.is_ascii_digit());
    written.then_some(bound)
}

/// Collects the buckets at `step`; whether there is one.
fn gather(histogram: &Histogram, columns: &[Column], step: usize, out: &mut Vec<Bucket>) -> bool {
    out.clear();
    for &(bound, index) in &histogram.columns {
        let count = columns.get(index).map_or(ABSENT, |column| column.get(step));
        if !is_absent(count) {
            out.push(Bucket { bound, count });
        }
    }
    !out.is_empty()
}

fn fractions(
    histogram: &Histogram,
    columns: &[Column],
    (low, high, release): (&[f64], &[f64], Release),
    steps: Steps,
) -> Option<Column> {
    let mut slots = Slots::default();
    let mut buckets = Vec::new();
    for step in 0..steps.count {
        if !gather(histogram, columns, step, &mut buckets) {
            slots.push(ABSENT);
            continue;
        }
        let at = |values: &[f64]| values.get(step).copied().unwrap_or(f64::NAN);
        slots.push(fraction(at(low), at(high), &mut buckets, release));
    }
    slots.column(histogram.labels.clone(), histogram.drop_name)
}
