//! From the slots of the stencil to the columns of the row.

use std::collections::HashMap;

use narthex_expo::Slot;
use narthex_model::{ABSENT, Hashing, PART, is_absent};
use narthex_store::{Error as StoreError, SeriesRef, Writer};

use super::{ALIAS, Cycle, DROPPED, INDEX_IDLE_SCRAPES_MAX, Known, NO_COLUMN, NO_SLOT, Refused};
use crate::columns::{Columns, column};
use crate::error::ScrapeError;
use crate::resolve::resolve;
use crate::translate::is_extra;

impl Cycle {
    /// Resolves slots that were never seen. Returns how many series were not in the scrape
    /// before.
    pub(super) fn meet_newcomers(&mut self, writer: &mut Writer) -> Result<u32, ScrapeError> {
        let slots = self.stencil.slot_count();
        self.known.resize(slots, Known::Unseen);
        self.column_of.resize(slots, NO_COLUMN);
        let mut added = 0;
        let mut fresh: Vec<SeriesRef> = Vec::new();
        let base = self.columns.as_ref().map_or(0, Columns::len);
        for position in 0..self.stencil.appeared().len() {
            let Some(&slot) = self.stencil.appeared().get(position) else { break };
            let before = self.known_at(slot);
            let is_gone = match before {
                Known::Unseen => true,
                // It may be long ago that it stood in a layout.
                Known::Series(series) => !writer.keep(series),
                Known::Dropped | Known::DroppedExtra => false,
            };
            let known = match before {
                _ if is_gone => match self.resolve_slot(writer, slot) {
                    Ok(known) => known,
                    Err(error) => {
                        self.add_columns(writer, &fresh)?;
                        return Err(error);
                    }
                },
                known => known,
            };
            if let Some(at) = self.known.get_mut(slot.0 as usize) {
                *at = known;
            }
            let Known::Series(series) = known else {
                if let Some(at) = self.column_of.get_mut(slot.0 as usize) {
                    *at = DROPPED;
                }
                continue;
            };
            added += u32::from(before == Known::Unseen || !self.forgotten);
            if !self.stencil.is_timed(slot) || !self.config.honor_timestamps {
                self.attach(slot, series, base, &mut fresh);
            }
        }
        self.add_columns(writer, &fresh)?;
        Ok(added)
    }

    pub(super) fn add_columns(
        &mut self,
        writer: &mut Writer,
        fresh: &[SeriesRef],
    ) -> Result<(), StoreError> {
        if fresh.is_empty() {
            self.index_idle = self.index_idle.saturating_add(1);
            if self.index_idle > INDEX_IDLE_SCRAPES_MAX {
                self.index = None;
            }
            if self.index_idle == INDEX_IDLE_SCRAPES_MAX {
                self.give_back();
            }
            return Ok(());
        }
        self.index_idle = 0;
        match &mut self.columns {
            Some(columns) => columns.add(writer, fresh),
            None => Ok(()),
        }
    }

    /// Gives back room that only growing needed.
    fn give_back(&mut self) {
        self.known.shrink_to_fit();
        self.column_of.shrink_to_fit();
        self.owner.shrink_to_fit();
        if let Some(columns) = &mut self.columns {
            columns.shrink();
        }
    }

    pub(super) fn known_at(&self, slot: Slot) -> Known {
        self.known.get(slot.0 as usize).copied().unwrap_or(Known::Unseen)
    }

    pub(super) fn resolve_slot(
        &mut self,
        writer: &mut Writer,
        slot: Slot,
    ) -> Result<Known, ScrapeError> {
        self.stencil.labels(slot, &mut self.scratch);
        let blank = match self.config.honor_labels {
            true => self.stencil.blank_labels(slot),
            false => Vec::new(),
        };
        let has_parts = self.translated;
        let is_extra = has_parts && is_extra(self.scratch.get(PART));
        let labels = resolve(&self.config, &self.labels, &mut self.scratch, &blank, has_parts)?;
        match labels {
            Some(labels) => match writer.resolve(&labels) {
                Ok(series) => Ok(Known::Series(series)),
                Err(
                    limit @ (StoreError::SeriesLimit { .. } | StoreError::LabelsTooLong { .. }),
                ) => Err(ScrapeError::SeriesLimit(limit.to_string())),
                Err(error) => Err(error.into()),
            },
            None if is_extra => Ok(Known::DroppedExtra),
            None => Ok(Known::Dropped),
        }
    }

    /// Gives a slot its series' column. A column that another slot of this body fills makes it
    /// an alias: the first one wins.
    pub(super) fn attach(
        &mut self,
        slot: Slot,
        series: SeriesRef,
        base: usize,
        fresh: &mut Vec<SeriesRef>,
    ) {
        if self.column_of.get(slot.0 as usize).is_none_or(|&column| column != NO_COLUMN) {
            return;
        }
        let index = self.index.get_or_insert_with(|| {
            let series = self.columns.as_ref().map_or(&[][..], Columns::series);
            let mut index = HashMap::with_capacity_and_hasher(series.len(), Hashing::default());
            index.extend(series.iter().enumerate().map(|(at, &series)| (series, column(at).0)));
            index
        });
        let next = column(base + fresh.len()).0;
        let found = *index.entry(series).or_insert(next);
        if found == next {
            fresh.push(series);
            self.owner.push(slot);
        } else {
            let owner = self.owner.get(found as usize).copied();
            if owner.is_some_and(|owner| owner != slot && self.is_filled_by(owner, found)) {
                self.aliases.push(slot);
                self.set_column_of(slot, found | ALIAS);
                return;
            }
            self.take_over(slot, found);
        }
        self.set_column_of(slot, found);
    }

