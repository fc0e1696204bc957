//! The ring: the newest exemplars of all series.

use std::collections::{HashMap, VecDeque};

use narthex_model::{Hashing, Labels, TimeRange, Timestamp};

use super::{BYTES_PER_EXEMPLAR_MAX, Exemplar, ExemplarStats, Incoming, Outgoing};
use super::{SeriesExemplars, Taken};
use crate::{RowSeq, SeriesRef};

/// Bytes of the counters that stand before shared labels.
const SHARED_BYTES: usize = 2 * size_of::<usize>();

/// Bytes that the look-up of a series takes.
const INDEX_BYTES: usize = 16;

/// Exemplars in the order in which they came. Each has a number, which counts on for ever.
#[derive(Debug, Default)]
pub(super) struct Ring {
    max: usize,
    kept: VecDeque<Kept>,
    /// The number of the first in `kept`.
    first: u64,
    /// By place; a place of a series without exemplars is free.
    series: Vec<Entry>,
    free: Vec<u32>,
    places: HashMap<SeriesRef, u32, Hashing>,
    /// Bytes of labels.
    label_bytes: usize,
    appended: u64,
    repeated: u64,
    late: u64,
}

#[derive(Debug)]
struct Kept {
    labels: Labels,
    value: f64,
    at: Timestamp,
    /// The number of the next one of the same series, if there is one: greater than any number
    /// so far otherwise.
    next: u64,
    row: RowSeq,
    place: u32,
    timed: bool,
}

/// A series that has exemplars.
#[derive(Debug)]
struct Entry {
    /// `None`: the place is free.
    series: Option<SeriesRef>,
    labels: Labels,
    oldest: u64,
    newest: u64,
}

/// There is no next one.
const NONE: u64 = u64::MAX;

