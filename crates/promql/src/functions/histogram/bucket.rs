//! Quantile and fraction of cumulative buckets.

use std::cmp::Ordering;

use crate::numeric::almost_equal;
use crate::options::Release;

/// Differences between counts smaller than this share are rounding.
const TOLERANCE: f64 = 1e-12;

/// A bucket: how many observations were at most its bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) bound: f64,
    pub(super) count: f64,
}

/// Counts that fell from one bound to the next, and were lifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Repair {
    /// The lowest and the highest of their bounds.
    pub(super) lowest: f64,
    pub(super) highest: f64,
    /// By how much one fell at most.
    pub(super) most: f64,
}

/// The quantile `q`, interpolated within its bucket, and whether counts had to be repaired.
pub(super) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Repair>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !prepare(buckets) {
        return (f64::NAN, None);
    }
    let repair = make_monotonic(buckets);
    (inside(q, buckets).unwrap_or(f64::NAN), repair)
}

fn inside(q: f64, buckets: &[Bucket]) -> Option<f64> {
    let (last, finite) = buckets.split_last()?;
    let highest = finite.last()?;
    if last.count == 0.0 {
        return None;
    }
    let mut rank = q * last.count;
    // A NaN count is never enough, so that the search goes on behind it as in Prometheus.
    let index = search(finite.len(), |i| finite.get(i).is_some_and(|b| b.count >= rank));
    let Some(bucket) = finite.get(index) else { return Some(highest.bound) };
    let below = index.checked_sub(1).and_then(|i| finite.get(i));
    if below.is_none() && bucket.bound <= 0.0 {
        return Some(bucket.bound);
    }
    let (mut start, mut count) = (0.0, bucket.count);
    if let Some(below) = below {
        start = below.bound;
        count -= below.count;
        rank -= below.count;
    }
    Some(start + (bucket.bound - start) * (rank / count))
}

/// Go's `sort.Search`, which matters where `found` is not monotonic.
fn search(len: usize, found: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = usize::midpoint(low, high);
        if found(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Sorts by bound and joins equal bounds; whether the last bound is infinite.
#[expect(clippy::float_cmp, reason = "bounds are the same or not")]
fn prepare(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.bound.partial_cmp(&b.bound).unwrap_or(Ordering::Equal));
    if buckets.last().is_none_or(|bucket| bucket.bound != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.bound == kept.bound;
        if same {
            kept.count += next.count;
        }
        same
    });
    true
}

/// Lifts counts that are below the one before; tells of those that were not so by rounding.
#[expect(clippy::float_cmp, reason = "equal counts need no repair")]
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Repair> {
    let mut before = buckets.first().map_or(0.0, |bucket| bucket.count);
    let mut repaired: Option<Repair> = None;
    for bucket in buckets.iter_mut().skip(1) {
        let count = bucket.count;
        if count == before {
            continue;
        }
        let rounding = almost_equal(before, count, TOLERANCE);
        if rounding || count < before {
            bucket.count = before;
            if !rounding {
                let (bound, fell) = (bucket.bound, before - count);
                let all =
                    repaired.get_or_insert(Repair { lowest: bound, highest: bound, most: 0.0 });
                all.highest = bound;
                all.most = all.most.max(fell);
            }
        } else {
            before = count;
        }
    }
    repaired
}

/// The share of observations between `low` and `high`.
/// Prometheus 3.5 knows no share of the first bucket.
pub(super) fn fraction(low: f64, high: f64, buckets: &mut Vec<Bucket>, release: Release) -> f64 {
    if !prepare(buckets) {
        return f64::NAN;
    }
    let count = buckets.last().map_or(0.0, |bucket| bucket.count);
    if count == 0.0 || low.is_nan() || high.is_nan() {
        return f64::NAN;
    }
    if low >= high {
        return 0.0;
    }
    let rank = |value| rank_of(value, buckets, count, release);
    (rank(high) - rank(low)) / count
}

/// How many observations were below `value`.
fn rank_of(value: f64, buckets: &[Bucket], count: f64, release: Release) -> f64 {
    let newest = release == Release::Newest;
    let positive = newest && buckets.first().is_some_and(|bucket| bucket.bound > 0.0);
    let mut lower = if positive { 0.0 } else { f64::NEG_INFINITY };
    let mut rank: f64 = 0.0;
    for bucket in buckets {
        if lower >= value {
            return rank.min(count);
        }
        if bucket.bound > value {
            // An infinite bucket has no inside.
            let inside = if lower == f64::NEG_INFINITY {
                if newest { bucket.count } else { f64::NAN }
            } else {
                rank + (bucket.count - rank) * (value - lower) / (bucket.bound - lower)
            };
            return if inside > count { count } else { inside };
        }
        rank = bucket.count;
        lower = bucket.bound;
    }
    count
}
