//! The samples of one request on their way into rows.

use narthex_model::sample::NORMAL_NAN;
use narthex_model::{Labels, Timestamp, is_absent};

use narthex_store::histogram::parts as parts_of;

use crate::answer::{Reason, describe};
use crate::exemplar::Exemplar;
use crate::histogram::{self, Incoming};
use crate::receiver::{Intake, Met};
use crate::table::Newest;
use crate::wire::{Fields, Malformed, Sample};

/// Samples that wait for their rows at most; then they are handed on.
pub(crate) const PENDING_MAX: usize = 1 << 14;

/// Where the parts of a series stand in its message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Items {
    pub(crate) samples: u32,
    pub(crate) exemplars: u32,
    pub(crate) histograms: u32,
}

/// What waits for its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sample.
    Sample,
    /// The first part of a native histogram, which counts for all of it.
    Histogram,
    /// A further part.
    Part,
    /// Nothing but a note of what was newest before.
    Note,
}

/// A sample that waits for its row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) state: u32,
    pub(crate) at: i64,
    pub(crate) value: f64,
    pub(crate) kind: Kind,
    /// What was newest before, should all have to be undone.
    pub(crate) before: Newest,
}

/// A series and a time, for an answer.
fn show(labels: Option<Labels>, at: i64) -> String {
    match labels {
        Some(labels) => describe(&labels, Timestamp(at)),
        None => format!("at {}", Timestamp(at)),
    }
}

