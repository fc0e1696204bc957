//! What is known per slot, and what the last fit did to it.

use narthex_model::ABSENT;

use crate::series::Normalise;

/// One series text of a target; an index into what a [`crate::Stencil`] keeps per slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

const FLAG_TIMED: u8 = 1;
const FLAG_LE: u8 = 2;
const FLAG_QUANTILE: u8 = 4;

/// A set of slots, one bit each.
#[derive(Clone, Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn clear(&mut self, slots: usize) {
        self.0.clear();
        self.0.resize(slots.div_ceil(64), 0);
    }

    fn has(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// Adds `slot`; false if it was there.
    fn add(&mut self, slot: u32) -> bool {
        let index = slot as usize / 64;
        if index >= self.0.len() {
            self.0.resize(index + 1, 0);
        }
        let Some(word) = self.0.get_mut(index) else { return false };
        let bit = 1 << (slot % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Pushes the slots that are in `self` and not in `other`.
    fn minus(&self, other: &Self, out: &mut Vec<Slot>) {
        for (index, word) in (0u32..).zip(&self.0) {
            let mut left = word & !other.0.get(index as usize).unwrap_or(&0);
            while left != 0 {
                out.push(Slot(index * 64 + left.trailing_zeros()));
                left &= left - 1;
            }
        }
    }
}

/// Per slot: value, timestamp, kind; and the lists of the last fit.
#[derive(Debug, Default)]
pub(super) struct Slots {
    values: Vec<f64>,
    flags: Vec<u8>,
    /// Empty until a slot has a timestamp, then as long as `values`.
    stamps: Vec<i64>,
    with_stamps: usize,
    present: Bits,
    /// The slots of the body being read.
    reading: Bits,
    changed: Vec<Slot>,
    appeared: Vec<Slot>,
    vanished: Vec<Slot>,
    timed: Vec<Slot>,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    pub(super) fn changed(&self) -> &[Slot] {
        &self.changed
    }

    pub(super) fn appeared(&self) -> &[Slot] {
        &self.appeared
    }

    pub(super) fn vanished(&self) -> &[Slot] {
        &self.vanished
    }

    pub(super) fn timed(&self) -> &[Slot] {
        &self.timed
    }

    /// Whether any slot ever had a timestamp.
    pub(super) fn any_timed(&self) -> bool {
        self.with_stamps > 0
    }

    #[inline]
    pub(super) fn is_timed(&self, slot: Slot) -> bool {
        self.flags.get(slot.0 as usize).is_some_and(|flags| flags & FLAG_TIMED != 0)
    }

    pub(super) fn stamp(&self, slot: Slot) -> Option<i64> {
        let timed = self.is_timed(slot) && self.present.has(slot.0);
        self.stamps.get(slot.0 as usize).copied().filter(|_| timed)
    }

    /// The timestamp last noted for a slot of the body being read.
    pub(super) fn stamp_reading(&self, slot: u32) -> Option<i64> {
        self.stamps.get(slot as usize).copied()
    }

    pub(super) fn normalise(&self, slot: Slot) -> Normalise {
        match self.flags.get(slot.0 as usize).unwrap_or(&0) & (FLAG_LE | FLAG_QUANTILE) {
            FLAG_LE => Normalise::Le,
            FLAG_QUANTILE => Normalise::Quantile,
            _ => Normalise::Nothing,
        }
    }

    pub(super) fn present_count(&self) -> usize {
        self.present.count()
    }

    /// Empties the lists of the last fit; the timed slots stay until others are found.
    pub(super) fn begin(&mut self) {
        self.changed.clear();
        self.appeared.clear();
        self.vanished.clear();
    }

    /// Starts to collect the slots of a body.
    pub(super) fn begin_reading(&mut self) {
        self.reading.clear(self.values.len());
    }

    /// Adds a slot without a value.
    pub(super) fn push(&mut self, timed: bool, normalise: Normalise) {
        let mut flags = if timed { FLAG_TIMED } else { 0 };
        flags |= match normalise {
            Normalise::Nothing => 0,
            Normalise::Le => FLAG_LE,
            Normalise::Quantile => FLAG_QUANTILE,
        };
        self.values.push(ABSENT);
        self.flags.push(flags);
        self.with_stamps += usize::from(timed);
        if self.with_stamps > 0 {
            self.stamps.resize(self.values.len(), 0);
        }
    }

    /// Forgets the slots from `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.flags.truncate(len);
        self.stamps.truncate(len);
        self.with_stamps = self.flags.iter().filter(|&flags| flags & FLAG_TIMED != 0).count();
    }

    /// Marks `slot` as part of the body being read; false if it was already.
    pub(super) fn read(&mut self, slot: u32) -> bool {
        self.reading.add(slot)
    }

    pub(super) fn was_read(&self, slot: u32) -> bool {
        self.reading.has(slot)
    }

    /// Notes the value of a slot without timestamp.
    #[inline]
    pub(super) fn note(&mut self, slot: u32, value: f64) {
        if let Some(last) = self.values.get_mut(slot as usize)
            && last.to_bits() != value.to_bits()
        {
            *last = value;
            self.changed.push(Slot(slot));
        }
    }

    /// Notes the value and the timestamp of a slot that has one.
    #[inline]
    pub(super) fn note_timed(&mut self, slot: u32, value: f64, stamp: i64) {
        if let (Some(last_value), Some(last_stamp)) =
            (self.values.get_mut(slot as usize), self.stamps.get_mut(slot as usize))
        {
            *last_value = value;
            *last_stamp = stamp;
        }
    }

    /// Takes back what was noted of a body that turned out to need another reading; the values
    /// of slots in the last body must be noted again.
    pub(super) fn take_back(&mut self) {
        for slot in self.changed.drain(..) {
            if let Some(value) = self.values.get_mut(slot.0 as usize) {
                *value = ABSENT;
            }
        }
    }

    /// Sets a value without calling it changed.
    pub(super) fn restore(&mut self, slot: u32, value: f64) {
        if let Some(last) = self.values.get_mut(slot as usize) {
            *last = value;
        }
    }

    /// Whether a slot of the last body was not read.
    pub(super) fn would_vanish(&self) -> bool {
        let mut words = (0..).zip(&self.present.0);
        words.any(|(index, word): (usize, _)| word & !self.reading.0.get(index).unwrap_or(&0) != 0)
    }

    /// Makes the slots that were read those of the last body.
    pub(super) fn finish_reading(&mut self) {
        self.reading.minus(&self.present, &mut self.appeared);
        self.present.minus(&self.reading, &mut self.vanished);
        for slot in &self.vanished {
            if let Some(value) = self.values.get_mut(slot.0 as usize) {
                *value = ABSENT;
            }
        }
        std::mem::swap(&mut self.present, &mut self.reading);
    }

    /// Sets the list of timed slots from all slots of the body in order.
    pub(super) fn list_timed(&mut self, slots: impl Iterator<Item = u32>) {
        self.timed.clear();
        if self.with_stamps > 0 {
            let Self { timed, flags, .. } = self;
            let is_timed =
                |slot: &u32| flags.get(*slot as usize).is_some_and(|f| f & FLAG_TIMED != 0);
            timed.extend(slots.filter(is_timed).map(Slot));
        }
    }

    pub(super) fn forget(&mut self) {
        self.begin();
        self.timed.clear();
        self.values.fill(ABSENT);
        self.present.clear(self.values.len());
    }

    /// Gives back memory that growing took in advance.
    pub(super) fn shrink(&mut self) {
        self.values.shrink_to_fit();
        self.flags.shrink_to_fit();
        self.stamps.shrink_to_fit();
        // All that a first body brings is in them, once.
        for list in [&mut self.changed, &mut self.appeared, &mut self.vanished] {
            list.shrink_to(self.values.len() / 2);
        }
    }

    /// Drops the slots that are not in the last body; the new number of each old slot.
    pub(super) fn compact(&mut self) -> Vec<Option<Slot>> {
        let mut map = vec![None; self.values.len()];
        let mut next = 0u32;
        for (old, new) in (0u32..).zip(&mut map) {
            if self.present.has(old) {
                *new = Some(Slot(next));
                next += 1;
            }
        }
        let stays = |index: usize| map.get(index).copied().flatten().is_some();
        retain_by_index(&mut self.values, stays);
        retain_by_index(&mut self.flags, stays);
        retain_by_index(&mut self.stamps, stays);
        let lists = [&mut self.changed, &mut self.appeared, &mut self.vanished, &mut self.timed];
        for list in lists {
            list.retain_mut(|slot| match map.get(slot.0 as usize).copied().flatten() {
                Some(new) => {
                    *slot = new;
                    true
                }
                None => false,
            });
        }
        self.present.clear(self.values.len());
        for slot in 0..next {
            self.present.add(slot);
        }
        self.with_stamps = self.flags.iter().filter(|&flags| flags & FLAG_TIMED != 0).count();
        self.shrink();
        map
    }
}

fn retain_by_index<T>(items: &mut Vec<T>, stays: impl Fn(usize) -> bool) {
    let mut index = 0;
    items.retain(|_| {
        index += 1;
        stays(index - 1)
    });
}
