//! Histograms whose custom bounds differ.

use std::sync::Arc;

use super::arithmetic::compensated;
use super::{Bar, Histogram};

/// The bounds that both have.
#[expect(clippy::float_cmp, reason = "bounds are the same or they are not")]
pub(super) fn shared_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut shared = Vec::new();
    let mut others = b.iter().copied().peekable();
    for &bound in a {
        while others.next_if(|&other| other < bound).is_some() {}
        if others.next_if(|&other| other == bound).is_some() {
            shared.push(bound);
        }
    }
    shared
}

/// The place of the bucket `index` of `bounds` among the buckets of the `shared` bounds.
fn place(index: i32, bounds: &[f64], shared: &[f64]) -> usize {
    let bound = usize::try_from(index).ok().and_then(|index| bounds.get(index));
    bound.map_or(shared.len(), |bound| shared.partition_point(|shared| shared < bound))
}

/// Counts and what they lost, one per bucket of shared bounds.
#[derive(Debug)]
pub(super) struct Mapped {
    sums: Vec<(f64, f64)>,
}

impl Mapped {
    pub(super) fn new(shared: &[f64]) -> Self {
        Self { sums: vec![(0.0, 0.0); shared.len() + 1] }
    }

    /// Adds buckets, times `sign`, with what they lost.
    pub(super) fn add(
        &mut self,
        bars: &[Bar],
        rest: Option<&[f64]>,
        sign: f64,
        bounds: &[f64],
        shared: &[f64],
    ) {
        for (at, bar) in bars.iter().enumerate() {
            let Some(sum) = self.sums.get_mut(place(bar.index, bounds, shared)) else { continue };
            *sum = compensated(sum.0, sum.1, sign * bar.count);
            if let Some(&rest) = rest.and_then(|rest| rest.get(at)) {
                *sum = compensated(sum.0, sum.1, sign * rest);
            }
        }
    }

    /// The buckets that are not empty, and what each lost.
    pub(super) fn into_bars(self) -> (Vec<Bar>, Vec<f64>) {
        let used = (0..).zip(self.sums).filter(|(_, sum)| sum.0 != 0.0 || sum.1 != 0.0);
        used.map(|(index, (count, rest))| (Bar { index, count }, rest)).unzip()
    }
}

impl Histogram {
    /// Adds `other`, times `sign`, in the bounds that both have.
    pub(super) fn combine_bounds(&mut self, other: &Self, sign: f64) {
        let shared = shared_bounds(&self.bounds, &other.bounds);
        let mut mapped = Mapped::new(&shared);
        mapped.add(&self.positive, None, 1.0, &self.bounds, &shared);
        mapped.add(&other.positive, None, sign, &other.bounds, &shared);
        self.positive = mapped.into_bars().0;
        self.bounds = Arc::from(shared);
    }

    /// Whether some bucket of the bounds that both have holds less than in `previous`.
    pub(super) fn fell_in_shared_bounds(&self, previous: &Self) -> bool {
        let shared = shared_bounds(&self.bounds, &previous.bounds);
        let sums = |histogram: &Self| {
            let mut sums = vec![0.0; shared.len() + 1];
            for bar in &histogram.positive {
                if let Some(sum) = sums.get_mut(place(bar.index, &histogram.bounds, &shared)) {
                    *sum += bar.count;
                }
            }
            sums
        };
        sums(self).iter().zip(sums(previous)).any(|(&now, before)| now < before)
    }
}
