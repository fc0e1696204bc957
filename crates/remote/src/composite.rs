//! Native histograms and start times on their way out.
//!
//! The store keeps each number of a histogram in a column of its own. Here the columns of one are
//! found, and put together again for each row that has a sample of it. What is no plain number is
//! rare: it is encoded anew each time, while the numbers of the same row go by their templates.

use std::collections::BTreeMap;

use narthex_model::{Histogram, Labels, is_absent};
use narthex_store::histogram::Draft;
use narthex_store::{LayoutRef, Part};

use crate::encode::{TimeBytes, put_histogram};
use crate::layout::{Encoder, Source};

/// The histograms of a layout, and the start times of its numbers.
#[derive(Debug, Default)]
pub(crate) struct Composites {
    /// How many columns with parts there were when they were looked for.
    pub(crate) columns: u32,
    pub(crate) histograms: Vec<Composite>,
    /// The column of a number and that of its start time, rising.
    pub(crate) starts: Vec<(usize, usize)>,
}

/// The columns of one histogram.
#[derive(Debug)]
pub(crate) struct Composite {
    /// The parts and their columns, in the order in which they are put together.
    parts: Vec<(Part, usize)>,
    /// The column that has a value in each row with a sample.
    pub(crate) count: usize,
    /// Its labels as they are sent; `None` when relabelling drops it.
    pub(crate) block: Option<Vec<u8>>,
    /// Whether it is sent in a request of its own, for the receiver refused it.
    pub(crate) suspect: bool,
    /// Whether its last sample had whole numbers: what ends the series does not say.
    integer: bool,
}

/// A sample that is a histogram, ready to be put behind labels.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) histogram: Histogram,
    pub(crate) integer: bool,
    /// When it began to count, in milliseconds since 1970.
    pub(crate) start_ms: Option<i64>,
}

impl Composites {
    /// Finds what the part `columns` of a layout make up.
    pub(crate) fn gather(
        layout: LayoutRef,
        columns: impl Iterator<Item = usize>,
        source: &mut Source<'_>,
        encoder: &mut Encoder,
    ) -> Self {
        let series = source.rows.columns(layout);
        let series = series.as_deref().unwrap_or_default();
        let mut found = Self::default();
        let mut all: BTreeMap<Labels, Vec<(Part, usize)>> = BTreeMap::new();
        for column in columns {
            found.columns += 1;
            let labels = series.get(column).and_then(|&series| source.rows.labels(series));
            let Some(labels) = labels else { continue };
            if let Some(part) = labels.part().and_then(Part::parse) {
                all.entry(labels.whole()).or_default().push((part, column));
            }
        }
        let mut starts = BTreeMap::new();
        for (labels, mut parts) in all {
            parts.sort_unstable();
            match parts.first() {
                Some(&(Part::Count, count)) => {
                    let sent = source.prepare.apply(&labels, &mut encoder.builder);
                    let block = sent.then(|| encoder.block());
                    let (suspect, integer) = (false, false);
                    found.histograms.push(Composite { parts, count, block, suspect, integer });
                }
                Some(&(Part::Start, column)) => {
                    starts.insert(labels, column);
                }
                _ => {}
            }
        }
        // Only 2.0 has a place for them.
        if !starts.is_empty() && encoder.symbols.is_some() {
            for (column, &series) in series.iter().enumerate() {
                let labels = source.rows.labels(series);
                if let Some(&start) = labels.and_then(|labels| starts.get(&labels)) {
                    found.starts.push((column, start));
                }
            }
        }
        found
    }

    /// The start time of the number in `column`, in milliseconds since 1970.
    pub(crate) fn start_ms(&self, column: usize, values: &[f64]) -> Option<i64> {
        let place = self.starts.binary_search_by_key(&column, |&(number, _)| number).ok()?;
        self.starts.get(place).and_then(|&(_, start)| millis(values, start))
    }
}

impl Composite {
    /// The histogram of a row; `None` when it has none.
    pub(crate) fn of(&mut self, values: &[f64]) -> Option<Whole> {
        values.get(self.count).filter(|&&count| !is_absent(count))?;
        let (mut draft, mut start_ms) = (Draft::default(), None);
        for &(part, column) in &self.parts {
            match values.get(column) {
                Some(_) if part == Part::Start => start_ms = millis(values, column),
                Some(&value) if !is_absent(value) => draft.take(part, value),
                _ => {}
            }
        }
        let (histogram, integer) = draft.build();
        if !histogram.is_stale() {
            self.integer = integer;
        }
        Some(Whole { histogram, integer: self.integer, start_ms })
    }
}

/// A time that is kept as a number.
#[expect(clippy::cast_possible_truncation, reason = "a cast stays within the type")]
fn millis(values: &[f64], column: usize) -> Option<i64> {
    let value = values.get(column).copied().filter(|value| value.is_finite())?;
    Some(value as i64)
}

impl Encoder {
    /// Appends a histogram with the labels `block` to `out`, and new texts to `symbols`; returns
    /// the length of what it stands for.
    pub(crate) fn put_whole(
        &mut self,
        block: &[u8],
        whole: &Whole,
        at: &TimeBytes,
        (out, symbols): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> usize {
        let mut message = Vec::new();
        put_histogram(&mut message, &whole.histogram, whole.integer, at);
        let start = out.len();
        if let Some(numbers) = &mut self.symbols {
            numbers.begin(symbols);
            numbers.put_histogram(block, &message, whole.start_ms, symbols, out);
            return out.len() - start;
        }
        self.put_series_of(block, &message);
        self.compress(out)
    }
}

#[cfg(test)]
mod tests;