    pub(super) fn set_column_of(&mut self, slot: Slot, column: u32) {
        if let Some(at) = self.column_of.get_mut(slot.0 as usize) {
            *at = column;
        }
    }

    /// Whether `owner` brings a value for `column` in the current body. The report's columns,
    /// whose owner is no slot, always count as filled.
    pub(super) fn is_filled_by(&self, owner: Slot, column: u32) -> bool {
        (column as usize) < self.report_len()
            || (self.column_of.get(owner.0 as usize) == Some(&column)
                && self.stencil.values().get(owner.0 as usize).is_some_and(|v| !is_absent(*v)))
    }

    pub(super) fn take_over(&mut self, slot: Slot, column: u32) {
        if let Some(owner) = self.owner.get_mut(column as usize) {
            let former = std::mem::replace(owner, slot);
            self.set_column_of(former, NO_COLUMN);
        }
        self.set_column_of(slot, column);
    }

    /// Keeps count of the body's slots that relabelling dropped.
    pub(super) fn count_dropped(&mut self) {
        if self.config.metric_relabel_configs.is_empty() {
            return;
        }
        let dropped = |slot: &&Slot| self.known_at(**slot) == Known::Dropped;
        let came = self.stencil.appeared().iter().filter(dropped).count();
        let left = self.stencil.vanished().iter().filter(dropped).count();
        let now = (self.dropped_live as usize + came).saturating_sub(left);
        self.dropped_live = u32::try_from(now).unwrap_or(u32::MAX);
    }

    /// The hot loop: values that changed fall into their columns.
    pub(super) fn fill_row(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        let Some(columns) = &mut self.columns else { return Ok(()) };
        columns.begin();
        let values = self.stencil.values();
        let mut strays = Vec::new();
        for &slot in self.stencil.vanished() {
            if let Some(&at) = self.column_of.get(slot.0 as usize)
                && at < ALIAS
            {
                columns.end(column(at as usize));
            }
        }
        for &slot in self.stencil.changed() {
            let index = slot.0 as usize;
            match (self.column_of.get(index), values.get(index)) {
                (Some(&at), Some(&value)) if at < ALIAS => {
                    columns.set(column(at as usize), value);
                }
                (Some(&NO_COLUMN), _) => strays.push(slot),
                _ => {}
            }
        }
        if !strays.is_empty() {
            self.adopt(writer, &strays)?;
        }
        if !self.config.honor_timestamps {
            self.fill_row_ignoring_timestamps(writer)?;
        }
        Ok(())
    }

    /// Slots without a column: most are dropped or aliases; one that only came with timestamps
    /// before gets its column now.
    pub(super) fn adopt(&mut self, writer: &mut Writer, strays: &[Slot]) -> Result<(), StoreError> {
        let base = self.columns.as_ref().map_or(0, Columns::len);
        let mut fresh = Vec::new();
        for &slot in strays {
            if let Known::Series(series) = self.known_at(slot) {
                self.attach(slot, series, base, &mut fresh);
            }
        }
        self.add_columns(writer, &fresh)?;
        for &slot in strays {
            self.set_slot(slot);
        }
        Ok(())
    }

    pub(super) fn set_slot(&mut self, slot: Slot) {
        let index = slot.0 as usize;
        if let (Some(columns), Some(&at), Some(&value)) =
            (&mut self.columns, self.column_of.get(index), self.stencil.values().get(index))
            && at < ALIAS
            && columns.get(column(at as usize)).to_bits() != value.to_bits()
        {
            columns.set(column(at as usize), value);
        }
    }

    pub(super) fn fill_row_ignoring_timestamps(
        &mut self,
        writer: &mut Writer,
    ) -> Result<(), StoreError> {
        let timed: Vec<Slot> = self.stencil.timed().to_vec();
        self.adopt(writer, &timed)
    }

    /// The first of several lines with one series wins; the others are duplicates. When the first
    /// has left, the next one takes its column over.
    pub(super) fn fill_aliases(&mut self, refused: &mut Refused) {
        for position in 0..self.aliases.len() {
            let Some(&slot) = self.aliases.get(position) else { break };
            let index = slot.0 as usize;
            let (Some(&value), Some(&at)) =
                (self.stencil.values().get(index), self.column_of.get(index))
            else {
                continue;
            };
            if is_absent(value) || !(ALIAS..DROPPED).contains(&at) {
                continue;
            }
            let at = column((at & !ALIAS) as usize);
            let owner = self.owner.get(at.0 as usize).copied().unwrap_or(NO_SLOT);
            if self.is_filled_by(owner, at.0) {
                let known = self.columns.as_ref().map_or(ABSENT, |columns| columns.get(at));
                refused.duplicate += u64::from(known.to_bits() != value.to_bits());
            } else {
                self.take_over(slot, at.0);
                if let Some(columns) = &mut self.columns {
                    columns.set(at, value);
                }
            }
        }
        let column_of = &self.column_of;
        self.aliases.retain(|slot| {
            column_of.get(slot.0 as usize).is_some_and(|&at| (ALIAS..DROPPED).contains(&at))
        });
    }
}
