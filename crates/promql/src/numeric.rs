//! Arithmetic that must give the same bits as Prometheus.

/// A sum with Neumaier's compensation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) value: f64,
    pub(crate) rest: f64,
}

impl Sum {
    /// Starts with `value`.
    pub(crate) fn new(value: f64) -> Self {
        Self { value, rest: 0.0 }
    }

    /// The sum with `added`.
    #[must_use]
    pub(crate) fn plus(self, added: f64) -> Self {
        let sum = self.value + added;
        let rest = if sum.is_infinite() {
            0.0
        } else if self.value.abs() >= added.abs() {
            // What was lost of the smaller one.
            self.rest + ((self.value - sum) + added)
        } else {
            self.rest + ((added - sum) + self.value)
        };
        Self { value: sum, rest }
    }

    /// Value and compensation.
    pub(crate) fn total(self) -> f64 {
        self.value + self.rest
    }
}

/// A mean: a compensated sum until that would overflow, then a compensated incremental mean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    sum: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// Starts with one value.
    pub(crate) fn new(value: f64) -> Self {
        Self { sum: Sum::new(value), count: 1.0, incremental: false }
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let sum = self.sum.plus(value);
            if !sum.value.is_infinite() {
                self.sum = sum;
                return;
            }
            self.incremental = true;
            self.sum.value /= self.count - 1.0;
            self.sum.rest /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        let scaled = Sum { value: share * self.sum.value, rest: share * self.sum.rest };
        self.sum = scaled.plus(value / self.count);
    }

    /// The mean.
    pub(crate) fn value(&self) -> f64 {
        if self.incremental {
            self.sum.value + self.sum.rest
        } else {
            Self::share(self.sum, self.count)
        }
    }

    /// The mean of `count` values that sum up to a finite number.
    #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^53 samples")]
    pub(crate) fn of(sum: Sum, count: usize) -> f64 {
        Self::share(sum, count as f64)
    }

    fn share(sum: Sum, count: f64) -> f64 {
        sum.value / count + sum.rest / count
    }
}

/// The quantile `q` of `values`, which it brings into another order; NaN is less than numbers.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank lies within the number of values"
)]
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let n = values.len() as f64;
    let rank = q * (n - 1.0);
    let lower = rank.floor().max(0.0);
    let weight = rank - rank.floor();
    let by_value = |a: &f64, b: &f64| {
        b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
    };
    // Two neighbours of the sorted values are wanted, so the others need not be sorted.
    let (_, &mut at_lower, above) = values.select_nth_unstable_by(lower as usize, by_value);
    let at_upper = above.iter().copied().min_by(by_value).unwrap_or(at_lower);
    at_lower * (1.0 - weight) + at_upper * weight
}

/// Milliseconds in seconds, as Go computes them: whole seconds and the rest apart.
#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53 s")]
pub(crate) fn seconds(ms: i64) -> f64 {
    (ms / 1000) as f64 + (ms % 1000 * 1_000_000) as f64 / 1e9
}

/// Go's `math.Max`: infinity wins over NaN, NaN over numbers.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// Go's `math.Min`: minus infinity wins over NaN, NaN over numbers.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

/// Whether two numbers are the same but for what rounding does: Prometheus' `almost.Equal`.
#[expect(clippy::float_cmp, reason = "exact equality is the first of its rules")]
pub(crate) fn almost_equal(a: f64, b: f64, tolerance: f64) -> bool {
    if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    if a.is_nan() || b.is_nan() {
        return false;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < tolerance
}
