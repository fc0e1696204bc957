//! Sums, differences and multiples of histograms.

use super::{Bar, Hint, Histogram, Incompatible, bound, exponential_bound};

/// What had to be done to put two histograms together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// One said that the counter was reset, the other that it was not.
    pub collision: bool,
    /// Their custom bounds differed: the sum has those that both had.
    pub bounds: bool,
}

/// Neumaier's compensated addition: the sum and what it lost.
pub(super) fn compensated(sum: f64, lost: f64, added: f64) -> (f64, f64) {
    let total = sum + added;
    let lost = if total.is_infinite() {
        0.0
    } else if sum.abs() >= added.abs() {
        lost + ((sum - total) + added)
    } else {
        lost + ((added - total) + sum)
    };
    (total, lost)
}

impl Histogram {
    /// Multiplies all counts and the sum; a negative factor makes a gauge.
    pub fn multiply(&mut self, factor: f64) {
        self.change(|value| value * factor);
        if factor < 0.0 {
            self.hint = Hint::Gauge;
        }
    }

    /// Divides all counts and the sum; a division by zero removes the buckets.
    pub fn divide(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive.clear();
            self.negative.clear();
        }
        self.change(|value| value / divisor);
        if divisor < 0.0 {
            self.hint = Hint::Gauge;
        }
    }

    fn change(&mut self, change: impl Fn(f64) -> f64) {
        self.zero_count = change(self.zero_count);
        self.count = change(self.count);
        self.sum = change(self.sum);
        for bar in self.positive.iter_mut().chain(&mut self.negative) {
            bar.count = change(bar.count);
        }
    }

    /// Adds `other`. Differences of resolution, zero bucket and custom bounds are reconciled.
    ///
    /// # Errors
    /// If one has exponential buckets and the other custom bounds.
    pub fn add(&mut self, other: &Self) -> Result<Reconciled, Incompatible> {
        self.combine(other, 1.0)
    }

    /// Subtracts `other`, as [`Histogram::add`] adds it.
    ///
    /// # Errors
    /// If one has exponential buckets and the other custom bounds.
    pub fn subtract(&mut self, other: &Self) -> Result<Reconciled, Incompatible> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Reconciled, Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let mut done = Reconciled { collision: self.take_hint(other), bounds: false };
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        if self.is_custom() {
            if self.bounds == other.bounds {
                add_bars(&mut self.positive, &other.positive, sign);
            } else {
                done.bounds = true;
                self.combine_bounds(other, sign);
            }
            return Ok(done);
        }
        let zero_count = self.widen_zero(other);
        self.zero_count += sign * zero_count;
        let schema = self.schema.min(other.schema);
        self.lower_to(schema);
        for (bars, others) in
            [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)]
        {
            let others = outside(others, other.schema, schema, self.zero_threshold);
            add_bars(bars, &others, sign);
        }
        Ok(done)
    }

    /// Lowers the resolution to `schema`, if it is higher.
    pub(super) fn lower_to(&mut self, schema: i32) {
        if schema < self.schema {
            self.positive = bound::reduce(&self.positive, self.schema, schema);
            self.negative = bound::reduce(&self.negative, self.schema, schema);
            self.schema = schema;
        }
    }

    /// Takes over what the sum with `other` knows of resets; whether they contradict.
    pub(super) fn take_hint(&mut self, other: &Self) -> bool {
        let (mine, others) = (self.hint, other.hint);
        let collision =
            matches!((mine, others), (Hint::Reset, Hint::NotReset) | (Hint::NotReset, Hint::Reset));
        self.hint = if mine == others {
            mine
        } else if mine == Hint::Gauge || others == Hint::Gauge {
            Hint::Gauge
        } else {
            Hint::Unknown
        };
        collision
    }

    /// Widens the zero bucket to one that holds `other`'s too, and gives what `other` would have
    /// in it.
    fn widen_zero(&mut self, other: &Self) -> f64 {
        let mut others = (other.zero_count, other.zero_threshold);
        // Each round makes one threshold larger, to the end of a bucket; NaN ends it.
        while differ(others.1, self.zero_threshold) {
            if self.zero_threshold > others.1 {
                others = other.zero_with(self.zero_threshold);
            }
            if others.1 > self.zero_threshold {
                (self.zero_count, self.zero_threshold) = self.zero_with(others.1);
                self.drop_inside_zero();
            }
        }
        others.0
    }

    /// What the zero bucket would hold with the larger `threshold`, which is moved to the end of a
    /// bucket that it would cut, and that threshold.
    pub(super) fn zero_with(&self, threshold: f64) -> (f64, f64) {
        let (count, _, threshold) = self.zero_with_rest(threshold, None);
        (count, threshold)
    }

    /// As [`Self::zero_with`], with what compensated sums lost: of the zero bucket and of each
    /// bucket. The result is the count, what it lost, and the threshold.
    pub(super) fn zero_with_rest(
        &self,
        mut threshold: f64,
        rest: Option<(f64, &[f64], &[f64])>,
    ) -> (f64, f64, f64) {
        let (zero_rest, rest_above, rest_below) = rest.unwrap_or((0.0, &[], &[]));
        'again: loop {
            let mut sum = (self.zero_count, zero_rest);
            let mut take = |count: f64, rest: Option<&f64>| {
                sum = compensated(sum.0, sum.1, count);
                if let Some(&rest) = rest {
                    sum = compensated(sum.0, sum.1, rest);
                }
            };
            for (at, bar) in self.positive.iter().enumerate() {
                let bucket = self.positive_bucket(bar);
                if bucket.lower >= threshold {
                    break;
                }
                take(bar.count, rest_above.get(at));
                if bucket.upper > threshold {
                    if bar.count != 0.0 {
                        threshold = bucket.upper;
                    }
                    break;
                }
            }
            for (at, bar) in self.negative.iter().enumerate() {
                let bucket = self.negative_bucket(bar);
                if bucket.upper <= -threshold {
                    break;
                }
                take(bar.count, rest_below.get(at));
                if bucket.lower < -threshold {
                    if bar.count != 0.0 {
                        // The positive side has to be looked at again.
                        threshold = -bucket.lower;
                        continue 'again;
                    }
                    break;
                }
            }
            return (sum.0, sum.1, threshold);
        }
    }

    /// Removes the buckets that lie in the zero bucket, and all empty ones.
    fn drop_inside_zero(&mut self) {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        for bars in [&mut self.positive, &mut self.negative] {
            bars.retain(|bar| bar.count != 0.0 && !is_inside(bar.index, schema, threshold));
        }
    }
}

