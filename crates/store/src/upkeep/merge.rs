//! Joining blocks of adjacent windows into larger ones, which share one index.

use std::sync::Arc;

use super::{Chores, Upkeep, add};
use crate::block::{self, Block};
use crate::view::{self, TMP_END};
use crate::{Error, Store};

/// How many windows of one size make up one of the next.
const FAN_IN: i64 = 3;
/// A merged block covers at most this many windows: 18 h of 2 h windows, so that a merge never
/// takes long.
const WINDOWS_MAX: i64 = 9;
/// And at most this share of the retention, so that what is too old goes in small steps.
const RETENTION_SHARE: i64 = 10;

impl Store {
    /// Merges the oldest blocks that fill a larger window together. A failure is counted and
    /// warned about; the blocks stay as they are.
    pub(super) fn merge_if_due(&self, chores: &mut Chores, done: &mut Upkeep) {
        let view = Arc::clone(&self.view.read());
        let Some((from, to)) = self.mergeable(&view.blocks, chores) else { return };
        let Some(parts) = view.blocks.get(from..to) else { return };
        match self.merge(parts, chores) {
            Ok(merged) => {
                add(&self.upkeep_counters.merges, 1);
                done.blocks_merged += u32::try_from(parts.len()).unwrap_or(u32::MAX);
                chores.doomed.extend(parts.iter().map(|block| block.name().to_owned()));
                let mut blocks = view.blocks.clone();
                blocks.splice(from..to, [Arc::new(merged)]);
                self.replace_view(chores, blocks);
            }
            Err(error) => {
                add(&self.upkeep_counters.merges_failed, 1);
                tracing::warn!(%error, "blocks cannot be merged");
                if let Some(first) = parts.first() {
                    chores.unmergeable.insert(first.name().to_owned());
                }
            }
        }
    }

    /// Positions of blocks that lie in one larger window which is past and not whole yet.
    fn mergeable(&self, blocks: &[Arc<Block>], chores: &Chores) -> Option<(usize, usize)> {
        let past = blocks.last()?.meta().window.end.0;
        let age = self.retention.lock().age.map(|age| i64::try_from(age.as_millis()));
        let span_max = age.map_or(i64::MAX, |age| age.unwrap_or(i64::MAX) / RETENTION_SHARE);
        let mut windows = FAN_IN;
        while windows <= WINDOWS_MAX {
            let span = self.head.window_ms.saturating_mul(windows);
            if span > span_max {
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
                    return Some((from, to));
                }
                from = to;
            }
            windows *= FAN_IN;
        }
        None
    }

    fn merge(&self, parts: &[Arc<Block>], chores: &mut Chores) -> Result<Block, Error> {
        let path = view::block_path(chores.take_number());
        let tmp = format!("{path}-{}{TMP_END}", self.clock.now());
        let parts: Vec<&Block> = parts.iter().map(|block| &**block).collect();
        let merged = block::Writer::new(Arc::clone(&self.fs), &tmp)
            .and_then(|writer| block::merge(&parts, writer, &path))
            .and_then(|_| self.open_block(&path));
        if merged.is_err() {
            chores.doomed.insert(path);
        }
        merged
    }
}
