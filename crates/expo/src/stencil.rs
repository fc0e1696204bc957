//! One target's last body with holes where the numbers are.

mod full;
mod layout;
mod slots;
mod walk;

use std::sync::OnceLock;

use narthex_model::{Hashing, LabelsBuilder, Metadata, Timestamp};

use crate::cache::Cache;
use crate::exemplar::{self, Exemplar};
use crate::fault::{Fault, ParseError, ParseErrorKind};
use crate::format::Format;
use crate::metadata::{Digest, Families};
use crate::{openmetrics, series};
use layout::Layout;
pub use slots::Slot;
use slots::Slots;

/// Unchanged bodies in a row after which the line cache is given back.
const CACHE_IDLE_FITS: u32 = 16;

/// Bodies in a row that resynchronised badly before the walk is given up for a while.
const STORMS_MAX: u32 = 4;

/// Bodies that are read in full before the walk is tried again.
const STORM_PAUSE_FITS: u32 = 64;

/// Dead slots below which [`Stencil::compact`] does nothing.
const DEAD_SLOTS_MIN: usize = 256;

/// Bounds on what one target may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest line in bytes, its newline included.
    pub line_bytes_max: usize,
    /// The most slots, present and gone ones together.
    pub slots_max: usize,
}

impl Default for Limits {
    /// 64 KiB and ten million.
    fn default() -> Self {
        Self { line_bytes_max: 64 * 1024, slots_max: 10_000_000 }
    }
}

/// How a body went through the stencil.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Lines with a sample, duplicates included.
    pub samples: u32,
    /// Samples left out because their series was in the body before, without a timestamp or with
    /// an equal one.
    pub duplicates: u32,
}

/// Reads one target's bodies, one after another, and says what changed from each to the next.
///
/// Every series text gets a [`Slot`] when it is first seen; slots are numbered from 0 without
/// gaps, and keep their number until [`Stencil::compact`]. A slot is for samples with a timestamp
/// of their own or for samples without, never both: a series that goes over from one to the other
/// vanishes from its old slot and appears in another. A series that stands in one body several
/// times with different timestamps has as many slots, all with the same [`Stencil::series_text`].
/// Two texts may spell the same labels (in another order, say): they are two slots, and the user
/// sees to it that the first one wins.
#[derive(Debug)]
pub struct Stencil {
    format: Format,
    limits: Limits,
    last: Layout,
    /// The lines of the body being read, if they are not those of the last one.
    lines_next: Vec<layout::Line>,
    slots: Slots,
    /// Absent only while every slot is in the last body.
    cache: Option<Cache>,
    hasher: Hashing,
    /// Fits since the cache was last needed.
    idle: u32,
    forgotten: bool,
    storms: u32,
    pause: u32,
    digest: Digest,
    metadata_version: u64,
    families: OnceLock<Families>,
    spans: OnceLock<Vec<layout::Span>>,
}

impl Stencil {
    /// A stencil that has seen nothing.
    pub fn new(format: Format, limits: Limits) -> Self {
        Self {
            format,
            limits,
            last: Layout::default(),
            lines_next: Vec::new(),
            slots: Slots::default(),
            cache: None,
            hasher: Hashing::default(),
            idle: 0,
            forgotten: true,
            storms: 0,
            pause: 0,
            digest: Digest::default(),
            metadata_version: 0,
            families: OnceLock::new(),
            spans: OnceLock::new(),
        }
    }

    /// The format of the bodies.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Reads a body. On an error nothing of it is kept, and the stencil is as after
    /// [`Stencil::forget`].
    pub fn fit(&mut self, body: &[u8]) -> Result<Fit, ParseError> {
        self.slots.begin();
        self.spans.take();
        if u32::try_from(body.len()).is_err() {
            self.forget();
            return Err(Fault::new(0, ParseErrorKind::BodyTooLong).explain(body, 0));
        }
        if self.may_walk(body) && self.walk(body) {
            return Ok(self.last.fit);
        }
        self.fit_all(body)?;
        Ok(self.last.fit)
    }

    /// Slots so far, those no longer in the body included.
    pub fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// The value of each slot in the last body; [`narthex_model::ABSENT`] where it is not in it.
    pub fn values(&self) -> &[f64] {
        self.slots.values()
    }

    /// Slots without timestamps whose bits differ from the last fit, appeared ones included; each
    /// once, in no promised order.
    pub fn changed(&self) -> &[Slot] {
        self.slots.changed()
    }

    /// Slots in this body that were not in the one before, ascending. Never seen ones are those
    /// from the slot count before the fit on.
    pub fn appeared(&self) -> &[Slot] {
        self.slots.appeared()
    }

    /// Slots in the body before that are not in this one, ascending. Slots with timestamps are
    /// among them; [`Stencil::is_timed`] tells.
    pub fn vanished(&self) -> &[Slot] {
        self.slots.vanished()
    }

    /// Slots of this body that carry their own timestamp, in the order of the body.
    pub fn timed(&self) -> &[Slot] {
        self.slots.timed()
    }

    /// Whether `slot` is for samples with a timestamp of their own.
    pub fn is_timed(&self, slot: Slot) -> bool {
        self.slots.is_timed(slot)
    }

    /// The timestamp that the sample of `slot` carries in the last body.
    pub fn timestamp(&self, slot: Slot) -> Option<Timestamp> {
        self.slots.stamp(slot).map(Timestamp)
    }