/// Whether one threshold is the larger; NaN is neither.
pub(super) fn differ(a: f64, b: f64) -> bool {
    a.partial_cmp(&b).is_some_and(std::cmp::Ordering::is_ne)
}

/// Whether a bucket begins within the zero bucket.
pub(super) fn is_inside(index: i32, schema: i32, threshold: f64) -> bool {
    exponential_bound(index.saturating_sub(1), schema) < threshold
}

/// The buckets beyond the zero bucket, in the resolution `to`. As in Prometheus a bucket of the
/// lower resolution that reaches beyond counts whole.
pub(super) fn outside(bars: &[Bar], from: i32, to: i32, threshold: f64) -> Vec<Bar> {
    let mut bars = if from > to { bound::reduce(bars, from, to) } else { bars.to_vec() };
    let inside = bars.iter().take_while(|bar| exponential_bound(bar.index, to) <= threshold);
    let inside = inside.count();
    bars.drain(..inside);
    bars
}

/// Adds `others`, times `sign`, to `bars`; both come by rising index.
pub(super) fn add_bars(bars: &mut Vec<Bar>, others: &[Bar], sign: f64) {
    let same = bars.len() == others.len()
        && bars.iter().zip(others).all(|(bar, other)| bar.index == other.index);
    if same {
        for (bar, other) in bars.iter_mut().zip(others) {
            bar.count += sign * other.count;
        }
        return;
    }
    let mut merged = Vec::with_capacity(bars.len() + others.len());
    let mut mine = bars.iter().copied().peekable();
    for other in others {
        while let Some(bar) = mine.next_if(|bar| bar.index < other.index) {
            merged.push(bar);
        }
        let added = sign * other.count;
        let count = match mine.next_if(|bar| bar.index == other.index) {
            Some(bar) => bar.count + added,
            None => added,
        };
        merged.push(Bar { index: other.index, count });
    }
    merged.extend(mine);
    *bars = merged;
}
