//! What a script has loaded so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use narthex_model::{ABSENT, Labels, Timestamp};
use narthex_store::testing::memory_store;
use narthex_store::{Error, Row, Snapshot, Store};

use super::Needs;
use super::read::{Eval, Load};
use super::series::Slot;

/// The loaded series, and a store with them once a query asks for it.
#[derive(Default)]
pub(super) struct World {
    columns: BTreeMap<Labels, usize>,
    /// By time in ms: the values of columns.
    rows: BTreeMap<i64, Vec<(usize, f64)>>,
    /// Metrics that are, or would also be, native histograms.
    histograms: BTreeSet<String>,
    start_times: bool,
    store: Option<Arc<Store>>,
}

impl World {
    /// Adds series to what is there.
    pub(super) fn load(&mut self, load: Load) {
        self.store = None;
        self.start_times |= load.start_times;
        for (labels, values) in load.lines {
            if load.with_histograms {
                let name = labels.metric_name();
                let base = ["_bucket", "_count", "_sum"].iter().find_map(|s| name.strip_suffix(s));
                self.histograms.insert(base.unwrap_or(name).to_owned());
            }
            if values.iter().any(|slot| matches!(slot, Slot::Histogram)) {
                self.histograms.insert(labels.metric_name().to_owned());
            }
            let next = self.columns.len();
            let column = *self.columns.entry(labels).or_insert(next);
            for (at, slot) in (0..).zip(values) {
                if let Slot::Value(value) = slot {
                    self.rows.entry(load.gap_ms * at).or_default().push((column, value));
                }
            }
        }
    }

    /// A snapshot of all that was loaded.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot, Error> {
        let store = match self.store.take() {
            Some(store) => store,
            None => self.build()?,
        };
        let snapshot = store.snapshot();
        self.store = Some(store);
        Ok(snapshot)
    }

    fn build(&self) -> Result<Arc<Store>, Error> {
        let (store, mut writer) = memory_store();
        let source = writer.new_source();
        let layout = writer.new_layout(source)?;
        let mut by_column: Vec<(&usize, &Labels)> =
            self.columns.iter().map(|(labels, column)| (column, labels)).collect();
        by_column.sort_unstable_by_key(|(column, _)| **column);
        let series = by_column
            .into_iter()
            .map(|(_, labels)| writer.resolve(labels))
            .collect::<Result<Vec<_>, _>>()?;
        writer.add_columns(layout, &series)?;
        let mut row = vec![ABSENT; series.len()];
        for (at, values) in &self.rows {
            row.fill(ABSENT);
            for (column, value) in values {
                if let Some(slot) = row.get_mut(*column) {
                    *slot = *value;
                }
            }
            writer.append(&Row { layout, at: Timestamp(*at), values: &row, changed: None })?;
        }
        Ok(store)
    }

    /// What an evaluation needs beyond numbers.
    pub(super) fn needs(&self, eval: &Eval) -> Needs {
        let in_answer = |slots: &Vec<Slot>| slots.iter().any(|s| matches!(s, Slot::Histogram));
        if eval.expected.iter().any(|(_, slots)| in_answer(slots)) || self.reads_histograms(eval) {
            return Needs::Histograms;
        }
        if self.start_times { Needs::StartTimes } else { Needs::Nothing }
    }

    /// Whether the query may read a native histogram.
    fn reads_histograms(&self, eval: &Eval) -> bool {
        let Ok(plan) = crate::parse(&eval.query) else {
            return self.histograms.iter().any(|name| eval.query.contains(name.as_str()));
        };
        plan.selectors().iter().any(|selector| {
            let on_name = selector.matchers.iter().filter(|m| m.name() == "__name__");
            let on_name: Vec<_> = on_name.collect();
            self.histograms.iter().any(|name| on_name.iter().all(|m| m.matches(name)))
        })
    }
}