impl Ring {
    pub(super) fn is_off(&self) -> bool {
        self.max == 0
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn next_number(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// Sets the limit; returns the one before.
    pub(super) fn set_max(&mut self, max: usize) -> usize {
        let before = std::mem::replace(&mut self.max, max);
        while self.kept.len() > max {
            self.evict();
        }
        if max < before {
            self.kept.shrink_to(max);
        }
        if max == 0 {
            self.series = Vec::new();
            self.free = Vec::new();
            self.places = HashMap::default();
        }
        before
    }

    /// Keeps an exemplar that came with `row`, if it is new. `labels` tells those of the series.
    pub(super) fn offer(
        &mut self,
        series: SeriesRef,
        place: &mut u32,
        incoming: &Incoming<'_>,
        row: RowSeq,
        labels: impl FnOnce() -> Option<Labels>,
    ) -> Taken {
        if self.is_off() {
            return Taken::Off;
        }
        if incoming.is_too_long() {
            return Taken::TooLong;
        }
        let known = self.find(series, place);
        if let Some(newest) = known.and_then(|newest| self.get(newest)) {
            match judge(newest, incoming) {
                Taken::Kept => {}
                other => {
                    self.repeated += u64::from(other == Taken::Repeated);
                    return other;
                }
            }
        }
        if known.is_none() {
            let Some(labels) = labels() else { return Taken::UnknownSeries };
            *place = self.enter(series, labels);
        }
        self.push(*place, incoming, row);
        Taken::Kept
    }

    /// The newest exemplar of a series, if it has any; then `place` is where it stands.
    fn find(&self, series: SeriesRef, place: &mut u32) -> Option<u64> {
        let entry = |place: u32| {
            let entry = self.series.get(place as usize);
            entry.filter(|entry| entry.series == Some(series)).map(|entry| entry.newest)
        };
        if let Some(newest) = entry(*place) {
            return Some(newest);
        }
        *place = *self.places.get(&series)?;
        entry(*place)
    }

    fn get(&self, number: u64) -> Option<&Kept> {
        self.kept.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Makes room for a series that has no exemplar yet.
    fn enter(&mut self, series: SeriesRef, labels: Labels) -> u32 {
        self.label_bytes += labels.heap_bytes() + SHARED_BYTES;
        let entry = Entry { series: Some(series), labels, oldest: NONE, newest: NONE };
        let place = if let Some(place) = self.free.pop() {
            if let Some(room) = self.series.get_mut(place as usize) {
                *room = entry;
            }
            place
        } else {
            self.series.push(entry);
            u32::try_from(self.series.len() - 1).unwrap_or(u32::MAX)
        };
        self.places.insert(series, place);
        place
    }

    fn push(&mut self, place: u32, incoming: &Incoming<'_>, row: RowSeq) {
        let number = self.next_number();
        let Some(entry) = self.series.get_mut(place as usize) else { return };
        let before = std::mem::replace(&mut entry.newest, number);
        if before == NONE {
            entry.oldest = number;
        } else if let Some(index) = before.checked_sub(self.first)
            && let Some(before) = usize::try_from(index).ok().and_then(|at| self.kept.get_mut(at))
        {
            before.next = number;
        }
        let labels = incoming.build();
        self.label_bytes += labels.heap_bytes() + SHARED_BYTES;
        if self.kept.len() == self.kept.capacity() {
            // Doubling, but never beyond what there may be.
            let more = self.kept.len().max(64).min(self.max.saturating_sub(self.kept.len()));
            self.kept.reserve_exact(more.max(1));
        }
        let Incoming { value, at, timed, .. } = *incoming;
        self.kept.push_back(Kept { labels, value, at, next: NONE, row, place, timed });
        self.appended += 1;
        let over = |ring: &Self| ring.len() > ring.max || ring.bytes() > ring.bytes_max();
        while self.len() > 0 && over(self) {
            self.evict();
        }
    }

    /// Lets the oldest go.
    fn evict(&mut self) {
        let Some(gone) = self.kept.pop_front() else { return };
        self.first += 1;
        self.label_bytes -= gone.labels.heap_bytes() + SHARED_BYTES;
        let Some(entry) = self.series.get_mut(gone.place as usize) else { return };
        if gone.next != NONE {
            entry.oldest = gone.next;
            return;
        }
        self.label_bytes -= entry.labels.heap_bytes() + SHARED_BYTES;
        entry.labels = Labels::empty();
        if let Some(series) = entry.series.take() {
            self.places.remove(&series);
        }
        self.free.push(gone.place);
    }

    fn bytes(&self) -> usize {
        self.kept.len() * size_of::<Kept>()
            + self.places.len() * (size_of::<Entry>() + INDEX_BYTES)
            + self.label_bytes
    }

    fn bytes_max(&self) -> usize {
        self.max.saturating_mul(BYTES_PER_EXEMPLAR_MAX)
    }

    /// The series that may have exemplars within `range`, and their labels.
    pub(super) fn series_in(&self, range: TimeRange) -> Vec<(SeriesRef, Labels)> {
        let overlaps = |entry: &&Entry| {
            let ends = (self.get(entry.oldest), self.get(entry.newest));
            let (Some(oldest), Some(newest)) = ends else { return false };
            oldest.at <= range.end && newest.at >= range.start
        };
        let entries = self.series.iter().filter(overlaps);
        entries.filter_map(|entry| Some((entry.series?, entry.labels.clone()))).collect()
    }

    /// The exemplars of a series within `range`; `None` if there are none.
    pub(super) fn read(&self, series: SeriesRef, range: TimeRange) -> Option<SeriesExemplars> {
        let entry = self.series.get(*self.places.get(&series)? as usize)?;
        let mut exemplars = Vec::new();
        let mut number = entry.oldest;
        while let Some(kept) = self.get(number).filter(|kept| kept.at <= range.end) {
            if kept.at >= range.start {
                exemplars.push(kept.to_exemplar());
            }
            number = kept.next;
        }
        let labels = entry.labels.clone();
        (!exemplars.is_empty()).then_some(SeriesExemplars { labels, exemplars })
    }

    pub(super) fn after(
        &self,
        from: u64,
        row: RowSeq,
        max: usize,
        out: &mut Vec<Outgoing>,
    ) -> (u64, u64) {
        let lost = self.first.saturating_sub(from);
        let mut next = from.max(self.first);
        let skipped = usize::try_from(next - self.first).unwrap_or(usize::MAX);
        for kept in self.kept.iter().skip(skipped).take_while(|kept| kept.row <= row).take(max) {
            next += 1;
            let series = self.series.get(kept.place as usize).map(|entry| entry.labels.clone());
            let series = series.unwrap_or_default();
            out.push(Outgoing { series, exemplar: kept.to_exemplar() });
        }
        (next, lost)
    }

    pub(super) fn count_late(&mut self, exemplars: u64) {
        self.late += exemplars;
    }

    pub(super) fn stats(&self) -> ExemplarStats {
        ExemplarStats {
            appended: self.appended,
            accepted: self.appended + self.repeated,
            out_of_order: self.late,
            exemplars: self.kept.len() as u64,
            series: self.places.len() as u64,
            bytes: self.bytes() as u64,
            oldest: self.kept.front().map(|kept| kept.at),
            max: self.max as u64,
        }
    }
}

impl Kept {
    fn to_exemplar(&self) -> Exemplar {
        Exemplar { labels: self.labels.clone(), value: self.value, at: self.at }
    }
}

/// What an exemplar is beside the newest of its series.
#[expect(clippy::float_cmp, reason = "the same number is meant, and no NaN is the same")]
fn judge(newest: &Kept, incoming: &Incoming<'_>) -> Taken {
    let same_labels = || newest.labels.iter().eq(incoming.labels());
    let same_time = newest.at == incoming.at;
    let timeless = !newest.timed && !incoming.timed;
    if (timeless || same_time) && newest.value == incoming.value && same_labels() {
        return Taken::Repeated;
    }
    let earlier = incoming.at < newest.at
        || (same_time && incoming.value < newest.value)
        || (same_time
            && newest.value == incoming.value
            && incoming.labels().lt(newest.labels.iter()));
    if earlier { Taken::OutOfOrder } else { Taken::Kept }
}
