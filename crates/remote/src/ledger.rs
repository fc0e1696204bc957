//! What a queue remembers over restarts beside its cursor: a journal in the store.
//!
//! Each record is one byte for its kind and little-endian numbers of eight bytes, but for a
//! reason, which is one byte:
//!
//! | kind | content | meaning |
//! | --- | --- | --- |
//! | 1 | place | all rows up to here are done with; the cursor follows, durably |
//! | 2 | place | a request of the rows up to here was begun, and its answer is not known |
//! | 3 | first place, last place, oldest time, newest time, samples, reason | refused for good |
//! | 4 | pairs: place before, last place | rows sent ahead of those before them; replaces the last such record |
//! | 5 | groups: place before, last place, oldest time, newest time | rows to be offered again, what is left of it; replaces the last such record |
//! | 6 | oldest time, newest time | what was refused of this time is not remembered any more |
//! | 7 | place, place | kinds 1 and 2 in one |

use std::fmt;

use narthex_model::{TimeRange, Timestamp};
use narthex_store::{Journal, RowSeq};

use crate::answer::Reason;

/// Most refused stretches of time that are remembered; beyond it the closest become one.
const REFUSED_MAX: usize = 128;

/// Refused stretches of the same reason that are no further apart become one, in ms.
const GAP_MS_MAX: i64 = 5 * 60_000;

/// Most stretches that are sent ahead, or wait to be offered again.
const SPANS_MAX: usize = 64;

/// The journal is written anew when it has grown to this size.
const JOURNAL_BYTES_MAX: u64 = 256 << 10;

/// Rows: those after `after`, up to and with `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) after: RowSeq,
    pub(crate) last: RowSeq,
}

impl Span {
    pub(crate) fn rows(self) -> u64 {
        self.last.0.saturating_sub(self.after.0)
    }
}

/// Samples that a receiver refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Oldest and newest time, both included. Not all samples in between were refused.
    pub times: TimeRange,
    /// At most so many.
    pub samples: u64,
    /// Why.
    pub reason: Reason,
    pub(crate) first: RowSeq,
    pub(crate) last: RowSeq,
}

/// Rows that are to be offered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// What is left of them.
    pub(crate) span: Span,
    /// Only rows of this time.
    pub(crate) times: TimeRange,
}

/// A queue's memory.
pub(crate) struct Ledger {
    journal: Option<Journal>,
    state: State,
    /// Whether there is something that the cursor does not tell, and that is not durable yet.
    unsynced: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    place: Option<RowSeq>,
    attempt: Option<RowSeq>,
    refused: Vec<Refused>,
    ahead: Vec<Span>,
    offers: Vec<Offer>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Ledger {
    /// What the records of an earlier run say. Without a journal nothing outlives the process.
    pub(crate) fn new(opened: Option<(Journal, Vec<Vec<u8>>)>) -> Self {
        let mut state = State::default();
        let (journal, records) = opened.map_or((None, Vec::new()), |(it, all)| (Some(it), all));
        for record in records {
            if state.play(&record).is_none() {
                tracing::warn!("a record of remote write that cannot be read is passed over");
            }
        }
        Self { journal, state, unsynced: false }
    }

    /// Up to where all rows are done with, as far as is known.
    pub(crate) fn place(&self) -> Option<RowSeq> {
        self.state.place
    }

    /// The last row of a request after `place` whose answer is not known.
    pub(crate) fn attempt(&self) -> Option<RowSeq> {
        self.state.attempt.filter(|&to| self.state.place.is_none_or(|place| to > place))
    }

    /// Stretches of time with refused samples, the oldest first.
    pub(crate) fn refused(&self) -> &[Refused] {
        &self.state.refused
    }

    pub(crate) fn ahead(&self) -> &[Span] {
        &self.state.ahead
    }

    pub(crate) fn offers(&self) -> &[Offer] {
        &self.state.offers
    }

    pub(crate) fn set_place(&mut self, place: RowSeq) {
        if self.state.place != Some(place) {
            self.note(&[1], &[place.0]);
        }
    }

    /// All rows up to `place` are done with, and a request of those up to `to` begins.
    pub(crate) fn begin(&mut self, place: RowSeq, to: RowSeq) {
        if (self.state.place, self.state.attempt) != (Some(place), Some(to)) {
            self.note(&[7], &[place.0, to.0]);
        }
    }

    pub(crate) fn add_refused(&mut self, refused: Refused) {
        self.note(&[3, refused.reason.number()], &refused.words());
    }

    /// `false` when there are too many spans.
    pub(crate) fn set_ahead(&mut self, spans: &[Span]) -> bool {
        let fits = spans.len() <= SPANS_MAX;
        if fits && spans != self.state.ahead {
            let words: Vec<u64> = spans.iter().flat_map(|it| [it.after.0, it.last.0]).collect();
            self.note(&[4], &words);
        }
        fits
    }

    /// `false` when there are too many offers.
    pub(crate) fn set_offers(&mut self, offers: &[Offer]) -> bool {
        let fits = offers.len() <= SPANS_MAX;
        if fits && offers != self.state.offers {
            let words: Vec<u64> = offers.iter().flat_map(Offer::words).collect();
            self.note(&[5], &words);
        }
        fits
    }

    /// Forgets what was refused of `times`.
    pub(crate) fn forget(&mut self, times: TimeRange) {
        self.note(&[6], &[times.start.0.cast_unsigned(), times.end.0.cast_unsigned()]);
    }

    /// Makes durable what was noted beside places; it is written anew when it has grown.
    pub(crate) fn sync(&mut self) -> Result<(), narthex_store::Error> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        if journal.bytes() > JOURNAL_BYTES_MAX {
            journal.rewrite(&self.state.records())?;
        } else if self.unsynced {
            journal.sync()?;
        }
        self.unsynced = false;
        Ok(())
    }

