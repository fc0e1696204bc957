//! Layouts and slot numbers that have become mostly dead are given up for fresh ones.

use narthex_expo::Slot;
use narthex_model::{Timestamp, is_absent, is_stale};
use narthex_store::{Error as StoreError, SeriesRef, Writer};

use super::{Cycle, DEAD_COLUMNS_MIN, DROPPED, Known, NO_COLUMN, NO_SLOT, Refused};
use crate::columns::{Columns, column};
use crate::report;

impl Cycle {
    /// Ends what earlier layouts had and the current one does not.
    pub(super) fn end_retired(
        &mut self,
        writer: &mut Writer,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        for mut old in std::mem::take(&mut self.retired) {
            let still = self.columns.as_ref().map(Columns::live_series).unwrap_or_default();
            old.begin();
            old.end_except(&still);
            Refused::default().judge(old.append(writer, at), 0)?;
            writer.drop_layout(old.layout());
        }
        for mut old in std::mem::take(&mut self.retired_timed) {
            if self.config.track_timestamps_staleness {
                let source = self.source(writer);
                old.end(writer, source, at, |_| true)?;
            }
            old.close(writer);
        }
        Ok(())
    }

    /// Gives the slots new numbers and the target a new layout when most are dead.
    pub(super) fn renew(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        if let Some(new_slots) = self.stencil.compact() {
            self.renumber(&new_slots);
        }
        let source = self.source(writer);
        let Some(old) = &self.columns else { return Ok(()) };
        if old.len() <= 2 * old.live() + DEAD_COLUMNS_MIN {
            return Ok(());
        }
        let mut new = Columns::new(writer.new_layout(source)?);
        let keep: Vec<usize> = (0..old.len())
            .filter(|&at| {
                let value = old.get(column(at));
                at < report::NAMES.len() || !(is_absent(value) || is_stale(value))
            })
            .collect();
        let series: Vec<SeriesRef> =
            keep.iter().filter_map(|&at| old.series().get(at).copied()).collect();
        new.add(writer, &series)?;
        let mut owner = Vec::with_capacity(keep.len());
        for (at, known) in self.column_of.iter_mut().zip(&self.known) {
            *at = if matches!(known, Known::Dropped | Known::DroppedExtra) {
                DROPPED
            } else {
                NO_COLUMN
            };
        }
        self.aliases.clear();
        for (to, &from) in keep.iter().enumerate() {
            new.set(column(to), old.get(column(from)));
            let slot = self.owner.get(from).copied().unwrap_or(NO_SLOT);
            if let Some(at) = self.column_of.get_mut(slot.0 as usize) {
                *at = column(to).0;
            }
            owner.push(slot);
        }
        writer.drop_layout(old.layout());
        self.owner = owner;
        self.index = None;
        self.columns = Some(new);
        Ok(())
    }

    pub(super) fn renumber(&mut self, new_slots: &[Option<Slot>]) {
        let count = self.stencil.slot_count();
        let mut known = vec![Known::Unseen; count];
        let mut column_of = vec![NO_COLUMN; count];
        for (old, new) in new_slots.iter().enumerate() {
            let Some(new) = new.map(|slot| slot.0 as usize) else { continue };
            if let (Some(to), Some(&from)) = (known.get_mut(new), self.known.get(old)) {
                *to = from;
            }
            if let (Some(to), Some(&from)) = (column_of.get_mut(new), self.column_of.get(old)) {
                *to = from;
            }
        }
        self.known = known;
        self.column_of = column_of;
        let renamed = |slot: &Slot| new_slots.get(slot.0 as usize).copied().flatten();
        for owner in &mut self.owner {
            *owner = renamed(owner).unwrap_or(NO_SLOT);
        }
        self.aliases = self.aliases.iter().filter_map(renamed).collect();
        self.timed.renumber(new_slots, count);
    }
}
