//! From the exemplars of a body to those that the store keeps.
//!
//! They come in the order of the body, so the place of a series among those kept is found by what
//! stood there at the last scrape; only where that is another series is it looked up.

use narthex_expo::{Format, Slot};
use narthex_model::Timestamp;
use narthex_store::Writer;
use narthex_store::exemplars::{Incoming, Keeping, Taken};

use super::{Cycle, Known, Refused};
use crate::translate::LineExemplar;

/// No place is known.
const NO_PLACE: u32 = u32::MAX;

/// The exemplars of one series in a body.
#[derive(Debug, Default)]
struct Share {
    all: u64,
    late: u64,
}

impl Share {
    fn note(&mut self, taken: Taken) {
        self.all += 1;
        self.late += u64::from(taken == Taken::OutOfOrder);
        if taken.is_error() && taken != Taken::OutOfOrder {
            tracing::debug!(?taken, "Error while adding exemplar");
        }
    }

    /// When only some are late, they are what came before and is shown again.
    fn settle(self, keeping: &mut Keeping<'_>, refused: &mut Refused) {
        if self.late == self.all {
            keeping.count_late(self.late);
            refused.late_exemplars += self.late;
        }
    }
}

impl Cycle {
    /// Keeps the exemplars of the body that was taken last; `brought` are those that came beside
    /// its text.
    pub(super) fn keep_exemplars(
        &mut self,
        writer: &Writer,
        brought: &[LineExemplar],
        at: Timestamp,
        refused: &mut Refused,
    ) {
        if self.stencil.format() == Format::Text && brought.is_empty() {
            return;
        }
        let Some(mut keeping) = writer.keep_exemplars() else { return };
        let mut places = std::mem::take(&mut self.exemplar_places);
        let mut count = 0;
        self.stencil.each_exemplar(|slot, exemplar| {
            let (value, own) = (exemplar.value, exemplar.at);
            let mut incoming =
                Incoming::new(value, self.exemplar_time(slot, own, at), own.is_some());
            exemplar.each_label(|name, value| incoming.label(name, value));
            let place = place_of(&mut places, count, slot);
            count += 1;
            let mut share = Share::default();
            share.note(self.keep(&mut keeping, slot, place, &incoming));
            share.settle(&mut keeping, refused);
        });
        for of_sample in brought.chunk_by(|a, b| a.sample == b.sample) {
            let sample = of_sample.first().map_or(usize::MAX, |first| first.sample as usize);
            let Some(slot) = self.stencil.slot_of_sample(sample) else { continue };
            let place = place_of(&mut places, count, slot);
            count += 1;
            let mut share = Share::default();
            for LineExemplar { labels, value, at: own, .. } in of_sample {
                let time = self.exemplar_time(slot, *own, at);
                let mut incoming = Incoming::new(*value, time, own.is_some());
                labels.iter().for_each(|(name, value)| incoming.label(name, value));
                share.note(self.keep(&mut keeping, slot, place, &incoming));
            }
            share.settle(&mut keeping, refused);
        }
        places.truncate(count);
        self.exemplar_places = places;
    }

    fn keep(
        &self,
        keeping: &mut Keeping<'_>,
        slot: Slot,
        place: &mut u32,
        incoming: &Incoming<'_>,
    ) -> Taken {
        match self.known_at(slot) {
            Known::Series(series) => keeping.offer(series, place, incoming),
            // What relabelling dropped has no exemplars either.
            _ => Taken::Repeated,
        }
    }

    /// The time of an exemplar: its own, else that of its sample.
    fn exemplar_time(&self, slot: Slot, own: Option<Timestamp>, scrape: Timestamp) -> Timestamp {
        let sample = || self.stencil.timestamp(slot).filter(|_| self.config.honor_timestamps);
        own.or_else(sample).unwrap_or(scrape)
    }
}

/// Where the place of number `index` is remembered, or forgotten if it is not that of `slot`.
fn place_of(places: &mut Vec<(Slot, u32)>, index: usize, slot: Slot) -> &mut u32 {
    if index == places.len() {
        places.push((slot, NO_PLACE));
    }
    let index = index.min(places.len() - 1);
    let entry = &mut places[index];
    if entry.0 != slot {
        *entry = (slot, NO_PLACE);
    }
    &mut entry.1
}
