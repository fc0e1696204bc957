//! Joining blocks of adjacent windows into larger ones, which share one index.

use std::sync::Arc;

use narthex_model::TimeRange;

use super::{Chores, Upkeep, add};
use crate::block::{self, Block, Merger};
use crate::tombstones::Tombstones;
use crate::view::{self, TMP_END, View};
use crate::{Error, Store};

/// How many blocks of a day a larger one has.
const DAYS: i64 = 3;
/// How much a round of upkeep copies, in bytes, so that a merge takes neither the disk nor the
/// processor for long.
const SLICE_BYTES: u64 = 8 << 20;
/// A merged block covers at most this share of the retention, so that what is too old goes in
/// small steps.
const RETENTION_SHARE: i64 = 10;

impl Store {
    /// Merges the oldest blocks that fill a larger window together, a slice at a time. A failure is
    /// counted and warned about; the blocks stay as they are.
    pub(super) fn merge_if_due(&self, chores: &mut Chores, done: &mut Upkeep) {
        let view = Arc::clone(&self.view.read());
        let Some(mut merging) = self.next_merge(&view, chores) else { return };
        let parts: Vec<&Block> = merging.parts.iter().map(|block| &**block).collect();
        let merged = match merging.merger.advance(&parts, &merging.deleted, SLICE_BYTES) {
            Ok(false) => {
                chores.merging = Some(merging);
                return;
            }
            Ok(true) => merging.merger.finish(&parts, &merging.path),
            Err(error) => Err(error),
        };
        match merged.and_then(|_| self.open_block(&merging.path)) {
            Ok(merged) => {
                add(&self.upkeep_counters.merges, 1);
                done.blocks_merged += u32::try_from(merging.parts.len()).unwrap_or(u32::MAX);
                let Some((from, to)) = position(&view.blocks, &merging.parts) else { return };
                chores.doomed.extend(merging.parts.iter().map(|block| block.name().to_owned()));
                let mut blocks = view.blocks.clone();
                blocks.splice(from..to, [Arc::new(merged)]);
                self.replace_view(chores, blocks);
            }
            Err(error) => {
                add(&self.upkeep_counters.merges_failed, 1);
                tracing::warn!(%error, "blocks cannot be merged");
                chores.doomed.insert(merging.path);
                if let Some(first) = merging.parts.first() {
                    chores.unmergeable.insert(first.name().to_owned());
                }
            }
        }
    }

    /// The merge that is under way, if its blocks are still those that are served, or the next.
    fn next_merge(&self, view: &View, chores: &mut Chores) -> Option<Merging> {
        let blocks = &view.blocks;
        if let Some(merging) = chores.merging.take()
            && position(blocks, &merging.parts).is_some()
            && Arc::ptr_eq(&merging.deleted, &view.tombstones)
        {
            return Some(merging);
        }
        let (from, to) = self.mergeable(blocks, chores)?;
        let parts = blocks.get(from..to)?.to_vec();
        let path = view::block_path(chores.take_number());
        let tmp = format!("{path}-{}{TMP_END}", self.clock.now());
        match block::Writer::new(Arc::clone(&self.fs), &tmp) {
            Ok(writer) => {
                let deleted = Arc::clone(&view.tombstones);
                Some(Merging { parts, deleted, path, merger: Merger::new(writer) })
            }
            Err(error) => {
                add(&self.upkeep_counters.merges_failed, 1);
                tracing::warn!(%error, "blocks cannot be merged");
                None
            }
        }
    }