impl Intake<'_> {
    /// Takes the samples of the series `met`; `labels` tells its labels for an answer, `exemplar`
    /// reads an exemplar.
    pub(crate) fn items<'m>(
        &mut self,
        mut met: Met,
        message: &'m [u8],
        items: Items,
        labels: impl Fn() -> Option<Labels>,
        exemplar: impl Fn(&'m [u8]) -> Result<Option<Exemplar>, Malformed>,
    ) -> Result<(), Malformed> {
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            let number = field.number;
            if number == items.samples {
                self.one_sample(&mut met, Sample::read(field.bytes()?)?, &labels);
            } else if number == items.exemplars {
                let exemplar = exemplar(field.bytes()?)?;
                self.exemplar(&mut met, exemplar);
            } else if number == items.histograms {
                let histogram = histogram::read(field.bytes()?)?;
                self.one_histogram(&mut met, &histogram, &labels);
            }
        }
        Ok(())
    }

    /// Takes a sample of the series `met`; `labels` tells its labels for an answer.
    #[inline]
    pub(crate) fn one_sample(
        &mut self,
        met: &mut Met,
        sample: Sample,
        labels: impl Fn() -> Option<Labels>,
    ) {
        let known = self.number_of(met, sample.at);
        if let Err(reason) = known.and_then(|state| self.sample(state, sample)) {
            self.answer.refused.add(reason, 1, || show(labels(), sample.at));
        }
    }

    /// Takes a native histogram of the series `met`.
    pub(crate) fn one_histogram(
        &mut self,
        met: &mut Met,
        histogram: &Result<Incoming, Reason>,
        labels: impl Fn() -> Option<Labels>,
    ) {
        let at = histogram.as_ref().map_or(0, |incoming| incoming.at);
        let taken = histogram.as_ref().map_err(|reason| *reason).and_then(|incoming| {
            let whole = self.number_of(met, at)?;
            self.histogram(whole, incoming, &labels)
        });
        if let Err(reason) = taken {
            self.answer.refused.add(reason, 1, || show(labels(), at));
        }
    }

    /// The number of a series that has a sample at `at`.
    #[inline]
    fn number_of(&mut self, met: &mut Met, at: i64) -> Result<u32, Reason> {
        if let Met::Bad(reason) = met {
            return Err(*reason);
        }
        self.check_time(at)?;
        self.settle(met)
    }

    /// The number of a series, which is taken note of if it is new.
    #[inline]
    pub(crate) fn settle(&mut self, met: &mut Met) -> Result<u32, Reason> {
        let learned = match met {
            Met::Known(number) => return Ok(*number),
            Met::Bad(reason) => return Err(*reason),
            Met::New(key, labels) => self.learn(*key, labels),
        };
        *met = learned.map_or_else(Met::Bad, Met::Known);
        learned
    }

    #[inline]
    fn check_time(&self, at: i64) -> Result<(), Reason> {
        if at > self.latest {
            return Err(Reason::TooFarAhead);
        }
        if at < self.earliest {
            return Err(Reason::TooOld);
        }
        Ok(())
    }

    /// Takes a histogram: each of its parts is a column of the store.
    fn histogram(
        &mut self,
        whole: u32,
        incoming: &Incoming,
        labels: impl Fn() -> Option<Labels>,
    ) -> Result<(), Reason> {
        let at = incoming.at;
        let mut parts = Vec::with_capacity(incoming.histogram.size());
        parts_of(&incoming.histogram, incoming.integer, |part, value| parts.push((part, value)));
        let mut columns = Vec::with_capacity(parts.len());
        for (part, value) in parts {
            columns.push((self.part(whole, part, &labels)?, value));
        }
        let receiver = &mut *self.receiver;
        let Some(state) = receiver.table.get_mut(whole) else { return Err(Reason::SeriesLimit) };
        // What a hash says is equal is taken for equal: the answer is the same.
        let hash = columns.iter().fold(0_u64, |hash, (column, value)| {
            (hash ^ value.to_bits() ^ u64::from(*column)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        let newest = Newest { at, bits: hash };
        if newest.at <= state.newest.at {
            if newest == state.newest {
                self.answer.histograms += 1;
                return Ok(());
            }
            let same_time = newest.at == state.newest.at;
            let reason = if same_time { Reason::Duplicate } else { Reason::OutOfOrder };
            if state.is_outrun(at, self.request) {
                self.answer.outrun.add(reason, 1, String::new);
                self.answer.outrun_histograms += 1;
                return Ok(());
            }
            return Err(reason);
        }
        let before = state.take(newest, self.request);
        self.in_order &= receiver.lanes.expect(state.source, at);
        let note = Pending { state: whole, at, value: 0.0, kind: Kind::Note, before };
        receiver.pending.push(note);
        let mut kind = Kind::Histogram;
        for (column, value) in columns {
            let Some(state) = receiver.table.get_mut(column) else { continue };
            let newest = Newest { at, bits: value.to_bits() };
            let before = state.take(newest, self.request);
            receiver.pending.push(Pending { state: column, at, value, kind, before });
            kind = Kind::Part;
        }
        Ok(())
    }

    #[inline]
    fn sample(&mut self, number: u32, sample: Sample) -> Result<(), Reason> {
        let receiver = &mut *self.receiver;
        let Some(state) = receiver.table.get_mut(number) else { return Err(Reason::SeriesLimit) };
        // The store has a NaN of its own for what is not there.
        let value = if is_absent(sample.value) { NORMAL_NAN } else { sample.value };
        let newest = Newest { at: sample.at, bits: value.to_bits() };
        if newest.at <= state.newest.at {
            if newest == state.newest {
                self.answer.samples += 1;
                return Ok(());
            }
            let same_time = newest.at == state.newest.at;
            if self.takes_late && !same_time {
                receiver.late.push((newest.at, state.series, value));
                return Ok(());
            }
            let reason = if same_time { Reason::Duplicate } else { Reason::OutOfOrder };
            if state.is_outrun(newest.at, self.request) {
                self.answer.outrun.add(reason, 1, String::new);
                return Ok(());
            }
            return Err(reason);
        }
        let before = state.take(newest, self.request);
        self.in_order &= receiver.lanes.expect(state.source, newest.at);
        let kind = Kind::Sample;
        receiver.pending.push(Pending { state: number, at: newest.at, value, kind, before });
        Ok(())
    }
}
