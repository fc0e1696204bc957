//! What the head's series consist of.

use narthex_model::{METRIC_NAME, PART};

use super::index::Index;
use crate::Cardinality;

impl Index {
    /// The lists of `/api/v1/status/tsdb`, at most `limit` entries each.
    pub(crate) fn cardinality(&self, limit: usize) -> Cardinality {
        let mut found = Cardinality { series: self.len() as u64, ..Cardinality::default() };
        for (&name, postings) in &self.names {
            let name = self.symbols.text(name);
            if name == PART {
                continue;
            }
            let mut bytes = 0;
            found.label_pairs += postings.values.len() as u64;
            found.values_by_label.push((name.to_owned(), postings.values.len() as u64));
            let mut pairs = Vec::with_capacity(postings.values.len());
            for (&value, list) in &postings.values {
                let value = self.symbols.text(value);
                bytes += (value.len() * list.len()) as u64;
                pairs.push((value, list.len() as u64));
            }
            found.bytes_by_label.push((name.to_owned(), bytes));
            largest(&mut pairs, limit);
            if name == METRIC_NAME {
                let metrics = pairs.iter().map(|&(metric, count)| (metric.to_owned(), count));
                found.series_by_metric = metrics.collect();
            }
            let pairs = pairs.iter().map(|&(value, count)| (format!("{name}={value}"), count));
            found.series_by_pair.extend(pairs);
            largest(&mut found.series_by_pair, limit);
        }
        largest(&mut found.values_by_label, limit);
        largest(&mut found.bytes_by_label, limit);
        found
    }
}

/// Keeps the `limit` entries with the largest counts, largest first, equal ones by name.
fn largest<T: Ord>(entries: &mut Vec<(T, u64)>, limit: usize) {
    entries.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    entries.truncate(limit);
}
