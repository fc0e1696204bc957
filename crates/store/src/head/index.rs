//! The series of the head: by number, by labels, and by each label.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::{Arc, LazyLock};

use narthex_model::{Hashing, Labels};

use super::pages::Pages;
use super::symbols::{Symbol, Symbols};
use crate::{Column, Error, LayoutRef, SeriesRef};

/// A series with nothing standing in a layout stays for this many seals, so that a writer may
/// resolve first and lay out later.
const IDLE_SEALS_KEPT: u16 = 2;

/// Where a series has its samples: a column of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) layout: LayoutRef,
    pub(crate) column: Column,
}

/// All places of a series. Nearly every series has one, or two after a restart.
#[derive(Debug)]
enum Places {
    None,
    One(Place),
    Two([Place; 2]),
    /// In [`Index::many`].
    Many,
}

#[derive(Debug)]
struct Entry {
    /// Its label names, in [`Shapes`].
    shape: u32,
    /// Where the values of its labels begin in [`Index::values`].
    values: u32,
    places: Places,
    /// The seal after which it was last resolved or laid out; seals are counted round and round.
    touched: u16,
    /// It was resolved, and not laid out since.
    wanted: bool,
    /// The segment of the log, counted by [`Index::begin_segment`], that has its labels.
    defined: u32,
}

/// The series of one label name, by value.
#[derive(Debug, Default)]
pub(super) struct NamePostings {
    pub(super) values: HashMap<Symbol, Vec<u32>, Hashing>,
}

/// The series table.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(super) symbols: Symbols,
    pub(super) names: HashMap<Symbol, NamePostings, Hashing>,
    /// All series, rising.
    pub(super) all: Vec<u32>,
    entries: Pages<Entry>,
    shapes: Shapes,
    /// The values of all series' labels, and how many of them belong to no series any more.
    values: Vec<Symbol>,
    values_dead: usize,
    /// The places of series with more than two.
    many: HashMap<u32, Vec<Place>, Hashing>,
    /// Half of the hash of labels to the first series with it.
    by_hash: HashMap<u32, u32, BuildHasherDefault<Spread>>,
    /// Further series with a hash that is taken.
    collided: HashMap<u32, Vec<u32>, BuildHasherDefault<Spread>>,
    /// Series that had no place when last looked at.
    idle: Vec<u32>,
    seals: u16,
    /// The number of series when room was given back last, and when that was last thought of.
    shrunk_at: (usize, usize),
    /// Counts segments of the log; 0: none yet.
    segments: u32,
}

/// The hash under which labels are found; stable within a process only.
pub(crate) fn hash_labels(labels: &Labels) -> u32 {
    // One for all calls: each `Hashing` has a seed of its own.
    static HASHING: LazyLock<Hashing> = LazyLock::new(Hashing::default);
    let hash = HASHING.hash_one(labels.as_encoded());
    // Half of it takes half the memory, and tells nearly as many series apart.
    u32::try_from(hash >> 32).unwrap_or(0)
}

impl Index {
    /// The series with these labels; marks it as wanted.
    pub(crate) fn find(&mut self, hash: u32, labels: &Labels) -> Option<SeriesRef> {
        let first = *self.by_hash.get(&hash)?;
        let number = if self.has_labels(first, labels) {
            first
        } else {
            let others = self.collided.get(&hash)?;
            others.iter().copied().find(|&n| self.has_labels(n, labels))?
        };
        let series = SeriesRef::new(number)?;
        self.keep(series);
        Some(series)
    }

    /// Whether two series may have the same labels: after a replay a series that came back when the
    /// head had forgotten it has two numbers.
    pub(crate) fn may_have_doubles(&self) -> bool {
        !self.collided.is_empty()
    }

    /// Marks a series as wanted, if it is here.
    pub(crate) fn keep(&mut self, series: SeriesRef) -> bool {
        let touched = self.seals;
        let entry = self.entries.get_mut(series.get());
        entry.is_some_and(|entry| {
            (entry.touched, entry.wanted) = (touched, true);
            true
        })
    }

