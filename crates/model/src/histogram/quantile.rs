//! What the buckets tell of the observations: quantiles, fractions, variance.

use super::arithmetic::compensated;
use super::{Bucket, Histogram};

/// What is odd about an estimate: the histogram has observations of NaN, which are in no bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// The quantile lies among them.
    NanResult,
    /// They count as larger than all others.
    NanSkew,
    /// They are in no fraction.
    NanExcluded,
}

/// An estimate, and what is odd about it.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// What the user may want to know.
    pub oddity: Option<Oddity>,
}

impl Estimate {
    fn plain(value: f64) -> Self {
        Self { value, oddity: None }
    }
}

impl Histogram {
    /// The quantile `q`: linear within custom buckets and the zero bucket, else on a scale of
    /// logarithms. NaN without observations, infinite for a `q` that is none.
    pub fn quantile(&self, q: f64) -> Estimate {
        if q < 0.0 {
            return Estimate::plain(f64::NEG_INFINITY);
        }
        if q > 1.0 {
            return Estimate::plain(f64::INFINITY);
        }
        if self.count == 0.0 || q.is_nan() {
            return Estimate::plain(f64::NAN);
        }
        // NaN observations are in no bucket, so with them the rank counts from below.
        let forward = self.sum.is_nan() || q < 0.5;
        let rank = if forward { q * self.count } else { (1.0 - q) * self.count };
        let mut buckets = self.buckets();
        let mut count = 0.0;
        let mut bucket = None;
        while let Some(next) = if forward { buckets.next() } else { buckets.next_back() } {
            bucket = Some(next);
            count += next.count;
            if next.count != 0.0 && count >= rank {
                break;
            }
        }
        let Some(mut bucket) = bucket else { return self.without_bucket(rank) };
        if self.is_custom() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return Estimate::plain(bucket.upper);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return Estimate::plain(bucket.lower);
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            self.narrow_zero(&mut bucket);
        }
        // Rounding may have made the sum of the buckets larger than the count.
        count = count.min(self.count);
        if count < rank {
            return if self.sum.is_nan() {
                Estimate { value: f64::NAN, oddity: Some(Oddity::NanResult) }
            } else {
                Estimate::plain(bucket.upper)
            };
        }
        let within = if forward { rank - (count - bucket.count) } else { count - rank };
        let mut all = count;
        if self.sum.is_nan() {
            for next in buckets {
                all += next.count;
                // As in Prometheus it is this one in which the value is looked for then.
                bucket = next;
            }
        }
        let skewed = self.sum.is_nan() && all < self.count;
        let value = self.inside(&bucket, within / bucket.count);
        Estimate { value, oddity: skewed.then_some(Oddity::NanSkew) }
    }

    /// A quantile where no bucket holds anything.
    fn without_bucket(&self, rank: f64) -> Estimate {
        if 0.0 < rank && self.sum.is_nan() {
            return Estimate { value: f64::NAN, oddity: Some(Oddity::NanResult) };
        }
        Estimate::plain(if 0.0 < rank { 0.0 } else { f64::NAN })
    }

    /// Half of the zero bucket is empty where the other side has no buckets.
    pub(super) fn narrow_zero(&self, bucket: &mut Bucket) {
        match (self.negative.is_empty(), self.positive.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }

    /// The value at a share of a bucket.
    fn inside(&self, bucket: &Bucket, share: f64) -> f64 {
        if self.is_custom() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
            return bucket.lower + (bucket.upper - bucket.lower) * share;
        }
        let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
        if bucket.lower > 0.0 {
            (lower + (upper - lower) * share).exp2()
        } else {
            -(upper + (lower - upper) * (1.0 - share)).exp2()
        }
    }

    /// Which part of the observations lies between `lower` and `upper`.
    pub fn fraction(&self, lower: f64, upper: f64) -> Estimate {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return Estimate::plain(f64::NAN);
        }
        if lower >= upper {
            return Estimate::plain(0.0);
        }
        let mut rank = 0.0;
        let (mut below_lower, mut below_upper) = (None, None);
        for mut bucket in self.buckets() {
            let around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
            if around_zero {
                self.narrow_zero(&mut bucket);
            }
            for (below, border) in [(&mut below_lower, lower), (&mut below_upper, upper)] {
                if below.is_some() {
                    continue;
                }
                if bucket.lower >= border {
                    *below = Some(rank);
                } else if bucket.upper > border {
                    let linear = self.is_custom() || around_zero;
                    *below = Some(rank_at(&bucket, border, rank, linear));
                }
            }
            if below_lower.is_some() && below_upper.is_some() {
                break;
            }
            rank += bucket.count;
        }
        let mut count = self.count;
        let mut oddity = None;
        if self.sum.is_nan() {
            let inside = self.buckets().map(|bucket| bucket.count).sum();
            count = inside;
            oddity = (inside < self.count).then_some(Oddity::NanExcluded);
        }
        let capped = |below: Option<f64>| match below {
            Some(below) if below > count => count,
            Some(below) => below,
            None => count,
        };
        let value = (capped(below_upper) - capped(below_lower)) / self.count;
        Estimate { value, oddity }
    }

    /// The variance of the observations, each taken to lie in the middle of its bucket.
    pub fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let (mut sum, mut lost) = (0.0, 0.0);
        for bucket in self.buckets().filter(|bucket| bucket.count != 0.0) {
            let middle = if self.is_custom() {
                f64::midpoint(bucket.lower, bucket.upper)
            } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
                0.0
            } else {
                let middle = (bucket.upper * bucket.lower).sqrt();
                if bucket.upper < 0.0 { -middle } else { middle }
            };
            let distance = middle - mean;
            (sum, lost) = compensated(sum, lost, bucket.count * distance * distance);
        }
        (sum + lost) / self.count
    }
}

/// How many observations lie below `border`, which is in the bucket; `rank` of them below it.
fn rank_at(bucket: &Bucket, border: f64, rank: f64, linear: bool) -> f64 {
    if linear {
        if bucket.lower == f64::NEG_INFINITY {
            return bucket.count;
        }
        return rank + bucket.count * (border - bucket.lower) / (bucket.upper - bucket.lower);
    }
    rank + bucket.count * logarithmic_share(bucket, border)
}

/// Which share of an exponential bucket lies below `border`.
pub(super) fn logarithmic_share(bucket: &Bucket, border: f64) -> f64 {
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let place = border.abs().log2();
    if border > 0.0 {
        (place - lower) / (upper - lower)
    } else {
        1.0 - (place - upper) / (lower - upper)
    }
}
