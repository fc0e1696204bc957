//! A consistent view for queries.

use std::collections::BTreeSet;
use std::sync::Arc;

use narthex_model::{Labels, Matcher, TimeRange};

use crate::Error;
use crate::head::Head;
use crate::head::layout::Sight;
use crate::view::View;

mod samples;
mod series;

pub use samples::Samples;
pub use series::Series;

use series::HeadPart;

/// Series looked at while the head's index is held: long enough to be worth the lock, short
/// enough for the writer not to wait.
const SERIES_PER_LOCK: usize = 1024;

/// A consistent view of the store: the rows that were visible when it was taken, whole rows only,
/// however long it is held. Holding one keeps memory and files of sealed windows in use.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) head: Arc<Head>,
    pub(crate) view: Arc<View>,
    pub(crate) sight: Sight,
}

impl Snapshot {
    /// The series that satisfy all matchers and may have samples in `range`, sorted by labels.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Selection, Error> {
        let mut series = Vec::new();
        self.select_head(matchers, range, |labels, parts| {
            series.push(Series::new(labels, parts, Arc::clone(&self.view), self.sight));
        });
        series.sort_by(|a, b| a.labels().cmp(b.labels()));
        Ok(Selection { series, warnings: Vec::new() })
    }

    /// The label names of the series that [`Snapshot::select`] would give, sorted.
    pub fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, Error> {
        let mut names = BTreeSet::new();
        self.select_head(matchers, range, |labels, _| {
            for (name, _) in &labels {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        });
        Ok(names.into_iter().collect())
    }

    /// The values of the label `name` on the series that [`Snapshot::select`] would give, sorted.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, Error> {
        let mut values = BTreeSet::new();
        self.select_head(matchers, range, |labels, _| {
            if let Some(value) = labels.get(name).filter(|&value| !values.contains(value)) {
                values.insert(value.to_owned());
            }
        });
        Ok(values.into_iter().collect())
    }

    /// Calls `found` for each series of the head.
    fn select_head(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        mut found: impl FnMut(Labels, Vec<HeadPart>),
    ) {
        let numbers = self.head.index.read().select(matchers);
        for numbers in numbers.chunks(SERIES_PER_LOCK) {
            let index = self.head.index.read();
            let layouts = self.head.layouts.read();
            for &number in numbers {
                let parts: Vec<_> = index
                    .places(number)
                    .iter()
                    .filter_map(|place| Some((layouts.get(place.layout.0)?, place.column)))
                    .filter(|(layout, column)| layout.has(*column, range, self.sight))
                    .map(|(layout, column)| HeadPart { layout: Arc::clone(layout), column })
                    .collect();
                if let (false, Some(labels)) = (parts.is_empty(), index.labels(number)) {
                    found(labels, parts);
                }
            }
        }
    }
}

/// The outcome of [`Snapshot::select`].
#[derive(Debug, Default)]
pub struct Selection {
    /// The series, sorted by labels, each set of labels once.
    pub series: Vec<Series>,
    /// What could not be read, for the user's eyes.
    pub warnings: Vec<String>,
}