    /// Enters a series. Its number is greater than all before, except when the log is replayed.
    pub(crate) fn insert(&mut self, series: SeriesRef, hash: u32, labels: &Labels) {
        let number = series.get();
        if self.entries.get(number).is_some() {
            return;
        }
        let values = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        // About as many as series have: to count them would be to read them once more.
        let mut names = Vec::with_capacity(16);
        for (name, value) in labels {
            let name = self.symbols.acquire(name);
            let value = self.symbols.acquire(value);
            let list = self.names.entry(name).or_default().values.entry(value).or_default();
            insert_rising(list, number);
            names.push(name);
            self.values.push(value);
        }
        insert_rising(&mut self.all, number);
        let (shape, touched) = (self.shapes.acquire(&names), self.seals);
        let (places, wanted) = (Places::None, true);
        let entry = Entry { shape, values, places, touched, wanted, defined: 0 };
        self.entries.insert(number, entry);
        if let Some(&first) = self.by_hash.get(&hash) {
            debug_assert_ne!(first, number);
            self.collided.entry(hash).or_default().push(number);
        } else {
            self.by_hash.insert(hash, number);
        }
        self.idle.push(number);
    }

    /// Notes that `series` stands in `place`.
    pub(crate) fn add_place(&mut self, series: SeriesRef, place: Place) -> Result<(), Error> {
        let entry = self.entries.get_mut(series.get()).ok_or(Error::UnknownSeries(series))?;
        (entry.touched, entry.wanted) = (self.seals, false);
        match entry.places {
            Places::None => entry.places = Places::One(place),
            Places::One(old) if old == place => {}
            Places::One(old) => entry.places = Places::Two([old, place]),
            Places::Two(old) if old.contains(&place) => {}
            Places::Two([first, second]) => {
                entry.places = Places::Many;
                self.many.insert(series.get(), vec![first, second, place]);
            }
            Places::Many => {
                let many = self.many.entry(series.get()).or_default();
                if !many.contains(&place) {
                    many.push(place);
                }
            }
        }
        Ok(())
    }

    /// Forgets that `series` stands in `layout`.
    pub(crate) fn remove_places(&mut self, series: SeriesRef, layout: LayoutRef) {
        let Some(entry) = self.entries.get_mut(series.get()) else { return };
        let stays = |place: &Place| place.layout != layout;
        match entry.places {
            Places::None => return,
            Places::One(place) if stays(&place) => {}
            Places::One(_) => entry.places = Places::None,
            Places::Two([first, second]) => {
                entry.places = match (stays(&first), stays(&second)) {
                    (true, true) => return,
                    (true, false) => Places::One(first),
                    (false, true) => Places::One(second),
                    (false, false) => Places::None,
                };
            }
            Places::Many => {
                let many = self.many.entry(series.get()).or_default();
                many.retain(stays);
                entry.places = match *many.as_slice() {
                    [] => Places::None,
                    [place] => Places::One(place),
                    [first, second] => Places::Two([first, second]),
                    _ => return,
                };
                self.many.remove(&series.get());
            }
        }
        if matches!(entry.places, Places::None) {
            entry.touched = self.seals;
            self.idle.push(series.get());
        }
    }

    /// A new segment of the log was begun; what it defines is to be told by
    /// [`Index::set_defined`].
    pub(crate) fn begin_segment(&mut self) {
        self.segments += 1;
    }

    /// The current segment of the log has the labels of `series` now. Returns whether it had them
    /// before.
    pub(crate) fn set_defined(&mut self, series: SeriesRef) -> bool {
        let segments = self.segments;
        self.entries.get_mut(series.get()).is_none_or(|entry| {
            let before = std::mem::replace(&mut entry.defined, segments);
            before == segments && segments > 0
        })
    }

    /// The places of a series.
    pub(crate) fn places(&self, series: u32) -> &[Place] {
        match self.entries.get(series).map(|entry| &entry.places) {
            None | Some(Places::None) => &[],
            Some(Places::One(place)) => std::slice::from_ref(place),
            Some(Places::Two(places)) => places,
            Some(Places::Many) => self.many.get(&series).map_or(&[], Vec::as_slice),
        }
    }

