//! Cutting off the observations above or below a value.

use super::quantile::logarithmic_share;
use super::{Bucket, Histogram};

/// Which observations stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimSide {
    /// Those below the value.
    Below,
    /// Those above the value.
    Above,
}

/// A trim of one histogram.
#[derive(Debug)]
struct Trim {
    border: f64,
    side: TrimSide,
    /// What stays, taking each observation to lie in the middle of its bucket.
    count: f64,
    sum: f64,
    changed: bool,
}

impl Histogram {
    /// Removes the observations on the other side of `border`: whole buckets, and of the one that
    /// holds it a share, taking the observations to be spread as quantiles take them to be. Where
    /// something went, the sum is estimated from the buckets that are left.
    #[must_use]
    pub fn trimmed(&self, border: f64, side: TrimSide) -> Self {
        let mut trimmed = self.clone();
        let mut trim = Trim { border, side, count: 0.0, sum: 0.0, changed: false };
        for (bar, left) in self.positive.iter().zip(&mut trimmed.positive) {
            let bucket = self.positive_bucket(bar);
            left.count = trim.bucket(&bucket, self.is_custom(), self.is_custom());
        }
        for (bar, left) in self.negative.iter().zip(&mut trimmed.negative) {
            left.count = trim.bucket(&self.negative_bucket(bar), false, false);
        }
        if self.zero_count != 0.0 {
            let mut bucket = self.zero_bucket();
            self.narrow_zero(&mut bucket);
            trimmed.zero_count = trim.bucket(&bucket, true, false);
        }
        if trim.changed {
            trimmed.count = trim.count;
            trimmed.sum = if trim.count == 0.0 { 0.0 } else { trim.sum };
        }
        trimmed.compacted()
    }
}

impl Trim {
    /// Trims one bucket; gives what stays of its count.
    fn bucket(&mut self, bucket: &Bucket, linear: bool, custom: bool) -> f64 {
        if bucket.count == 0.0 {
            return 0.0;
        }
        let (kept, middle) = self.keep(bucket, linear, custom);
        self.changed |= kept.to_bits() != bucket.count.to_bits();
        if kept != 0.0 {
            self.count += kept;
            self.sum += kept * middle;
        }
        kept
    }

    /// How much of a bucket stays, and where its middle lies.
    fn keep(&self, bucket: &Bucket, linear: bool, custom: bool) -> (f64, f64) {
        let Self { border, side, .. } = *self;
        let Bucket { mut lower, upper, count, .. } = *bucket;
        if custom && upper > 0.0 && upper < f64::INFINITY && lower == f64::NEG_INFINITY {
            // The lowest bucket is taken to begin at zero.
            lower = 0.0;
        }
        if lower == f64::NEG_INFINITY || upper == f64::INFINITY {
            return self.keep_endless(lower, upper, count);
        }
        let bucket = Bucket { lower, ..*bucket };
        let (from, to) = match side {
            TrimSide::Below => (lower, upper.min(border)),
            TrimSide::Above => (lower.max(border), upper),
        };
        if from >= to && !(lower >= upper && from <= to) {
            return (0.0, lower);
        }
        let kept = match side {
            _ if from <= lower && to >= upper => count,
            TrimSide::Below => count * share(&bucket, border, linear),
            TrimSide::Above => count - count * share(&bucket, border, linear),
        };
        let middle = match (linear, lower < 0.0) {
            (true, _) => f64::midpoint(from, to),
            (false, false) => (from * to).sqrt(),
            (false, true) => -(from * to).sqrt(),
        };
        (kept, middle)
    }

    /// A bucket without a lower or an upper bound, which stays or goes whole: its observations are
    /// taken to lie where it begins, or at the border if that lies further out.
    fn keep_endless(&self, lower: f64, upper: f64, count: f64) -> (f64, f64) {
        let Self { border, side, .. } = *self;
        let (stays, middle) = match (side, lower == f64::NEG_INFINITY, upper == f64::INFINITY) {
            (TrimSide::Below, true, false) => (border > lower, upper.min(border)),
            (TrimSide::Above, false, _) => (border < upper, lower.max(border)),
            (TrimSide::Below, false, _) => (border >= upper, lower),
            (TrimSide::Above, true, false) => (border <= lower, upper),
            (TrimSide::Below, true, true) => (border >= upper, 0.0),
            (TrimSide::Above, true, true) => (border <= lower, 0.0),
        };
        (if stays { count } else { 0.0 }, middle)
    }
}

/// Which share of a bucket lies at or below `border`, which is inside.
fn share(bucket: &Bucket, border: f64, linear: bool) -> f64 {
    if linear {
        (border - bucket.lower) / (bucket.upper - bucket.lower)
    } else {
        logarithmic_share(bucket, border)
    }
}
