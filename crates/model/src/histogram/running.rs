//! Sums of many histograms.

use std::sync::Arc;

use super::arithmetic::{compensated, differ, is_inside, outside};
use super::custom::{Mapped, shared_bounds};
use super::{Bar, Histogram, Incompatible, Reconciled, bound};

/// A sum of histograms that keeps what rounding loses of each number (Neumaier).
#[derive(Clone, Debug)]
pub struct Running {
    sum: Histogram,
    count_rest: f64,
    sum_rest: f64,
    zero_rest: f64,
    /// What was lost of each bucket.
    positive_rest: Vec<f64>,
    negative_rest: Vec<f64>,
}

impl Running {
    /// Begins with one histogram.
    pub fn new(first: &Histogram) -> Self {
        Self {
            positive_rest: vec![0.0; first.positive.len()],
            negative_rest: vec![0.0; first.negative.len()],
            sum: first.clone(),
            count_rest: 0.0,
            sum_rest: 0.0,
            zero_rest: 0.0,
        }
    }

    /// The sum so far, without what was lost.
    pub fn raw(&self) -> &Histogram {
        &self.sum
    }

    /// The sum with what was lost, both divided by `divisor`.
    pub fn total(mut self, divisor: f64) -> Histogram {
        self.scale(|value| value / divisor);
        let mut sum = self.sum;
        sum.count += self.count_rest;
        sum.sum += self.sum_rest;
        sum.zero_count += self.zero_rest;
        for (bars, rest) in
            [(&mut sum.positive, self.positive_rest), (&mut sum.negative, self.negative_rest)]
        {
            for (bar, rest) in bars.iter_mut().zip(rest) {
                bar.count += rest;
            }
        }
        sum
    }

    /// Changes every number, and what was lost of it.
    pub fn scale(&mut self, change: impl Fn(f64) -> f64) {
        let sum = &mut self.sum;
        let scalars = [&mut sum.count, &mut sum.sum, &mut sum.zero_count];
        let rests = [&mut self.count_rest, &mut self.sum_rest, &mut self.zero_rest];
        let bars = sum.positive.iter_mut().chain(&mut sum.negative).map(|bar| &mut bar.count);
        let lost = self.positive_rest.iter_mut().chain(&mut self.negative_rest);
        for value in scalars.into_iter().chain(rests).chain(bars).chain(lost) {
            *value = change(*value);
        }
    }

    /// Adds a histogram, as [`Histogram::add`] does.
    ///
    /// # Errors
    /// If one has exponential buckets and the other custom bounds.
    pub fn add(&mut self, other: &Histogram) -> Result<Reconciled, Incompatible> {
        if self.sum.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let mut done = Reconciled { collision: self.sum.take_hint(other), bounds: false };
        let sum = &mut self.sum;
        (sum.count, self.count_rest) = compensated(sum.count, self.count_rest, other.count);
        (sum.sum, self.sum_rest) = compensated(sum.sum, self.sum_rest, other.sum);
        if self.sum.is_custom() {
            done.bounds = self.sum.bounds != other.bounds;
            self.add_custom(other);
            return Ok(done);
        }
        self.add_zero(other);
        let sum = &mut self.sum;
        let schema = sum.schema.min(other.schema);
        for (bars, rest) in [
            (&mut sum.positive, &mut self.positive_rest),
            (&mut sum.negative, &mut self.negative_rest),
        ] {
            if schema < sum.schema {
                (*bars, *rest) = reduce(bars, rest, sum.schema, schema);
            }
        }
        sum.schema = schema;
        let threshold = sum.zero_threshold;
        let above = outside(&other.positive, other.schema, schema, threshold);
        let below = outside(&other.negative, other.schema, schema, threshold);
        merge(&mut sum.positive, &mut self.positive_rest, &above);
        merge(&mut sum.negative, &mut self.negative_rest, &below);
        Ok(done)
    }