    /// Whether the series is here.
    pub(crate) fn contains(&self, series: SeriesRef) -> bool {
        self.entries.get(series.get()).is_some()
    }

    /// The labels of a series.
    pub(crate) fn labels(&self, series: u32) -> Option<Labels> {
        self.entries.get(series)?;
        Some(Labels::from_sorted(self.texts(series)))
    }

    /// Names and values of a series' labels, by name.
    pub(crate) fn texts(&self, series: u32) -> impl Iterator<Item = (&str, &str)> + Clone {
        let text = |(name, value)| (self.symbols.text(name), self.symbols.text(value));
        self.pairs(series).map(text)
    }

    /// The pairs of name and value of a series, by name.
    pub(super) fn pairs(&self, series: u32) -> impl Iterator<Item = (Symbol, Symbol)> + Clone {
        let entry = self.entries.get(series);
        let names = entry.map_or(&[][..], |entry| self.shapes.names(entry.shape));
        let values = entry.and_then(|entry| self.values.get(entry.values as usize..));
        names.iter().copied().zip(values.unwrap_or(&[]).iter().copied())
    }

    /// Bytes of the names and values of all labels, each counted once.
    pub(crate) fn symbol_bytes(&self) -> usize {
        self.symbols.bytes()
    }

    /// Number of series.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Counts a seal and removes the series that have been idle for long; returns how many.
    pub(crate) fn remove_idle(&mut self) -> u64 {
        self.seals = self.seals.wrapping_add(1);
        let mut dead = Vec::new();
        let mut still_idle = Vec::new();
        for number in std::mem::take(&mut self.idle) {
            match self.entries.get(number) {
                Some(entry) if matches!(entry.places, Places::None) => {
                    if self.seals.wrapping_sub(entry.touched) > IDLE_SEALS_KEPT {
                        dead.push(number);
                    } else {
                        still_idle.push(number);
                    }
                }
                _ => {}
            }
        }
        still_idle.sort_unstable();
        still_idle.dedup();
        self.idle = still_idle;
        dead.sort_unstable();
        dead.dedup();
        self.remove(&dead);
        dead.len() as u64
    }

    /// Removes those of `series` that stand in no layout and that nobody wants to lay out;
    /// returns how many.
    pub(crate) fn remove_placeless(&mut self, series: &[SeriesRef]) -> u64 {
        let is_dead = |number: &u32| {
            let entry = self.entries.get(*number);
            entry.is_some_and(|it| matches!(it.places, Places::None) && !it.wanted)
        };
        let mut dead: Vec<u32> = series.iter().map(|it| it.get()).filter(is_dead).collect();
        dead.sort_unstable();
        dead.dedup();
        self.remove(&dead);
        let entries = &self.entries;
        self.idle.retain(|&number| entries.get(number).is_some());
        dead.len() as u64
    }

    /// Gives back room that only growing needed, once no series come any more. To be called every
    /// few seconds.
    pub(crate) fn shrink(&mut self) {
        let (shrunk, before) = self.shrunk_at;
        let now = self.len();
        self.shrunk_at.1 = now;
        if now != before || now == shrunk {
            return;
        }
        self.shrunk_at.0 = now;
        self.all.shrink_to_fit();
        self.values.shrink_to_fit();
        for list in self.names.values_mut().flat_map(|postings| postings.values.values_mut()) {
            list.shrink_to_fit();
        }
    }

    /// Removes the series of the rising list `dead`.
    fn remove(&mut self, dead: &[u32]) {
        if dead.is_empty() {
            return;
        }
        let mut touched = Vec::new();
        for &number in dead {
            let hash = self.labels(number).map(|labels| hash_labels(&labels));
            if let Some(hash) = hash {
                self.forget_hash(hash, number);
            }
            let before = touched.len();
            touched.extend(self.pairs(number));
            self.values_dead += touched.len() - before;
            if let Some(entry) = self.entries.remove(number) {
                self.shapes.release(entry.shape);
            }
            self.many.remove(&number);
        }
        self.tidy_values();
        let is_alive = |number: &u32| dead.binary_search(number).is_err();
        self.all.retain(is_alive);
        // Every dead series releases its symbols, but each list is walked once.
        let uses = touched.clone();
        touched.sort_unstable();
        touched.dedup();
        for (name, value) in touched {
            let Some(postings) = self.names.get_mut(&name) else { continue };
            let Some(list) = postings.values.get_mut(&value) else { continue };
            list.retain(is_alive);
            list.shrink_to(list.len() * 2);
            if list.is_empty() {
                postings.values.remove(&value);
            }
            if postings.values.is_empty() {
                self.names.remove(&name);
            }
        }
        for (name, value) in uses {
            self.symbols.release(name);
            self.symbols.release(value);
        }
    }

