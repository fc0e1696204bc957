//! What a query may use: samples, bytes, time.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::memory::{Part, Purse, Share};
use crate::options::Options;
use crate::{Error, Stats};

/// Steps of work between two looks at the clock.
const CHECK_INTERVAL: u32 = 64;

/// Samples that are looked at between two looks at the clock.
const WORK_INTERVAL: usize = 1 << 17;

/// Bytes of a value.
const SAMPLE_BYTES: usize = size_of::<f64>();

/// Counts what a query holds and stops it at its limits.
#[derive(Debug)]
pub(crate) struct Budget<'a> {
    options: &'a Options,
    deadline: Option<Duration>,
    ticks: u32,
    held: usize,
    bytes: usize,
    purse: Rc<Purse>,
    work: usize,
    /// Samples by step of the query, while what is computed is computed at the query's steps.
    per_step: Option<Vec<u64>>,
    pub(crate) stats: Stats,
}

/// What was counted before a part was begun that is counted in another way.
#[derive(Debug)]
pub(crate) struct Aside {
    total: u64,
    per_step: Option<Vec<u64>>,
}

impl<'a> Budget<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        let deadline = options.clock.as_ref().map(|clock| clock.monotonic() + options.timeout);
        let purse = Rc::new(Purse::new(Share::new(options.memory.clone())));
        let stats = Stats::default();
        Self {
            options,
            deadline,
            ticks: 0,
            held: 0,
            bytes: 0,
            purse,
            work: 0,
            per_step: None,
            stats,
        }
    }

    /// Ends the query, whose answer takes `bytes`; they stay taken as long as the share lives.
    pub(crate) fn end(self, bytes: usize) -> (Stats, Share) {
        (self.stats, self.purse.end(bytes))
    }

    /// Counts samples by step from now on.
    pub(crate) fn count_steps(&mut self, steps: usize) -> Result<(), Error> {
        self.hold_bytes(steps.saturating_mul(size_of::<u64>()))?;
        self.per_step = Some(vec![0; steps]);
        Ok(())
    }

    /// The samples by step.
    pub(crate) fn take_steps(&mut self) -> Option<Vec<u64>> {
        self.per_step.take()
    }

    /// Whether samples are counted by step.
    pub(crate) fn counts_steps(&self) -> bool {
        self.per_step.is_some()
    }

    /// So many samples were looked at for a step.
    pub(crate) fn count(&mut self, step: usize, samples: usize) {
        let samples = samples as u64;
        self.stats.samples_total += samples;
        if let Some(slot) = self.per_step.as_mut().and_then(|steps| steps.get_mut(step)) {
            *slot += samples;
        }
    }

    /// As [`Budget::count`], for all steps.
    pub(crate) fn count_all(&mut self, samples: impl Iterator<Item = usize>) {
        if self.counts_steps() {
            samples.enumerate().for_each(|(step, samples)| self.count(step, samples));
        } else {
            self.count(0, samples.sum());
        }
    }

    /// So many samples were looked at for each of `steps` steps.
    pub(crate) fn count_each(&mut self, steps: usize, samples: u64) {
        let total = samples.saturating_mul(steps as u64);
        self.stats.samples_total = self.stats.samples_total.saturating_add(total);
        for slot in self.per_step.iter_mut().flatten() {
            *slot += samples;
        }
    }

    /// Sets the counts aside until [`Budget::back`].
    pub(crate) fn aside(&mut self) -> Aside {
        let total = std::mem::take(&mut self.stats.samples_total);
        Aside { total, per_step: self.per_step.take() }
    }

    /// Takes up the counts from before; gives what was counted since.
    pub(crate) fn back(&mut self, before: Aside) -> u64 {
        self.per_step = before.per_step;
        std::mem::replace(&mut self.stats.samples_total, before.total)
    }

    /// What pays for everything that the query holds.
    pub(crate) fn purse(&self) -> &Rc<Purse> {
        &self.purse
    }

    /// Says that `samples` more are held.
    pub(crate) fn hold(&mut self, samples: usize) -> Result<(), Error> {
        self.held = self.held.saturating_add(samples);
        self.stats.samples_peak = self.stats.samples_peak.max(self.held as u64);
        if self.held > self.options.max_samples {
            return Err(Error::TooManySamples);
        }
        self.hold_bytes(samples.saturating_mul(SAMPLE_BYTES))
    }

    /// Says that `samples` are no longer held.
    pub(crate) fn release(&mut self, samples: usize) {
        self.held = self.held.saturating_sub(samples);
        self.release_bytes(samples.saturating_mul(SAMPLE_BYTES));
    }

    /// Says that `bytes` more are held besides those of samples.
    pub(crate) fn hold_bytes(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.options.memory_bytes_max {
            return Err(Error::TooMuchMemory { max_bytes: self.options.memory_bytes_max });
        }
        let (options, deadline) = (self.options, self.deadline);
        self.purse.hold(Part::Numbers, self.bytes, || check(options, deadline))
    }

    /// Says that `bytes` are no longer held.
    pub(crate) fn release_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// How many bytes may still be held.
    pub(crate) fn bytes_left(&self) -> usize {
        self.options.memory_bytes_max.min(self.purse.room()).saturating_sub(self.bytes)
    }

    /// How many samples are held.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// To be called once per piece of work; stops the query when its time is over.
    pub(crate) fn tick(&mut self) -> Result<(), Error> {
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(CHECK_INTERVAL) { self.check() } else { Ok(()) }
    }

    /// To be called after looking at so many samples; stops the query when its time is over.
    pub(crate) fn work(&mut self, samples: usize) -> Result<(), Error> {
        self.work = self.work.saturating_add(samples);
        if self.work < WORK_INTERVAL {
            return Ok(());
        }
        self.work = 0;
        self.check()
    }

    /// Stops the query when its time is over or it was canceled.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check(self.options, self.deadline)
    }
}

fn check(options: &Options, deadline: Option<Duration>) -> Result<(), Error> {
    if options.canceled.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
        return Err(Error::Canceled);
    }
    match (&options.clock, deadline) {
        (Some(clock), Some(deadline)) if clock.monotonic() > deadline => {
            Err(Error::Timeout(options.timeout))
        }
        _ => Ok(()),
    }
}
