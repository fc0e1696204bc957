//! A base row that stands in the segment once, until a row leans on it.

use super::frame::Kind;
use super::outbox::Outbox;

/// Keeps a layout's base row for its second copy. The buffers are kept from base to base.
#[derive(Debug, Default)]
pub(super) struct Single {
    due: Option<Due>,
    payload: Vec<u8>,
    /// The base row that is being written.
    staged: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    ordinal: u32,
    flags: u8,
    /// Where the first copy ends.
    end: u64,
}

impl Single {
    /// Adds the second copy, when it is due.
    pub(super) fn put(&self, outbox: &mut Outbox) {
        if let Some(due) = self.due {
            outbox.part(due.end);
            outbox.copy(due.ordinal, Kind::Row, due.flags, &self.payload);
        }
    }

    /// The second copy was written, or is not wanted any more.
    pub(super) fn done(&mut self) {
        self.due = None;
    }

    /// Keeps a base row that is about to be written.
    pub(super) fn stage(&mut self, payload: &[u8]) {
        self.staged.clear();
        self.staged.extend_from_slice(payload);
    }

    /// The row that was staged was written, as the record `ordinal` that ends at `end`.
    pub(super) fn commit(&mut self, ordinal: u32, flags: u8, end: u64) {
        std::mem::swap(&mut self.payload, &mut self.staged);
        self.due = Some(Due { ordinal, flags, end });
    }
}