    fn note(&mut self, head: &[u8], words: &[u64]) {
        let record = record(head, words);
        let known = self.state.play(&record);
        debug_assert!(known.is_some(), "a record that is not read back");
        self.unsynced |= !matches!(head, [1 | 7]);
        let Some(journal) = &mut self.journal else { return };
        let full = journal.bytes() > 2 * JOURNAL_BYTES_MAX;
        let written =
            if full { journal.rewrite(&self.state.records()) } else { journal.append(&record) };
        if let Err(error) = written {
            // The place is saved by the cursor too; without the rest more is sent twice.
            tracing::debug!(%error, "remote write cannot note where it is");
        }
    }
}

fn record(head: &[u8], words: &[u64]) -> Vec<u8> {
    let mut record = head.to_vec();
    record.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    record
}

impl State {
    /// Takes a record in; `None` when it cannot be read.
    fn play(&mut self, record: &[u8]) -> Option<()> {
        let (&kind, rest) = record.split_first()?;
        let (reason, rest) = match kind {
            3 => rest.split_first().map(|(&reason, rest)| (Reason::from_number(reason), rest))?,
            _ => (None, rest),
        };
        if !rest.len().is_multiple_of(8) {
            return None;
        }
        let words: Vec<u64> = rest
            .chunks_exact(8)
            .filter_map(|word| word.first_chunk::<8>())
            .map(|word| u64::from_le_bytes(*word))
            .collect();
        let at = |word: u64| Timestamp(word.cast_signed());
        match (kind, words.as_slice()) {
            (1, &[place]) => self.place = Some(RowSeq(place)),
            (2, &[to]) => self.attempt = Some(RowSeq(to)),
            (7, &[place, to]) => {
                (self.place, self.attempt) = (Some(RowSeq(place)), Some(RowSeq(to)));
            }
            (3, &[first, last, from, to, samples]) => self.refuse(Refused {
                times: TimeRange::new(at(from), at(to)),
                samples,
                reason: reason?,
                first: RowSeq(first),
                last: RowSeq(last),
            }),
            (4, words) if words.len().is_multiple_of(2) => {
                let pairs = words.chunks_exact(2).filter_map(<[u64]>::first_chunk::<2>);
                let spans =
                    pairs.map(|&[after, last]| Span { after: RowSeq(after), last: RowSeq(last) });
                self.ahead = spans.collect();
            }
            (5, words) if words.len().is_multiple_of(4) => {
                let groups = words.chunks_exact(4).filter_map(<[u64]>::first_chunk::<4>);
                let offers = groups.map(|&[after, last, from, to]| Offer {
                    span: Span { after: RowSeq(after), last: RowSeq(last) },
                    times: TimeRange::new(at(from), at(to)),
                });
                self.offers = offers.collect();
            }
            (6, &[from, to]) => {
                let inside = |it: &Refused| it.times.start >= at(from) && it.times.end <= at(to);
                self.refused.retain(|it| !inside(it));
            }
            _ => return None,
        }
        Some(())
    }

    /// Adds what was refused to what is remembered.
    fn refuse(&mut self, new: Refused) {
        let near = |it: &Refused| {
            it.reason == new.reason
                && new.times.start.0.saturating_sub(it.times.end.0) <= GAP_MS_MAX
                && it.times.start.0.saturating_sub(new.times.end.0) <= GAP_MS_MAX
        };
        match self.refused.iter_mut().find(|it| near(it)) {
            Some(known) => known.take_in(&new),
            None => self.refused.push(new),
        }
        self.refused.sort_by_key(|it| it.times.start);
        while self.refused.len() > REFUSED_MAX {
            let gap = |pair: &[Refused]| match pair {
                [a, b] => b.times.start.0.saturating_sub(a.times.end.0),
                _ => i64::MAX,
            };
            let gaps = self.refused.windows(2).map(gap);
            let Some((closest, _)) = gaps.enumerate().min_by_key(|&(_, gap)| gap) else { return };
            let second = self.refused.remove(closest + 1);
            if let Some(first) = self.refused.get_mut(closest) {
                first.take_in(&second);
            }
        }
    }

