//! The line cache: from the raw bytes of a series to its slot.

use std::hash::BuildHasher;

use narthex_model::Hashing;

/// Which of the slots that share one series text is meant: 0 for samples without a timestamp of
/// their own, else the how-manieth timed line of the text in a body, from 1.
pub(crate) type Variant = u32;

/// Finds slots by series text. It owns the texts, so that slots no longer in any body are known.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    texts: Vec<u8>,
    /// By slot.
    spans: Vec<Span>,
    /// Open addressing, a power of two long, at most three quarters full.
    table: Vec<Entry>,
    hasher: Hashing,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: u32,
    variant: Variant,
}

/// A slot with some bits of its hash; [`FREE`] marks an unused entry.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u32,
    slot: u32,
}

const FREE: u32 = u32::MAX;
const TABLE_LEN_MIN: usize = 16;

impl Cache {
    pub(crate) fn new(hasher: Hashing) -> Self {
        let table = vec![Entry { tag: 0, slot: FREE }; TABLE_LEN_MIN];
        Self { texts: Vec::new(), spans: Vec::new(), table, hasher }
    }

    /// The series text of a slot.
    pub(crate) fn text(&self, slot: u32) -> &[u8] {
        self.spans.get(slot as usize).map_or(&[], |&span| self.span_text(span))
    }

    /// The variant of a slot.
    pub(crate) fn variant(&self, slot: u32) -> Variant {
        self.spans.get(slot as usize).map_or(0, |span| span.variant)
    }

    pub(crate) fn hash(&self, text: &[u8]) -> u64 {
        self.hasher.hash_one(text)
    }

    /// The slot of a text, whose hash is given.
    pub(crate) fn find(&self, hash: u64, text: &[u8], variant: Variant) -> Option<u32> {
        let mut at = home(hash, variant);
        loop {
            let entry = self.table.get(at & self.mask())?;
            if entry.slot == FREE {
                return None;
            }
            if entry.tag == tag(hash)
                && let Some(&span) = self.spans.get(entry.slot as usize)
                && span.variant == variant
                && self.span_text(span) == text
            {
                return Some(entry.slot);
            }
            at += 1;
        }
    }

    /// Adds the next slot. `None` when the texts reach 4 GiB.
    pub(crate) fn push(&mut self, hash: u64, text: &[u8], variant: Variant) -> Option<u32> {
        let start = u32::try_from(self.texts.len()).ok()?;
        let len = u32::try_from(text.len()).ok()?;
        start.checked_add(len)?;
        let slot = u32::try_from(self.spans.len()).ok().filter(|&slot| slot != FREE)?;
        self.texts.extend_from_slice(text);
        self.spans.push(Span { start, len, variant });
        if self.spans.len() * 4 > self.table.len() * 3 {
            self.rehash(self.table.len() * 2);
        } else {
            self.enter(hash, variant, slot);
        }
        Some(slot)
    }

    /// Forgets the slots from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        if let Some(span) = self.spans.get(len) {
            self.texts.truncate(span.start as usize);
            self.spans.truncate(len);
            self.rehash(self.table.len());
        }
    }

    fn rehash(&mut self, table_len: usize) {
        self.table.clear();
        self.table.resize(table_len, Entry { tag: 0, slot: FREE });
        for (slot, index) in (0u32..).zip(0..self.spans.len()) {
            if let Some(&span) = self.spans.get(index) {
                self.enter(self.hash(self.span_text(span)), span.variant, slot);
            }
        }
    }

    fn enter(&mut self, hash: u64, variant: Variant, slot: u32) {
        let mask = self.mask();
        let mut at = home(hash, variant);
        while let Some(entry) = self.table.get_mut(at & mask) {
            if entry.slot == FREE {
                *entry = Entry { tag: tag(hash), slot };
                return;
            }
            at += 1;
        }
    }

    fn mask(&self) -> usize {
        self.table.len() - 1
    }

    fn span_text(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.texts.get(start..start + span.len as usize).unwrap_or_default()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "some of the bits are wanted")]
fn home(hash: u64, variant: Variant) -> usize {
    // Variants of one text begin apart, else a thousand timed lines of one series probe a thousand
    // entries each.
    (hash as usize).wrapping_add((variant as usize).wrapping_mul(0x9e37_79b9))
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}