    fn add_custom(&mut self, other: &Histogram) {
        let sum = &mut self.sum;
        if sum.bounds == other.bounds {
            merge(&mut sum.positive, &mut self.positive_rest, &other.positive);
            return;
        }
        let shared = shared_bounds(&sum.bounds, &other.bounds);
        let mut mapped = Mapped::new(&shared);
        mapped.add(&sum.positive, Some(&self.positive_rest), 1.0, &sum.bounds, &shared);
        mapped.add(&other.positive, None, 1.0, &other.bounds, &shared);
        (sum.positive, self.positive_rest) = mapped.into_bars();
        sum.bounds = Arc::from(shared);
    }

    /// Adds the zero bucket, widened to hold both.
    fn add_zero(&mut self, other: &Histogram) {
        let (mut count, mut rest, mut threshold) = (other.zero_count, 0.0, other.zero_threshold);
        // Each round makes one threshold larger, to the end of a bucket; NaN ends it.
        while differ(threshold, self.sum.zero_threshold) {
            if self.sum.zero_threshold > threshold {
                (count, rest, threshold) = other.zero_with_rest(self.sum.zero_threshold, None);
            }
            if threshold > self.sum.zero_threshold {
                let lost = (self.zero_rest, &*self.positive_rest, &*self.negative_rest);
                let widened = self.sum.zero_with_rest(threshold, Some(lost));
                (self.sum.zero_count, self.zero_rest, self.sum.zero_threshold) = widened;
                self.drop_inside_zero();
            }
        }
        for added in [count, rest] {
            (self.sum.zero_count, self.zero_rest) =
                compensated(self.sum.zero_count, self.zero_rest, added);
        }
    }

    fn drop_inside_zero(&mut self) {
        let (schema, threshold) = (self.sum.schema, self.sum.zero_threshold);
        for (bars, rest) in [
            (&mut self.sum.positive, &mut self.positive_rest),
            (&mut self.sum.negative, &mut self.negative_rest),
        ] {
            let pairs = bars.drain(..).zip(rest.drain(..));
            let kept = pairs.filter(|(bar, rest)| {
                !is_inside(bar.index, schema, threshold) && (bar.count != 0.0 || *rest != 0.0)
            });
            (*bars, *rest) = kept.collect::<Vec<_>>().into_iter().unzip();
        }
    }
}

/// Adds buckets to sums and what those lost.
fn merge(bars: &mut Vec<Bar>, rests: &mut Vec<f64>, others: &[Bar]) {
    let mut merged = Vec::with_capacity(bars.len() + others.len());
    let mut mine = bars.drain(..).zip(rests.drain(..)).peekable();
    for other in others {
        while let Some(bar) = mine.next_if(|(bar, _)| bar.index < other.index) {
            merged.push(bar);
        }
        merged.push(match mine.next_if(|(bar, _)| bar.index == other.index) {
            Some((bar, rest)) => {
                let (count, rest) = compensated(bar.count, rest, other.count);
                (Bar { index: bar.index, count }, rest)
            }
            None => (*other, 0.0),
        });
    }
    merged.extend(mine);
    (*bars, *rests) = merged.into_iter().unzip();
}

/// Lowers the resolution of sums and of what they lost.
fn reduce(bars: &[Bar], rests: &[f64], from: i32, to: i32) -> (Vec<Bar>, Vec<f64>) {
    let mut merged: Vec<(Bar, f64)> = Vec::with_capacity(bars.len());
    for (bar, &rest) in bars.iter().zip(rests) {
        let index = bound::reduced_index(bar.index, from, to);
        match merged.last_mut() {
            Some((have, lost)) if have.index == index => {
                (have.count, *lost) = compensated(have.count, *lost, bar.count);
                (have.count, *lost) = compensated(have.count, *lost, rest);
            }
            _ => merged.push((Bar { index, count: bar.count }, rest)),
        }
    }
    merged.into_iter().unzip()
}
