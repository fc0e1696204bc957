//! Classic histograms made native ones with custom bounds, by Prometheus' rules.

use super::{Bar, CUSTOM_SCHEMA, Histogram};

/// Gaps of up to so many empty buckets are kept.
const KEPT_EMPTY_MAX: usize = 2;

/// Whole numbers beyond this are counts of a histogram with float counts.
const WHOLE_MAX: f64 = 9_223_372_036_854_775_808.0;

/// The series of one classic histogram as they come.
#[derive(Clone, Debug, Default)]
pub struct Classic {
    /// Bounds, rising, and counts, cumulated.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    broken: bool,
}

impl Classic {
    /// Takes a bucket; of several with the same bound the first counts.
    #[expect(clippy::float_cmp, reason = "bounds are the same or they are not")]
    pub fn bucket(&mut self, bound: f64, count: f64) {
        let at = match self.buckets.last() {
            Some(&(last, _)) if last < bound => self.buckets.len(),
            _ => self.buckets.partition_point(|&(have, _)| have < bound),
        };
        if self.buckets.get(at).is_some_and(|&(have, _)| have == bound) {
            return;
        }
        let below = at.checked_sub(1).and_then(|at| self.buckets.get(at));
        let falls = below.is_some_and(|&(_, below)| count < below)
            || self.buckets.get(at).is_some_and(|&(_, above)| count > above);
        self.broken |= falls || count < 0.0;
        self.buckets.insert(at, (bound, count));
    }

    /// Takes the number of all observations.
    pub fn count(&mut self, count: f64) {
        self.broken |= count < 0.0 || count.is_nan();
        self.count = Some(count);
    }

    /// Takes the sum of all observations.
    pub fn sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// The histogram, and whether its counts are whole numbers; `None` when the series contradict
    /// each other.
    #[expect(clippy::float_cmp, reason = "both count the same")]
    pub fn convert(mut self) -> Option<(Histogram, bool)> {
        let highest = self.buckets.last().copied();
        let count = self.count.or(highest.map(|(_, count)| count)).unwrap_or(0.0);
        if let Some((f64::INFINITY, all)) = highest {
            self.broken |= all != count && self.count.is_some();
        } else {
            self.broken |= highest.is_some_and(|(_, below)| count < below);
            self.buckets.push((f64::INFINITY, count));
        }
        // Bounds begin above the lowest number there is.
        let lowest = self.buckets.first().is_some_and(|&(bound, _)| bound == f64::NEG_INFINITY);
        if self.broken || lowest {
            return None;
        }
        let whole = |count: f64| count.trunc() == count && count < WHOLE_MAX;
        let integer = whole(count) && self.buckets.iter().all(|&(_, count)| whole(count));
        let mut below = 0.0;
        let mut bars = Vec::with_capacity(self.buckets.len());
        for (index, &(_, cumulated)) in (0..).zip(&self.buckets) {
            bars.push(Bar { index, count: cumulated - below });
            below = cumulated;
        }
        self.buckets.pop();
        let histogram = Histogram {
            schema: CUSTOM_SCHEMA,
            count,
            sum: self.sum,
            positive: without_long_gaps(&bars),
            bounds: self.buckets.into_iter().map(|(bound, _)| bound).collect(),
            ..Histogram::default()
        };
        Some((histogram, integer))
    }
}

/// The buckets but for empty ones at either end and for long runs of empty ones.
fn without_long_gaps(bars: &[Bar]) -> Vec<Bar> {
    let mut kept: Vec<Bar> = Vec::with_capacity(bars.len());
    let mut empty = 0;
    for (at, bar) in bars.iter().enumerate() {
        if bar.count == 0.0 {
            empty += 1;
            continue;
        }
        if !kept.is_empty() && empty <= KEPT_EMPTY_MAX {
            kept.extend_from_slice(bars.get(at - empty..at).unwrap_or_default());
        }
        kept.push(*bar);
        empty = 0;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(buckets: &[(f64, f64)], count: Option<f64>, sum: f64) -> Option<(String, bool)> {
        let mut classic = Classic::default();
        for &(bound, count) in buckets {
            classic.bucket(bound, count);
        }
        if let Some(count) = count {
            classic.count(count);
        }
        classic.sum(sum);
        let (histogram, integer) = classic.convert()?;
        Some((histogram.to_string(), integer))
    }

    #[test]
    fn series_become_one_histogram() {
        const INF: f64 = f64::INFINITY;
        let some = |text: &str, integer| Some((text.to_owned(), integer));
        let whole = "{count:5, sum:1, [-Inf,1]:3, (1,2]:1, (2,+Inf]:1}";
        assert_eq!(made(&[(1.0, 3.0), (2.0, 4.0), (INF, 5.0)], Some(5.0), 1.0), some(whole, true));
        // In any order, repeated, without what can be told from the rest.
        assert_eq!(made(&[(2.0, 4.0), (1.0, 3.0), (2.0, 9.0)], Some(5.0), 1.0), some(whole, true));
        let all = "{count:4, sum:1, [-Inf,1]:3, (1,2]:1}";
        assert_eq!(made(&[(1.0, 3.0), (2.0, 4.0)], None, 1.0), some(all, true));
        let parts = "{count:3, sum:1, [-Inf,1]:0.5, (1,+Inf]:2.5}";
        assert_eq!(made(&[(1.0, 0.5), (INF, 3.0)], Some(3.0), 1.0), some(parts, false));
        assert_eq!(made(&[], Some(4.0), 4.0), some("{count:4, sum:4, [-Inf,+Inf]:4}", true));
        assert_eq!(made(&[], None, 4.0), some("{count:0, sum:4}", true));
        assert!(!made(&[(1.0, 1e19)], Some(2e19), 1.0).unwrap().1);
        for (buckets, count) in [
            (&[(1.0, 3.0), (INF, 5.0)][..], Some(6.0)),
            (&[(1.0, 5.0), (2.0, 4.0)], None),
            (&[(2.0, 4.0), (1.0, 5.0)], None),
            (&[(1.0, 3.0)], Some(2.0)),
            (&[(1.0, -3.0)], None),
            (&[(1.0, 3.0)], Some(f64::NAN)),
            (&[(f64::NEG_INFINITY, 3.0)], Some(3.0)),
        ] {
            assert_eq!(made(buckets, count, 1.0), None, "{buckets:?} {count:?}");
        }
    }

    #[test]
    fn short_gaps_stay() {
        let mut classic = Classic::default();
        for (bound, count) in (1..).zip([0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0]) {
            classic.bucket(f64::from(bound), count);
        }
        let (histogram, _) = classic.convert().unwrap();
        let indices: Vec<i32> = histogram.positive.iter().map(|bar| bar.index).collect();
        assert_eq!(indices, [1, 2, 3, 4, 8]);
    }
}
