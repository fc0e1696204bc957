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

/// What is left while buckets are trimmed.
#[derive(Debug, Default)]
struct Rest {
    count: f64,
    removed_sum: f64,
    has_positive: bool,
    has_negative: bool,
}

impl Histogram {
    /// Removes the observations on the other side of `border`: whole buckets, and of the one that
    /// holds it a share, taking the observations to be spread as quantiles take them to be.
    #[must_use]
    pub fn trimmed(&self, border: f64, side: TrimSide) -> Self {
        let mut trimmed = self.clone();
        let mut rest = Rest::default();
        for (at, bar) in self.positive.iter().enumerate().filter(|(_, bar)| bar.count != 0.0) {
            let bucket = self.positive_bucket(bar);
            rest.has_positive |= !self.is_custom() || bucket.upper > 0.0;
            rest.has_negative |= self.is_custom() && (bucket.upper <= 0.0 || bucket.lower < 0.0);
            let kept = rest.trim(&bucket, border, side, self.is_custom());
            if let Some(bar) = trimmed.positive.get_mut(at) {
                bar.count = kept;
            }
        }
        for (at, bar) in self.negative.iter().enumerate().filter(|(_, bar)| bar.count != 0.0) {
            let bucket = self.negative_bucket(bar);
            rest.has_negative = true;
            let kept = rest.trim(&bucket, border, side, self.is_custom());
            if let Some(bar) = trimmed.negative.get_mut(at) {
                bar.count = kept;
            }
        }
        if self.zero_count > 0.0 {
            let below = share_below(&self.zero_bucket(), border, true);
            trimmed.zero_count = match side {
                TrimSide::Below => below,
                TrimSide::Above => self.zero_count - below,
            };
            rest.count += trimmed.zero_count;
        }
        trimmed.sum = if rest.count == 0.0 { 0.0 } else { self.sum - rest.removed_sum };
        if (!rest.has_negative && trimmed.sum < 0.0) || (!rest.has_positive && trimmed.sum > 0.0) {
            trimmed.sum = 0.0;
        }
        trimmed.count = rest.count;
        trimmed.compacted()
    }
}

impl Rest {
    /// Trims one bucket; gives what stays of its count.
    fn trim(&mut self, bucket: &Bucket, border: f64, side: TrimSide, custom: bool) -> f64 {
        let (inside, outside) = match side {
            TrimSide::Below => (bucket.upper <= border, bucket.lower >= border),
            TrimSide::Above => (bucket.lower >= border, bucket.upper <= border),
        };
        if inside {
            self.count += bucket.count;
            return bucket.count;
        }
        let (kept, mut middle) = trim_bucket(bucket, border, side, custom);
        if outside {
            if !custom {
                middle = (bucket.lower * bucket.upper).sqrt();
            }
            self.removed_sum += bucket.count * middle;
            return 0.0;
        }
        self.removed_sum += (bucket.count - kept) * middle;
        self.count += kept;
        kept
    }
}

/// How much of a bucket stays, and where the middle of the rest lies.
fn trim_bucket(bucket: &Bucket, border: f64, side: TrimSide, custom: bool) -> (f64, f64) {
    if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
        return trim_endless(bucket, border, side);
    }
    let below = share_below(bucket, border, custom);
    let (kept, product) = match side {
        TrimSide::Below => (below, bucket.lower.abs() * border.abs()),
        TrimSide::Above => (bucket.count - below, border.abs() * bucket.upper.abs()),
    };
    let middle = if custom {
        f64::midpoint(bucket.lower, bucket.upper)
    } else if bucket.lower >= 0.0 {
        product.sqrt()
    } else {
        -product.sqrt()
    };
    (kept, middle)
}

/// A custom bucket without a lower or an upper bound: where nothing is known it goes whole.
fn trim_endless(bucket: &Bucket, border: f64, side: TrimSide) -> (f64, f64) {
    let Bucket { lower, upper, count, .. } = *bucket;
    if lower == f64::NEG_INFINITY {
        // With a positive upper bound it is taken to begin at zero.
        let known = border >= 0.0 && upper > border && upper.is_finite();
        return match side {
            TrimSide::Below if border >= upper => (count, 0.0),
            TrimSide::Above if border <= lower => (count, 0.0),
            TrimSide::Below if known => (count * border / upper, f64::midpoint(border, upper)),
            TrimSide::Above if known => (count * (1.0 - border / upper), border / 2.0),
            _ => (0.0, upper),
        };
    }
    match side {
        TrimSide::Above if border <= lower => (count, 0.0),
        _ => (0.0, lower),
    }
}

/// How many observations of a bucket lie at or below `border`.
fn share_below(bucket: &Bucket, border: f64, linear: bool) -> f64 {
    if border <= bucket.lower {
        return 0.0;
    }
    if border >= bucket.upper {
        return bucket.count;
    }
    let share = if linear {
        (border - bucket.lower) / (bucket.upper - bucket.lower)
    } else {
        logarithmic_share(bucket, border)
    };
    bucket.count * share
}
