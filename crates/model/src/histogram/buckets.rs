//! Buckets with their bounds.

use std::cmp::Ordering;

use super::{Bar, Histogram};

/// A bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// Whether the lower bound belongs to the bucket.
    pub lower_inclusive: bool,
    /// Whether the upper bound belongs to the bucket.
    pub upper_inclusive: bool,
    /// How many observations, not cumulated.
    pub count: f64,
}

/// The buckets of a histogram from the lowest to the highest, or from the highest.
#[derive(Clone, Debug)]
pub struct Buckets<'a> {
    histogram: &'a Histogram,
    /// The next from below and, behind it, the end; counted over negative, zero and positive.
    next: usize,
    end: usize,
    clamped: bool,
}

impl Histogram {
    /// All buckets, also empty ones but not an empty zero bucket. None reaches into the zero
    /// bucket.
    pub fn buckets(&self) -> Buckets<'_> {
        Buckets { clamped: true, ..self.plain_buckets() }
    }

    /// All buckets with the bounds of their index.
    pub(super) fn plain_buckets(&self) -> Buckets<'_> {
        let end = self.negative.len() + 1 + self.positive.len();
        Buckets { histogram: self, next: 0, end, clamped: false }
    }

    /// The bucket around zero.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// A bucket of positive observations.
    pub(super) fn positive_bucket(&self, bar: &Bar) -> Bucket {
        let lower = self.bound(bar.index.saturating_sub(1));
        let upper = self.bound(bar.index);
        let custom = self.is_custom();
        Bucket {
            lower,
            upper,
            lower_inclusive: if custom { bar.index == 0 } else { lower < 0.0 },
            upper_inclusive: custom || upper > 0.0,
            count: bar.count,
        }
    }

    /// A bucket of negative observations.
    pub(super) fn negative_bucket(&self, bar: &Bar) -> Bucket {
        Bucket {
            lower: -self.bound(bar.index),
            upper: -self.bound(bar.index.saturating_sub(1)),
            lower_inclusive: true,
            upper_inclusive: false,
            count: bar.count,
        }
    }
}

impl Buckets<'_> {
    fn at(&self, position: usize) -> Option<Bucket> {
        let histogram = self.histogram;
        let negative = histogram.negative.len();
        let mut bucket = match position.cmp(&negative) {
            Ordering::Less => {
                histogram.negative_bucket(histogram.negative.get(negative - 1 - position)?)
            }
            Ordering::Equal => {
                let empty = histogram.zero_count == 0.0;
                let shown = histogram.zero_count > 0.0 || !(self.clamped || empty);
                return shown.then(|| histogram.zero_bucket());
            }
            Ordering::Greater => {
                histogram.positive_bucket(histogram.positive.get(position - negative - 1)?)
            }
        };
        let threshold = histogram.zero_threshold;
        if self.clamped && bucket.upper < 0.0 && bucket.upper > -threshold {
            bucket.upper = -threshold;
        } else if self.clamped && bucket.lower > 0.0 && bucket.lower < threshold {
            bucket.lower = threshold;
        }
        Some(bucket)
    }
}

impl Iterator for Buckets<'_> {
    type Item = Bucket;

    fn next(&mut self) -> Option<Bucket> {
        while self.next < self.end {
            self.next += 1;
            if let Some(bucket) = self.at(self.next - 1) {
                return Some(bucket);
            }
        }
        None
    }
}

impl DoubleEndedIterator for Buckets<'_> {
    fn next_back(&mut self) -> Option<Bucket> {
        while self.next < self.end {
            self.end -= 1;
            if let Some(bucket) = self.at(self.end) {
                return Some(bucket);
            }
        }
        None
    }
}
