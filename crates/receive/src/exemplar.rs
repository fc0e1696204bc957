//! Exemplars of a request: they wait until the samples of their series are stored.

use narthex_model::{Labels, Timestamp};
use narthex_store::exemplars::{Incoming, Taken};
use narthex_store::{SeriesRef, Writer};

use crate::answer::Reason;
use crate::batch::PENDING_MAX;
use crate::labels::Pairs;
use crate::receiver::{Intake, Message, Met};
use crate::wire::{Field, Fields, Malformed};

/// An exemplar that can be kept.
#[derive(Clone, Debug)]
pub(crate) struct Exemplar {
    labels: Labels,
    value: f64,
    at: i64,
}

/// One that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    series: SeriesRef,
    exemplar: Exemplar,
}

impl Exemplar {
    /// An exemplar with these labels; `None` if they are too long.
    pub(crate) fn new<'l>(
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        value: f64,
        at: i64,
    ) -> Option<Self> {
        let mut incoming = Incoming::new(value, Timestamp(at), at != 0);
        labels.for_each(|(name, value)| incoming.label(name, value));
        (!incoming.is_too_long()).then(|| Self { labels: incoming.build(), value, at })
    }

    /// Reads an `Exemplar` message, whose fields are the same in both protocols but for the
    /// labels, which `label` reads. `None` if the labels are too long or no text.
    pub(crate) fn read<'m>(
        message: &'m [u8],
        mut label: impl FnMut(Field<'m>, &mut Pairs<'m>) -> Result<Result<(), Reason>, Malformed>,
    ) -> Result<Option<Self>, Malformed> {
        let (mut value, mut at, mut good) = (0.0, 0, true);
        let mut pairs = Pairs::default();
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => good &= label(field, &mut pairs)?.is_ok(),
                2 => value = field.double()?,
                3 => at = field.varint()?.cast_signed(),
                _ => {}
            }
        }
        let mut incoming = Incoming::new(value, Timestamp(at), at != 0);
        for (name, value) in pairs.iter() {
            match (std::str::from_utf8(name), std::str::from_utf8(value)) {
                (Ok(name), Ok(value)) => incoming.label(name, value),
                _ => good = false,
            }
        }
        let good = good && !incoming.is_too_long();
        Ok(good.then(|| Self { labels: incoming.build(), value, at }))
    }
}

impl Intake<'_> {
    /// Takes an exemplar of the series `met`; it is kept when the samples have been stored.
    pub(crate) fn exemplar(&mut self, met: &mut Met, exemplar: Option<Exemplar>) {
        if !self.keeps_exemplars {
            // Prometheus takes them too when it keeps none.
            self.answer.exemplars += 1;
            return;
        }
        if self.receiver.exemplars.len() >= PENDING_MAX {
            self.apply();
        }
        // An exemplar alone makes no series.
        let known = match met {
            Met::New(_, labels) if !self.has(labels) => None,
            _ => self.settle(met).ok(),
        };
        let receiver = &mut *self.receiver;
        let series = known.and_then(|number| receiver.table.get(number));
        // A series that never had a sample is unknown. What is wrong with an exemplar is no reason
        // to refuse a request, as in Prometheus.
        if let (Some(state), Some(exemplar)) = (series, exemplar)
            && state.newest.at > i64::MIN
        {
            receiver.exemplars.push(Waiting { series: state.series, exemplar });
        }
    }

    /// Keeps the exemplars that wait.
    pub(crate) fn keep_exemplars(&mut self, writer: &Writer) {
        let waiting = &mut self.receiver.exemplars;
        let Some(mut keeping) = writer.keep_exemplars() else { return waiting.clear() };
        let mut place = u32::MAX;
        for Waiting { series, exemplar } in waiting.drain(..) {
            let Exemplar { labels, value, at } = exemplar;
            let mut incoming = Incoming::new(value, Timestamp(at), at != 0);
            labels.iter().for_each(|(name, value)| incoming.label(name, value));
            match keeping.offer(series, &mut place, &incoming) {
                Taken::OutOfOrder => {
                    keeping.count_late(1);
                    self.answer.late_exemplars += 1;
                    if self.message == Message::V2 {
                        let of = || keeping.labels(series).unwrap_or_default().to_string();
                        self.answer.refused.add(Reason::LateExemplar, 1, of);
                    }
                }
                taken if taken.is_error() => {}
                _ => self.answer.exemplars += 1,
            }
        }
    }
}