    /// Moves the values of labels together when most belong to no series any more.
    fn tidy_values(&mut self) {
        if self.values_dead * 2 <= self.values.len() {
            return;
        }
        let mut kept = Vec::with_capacity(self.values.len() - self.values_dead);
        for number in &self.all {
            let Some(entry) = self.entries.get_mut(*number) else { continue };
            let start = entry.values as usize;
            let end = start + self.shapes.names(entry.shape).len();
            entry.values = u32::try_from(kept.len()).unwrap_or(u32::MAX);
            kept.extend_from_slice(self.values.get(start..end).unwrap_or(&[]));
        }
        self.values = kept;
        self.values_dead = 0;
    }

    fn forget_hash(&mut self, hash: u32, number: u32) {
        let heir = self.collided.get_mut(&hash).and_then(|others| {
            others.retain(|&n| n != number);
            others.pop()
        });
        if self.collided.get(&hash).is_some_and(Vec::is_empty) {
            self.collided.remove(&hash);
        }
        let first = self.by_hash.get(&hash).copied();
        match (first == Some(number), heir) {
            (true, Some(heir)) => {
                self.by_hash.insert(hash, heir);
            }
            (true, None) => {
                self.by_hash.remove(&hash);
            }
            (false, Some(heir)) => self.collided.entry(hash).or_default().push(heir),
            (false, None) => {}
        }
    }

    fn has_labels(&self, number: u32, labels: &Labels) -> bool {
        self.entries.get(number).is_some() && self.texts(number).eq(labels.iter())
    }
}

/// Puts `number` into a rising list; at its end in all but replayed logs.
fn insert_rising(list: &mut Vec<u32>, number: u32) {
    match list.last() {
        Some(&highest) if highest >= number => {
            if let Err(at) = list.binary_search(&number) {
                list.insert(at, number);
            }
        }
        _ => list.push(number),
    }
}

/// Lists of label names: few, for all series of a family have the same.
#[derive(Debug, Default)]
struct Shapes {
    /// Each with the number of series that have it.
    lists: Vec<(Arc<[Symbol]>, u32)>,
    numbers: HashMap<Arc<[Symbol]>, u32, Hashing>,
    free: Vec<u32>,
}

impl Shapes {
    /// The number of a list, used once more.
    fn acquire(&mut self, names: &[Symbol]) -> u32 {
        if let Some(&number) = self.numbers.get(names) {
            if let Some((_, uses)) = self.lists.get_mut(number as usize) {
                *uses += 1;
            }
            return number;
        }
        let list: Arc<[Symbol]> = names.into();
        let number = self.free.pop().unwrap_or_else(|| {
            self.lists.push((Arc::default(), 0));
            u32::try_from(self.lists.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(place) = self.lists.get_mut(number as usize) {
            *place = (Arc::clone(&list), 1);
        }
        self.numbers.insert(list, number);
        number
    }

    /// Takes back one use of a list.
    fn release(&mut self, number: u32) {
        let Some((list, uses)) = self.lists.get_mut(number as usize) else { return };
        *uses = uses.saturating_sub(1);
        if *uses == 0 {
            self.numbers.remove(list);
            *list = Arc::default();
            self.free.push(number);
        }
    }

    fn names(&self, number: u32) -> &[Symbol] {
        self.lists.get(number as usize).map_or(&[], |(list, _)| list)
    }
}

/// The keys are parts of hashes already, and only have to be spread over all bits.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "only parts of hashes are keys");
    }

    fn write_u32(&mut self, hash: u32) {
        self.0 = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
