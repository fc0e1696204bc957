//! Samples that carry their own timestamps.
//!
//! They cannot stand in the target's common row. Exporters that use timestamps give all samples
//! of one thing (a container, say) the same one, so series are kept in groups, each with a layout
//! of its own: a group is what came with one timestamp when it was first seen. A member that
//! comes apart from its group later moves to another, since within a layout time must only move
//! forward while Prometheus asks that of each series alone.

use std::collections::HashMap;

use narthex_expo::{Slot, Stencil};
use narthex_model::{Hashing, STALE, Timestamp, is_absent};
use narthex_store::{Error, SeriesRef, SourceRef, Writer};

use crate::columns::{Columns, column};
use crate::cycle::Refused;

/// Below this many dead columns a group is not worth a new layout.
const DEAD_COLUMNS_MIN: usize = 16;

/// For how long it is remembered that a series ended.
const ENDED_MS_MAX: i64 = 3_600_000;

/// All groups of one target.
#[derive(Debug, Default)]
pub(crate) struct Timed {
    groups: Vec<Group>,
    /// Where each slot stands, if it has come with a timestamp.
    places: Vec<Option<Place>>,
    /// Samples of this scrape that are older than the last of their series, but not those of the
    /// rest of their group.
    late: Vec<Homeless>,
    /// When slots that have not come again were marked as stale: they may not go behind that.
    ended: HashMap<Slot, Timestamp, Hashing>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    group: u32,
    column: u32,
}

#[derive(Debug)]
struct Group {
    columns: Columns,
    /// The slot of each column; `None` once it has moved away.
    members: Vec<Option<Slot>>,
    last: Option<Timestamp>,
    /// This scrape's samples: column, slot and time.
    arrived: Vec<(u32, Slot, Timestamp)>,
}

/// What a sample is that does not follow the last one of its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The last one itself.
    Known,
    /// Another value at the same time.
    Duplicate,
    /// An older one.
    Late,
}

/// A sample whose slot has no place yet, or has to leave the one it had.
#[derive(Clone, Copy, Debug)]
struct Homeless {
    slot: Slot,
    at: Timestamp,
    series: SeriesRef,
}

impl Timed {
    /// Whether there is anything to do when a body brings no timestamp.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Appends this scrape's samples with timestamps, a row per group. `series` tells a slot's
    /// series, `None` when the slot is not stored. What is before `oldest` is refused.
    pub(crate) fn append(
        &mut self,
        writer: &mut Writer,
        source: SourceRef,
        stencil: &Stencil,
        oldest: Timestamp,
        series: impl Fn(Slot) -> Option<SeriesRef>,
        refused: &mut Refused,
    ) -> Result<(), Error> {
        let bounds = (oldest, writer.takes_late());
        let homeless = self.sort_in(stencil, bounds, &series, refused);
        self.house(writer, source, homeless)?;
        self.append_late(writer, stencil.values(), refused)?;
        for group in &mut self.groups {
            group.append(writer, stencil.values(), refused)?;
        }
        self.renew(writer, &series);
        Ok(())
    }

