//! Exemplars: single observations with labels of their own (a trace's id, say), kept beside the
//! samples of their series.
//!
//! They are kept in memory only, the newest of all series together in one ring, as Prometheus
//! keeps them: what comes when it is full takes the place of the oldest. The exemplars of one
//! series are linked in the order of their times, so that reading them walks no others. Rules of
//! acceptance are those of Prometheus' `CircularExemplarStorage`.

mod incoming;
mod ring;

use narthex_model::{Labels, TimeRange, Timestamp};
use parking_lot::{Mutex, MutexGuard};

pub use incoming::{Incoming, LABEL_CHARS_MAX};
use ring::Ring;

use crate::{RowSeq, SeriesRef, Store};

/// Bytes that an exemplar may take on average; when all together take more, the oldest go. Real
/// ones take about 150.
pub(crate) const BYTES_PER_EXEMPLAR_MAX: usize = 320;

/// An exemplar that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Its own labels.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When: its own time, or that of the sample it came with.
    pub at: Timestamp,
}

/// A series and some of its exemplars, the oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplars {
    /// The series' labels.
    pub labels: Labels,
    /// Never empty.
    pub exemplars: Vec<Exemplar>,
}

/// An exemplar on its way to a receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The labels of its series.
    pub series: Labels,
    /// The exemplar.
    pub exemplar: Exemplar,
}

/// How many series are read without letting go of the ring.
const SERIES_PER_TURN: usize = 256;

/// What became of an exemplar that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is kept.
    Kept,
    /// It is the newest of its series already.
    Repeated,
    /// It is older than the newest of its series.
    OutOfOrder,
    /// Its labels are longer than [`LABEL_CHARS_MAX`].
    TooLong,
    /// The series is not known.
    UnknownSeries,
    /// No exemplars are kept.
    Off,
}

impl Taken {
    /// Whether Prometheus would call it an error.
    pub fn is_error(self) -> bool {
        matches!(self, Self::OutOfOrder | Self::TooLong | Self::UnknownSeries)
    }
}

/// The figures of the exemplars kept. Counters count since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExemplarStats {
    /// Exemplars that were kept.
    pub appended: u64,
    /// Exemplars that were kept, or had been before.
    pub accepted: u64,
    /// Exemplars that came too late.
    pub out_of_order: u64,
    /// Exemplars kept now.
    pub exemplars: u64,
    /// Series that have any.
    pub series: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// The time of the one that was kept first.
    pub oldest: Option<Timestamp>,
    /// The most that are kept; 0 when none are.
    pub max: u64,
}

/// The exemplars of a store.
#[derive(Debug, Default)]
pub struct Exemplars {
    ring: Mutex<Ring>,
}

impl Exemplars {
    /// How many are kept at most, from now on; 0: none. When there are more, the oldest go.
    /// Returns the limit before and how many are left.
    pub fn set_max(&self, max: usize) -> (usize, usize) {
        let mut ring = self.ring.lock();
        (ring.set_max(max), ring.len())
    }

    /// Those within `range`, of the series that `wanted` accepts, in the order of their labels.
    pub fn select(
        &self,
        range: TimeRange,
        mut wanted: impl FnMut(&Labels) -> bool,
    ) -> Vec<SeriesExemplars> {
        let mut series = self.ring.lock().series_in(range);
        // Scrapes wait for the ring, so it is not held while series are matched.
        series.retain(|(_, labels)| wanted(labels));
        let mut found = Vec::new();
        for turn in series.chunks(SERIES_PER_TURN) {
            let ring = self.ring.lock();
            found.extend(turn.iter().filter_map(|(series, _)| ring.read(*series, range)));
        }
        found.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        // A series that was forgotten and came again has two numbers.
        found.dedup_by(|later, first| {
            let same = later.labels == first.labels;
            if same {
                first.exemplars.append(&mut later.exemplars);
                first.exemplars.sort_by_key(|exemplar| exemplar.at);
            }
            same
        });
        found
    }

    /// The number of the next exemplar: those kept from now on have it or a greater one.
    pub fn next_number(&self) -> u64 {
        self.ring.lock().next_number()
    }

    /// Adds to `out` at most `max` of those that are numbered from `from` on and came with a row
    /// up to `row`. Returns the number to go on with, and how many were gone already.
    pub fn after(&self, from: u64, row: RowSeq, max: usize, out: &mut Vec<Outgoing>) -> (u64, u64) {
        self.ring.lock().after(from, row, max, out)
    }

    /// The figures.
    pub fn stats(&self) -> ExemplarStats {
        self.ring.lock().stats()
    }
}

/// A turn of keeping exemplars, which came with rows already stored.
#[derive(Debug)]
pub struct Keeping<'s> {
    store: &'s Store,
    ring: MutexGuard<'s, Ring>,
    row: RowSeq,
}

impl Store {
    /// The exemplars.
    pub fn exemplars(&self) -> &Exemplars {
        &self.exemplars
    }
}

impl crate::Writer {
    /// Begins to keep exemplars that came with the last row; `None` when none are kept.
    pub fn keep_exemplars(&self) -> Option<Keeping<'_>> {
        let ring = self.store.exemplars.ring.lock();
        let row = self.store.last_seq();
        (!ring.is_off()).then_some(Keeping { store: &self.store, ring, row })
    }
}

impl Keeping<'_> {
    /// Keeps an exemplar of `series`, if it is a new one. `place` is where the series was found
    /// before, and is updated: whoever hands in the same one each time spares a look-up.
    pub fn offer(&mut self, series: SeriesRef, place: &mut u32, incoming: &Incoming<'_>) -> Taken {
        let store = self.store;
        let labels = || store.labels(series).map(|labels| labels.whole());
        self.ring.offer(series, place, incoming, self.row, labels)
    }

    /// The labels of a series.
    pub fn labels(&self, series: SeriesRef) -> Option<Labels> {
        self.store.labels(series).map(|labels| labels.whole())
    }

    /// Counts exemplars that came too late. What a target shows again beside new ones is refused
    /// too and is not meant.
    pub fn count_late(&mut self, exemplars: u64) {
        self.ring.count_late(exemplars);
    }
}

#[cfg(test)]
mod tests;
