//! What keeps the store small and fast: sealing, merging, retention, shortening the log.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use narthex_model::Timestamp;

use crate::block::Block;
use crate::view::{self, View};
use crate::{Error, Store, heap};

pub(crate) mod copy;
mod delete;
mod late;
mod mend;
mod merge;
mod pack;
mod retention;
mod scrub;
mod seal;
pub(crate) mod spill;

pub(crate) use pack::ChunkFiles;
use scrub::Scrub;
pub(crate) use scrub::ScrubCounters;
use spill::Spills;

/// After so many rounds free memory goes back to the system even if nothing much was done: what
/// scrapes needed for their first bodies only is free by then.
const ROUNDS_BETWEEN_TRIMS: u32 = 30;

/// What one round of upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Windows sealed into blocks.
    pub sealed: u32,
    /// Blocks of late rows written.
    pub late_sealed: u32,
    /// Blocks that were merged into larger ones.
    pub blocks_merged: u32,
    /// Blocks removed by the retention.
    pub blocks_removed: u32,
    /// Segments of the log removed.
    pub wal_segments_removed: u32,
    /// Series that left the head.
    pub series_removed: u64,
}

/// What upkeep remembers between its rounds.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    /// Views that were replaced, with the time up to which they have the rows in blocks.
    retired: Vec<(Weak<View>, Timestamp)>,
    /// The head has dropped its rows up to here.
    forgotten_until: Option<Timestamp>,
    /// Files that are not served any more and could not be removed.
    doomed: BTreeSet<String>,
    /// The first blocks of merges that failed: not tried again by this process.
    unmergeable: BTreeSet<String>,
    /// Damaged blocks that were mended, or could not be.
    tried: BTreeSet<String>,
    next_block: u64,
    chunk_files: ChunkFiles,
    merging: Option<merge::Merging>,
    late: late::LateChores,
    scrub: Scrub,
    spills: Spills,
    /// Rounds since free memory went back to the system.
    untrimmed: u32,
}

/// What upkeep did since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct UpkeepCounters {
    pub(crate) seals: AtomicU64,
    pub(crate) late_seals: AtomicU64,
    pub(crate) seals_failed: AtomicU64,
    pub(crate) seal_nanos: AtomicU64,
    pub(crate) merges: AtomicU64,
    pub(crate) merges_failed: AtomicU64,
    pub(crate) mended: AtomicU64,
    pub(crate) removed_by_age: AtomicU64,
    pub(crate) removed_by_size: AtomicU64,
    pub(crate) scrub: ScrubCounters,
}

impl Store {
    /// Does what is due, at most one seal and one merge: seals the oldest window, merges blocks,
    /// applies the retention, drops from the head what blocks have, looks
    /// for damage in some of them, mends one, shortens the log. To be
    /// called about every 10 s by one thread.
    ///
    /// After an error the store is as good as before, and the next call tries again.
    pub fn upkeep(&self) -> Result<Upkeep, Error> {
        let mut chores = self.chores.lock();
        let mut done = Upkeep::default();
        let sealed = self
            .seal_if_due(&mut chores, &mut done)
            .and_then(|()| self.seal_late_if_due(&mut chores, &mut done));
        // The retention first if the seal failed: it may have been for want of space.
        self.apply_retention(&mut chores, &mut done);
        if sealed.is_ok() {
            self.merge_if_due(&mut chores, &mut done);
        }
        self.forget_late(&mut chores);
        self.forget_sealed(&mut chores, &mut done);
        self.spill_if_due(&mut chores);
        self.pack_head(&mut chores);
        self.remove_doomed(&mut chores);
        self.scrub(&mut chores);
        self.mend_if_due(&mut chores);
        self.give_back_memory(&mut chores, &done);
        sealed?;
        done.wal_segments_removed = self.shorten_log()?;
        Ok(done)
    }

    /// Gives free memory back to the system after work that needed much of it, and now and then.
    fn give_back_memory(&self, chores: &mut Chores, done: &Upkeep) {
        self.head.index.write().shrink();
        chores.untrimmed += 1;
        let much = done.sealed + done.late_sealed + done.blocks_merged > 0;
        if much || chores.untrimmed >= ROUNDS_BETWEEN_TRIMS {
            chores.untrimmed = 0;
            heap::give_back_free_pages();
        }
    }

    /// Serves `blocks` from now on.
    fn replace_view(&self, chores: &mut Chores, blocks: Vec<Arc<Block>>) {
        self.replace_view_with(chores, blocks, |_| {});
    }

    /// Serves `blocks` from now on, with what else `change` says.
    fn replace_view_with(
        &self,
        chores: &mut Chores,
        blocks: Vec<Arc<Block>>,
        change: impl FnOnce(&mut View),
    ) {
        let mut view = self.view.write();
        chores.retired.push((Arc::downgrade(&view), view.sealed_until));
        chores.late.retire(&view);
        let mut next = View {
            late: view.late,
            spilled: view.spilled.clone(),
            tombstones: Arc::clone(&view.tombstones),
            ..View::new(blocks, view.sealed_until)
        };
        change(&mut next);
        // What they have stands in the block of their window now.
        let sealed = |block: &mut Arc<Block>| block.meta().window.end < next.sealed_until;
        let gone = next.spilled.extract_if(.., sealed);
        chores.doomed.extend(gone.map(|block| block.name().to_owned()));
        *view = Arc::new(next);
    }

    /// Drops from the head the rows that the blocks of all views in use have.
    fn forget_sealed(&self, chores: &mut Chores, done: &mut Upkeep) {
        chores.retired.retain(|(view, _)| view.strong_count() > 0);
        let current = self.view.read().sealed_until;
        let oldest = chores.retired.iter().map(|&(_, until)| until).min();
        let until = oldest.unwrap_or(current).min(current);
        if chores.forgotten_until.is_none_or(|before| before < until) {
            chores.forgotten_until = Some(until);
            done.series_removed = self.head.forget(until, self.wanted_from(until));
            chores.doomed.extend(chores.chunk_files.passed(until));
        }
    }

    /// Removes files that are not served any more; what fails is tried again.
    fn remove_doomed(&self, chores: &mut Chores) {
        if chores.doomed.is_empty() {
            return;
        }
        chores.doomed.retain(|path| match self.fs.remove(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(file = path, %error, "cannot remove");
                true
            }
            _ => false,
        });
        // If this is lost the files are back after a power cut, and are removed again then.
        if let Err(error) = self.fs.sync_dir(view::DIR) {
            tracing::warn!(%error, "cannot sync the folder of blocks");
        }
    }
}

impl Chores {
    pub(crate) fn starting_at(next_block: u64, chunk_files: ChunkFiles) -> Self {
        Self { next_block, chunk_files, ..Self::default() }
    }

    /// A new block's number.
    pub(crate) fn take_number(&mut self) -> u64 {
        let number = self.next_block;
        self.next_block += 1;
        number
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