    /// Writes the staleness marker for the slots that `ended` accepts, at `at`, in a layout of
    /// their own: what the others of their group bring next may be older than `at`.
    pub(crate) fn end(
        &mut self,
        writer: &mut Writer,
        source: SourceRef,
        at: Timestamp,
        ended: impl Fn(Slot) -> bool,
    ) -> Result<(), Error> {
        let mut gone = Vec::new();
        for group in &mut self.groups {
            for (index, member) in group.members.iter().enumerate() {
                let Some(slot) = member.filter(|slot| ended(*slot)) else { continue };
                if let Some(series) = group.columns.take(column(index)) {
                    gone.push(series);
                    self.ended.insert(slot, at);
                }
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        let mut markers = Columns::new(writer.new_layout(source)?);
        markers.add(writer, &gone)?;
        for index in 0..gone.len() {
            markers.set(column(index), STALE);
        }
        Refused::default().judge(markers.append(writer, at), 0)?;
        writer.drop_layout(markers.layout());
        self.ended.retain(|_, since| since.plus_millis(ENDED_MS_MAX) > at);
        Ok(())
    }

    /// Follows a renumbering of the slots.
    pub(crate) fn renumber(&mut self, new_slots: &[Option<Slot>], slot_count: usize) {
        let renamed = |(slot, at): (Slot, Timestamp)| {
            Some((new_slots.get(slot.0 as usize).copied().flatten()?, at))
        };
        self.ended = std::mem::take(&mut self.ended).into_iter().filter_map(renamed).collect();
        let old = std::mem::take(&mut self.places);
        self.places = vec![None; slot_count];
        for (index, place) in old.into_iter().enumerate() {
            let Some(place) = place else { continue };
            let slot = new_slots.get(index).copied().flatten();
            if let Some(at) = slot.and_then(|slot| self.places.get_mut(slot.0 as usize)) {
                *at = Some(place);
            }
            if let Some(group) = self.groups.get_mut(place.group as usize)
                && let Some(member) = group.members.get_mut(place.column as usize)
            {
                *member = slot;
            }
        }
    }

    /// Tells the store that no more rows will come.
    pub(crate) fn close(&mut self, writer: &mut Writer) {
        for group in self.groups.drain(..) {
            writer.drop_layout(group.columns.layout());
        }
        self.places.clear();
    }

    /// Puts each sample into its group; returns those without one.
    fn sort_in(
        &mut self,
        stencil: &Stencil,
        (oldest, takes_late): (Timestamp, bool),
        series: &impl Fn(Slot) -> Option<SeriesRef>,
        refused: &mut Refused,
    ) -> Vec<Homeless> {
        let mut homeless = Vec::new();
        self.places.resize(stencil.slot_count(), None);
        for group in &mut self.groups {
            group.arrived.clear();
        }
        for &slot in stencil.timed() {
            let (Some(at), Some(series)) = (stencil.timestamp(slot), series(slot)) else {
                continue;
            };
            if at < oldest {
                refused.out_of_bounds += 1;
                continue;
            }
            if !self.ended.is_empty() {
                let behind = self.ended.get(&slot).is_some_and(|ended| at <= *ended);
                if behind && !takes_late {
                    refused.out_of_order += 1;
                    continue;
                }
                if !behind {
                    self.ended.remove(&slot);
                }
            }
            let place = self.places.get(slot.0 as usize).copied().flatten();
            let group = place.and_then(|p| Some((p, self.groups.get_mut(p.group as usize)?)));
            let Some((place, group)) = group else {
                homeless.push(Homeless { slot, at, series });
                continue;
            };
            match group.arrived.first() {
                Some(&(_, _, first)) if first != at && group.is_behind(place.column, at) => {
                    let value = stencil.values().get(slot.0 as usize);
                    match group.judge(place.column, at, value) {
                        Verdict::Known => {}
                        Verdict::Duplicate => refused.duplicate += 1,
                        Verdict::Late if takes_late => {
                            self.late.push(Homeless { slot, at, series });
                        }
                        Verdict::Late => refused.out_of_order += 1,
                    }
                }
                Some(&(_, _, first)) if first != at => {
                    group.columns.blank(column(place.column as usize));
                    if let Some(member) = group.members.get_mut(place.column as usize) {
                        *member = None;
                    }
                    homeless.push(Homeless { slot, at, series });
                }
                _ => group.arrived.push((place.column, slot, at)),
            }
        }
        homeless
    }

    fn append_late(
        &mut self,
        writer: &mut Writer,
        values: &[f64],
        refused: &mut Refused,
    ) -> Result<(), Error> {
        for Homeless { slot, at, series } in self.late.drain(..) {
            let Some(&value) = values.get(slot.0 as usize) else { continue };
            refused.judge(writer.append_late(at, &[(series, value)]), 1)?;
        }
        Ok(())
    }

    /// Finds or makes a group for each: one that has this time in this scrape and no older.
    fn house(
        &mut self,
        writer: &mut Writer,
        source: SourceRef,
        mut homeless: Vec<Homeless>,
    ) -> Result<(), Error> {
        homeless.sort_by_key(|one| one.at);
        for family in homeless.chunk_by(|a, b| a.at == b.at) {
            let Some(at) = family.first().map(|one| one.at) else { continue };
            let index = if let Some(index) = self.groups.iter().position(|g| g.welcomes(at)) {
                index
            } else {
                self.groups.push(Group::new(writer.new_layout(source)?));
                self.groups.len() - 1
            };
            let Some(group) = self.groups.get_mut(index) else { continue };
            let series: Vec<SeriesRef> = family.iter().map(|one| one.series).collect();
            let first = group.columns.len();
            group.columns.add(writer, &series)?;
            for (offset, one) in family.iter().enumerate() {
                let column = column(first + offset).0;
                group.members.push(Some(one.slot));
                group.arrived.push((column, one.slot, at));
                let group = u32::try_from(index).unwrap_or(u32::MAX);
                if let Some(place) = self.places.get_mut(one.slot.0 as usize) {
                    *place = Some(Place { group, column });
                }
            }
        }
        Ok(())
    }

    /// Groups that are mostly dead columns are given up; their living members find a new one at
    /// the next scrape.
    fn renew(&mut self, writer: &mut Writer, series: &impl Fn(Slot) -> Option<SeriesRef>) {
        let wasteful = |group: &Group| {
            group.columns.len() > 2 * group.columns.live() + DEAD_COLUMNS_MIN
                || group.columns.live() == 0
        };
        if !self.groups.iter().any(wasteful) {
            return;
        }
        let mut index = 0;
        while let Some(group) = self.groups.get(index) {
            if !wasteful(group) {
                index += 1;
                continue;
            }
            let gone = self.groups.swap_remove(index);
            writer.drop_layout(gone.columns.layout());
            for slot in gone.members.into_iter().flatten() {
                debug_assert!(series(slot).is_some(), "only stored series have a place");
                if let Some(place) = self.places.get_mut(slot.0 as usize) {
                    *place = None;
                }
            }
            let moved = self.groups.get(index).map(|group| group.members.clone());
            for slot in moved.into_iter().flatten().flatten() {
                if let Some(Some(place)) = self.places.get_mut(slot.0 as usize) {
                    place.group = u32::try_from(index).unwrap_or(u32::MAX);
                }
            }
        }
    }
}

impl Group {
    fn new(layout: narthex_store::LayoutRef) -> Self {
        Self { columns: Columns::new(layout), members: Vec::new(), last: None, arrived: Vec::new() }
    }

    /// Whether a series whose sample is at `at` may join: the group's row of this scrape is at
    /// that time, and it is a new row.
    fn welcomes(&self, at: Timestamp) -> bool {
        self.last.is_none_or(|last| last < at)
            && self.arrived.first().is_some_and(|&(_, _, first)| first == at)
    }

    /// Whether a column's last sample is not before `at`.
    fn is_behind(&self, index: u32, at: Timestamp) -> bool {
        let last = self.last.is_some_and(|last| at <= last);
        last && !is_absent(self.columns.get(column(index as usize)))
    }

    /// What a sample that is not after the last row is, when its column has a sample there.
    fn judge(&self, index: u32, at: Timestamp, value: Option<&f64>) -> Verdict {
        let known = self.columns.get(column(index as usize)).to_bits();
        match value {
            _ if self.last != Some(at) => Verdict::Late,
            Some(value) if value.to_bits() == known => Verdict::Known,
            _ => Verdict::Duplicate,
        }
    }

    fn append(
        &mut self,
        writer: &mut Writer,
        values: &[f64],
        refused: &mut Refused,
    ) -> Result<(), Error> {
        let Some(&(_, _, at)) = self.arrived.first() else {
            // Nothing of the group was exposed. Its columns stay as they are: a row is only
            // written when there is a sample for it.
            self.forget_absent();
            return Ok(());
        };
        let value_of = |slot: Slot| values.get(slot.0 as usize).copied();
        if self.last.is_some_and(|last| at < last) && writer.takes_late() {
            return self.append_late(writer, at, values, refused);
        }
        if self.last.is_some_and(|last| at <= last) {
            for &(index, slot, _) in &self.arrived {
                match self.judge(index, at, value_of(slot).as_ref()) {
                    Verdict::Known => {}
                    Verdict::Duplicate => refused.duplicate += 1,
                    Verdict::Late => refused.out_of_order += 1,
                }
            }
            return Ok(());
        }
        self.columns.begin();
        if self.arrived.len() < self.members.len() {
            self.blank_missing();
        }
        for &(index, slot, _) in &self.arrived {
            if let Some(value) = value_of(slot) {
                self.columns.set(column(index as usize), value);
            }
        }
        let count = self.arrived.len();
        if refused.judge(self.columns.append(writer, at), count)? {
            self.last = Some(at);
        }
        Ok(())
    }

    /// What came is older than what came before: it goes beside the group's rows.
    fn append_late(
        &self,
        writer: &mut Writer,
        at: Timestamp,
        values: &[f64],
        refused: &mut Refused,
    ) -> Result<(), Error> {
        let sample = |&(index, slot, _): &(u32, Slot, Timestamp)| {
            let series = *self.columns.series().get(index as usize)?;
            Some((series, values.get(slot.0 as usize).copied()?))
        };
        let samples: Vec<_> = self.arrived.iter().filter_map(sample).collect();
        refused.judge(writer.append_late(at, &samples), samples.len()).map(drop)
    }

    fn blank_missing(&mut self) {
        let mut here = vec![false; self.members.len()];
        for &(index, _, _) in &self.arrived {
            if let Some(flag) = here.get_mut(index as usize) {
                *flag = true;
            }
        }
        for (index, _) in here.iter().enumerate().filter(|(_, here)| !**here) {
            self.columns.blank(column(index));
        }
    }

    /// Lets the group die when none of its members was in the body.
    fn forget_absent(&mut self) {
        for index in 0..self.columns.len() {
            self.columns.blank(column(index));
        }
    }
}