    /// The series of `slot` as the target spelt it; empty for a slot that does not exist. Cheap
    /// for appeared slots; after a fit without any, the first call indexes the body.
    pub fn series_text(&self, slot: Slot) -> &[u8] {
        if let Some(cache) = &self.cache {
            return cache.text(slot.0);
        }
        let spans = self.spans.get_or_init(|| self.last.spans(self.format, self.slots.len()));
        self.last.text(spans.get(slot.0 as usize).copied().unwrap_or_default())
    }

    /// Writes the labels of `slot` to `out`, which is cleared first: `__name__` included, empty
    /// values left out, `le` of histograms and `quantile` of summaries spelt as Prometheus 3
    /// spells them.
    pub fn labels(&self, slot: Slot, out: &mut LabelsBuilder) {
        series::labels(self.series_text(slot), self.format, self.slots.normalise(slot), out);
    }

    /// The names of the labels that `slot` has with an empty value: in Prometheus' model it does
    /// not have them, yet with `honor_labels` they keep a target's label out.
    pub fn blank_labels(&self, slot: Slot) -> Vec<String> {
        series::blank_labels(self.series_text(slot), self.format)
    }

    /// Calls `each` with the exemplars of the last good body, in its order, and the slots that they
    /// belong to. Nothing is hashed: what says which lines there are says it of exemplars too.
    pub fn each_exemplar(&self, mut each: impl FnMut(Slot, Exemplar<'_>)) {
        if self.format == Format::Text || self.forgotten {
            return;
        }
        let mut at = 0;
        for line in &self.last.lines {
            let (start, end) = (at + line.prefix as usize, at + line.len());
            at = end;
            if line.rest as usize >= exemplar::REST_BYTES_MIN
                && line.slot != layout::NO_SLOT
                && let Some(rest) = self.last.body.get(start..end)
                && let Some(exemplar) = openmetrics::exemplar_of(rest)
            {
                each(Slot(line.slot), exemplar);
            }
        }
    }

    /// The slot of the sample that is number `index` in the last good body, counted from 0;
    /// `None` if it repeats another or there is none.
    pub fn slot_of_sample(&self, index: usize) -> Option<Slot> {
        let slot = self.last.lines.get(index).filter(|_| !self.forgotten)?.slot;
        (slot != layout::NO_SLOT).then_some(Slot(slot))
    }

    /// Forgets the values: the next fit reports everything as appeared and changed, and nothing
    /// as vanished. Slots keep their identity, metadata stays.
    pub fn forget(&mut self) {
        self.slots.forget();
        self.forgotten = true;
    }

    /// Renumbers the slots when most of them are gone from the body; `None` if nothing was done.
    /// The result has the new slot of each old one, or `None` if it was dropped. Dropped slots
    /// leave the lists of the last fit.
    pub fn compact(&mut self) -> Option<Vec<Option<Slot>>> {
        let dead = self.slots.len() - self.slots.present_count();
        if self.forgotten || dead < DEAD_SLOTS_MIN || dead * 2 < self.slots.len() {
            return None;
        }
        let old = self.cache.take()?;
        let map = self.slots.compact();
        let mut cache = Cache::new(self.hasher.clone());
        for (slot, _) in (0u32..).zip(&map).filter(|(_, new)| new.is_some()) {
            let text = old.text(slot);
            cache.push(old.hash(text), text, old.variant(slot))?;
        }
        self.cache = Some(cache);
        self.last.renumber(&map);
        Some(map)
    }

    /// What the last good body said about its metric families, by name.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &Metadata)> {
        self.families.get_or_init(|| self.last.families(self.format, self.limits)).iter()
    }

    /// Grows whenever [`Stencil::metadata`] says something else than before.
    pub fn metadata_version(&self) -> u64 {
        self.metadata_version
    }

    /// Whether the last body is a stencil for `body`. A line without its newline could go on in
    /// the next body; timed lines of one series must be compared among themselves.
    fn may_walk(&mut self, body: &[u8]) -> bool {
        if self.forgotten || !self.last.ends_clean || self.last.timed_repeats {
            return false;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        body.last() == Some(&b'\n')
    }

    /// Makes `body`, read well, the last one.
    fn commit(&mut self, body: &[u8], digest: Digest) {
        self.last.keep(body);
        if digest != self.digest || self.metadata_version == 0 {
            self.digest = digest;
            self.metadata_version += 1;
            self.families.take();
        }
        self.forgotten = false;
    }

    /// Makes the line cache if there is none.
    fn need_cache(&mut self) {
        self.idle = 0;
        if self.cache.is_none() {
            self.cache = Some(self.last.cache(self.format, self.hasher.clone(), &self.slots));
        }
    }

    /// Gives the line cache back when it was not needed for long and nothing is in it alone.
    fn rest_cache(&mut self) {
        self.idle = self.idle.saturating_add(1);
        let idle = self.idle >= CACHE_IDLE_FITS && self.cache.is_some();
        if idle && !self.last.has_repeats() && self.slots.present_count() == self.slots.len() {
            self.cache = None;
            self.lines_next = Vec::new();
            self.last.lines.shrink_to_fit();
            self.slots.shrink();
        }
    }
}

#[cfg(test)]
mod tests;
