//! Exemplars on their way: requests of their own, behind the samples that they came with.
//!
//! The store keeps exemplars in memory only, numbered as they come, and tells of each the row that
//! it came with. A queue sends them when the receiver has that row, for a receiver keeps no
//! exemplar of a series that it does not know.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use narthex_model::{Hashing, LabelsBuilder, Timestamp};
use narthex_store::exemplars::Outgoing;

use crate::compose::Version;
use crate::encode::{TimeBytes, put_bytes, put_labels, put_varint};
use crate::prepare::Prepare;

/// Most exemplars of a request.
pub(crate) const EXEMPLARS_MAX: usize = 2000;

/// The figures of a queue's exemplars. Names in parentheses are those of
/// `prometheus_remote_storage_...{remote_name, url}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExemplarStats {
    /// Exemplars sent, each attempt counted (`exemplars_total`).
    pub sent: u64,
    /// Exemplars that the receiver refused for good (`exemplars_failed_total`).
    pub failed: u64,
    /// Exemplars sent again after a failure that may pass (`exemplars_retried_total`).
    pub retried: u64,
    /// Exemplars of series that relabelling drops
    /// (`exemplars_dropped_total{reason="dropped_series"}`).
    pub dropped_by_relabelling: u64,
    /// Exemplars older than the limit (`exemplars_dropped_total{reason="too_old"}`).
    pub dropped_too_old: u64,
    /// Exemplars that the store no longer had when they were due
    /// (`exemplars_dropped_total{reason="unintentionally_dropped_series"}`).
    pub lost: u64,
    /// Exemplars not sent yet (`exemplars_pending`).
    pub pending: u64,
}

/// The same while they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sent: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) dropped_by_relabelling: AtomicU64,
    pub(crate) dropped_too_old: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) pending: AtomicU64,
    /// The number of the next exemplar and 1; 0 while nothing was sent. A queue that takes over
    /// from another goes on there.
    pub(crate) next: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> ExemplarStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ExemplarStats {
            sent: get(&self.sent),
            failed: get(&self.failed),
            retried: get(&self.retried),
            dropped_by_relabelling: get(&self.dropped_by_relabelling),
            dropped_too_old: get(&self.dropped_too_old),
            lost: get(&self.lost),
            pending: get(&self.pending),
        }
    }
}

/// A request of exemplars, compressed.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) body: Vec<u8>,
    /// Exemplars in it; none: there is nothing to send.
    pub(crate) exemplars: u64,
    /// Exemplars that relabelling drops.
    pub(crate) dropped: u64,
    /// Exemplars left out for their age.
    pub(crate) too_old: u64,
}

impl Request {
    /// A request of `exemplars`, but for those that `too_old` is true of.
    pub(crate) fn new(
        exemplars: &[Outgoing],
        version: Version,
        prepare: &Prepare,
        too_old: impl Fn(Timestamp) -> bool,
    ) -> Self {
        let mut request = Self::default();
        let mut labels = LabelsBuilder::default();
        let mut symbols = Symbols::default();
        let (mut series, mut own, mut message) = (Vec::new(), Vec::new(), Vec::new());
        for Outgoing { series: of, exemplar } in exemplars {
            if too_old(exemplar.at) {
                request.too_old += 1;
                continue;
            }
            if !prepare.apply(of, &mut labels) {
                request.dropped += 1;
                continue;
            }
            request.exemplars += 1;
            series.clear();
            own.clear();
            match version {
                Version::V1 => {
                    put_labels(&mut series, &labels);
                    labels = LabelsBuilder::from_labels(&exemplar.labels);
                    put_labels(&mut own, &labels);
                }
                Version::V2 => {
                    symbols.put_references(&mut series, labels.iter());
                    symbols.put_references(&mut own, exemplar.labels.iter());
                }
            }
            own.push(0x11);
            own.extend_from_slice(&exemplar.value.to_le_bytes());
            own.push(0x18);
            own.extend_from_slice(TimeBytes::new(exemplar.at).as_slice());
            let (exemplar_tag, series_tag) = match version {
                Version::V1 => (0x1a, 0x0a),
                Version::V2 => (0x22, 0x2a),
            };
            put_bytes(&mut series, exemplar_tag, &own);
            put_bytes(&mut message, series_tag, &series);
        }
        symbols.bytes.extend_from_slice(&message);
        // Fails only for an input of 4 GiB, which it cannot be.
        let body = snap::raw::Encoder::new().compress_vec(&symbols.bytes);
        request.body = body.unwrap_or_default();
        request
    }
}

/// The texts of a request of protocol 2.0; empty in one of 1.0.
#[derive(Debug, Default)]
struct Symbols {
    numbers: HashMap<Box<str>, usize, Hashing>,
    bytes: Vec<u8>,
}

impl Symbols {
    /// Appends the field with the references of labels to `out`.
    fn put_references<'t>(
        &mut self,
        out: &mut Vec<u8>,
        labels: impl Iterator<Item = (&'t str, &'t str)>,
    ) {
        if self.numbers.is_empty() {
            // The first symbol of each request is the empty text.
            self.number("");
        }
        let mut references = Vec::new();
        for text in labels.flat_map(|(name, value)| [name, value]) {
            put_varint(&mut references, self.number(text));
        }
        if !references.is_empty() {
            put_bytes(out, 0x0a, &references);
        }
    }

    fn number(&mut self, text: &str) -> usize {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.numbers.len();
        self.numbers.insert(text.into(), number);
        put_bytes(&mut self.bytes, 0x22, text.as_bytes());
        number
    }
}

#[cfg(test)]
pub(crate) mod tests;