    /// Positions of blocks that lie in one larger window which is past and not whole yet.
    fn mergeable(&self, blocks: &[Arc<Block>], chores: &Chores) -> Option<(usize, usize)> {
        let past = view::last_end(blocks)?.0;
        let age = self.retention.lock().age.map(|age| i64::try_from(age.as_millis()));
        let span_max = age.map_or(i64::MAX, |age| age.unwrap_or(i64::MAX) / RETENTION_SHARE);
        let window_ms = self.head.window_ms;
        let day = self.options.merge_windows;
        for windows in [day.min(span_max / window_ms), day * DAYS] {
            let span = window_ms.saturating_mul(windows);
            if windows < 2 || span > span_max {
                return None;
            }
            let parent = |block: &Block| block.meta().window.start.0.div_euclid(span);
            let mut from = 0;
            for group in blocks.chunk_by(|a, b| parent(a) == parent(b)) {
                let to = from + group.len();
                let is_past = group
                    .first()
                    .is_some_and(|b| parent(b).saturating_add(1).saturating_mul(span) <= past + 1);
                let failed = group.iter().any(|block| chores.unmergeable.contains(block.name()));
                if group.len() > 1 && is_past && !failed {
                    let whole = with_overlapping(blocks, (from, to));
                    if self.is_settled(blocks.get(whole.0..whole.1).unwrap_or(&[])) {
                        return Some(whole);
                    }
                }
                from = to;
            }
        }
        None
    }

    /// Whether no row can come late for these blocks, if any came late for them at all: else what
    /// comes next would have them written once more.
    fn is_settled(&self, blocks: &[Arc<Block>]) -> bool {
        let oldest = self.head.late_from();
        let mut late = blocks.iter().filter(|block| view::is_late(block.name()));
        late.all(|block| oldest.is_none_or(|oldest| block.meta().window.end < oldest))
    }

    pub(super) fn merge(&self, parts: &[Arc<Block>], chores: &mut Chores) -> Result<Block, Error> {
        let path = view::block_path(chores.take_number());
        let tmp = format!("{path}-{}{TMP_END}", self.clock.now());
        let deleted = Arc::clone(&self.view.read().tombstones);
        let parts: Vec<&Block> = parts.iter().map(|block| &**block).collect();
        let merged = block::Writer::new(Arc::clone(&self.fs), &tmp)
            .and_then(|writer| block::merge(&parts, &deleted, writer, &path))
            .and_then(|_| self.open_block(&path));
        if merged.is_err() {
            chores.doomed.insert(path);
        }
        merged
    }
}

/// A merge that takes several rounds of upkeep.
#[derive(Debug)]
pub(crate) struct Merging {
    parts: Vec<Arc<Block>>,
    /// What is left out.
    deleted: Arc<Tombstones>,
    /// What the merged block will be called.
    path: String,
    merger: Merger,
}

/// Where `parts` stand among the blocks, if all do, one after the other.
fn position(blocks: &[Arc<Block>], parts: &[Arc<Block>]) -> Option<(usize, usize)> {
    let first = parts.first()?;
    let from = blocks.iter().position(|block| Arc::ptr_eq(block, first))?;
    let to = from + parts.len();
    let found = blocks.get(from..to)?;
    found.iter().zip(parts).all(|(a, b)| Arc::ptr_eq(a, b)).then_some((from, to))
}

/// The positions from the first to the last of the blocks that overlap with those given, or with
/// those in turn. A merged block takes the place of every block in its window, so it must hold
/// what they have.
pub(super) fn with_overlapping(
    blocks: &[Arc<Block>],
    (mut from, mut to): (usize, usize),
) -> (usize, usize) {
    loop {
        let inner = blocks.get(from..to).unwrap_or(&[]);
        let start = inner.iter().map(|block| block.meta().window.start).min();
        let (Some(start), Some(end)) = (start, view::last_end(inner)) else { return (from, to) };
        let whole = TimeRange::new(start, end);
        let overlaps = |block: &Arc<Block>| block.meta().window.overlaps(whole);
        let first = blocks.iter().position(overlaps).unwrap_or(from).min(from);
        let behind = blocks.iter().rposition(overlaps).map_or(to, |last| last + 1).max(to);
        if (first, behind) == (from, to) {
            return (from, to);
        }
        (from, to) = (first, behind);
    }
}
