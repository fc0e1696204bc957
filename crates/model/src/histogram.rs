//! Native histograms: one sample that counts observations in buckets.

use std::fmt;
use std::sync::Arc;

use crate::number::GoFloat;

mod arithmetic;
mod bound;
mod buckets;
mod classic;
mod custom;
mod quantile;
mod reset;
mod running;
mod span;
mod trim;

pub use arithmetic::Reconciled;
pub use bound::exponential_bound;
pub use buckets::{Bucket, Buckets};
pub use classic::Classic;
pub use quantile::{Estimate, Oddity};
pub use running::Running;
pub use span::{Span, from_spans, to_spans};
pub use trim::TrimSide;

/// The schema of histograms with custom bounds.
pub const CUSTOM_SCHEMA: i32 = -53;

/// The exponential schemas: bounds grow by `2^(2^-schema)`.
pub const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// Two histograms that cannot be put together: one has exponential buckets and one custom bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("histograms with exponential and with custom buckets do not go together")]
pub struct Incompatible;

/// What is known of a histogram beside the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    /// It has to be compared.
    #[default]
    Unknown,
    /// The counter began anew.
    Reset,
    /// The counter went on.
    NotReset,
    /// It is no counter.
    Gauge,
}

/// How many observations one bucket holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// Which bucket: of an exponential schema the one that ends at [`exponential_bound`] of the
    /// index, of custom bounds the one that ends at the bound with this number.
    pub index: i32,
    /// How many, not cumulated.
    pub count: f64,
}

/// A native histogram with float counts.
///
/// Equality is Prometheus': the same buckets, even empty ones, with the same bits; the hint does
/// not count.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// What is known of resets.
    pub hint: Hint,
    /// One of [`EXPONENTIAL_SCHEMAS`], or [`CUSTOM_SCHEMA`].
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// The sum of the observations; [`crate::STALE`] marks the end of the series.
    pub sum: f64,
    /// Buckets of positive observations (with custom bounds: of all), by rising index.
    pub positive: Vec<Bar>,
    /// Buckets of negative observations, by rising index.
    pub negative: Vec<Bar>,
    /// The upper bounds of [`CUSTOM_SCHEMA`], rising, without the infinite one.
    pub bounds: Arc<[f64]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            hint: Hint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive: Vec::new(),
            negative: Vec::new(),
            bounds: Arc::from([]),
        }
    }
}

impl Histogram {
    /// The mark that the series ended.
    pub fn stale() -> Self {
        Self { sum: crate::STALE, ..Self::default() }
    }

    /// Whether this is the mark that the series ended.
    pub fn is_stale(&self) -> bool {
        crate::is_stale(self.sum)
    }

    /// Whether the buckets have custom bounds.
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    /// How many numbers the histogram consists of, about: what it counts against limits.
    pub fn size(&self) -> usize {
        let numbers = 8 + self.bounds.len();
        numbers + 2 * (self.positive.len() + self.negative.len())
    }

    /// Removes empty buckets.
    pub fn compact(&mut self) {
        self.positive.retain(|bar| bar.count != 0.0);
        self.negative.retain(|bar| bar.count != 0.0);
    }

    /// The same without empty buckets.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        self.compact();
        self
    }

    /// A copy with the lower resolution `schema`; as it is where the schema is no lower one.
    #[must_use]
    pub fn reduced(&self, schema: i32) -> Self {
        let mut copy = self.clone();
        if self.is_custom() || schema >= self.schema || !EXPONENTIAL_SCHEMAS.contains(&schema) {
            return copy;
        }
        copy.positive = bound::reduce(&self.positive, self.schema, schema);
        copy.negative = bound::reduce(&self.negative, self.schema, schema);
        copy.schema = schema;
        copy.hint = Hint::Unknown;
        copy
    }

    /// Whether some number has become infinite.
    pub fn has_overflow(&self) -> bool {
        let sides = self.positive.iter().chain(&self.negative);
        self.count.is_infinite()
            || self.sum.is_infinite()
            || self.zero_count.is_infinite()
            || sides.into_iter().any(|bar| bar.count.is_infinite())
    }

    /// The upper bound of the bucket `index` of positive observations.
    fn bound(&self, index: i32) -> f64 {
        if !self.is_custom() {
            return exponential_bound(index, self.schema);
        }
        match usize::try_from(index) {
            Ok(index) => self.bounds.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        }
    }
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let sides = |a: &[Bar], b: &[Bar]| {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a.index == b.index && same(a.count, b.count))
        };
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && same(self.zero_count, other.zero_count)
            && same(self.count, other.count)
            && same(self.sum, other.sum)
            && *self.bounds == *other.bounds
            && sides(&self.positive, &other.positive)
            && sides(&self.negative, &other.negative)
    }
}

/// Prints `{count:4, sum:5, (1,2]:2}`: the buckets that are not empty, from the lowest.
impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", GoFloat(self.count), GoFloat(self.sum))?;
        for bucket in self.plain_buckets().filter(|bucket| bucket.count != 0.0) {
            let (open, close) = match (bucket.lower_inclusive, bucket.upper_inclusive) {
                (true, true) => ('[', ']'),
                (true, false) => ('[', ')'),
                (false, true) => ('(', ']'),
                (false, false) => ('(', ')'),
            };
            let (lower, upper) = (GoFloat(bucket.lower), GoFloat(bucket.upper));
            write!(f, ", {open}{lower},{upper}{close}:{}", GoFloat(bucket.count))?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests;
