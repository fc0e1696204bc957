//! What is said of buckets whose counts had to be repaired.

use std::collections::BTreeMap;

use narthex_model::number::GoFloat;

use super::bucket::Repair;
use crate::functions::date::rfc3339;

const TEXT: &str = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";

/// The repairs of the histograms of one metric.
#[derive(Debug)]
struct Tally {
    repair: Repair,
    /// When the first and the last were, in milliseconds.
    times: (i64, i64),
    count: usize,
}

/// The repairs of one call, by what is said of the metric's name.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    by_name: BTreeMap<String, Tally>,
}

impl Repairs {
    /// Notes the repair of one histogram at one time.
    pub(super) fn add(&mut self, name: &str, at: i64, repair: Repair) {
        let Some(tally) = self.by_name.get_mut(name) else {
            let tally = Tally { repair, times: (at, at), count: 1 };
            self.by_name.insert(name.to_owned(), tally);
            return;
        };
        let all = &mut tally.repair;
        all.lowest = all.lowest.min(repair.lowest);
        all.highest = all.highest.max(repair.highest);
        all.most = all.most.max(repair.most);
        tally.times = (tally.times.0.min(at), tally.times.1.max(at));
        tally.count += 1;
    }

    /// The texts; newer releases of Prometheus say more.
    pub(super) fn texts(self, in_full: bool) -> impl Iterator<Item = String> {
        self.by_name.into_iter().map(move |(name, tally)| {
            if !in_full {
                return format!("{TEXT}{name}");
            }
            let Repair { lowest, highest, most } = tally.repair;
            let (lowest, highest) = (GoFloat(lowest), GoFloat(highest));
            let (most, count) = (two_digits(most), tally.count);
            let (first, last) = (rfc3339(tally.times.0), rfc3339(tally.times.1));
            format!(
                "{TEXT}{name}, from buckets {lowest} to {highest}, with a max diff of {most}, over \
                 {count} samples from {first} to {last}"
            )
        })
    }
}

/// A number with two digits, as Go prints it with `%.2g`.
fn two_digits(value: f64) -> String {
    let text = format!("{value:.1e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    if (-4..2).contains(&exponent) {
        return GoFloat(text.parse().unwrap_or(value)).to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_two_digits() {
        for (value, want) in [
            (5.0, "5"),
            (10.0, "10"),
            (99.6, "1e+02"),
            (1234.0, "1.2e+03"),
            (0.012_34, "0.012"),
            (0.000_012_3, "1.2e-05"),
        ] {
            assert_eq!(two_digits(value), want);
        }
    }
}