    fn records(&self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let place = self.place.map(|place| record(&[1], &[place.0]));
        let attempt = self.attempt.map(|to| record(&[2], &[to.0]));
        records.extend(place.into_iter().chain(attempt));
        for it in &self.refused {
            records.push(record(&[3, it.reason.number()], &it.words()));
        }
        let words: Vec<u64> = self.ahead.iter().flat_map(|it| [it.after.0, it.last.0]).collect();
        records.push(record(&[4], &words));
        let words: Vec<u64> = self.offers.iter().flat_map(Offer::words).collect();
        records.push(record(&[5], &words));
        records
    }
}

impl Offer {
    fn words(&self) -> [u64; 4] {
        let [from, to] = [self.times.start, self.times.end].map(|at| at.0.cast_unsigned());
        [self.span.after.0, self.span.last.0, from, to]
    }
}

impl Refused {
    fn words(&self) -> [u64; 5] {
        let [from, to] = [self.times.start, self.times.end].map(|at| at.0.cast_unsigned());
        [self.first.0, self.last.0, from, to, self.samples]
    }

    fn take_in(&mut self, other: &Self) {
        self.times.start = self.times.start.min(other.times.start);
        self.times.end = self.times.end.max(other.times.end);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.samples = self.samples.saturating_add(other.samples);
        if self.reason != other.reason {
            self.reason = Reason::Conflict;
        }
    }
}

#[cfg(test)]
mod tests {
    use narthex_store::testing::memory_store;

    use super::*;

    fn refused(from: i64, to: i64, reason: Reason) -> Refused {
        let times = TimeRange::new(Timestamp(from), Timestamp(to));
        let seq = |at: i64| RowSeq(at.cast_unsigned() / 1000);
        Refused { times, samples: 2, reason, first: seq(from), last: seq(to) }
    }

    #[test]
    fn a_ledger_is_read_back_as_it_was_left() {
        let (store, _writer) = memory_store();
        let open = || Ledger::new(Some(store.journal("remote-write-1").unwrap()));
        let mut ledger = open();
        assert_eq!((ledger.place(), ledger.attempt()), (None, None));
        ledger.set_place(RowSeq(4));
        ledger.begin(RowSeq(5), RowSeq(9));
        ledger.add_refused(refused(1000, 2000, Reason::TooOld));
        ledger.add_refused(refused(2500, 4000, Reason::TooOld));
        ledger.add_refused(refused(2500, 9000, Reason::Invalid));
        ledger.add_refused(refused(9_000_000, 9_000_500, Reason::TooOld));
        let span = Span { after: RowSeq(20), last: RowSeq(30) };
        assert!(ledger.set_ahead(&[span]));
        let times = TimeRange::new(Timestamp(1), Timestamp(2));
        assert!(ledger.set_offers(&[Offer { span, times }]));
        assert!(!ledger.set_ahead(&[span; SPANS_MAX + 1]));
        let (state, records) = (ledger.state.clone(), ledger.state.records());
        drop(ledger);
        let mut ledger = open();
        assert_eq!(ledger.state, state);
        assert_eq!((ledger.place(), ledger.attempt()), (Some(RowSeq(5)), Some(RowSeq(9))));
        let lens: Vec<_> = ledger.refused().iter().map(|it| (it.times.end.0, it.samples)).collect();
        assert_eq!(lens, [(4000, 4), (9000, 2), (9_000_500, 2)]);
        // And when it was written anew.
        let mut again = State::default();
        assert!(records.iter().all(|record| again.play(record).is_some()));
        assert_eq!(again, state);
        ledger.set_place(RowSeq(9));
        assert_eq!(ledger.attempt(), None);
        ledger.forget(TimeRange::new(Timestamp(0), Timestamp(9000)));
        assert_eq!(ledger.refused().len(), 1);
    }

    #[test]
    fn it_stays_small() {
        let (store, _writer) = memory_store();
        let mut ledger = Ledger::new(Some(store.journal("remote-write-1").unwrap()));
        for turn in 0..40_000 {
            ledger.set_place(RowSeq(turn));
            let from = i64::try_from(turn).unwrap() * 1_000_000;
            ledger.add_refused(refused(from, from + 1000, Reason::TooOld));
        }
        assert_eq!(ledger.refused().len(), REFUSED_MAX);
        assert_eq!(ledger.refused().iter().map(|it| it.samples).sum::<u64>(), 80_000);
        assert!(ledger.journal.as_ref().unwrap().bytes() < 3 * JOURNAL_BYTES_MAX);
        drop(ledger);
        let ledger = Ledger::new(Some(store.journal("remote-write-1").unwrap()));
        assert_eq!(ledger.refused().len(), REFUSED_MAX);
        assert_eq!(ledger.place(), Some(RowSeq(39_999)));
    }

    #[test]
    fn any_record_is_read_or_not() {
        let mut state = State::default();
        for kind in 0..9 {
            for len in 0..60 {
                let mut record = vec![kind];
                record.resize(1 + len, 3);
                state.play(&record);
            }
        }
    }
}
