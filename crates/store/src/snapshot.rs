//! A consistent view for queries.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use narthex_model::{Matcher, PART, TimeRange, Timestamp};

use crate::block::Block;
use crate::head::layout::Sight;
use crate::head::{Head, Index};
use crate::histogram::Part;
use crate::view::View;
use crate::{Error, SeriesRef};

mod gather;
mod reader;
mod samples;
mod series;

pub use reader::Reader;
pub use samples::Samples;
pub use series::Series;

use gather::{Gathered, Order};
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
        Ok(self.select_in(matchers, range, Order::Labels, usize::MAX))
    }

    fn select_in(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        order: Order,
        series_max: usize,
    ) -> Selection {
        let Some(matchers) = visible(matchers) else { return Selection::default() };
        let matchers = &*matchers;
        let mut gathered = Gathered::new(series_max);
        let mut warnings = Vec::new();
        self.select_head(matchers, range, |index, number, parts| {
            if let Some(labels) = index.labels(number) {
                gathered.add_head(number, labels, parts);
            }
        });
        if self.head.index.read().may_have_doubles() {
            gathered.expect_doubles();
        }
        for (position, block) in self.view.shown().enumerate() {
            for found in block.select(matchers, range, &mut warnings) {
                gathered.add_block(position, block, found, &mut warnings);
            }
        }
        let is_cut = gathered.is_cut();
        let mut series = gathered.into_series(&self.view, self.sight, order);
        if !self.view.tombstones.is_empty() {
            let mut samples = Samples::default();
            series.retain(|series| !series.is_deleted(range, &mut samples));
        }
        warnings.sort();
        warnings.dedup();
        Selection { series, warnings, is_cut }
    }

    /// Whether a series that satisfies all matchers has histograms or start times, at any time.
    pub fn has_parts(&self, matchers: &[Matcher]) -> bool {
        let Some(matchers) = visible(matchers) else { return false };
        [Part::Count, Part::Start].into_iter().any(|part| {
            // First the one that mostly finds nothing, which ends the search.
            let mut all = vec![Matcher::equal(PART, &part.to_string())];
            all.extend_from_slice(&matchers);
            let matchers = all;
            let in_blocks = |block: &Arc<Block>| {
                !block.select(&matchers, block.meta().times, &mut Vec::new()).is_empty()
            };
            !self.head.index.read().select(&matchers).is_empty() || self.view.shown().any(in_blocks)
        })
    }

    /// As [`Snapshot::select`], but in the order of Prometheus, which decides who wins a tie: by
    /// the time of their first sample ever while it would have all of `range` in its head, else
    /// by labels. At most `series_max` are looked at.
    pub fn select_in_turn(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        series_max: usize,
    ) -> Result<Selection, Error> {
        let newest = self.head.max_time().unwrap_or(Timestamp::MIN);
        // From so many milliseconds on Prometheus makes a block of what its head begins with.
        let length = self.head.window_ms.saturating_add(self.head.window_ms / 2);
        let sorted = self.view.blocks.iter().any(|block| {
            let times = block.meta().times;
            times.overlaps(range) && newest.0.saturating_sub(times.start.0) > length
        });
        let order = if sorted { Order::Labels } else { Order::Stored };
        Ok(self.select_in(matchers, range, order, series_max))
    }

    /// The label names of the series that [`Snapshot::select`] would give, sorted. What cannot be
    /// read is left out.
    pub fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, Error> {
        let Some(matchers) = visible(matchers) else { return Ok(Vec::new()) };
        let matchers = &*matchers;
        let mut names = BTreeSet::new();
        self.select_head(matchers, range, |index, number, _| {
            for (name, _) in index.texts(number) {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        });
        for block in self.view.shown() {
            block.label_names(matchers, range, &mut names, &mut Vec::new());
        }
        names.remove(PART);
        Ok(names.into_iter().collect())
    }

    /// The values of the label `name` on the series that [`Snapshot::select`] would give, sorted.
    /// What cannot be read is left out.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, Error> {
        let matchers = match visible(matchers) {
            Some(matchers) if name != PART => matchers,
            _ => return Ok(Vec::new()),
        };
        let matchers = &*matchers;
        let mut values = BTreeSet::new();
        self.select_head(matchers, range, |index, number, _| {
            let found = index.texts(number).find(|&(n, _)| n == name);
            if let Some((_, value)) = found.filter(|&(_, value)| !values.contains(value)) {
                values.insert(value.to_owned());
            }
        });
        for block in self.view.shown() {
            block.label_values(name, matchers, range, &mut values, &mut Vec::new());
        }
        Ok(values.into_iter().collect())
    }

    /// The names of all series that satisfy the matchers and have samples in `range`, parts of
    /// others included. What cannot be read is left out.
    pub(crate) fn series_refs(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> BTreeSet<SeriesRef> {
        let mut refs = BTreeSet::new();
        self.select_head(matchers, range, |_, number, _| refs.extend(SeriesRef::new(number)));
        for block in self.view.shown() {
            let found = block.select(matchers, range, &mut Vec::new());
            refs.extend(found.into_iter().map(|found| found.series));
        }
        refs
    }

    /// Calls `found` for each series of the head, with its number and the columns it has.
    fn select_head(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        mut found: impl FnMut(&Index, u32, Vec<HeadPart>),
    ) {
        let numbers = self.head.index.read().select(matchers);
        for numbers in numbers.chunks(SERIES_PER_LOCK) {
            let index = self.head.index.read();
            let layouts = self.head.layouts.read();
            for &number in numbers {
                let places = index.places(number).iter();
                let parts: Vec<_> = places
                    .filter_map(|place| Some((layouts.get(place.layout.0)?, place.column)))
                    .filter(|(layout, column)| layout.has(*column, range, self.sight))
                    .map(|(layout, column)| HeadPart { layout: Arc::clone(layout), column })
                    .collect();
                if !parts.is_empty() {
                    found(&index, number, parts);
                }
            }
        }
    }
}

/// The matchers without those of the label that no reader sees; none if they ask that it be there.
fn visible(matchers: &[Matcher]) -> Option<Cow<'_, [Matcher]>> {
    if matchers.iter().all(|matcher| matcher.name() != PART) {
        return Some(Cow::Borrowed(matchers));
    }
    let (hidden, visible): (Vec<_>, Vec<_>) =
        matchers.iter().cloned().partition(|matcher| matcher.name() == PART);
    hidden.iter().all(Matcher::matches_empty).then_some(Cow::Owned(visible))
}

/// The outcome of [`Snapshot::select`].
#[derive(Debug, Default)]
pub struct Selection {
    /// The series, sorted by labels, each set of labels once.
    pub series: Vec<Series>,
    /// What could not be read, for the user's eyes.
    pub warnings: Vec<String>,
    /// Whether there are more series than were wanted at most.
    pub is_cut: bool,
}
