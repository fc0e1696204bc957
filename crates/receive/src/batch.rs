//! The samples of one request on their way into rows.

use narthex_model::sample::NORMAL_NAN;
use narthex_model::{Labels, Timestamp, is_absent};

use crate::answer::{Reason, describe};
use crate::receiver::Intake;
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

/// A sample that waits for its row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) state: u32,
    pub(crate) at: i64,
    pub(crate) value: f64,
    /// What was newest before, should all have to be undone.
    pub(crate) before: Newest,
}

impl Intake<'_> {
    /// Takes the samples of a series. `known` is its number, or why it is refused; `labels` tells
    /// its labels for an answer.
    pub(crate) fn items(
        &mut self,
        known: Result<u32, Reason>,
        message: &[u8],
        items: Items,
        labels: impl Fn() -> Option<Labels>,
    ) -> Result<(), Malformed> {
        let mut fields = Fields::new(message);
        let show = |at: i64| match labels() {
            Some(labels) => describe(&labels, Timestamp(at)),
            None => format!("at {}", Timestamp(at)),
        };
        while let Some(field) = fields.next()? {
            let number = field.number;
            if number == items.samples {
                let sample = Sample::read(field.bytes()?)?;
                let taken = known.and_then(|state| self.sample(state, sample));
                if let Err(reason) = taken {
                    self.answer.refused.add(reason, 1, || show(sample.at));
                }
            } else if number == items.exemplars {
                field.bytes()?;
                self.answer.exemplars += 1;
            } else if number == items.histograms {
                field.bytes()?;
                let reason = known.err().unwrap_or(Reason::Histogram);
                self.answer.refused.add(reason, 1, || show(0));
            }
        }
        Ok(())
    }

    #[inline]
    fn sample(&mut self, number: u32, sample: Sample) -> Result<(), Reason> {
        if sample.at > self.latest {
            return Err(Reason::TooFarAhead);
        }
        if sample.at < self.earliest {
            return Err(Reason::TooOld);
        }
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
            if newest.at == state.newest.at {
                return Err(Reason::Duplicate);
            }
            if !self.takes_late {
                return Err(Reason::OutOfOrder);
            }
            receiver.late.push((newest.at, state.series, value));
            return Ok(());
        }
        let before = std::mem::replace(&mut state.newest, newest);
        self.in_order &= receiver.lanes.expect(state.source, newest.at);
        receiver.pending.push(Pending { state: number, at: newest.at, value, before });
        Ok(())
    }
}
