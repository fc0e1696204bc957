//! What is known of each series.

use std::collections::{BTreeMap, HashMap, HashSet};

use narthex_model::Hashing;
use narthex_store::{Part, SeriesRef};

use crate::key::{ByKey, Key};
use crate::slab::Slab;

/// A series may be known by so many keys (a sender may order labels as it likes) before all keys
/// are forgotten and learned anew.
const KEYS_PER_SERIES_MAX: usize = 4;

/// So many keys more are always kept.
const KEYS_MIN: usize = 1 << 16;

/// The newest sample of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    /// Its time in milliseconds; `i64::MIN`: there is none.
    pub(crate) at: i64,
    /// The bits of its value.
    pub(crate) bits: u64,
}

/// Where a series has a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) lane: u32,
    pub(crate) column: u32,
}

/// What is known of a series.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) series: SeriesRef,
    pub(crate) source: u32,
    pub(crate) newest: Newest,
    /// The number of the request that brought that, and the time of the newest one before it.
    pub(crate) request: u32,
    pub(crate) settled_at: i64,
    /// The column that its samples go to when nothing speaks against it.
    pub(crate) home: Option<Spot>,
    /// How many samples in a row could not go there.
    pub(crate) misfits: u8,
    /// Further columns.
    pub(crate) others: Vec<Spot>,
}

impl State {
    /// A series without a column.
    pub(crate) fn new(series: SeriesRef, source: u32, newest: Newest) -> Self {
        let (home, others) = (None, Vec::new());
        let (request, settled_at) = (0, i64::MIN);
        Self { series, source, newest, request, settled_at, home, misfits: 0, others }
    }

    /// Takes in a sample of the request with this number; returns what was newest before.
    #[inline]
    pub(crate) fn take(&mut self, newest: Newest, request: u32) -> Newest {
        let before = std::mem::replace(&mut self.newest, newest);
        if self.request != request {
            (self.request, self.settled_at) = (request, before.at);
        }
        before
    }

    /// Whether a sample at `at`, which is not newer than the newest, would be if that had not come
    /// in the same request.
    pub(crate) fn is_outrun(&self, at: i64, request: u32) -> bool {
        self.request == request && at > self.settled_at
    }

    /// Its column in a lane.
    pub(crate) fn spot_in(&self, lane: u32) -> Option<Spot> {
        let spots = self.home.iter().chain(&self.others);
        spots.copied().find(|spot| spot.lane == lane)
    }

    /// Forgets a lane; `false`: that was the last one.
    pub(crate) fn leave(&mut self, lane: u32) -> bool {
        self.others.retain(|spot| spot.lane != lane);
        if self.home.is_some_and(|home| home.lane == lane) {
            self.home = self.others.pop();
        }
        self.home.is_some()
    }
}

/// All series that samples came for lately.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_key: ByKey<u32>,
    by_series: HashMap<SeriesRef, u32, Hashing>,
    states: Slab<State>,
    /// The parts of series that have native histograms, by the number of the whole.
    parts: BTreeMap<(u32, Part), u32>,
}

impl Table {
    #[inline]
    pub(crate) fn find(&self, key: Key) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    /// The state of a series that a key was not known for.
    pub(crate) fn find_series(&self, series: SeriesRef) -> Option<u32> {
        self.by_series.get(&series).copied()
    }

    /// The number of a part.
    pub(crate) fn find_part(&self, whole: u32, part: Part) -> Option<u32> {
        self.parts.get(&(whole, part)).copied()
    }

    pub(crate) fn insert_part(&mut self, whole: u32, part: Part, state: State) -> u32 {
        let number = self.insert(state);
        self.parts.insert((whole, part), number);
        number
    }

    pub(crate) fn insert(&mut self, state: State) -> u32 {
        let series = state.series;
        let number = self.states.insert(state);
        self.by_series.insert(series, number);
        number
    }

    pub(crate) fn know(&mut self, key: Key, number: u32) {
        if self.by_key.len() >= KEYS_MIN + KEYS_PER_SERIES_MAX * self.states.len() {
            self.by_key.clear();
        }
        self.by_key.insert(key, number);
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&State> {
        self.states.get(number)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut State> {
        self.states.get_mut(number)
    }

    /// Forgets series. One that has parts stays as long as they do, which are known by its number.
    pub(crate) fn remove(&mut self, numbers: &[u32]) {
        if numbers.is_empty() {
            return;
        }
        let gone: HashSet<u32, Hashing> = numbers.iter().copied().collect();
        self.parts.retain(|_, part| !gone.contains(part));
        let wholes: HashSet<u32, Hashing> = self.parts.keys().map(|&(whole, _)| whole).collect();
        for number in gone.difference(&wholes) {
            if let Some(state) = self.states.remove(*number) {
                self.by_series.remove(&state.series);
            }
        }
        let states = &self.states;
        self.by_key.retain(|_, number| states.get(*number).is_some());
    }

    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_stays_as_long_as_its_parts() {
        let newest = Newest { at: 0, bits: 0 };
        let state = |number| State::new(SeriesRef::new(number).unwrap(), 0, newest);
        let mut table = Table::default();
        let whole = table.insert(state(1));
        let part = table.insert_part(whole, Part::Sum, state(2));
        table.remove(&[whole]);
        assert_eq!(table.find_part(whole, Part::Sum), Some(part));
        assert_ne!(table.insert(state(3)), whole);
        table.remove(&[whole, part]);
        assert_eq!(table.find_part(whole, Part::Sum), None);
        assert!(table.get(whole).is_none() && table.get(part).is_none());
    }
}
