//! Requests without a receiver, for measurements and for tests from outside.

use std::sync::Arc;

use narthex_model::{Clock, Labels, relabel};
use narthex_store::{RowSeq, Store};

use crate::compose::{Limits, Version};
use crate::lane::{Filled, Lane, Work};
use crate::prepare::Prepare;
use crate::queue::Settings;
use crate::stats::Counters;

/// The rows of a store as the bodies of requests.
#[derive(Debug)]
pub struct Requests {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    counters: Counters,
    lane: Lane,
}

impl Requests {
    /// All rows of `store`, with `external` labels and by `rules`, in requests of at most
    /// `samples_max`.
    pub fn new(
        version: Version,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        external: Labels,
        rules: Vec<relabel::Rule>,
        samples_max: usize,
    ) -> Self {
        let settings = Settings {
            samples_max,
            ..Settings::of(Prepare { external, rules, histograms: false })
        };
        let lane = Lane::new(version, RowSeq(0));
        Self { store, clock, settings, counters: Counters::default(), lane }
    }

    /// The same with native histograms.
    #[must_use]
    pub fn with_histograms(mut self) -> Self {
        self.settings.prepare.histograms = true;
        self
    }

    /// Begins with the first row again, with all that is known of the layouts.
    pub fn rewind(&mut self) {
        self.lane.jump(RowSeq(0));
    }

    /// The compressed body of the next request, and how many samples it holds; `None` when there
    /// are no more rows.
    pub fn next_body(&mut self) -> Option<(&[u8], usize)> {
        self.lane.shipped();
        self.lane.forget_idle();
        let work = Work {
            store: &self.store,
            clock: &*self.clock,
            settings: &self.settings,
            counters: &self.counters,
            limits: Limits::new(self.settings.samples_max),
        };
        while self.lane.fill(work, None) == Filled::Turn {}
        let batch = &mut self.lane.composer.batch;
        if batch.is_empty() {
            return None;
        }
        let (all, samples) = (batch.all(), batch.samples());
        Some((batch.body(&all), samples))
    }
}
