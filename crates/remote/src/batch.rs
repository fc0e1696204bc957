//! The request that is being put together: compressed parts that can be sent apart.

use std::ops::Range;

use narthex_model::Timestamp;
use narthex_store::RowSeq;

use crate::encode::{VARINT_BYTES_MAX, put_varint};

/// Largest request before compression: receivers refuse more than 32 MiB.
pub(crate) const RAW_BYTES_MAX: usize = 8 << 20;

/// Samples of several rows, waiting to be sent.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Room for the length, then the parts.
    out: Vec<u8>,
    parts: Vec<Part>,
    samples: usize,
    raw_bytes: usize,
    /// The newest sample's time.
    newest: Timestamp,
    /// The last row that is wholly in this batch or those before.
    pub(crate) complete: RowSeq,
}

/// One segment of one row.
#[derive(Clone, Copy, Debug)]
struct Part {
    end: usize,
    raw_len: usize,
    samples: usize,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            out: vec![0; VARINT_BYTES_MAX],
            parts: Vec::new(),
            samples: 0,
            raw_bytes: 0,
            newest: Timestamp::MIN,
            complete: RowSeq(0),
        }
    }

    /// Forgets the samples, keeps the memory and the place.
    pub(crate) fn clear(&mut self) {
        self.out.truncate(VARINT_BYTES_MAX);
        self.parts.clear();
        self.samples = 0;
        self.raw_bytes = 0;
        self.newest = Timestamp::MIN;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn samples(&self) -> usize {
        self.samples
    }

    pub(crate) fn newest(&self) -> Timestamp {
        self.newest
    }

    pub(crate) fn parts_len(&self) -> usize {
        self.parts.len()
    }

    /// Whether `samples` more may come in.
    pub(crate) fn has_room(&self, samples: usize, samples_max: usize) -> bool {
        self.parts.is_empty()
            || (self.samples + samples <= samples_max && self.raw_bytes < RAW_BYTES_MAX)
    }

    /// Where the elements of the next part go; [`Batch::close_part`] must follow.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Ends the part whose elements were appended to [`Batch::out`].
    pub(crate) fn close_part(&mut self, raw_len: usize, samples: usize, at: Timestamp) {
        self.parts.push(Part { end: self.out.len(), raw_len, samples });
        self.samples += samples;
        self.raw_bytes += raw_len;
        self.newest = self.newest.max(at);
    }

    /// Samples in the parts `range`.
    pub(crate) fn samples_in(&self, range: Range<usize>) -> usize {
        self.slice(range).iter().map(|part| part.samples).sum()
    }

    /// The body of a request of the parts `range`; `scratch` holds it unless it is all of them.
    pub(crate) fn body<'a>(
        &'a mut self,
        range: Range<usize>,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        let mut length = Vec::with_capacity(VARINT_BYTES_MAX);
        put_varint(&mut length, self.slice(range.clone()).iter().map(|part| part.raw_len).sum());
        let whole = range == (0..self.parts.len());
        let end_of = |index: Option<usize>| {
            index.and_then(|index| self.parts.get(index)).map_or(VARINT_BYTES_MAX, |part| part.end)
        };
        let (start, end) = (end_of(range.start.checked_sub(1)), end_of(range.end.checked_sub(1)));
        if whole {
            // The length goes right in front of the elements: nothing is copied.
            let from = VARINT_BYTES_MAX - length.len();
            if let Some(room) = self.out.get_mut(from..VARINT_BYTES_MAX) {
                room.copy_from_slice(&length);
            }
            return self.out.get(from..).unwrap_or_default();
        }
        scratch.clear();
        scratch.extend_from_slice(&length);
        scratch.extend_from_slice(self.out.get(start..end).unwrap_or_default());
        scratch
    }

    fn slice(&self, range: Range<usize>) -> &[Part] {
        self.parts.get(range).unwrap_or_default()
    }
}
