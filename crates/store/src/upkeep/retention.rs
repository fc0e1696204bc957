//! Letting go of what is too old or too much.

use std::sync::Arc;

use super::{Chores, Upkeep, add};
use crate::block::Block;
use crate::{Error, Store, view};

impl Store {
    /// Takes out of service the blocks that the retention does not cover, oldest first.
    pub(super) fn apply_retention(&self, chores: &mut Chores, done: &mut Upkeep) {
        let retention = *self.retention.lock();
        let view = Arc::clone(&self.view.read());
        let (mut by_age, mut by_size) = (0, 0);
        if let (Some(age), Some(newest)) = (retention.age, view::last_end(&view.blocks)) {
            let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            let oldest = newest.plus_millis(age_ms.saturating_neg());
            let is_old = |block: &&Arc<Block>| block.meta().window.end <= oldest;
            by_age = view.blocks.iter().take_while(is_old).count();
        }
        if let Some(limit) = retention.bytes {
            let mut bytes = self.wal.bytes() + chores.chunk_files.bytes(&*self.fs);
            bytes += view.spilled.iter().map(|block| block.meta().bytes).sum::<u64>();
            bytes += view.blocks.iter().skip(by_age).map(|block| block.meta().bytes).sum::<u64>();
            for block in view.blocks.iter().skip(by_age) {
                if bytes <= limit {
                    break;
                }
                bytes = bytes.saturating_sub(block.meta().bytes);
                by_size += 1;
            }
        }
        let (gone, kept) = view.blocks.split_at(by_age + by_size);
        if gone.is_empty() {
            return;
        }
        self.note_unread(gone);
        add(&self.upkeep_counters.removed_by_age, by_age as u64);
        add(&self.upkeep_counters.removed_by_size, by_size as u64);
        done.blocks_removed += u32::try_from(gone.len()).unwrap_or(u32::MAX);
        chores.doomed.extend(gone.iter().map(|block| block.name().to_owned()));
        self.replace_view(chores, kept.to_vec());
    }

    /// Takes note of the rows in blocks that go and that some cursor has not passed.
    fn note_unread(&self, gone: &[Arc<Block>]) {
        let Some((cursor, _)) = self.cursors.bounds() else { return };
        let mut rows = 0;
        for block in gone.iter().filter(|block| block.meta().last_seq > cursor) {
            for strip in block.strips().unwrap_or_default() {
                let unread = block.rows_behind(&strip, cursor);
                if unread > 0 {
                    self.aged.add((strip.first.max(cursor.next()), strip.last), unread);
                    rows += unread;
                }
            }
        }
        if rows > 0 {
            tracing::warn!(rows, "the retention removes rows that a cursor has not passed");
        }
    }

    /// Removes segments of the log whose rows are all in blocks and that no cursor waits for.
    pub(super) fn shorten_log(&self) -> Result<u32, Error> {
        // ORDER: the last visible row first: it and those before it are in the head for sure, and
        // whatever comes meanwhile is behind it.
        let after_all = self.head.last_seq().next();
        let view = Arc::clone(&self.view.read());
        let in_head = self.head.totals(view.sealed_until).first_seq;
        // Spilled blocks only cache what the log has.
        let spilled = view.spilled.iter().map(|block| block.meta().first_seq);
        let needed = spilled.chain(in_head).min().unwrap_or(after_all).min(after_all);
        let cursor = self.cursors.bounds().map(|(first, _)| first);
        let half = self.retention.lock().bytes.map_or(u64::MAX, |bytes| bytes / 2);
        self.wal.truncate_before(needed, cursor, half.min(self.options.wal_bytes_max))
    }
}
