//! Deleting samples, and cleaning up after that.

use std::collections::BTreeSet;
use std::sync::Arc;

use narthex_model::{Matcher, TimeRange};

use super::Chores;
use super::merge::with_overlapping;
use crate::block::Block;
use crate::head::late::LateMark;
use crate::tombstones::Tombstones;
use crate::{Error, Store};

impl Store {
    /// Deletes the samples in `range` of all series that satisfy the matchers. When this returns
    /// they are not seen any more, and never will be; samples that are appended later are. On an
    /// error nothing is deleted.
    ///
    /// They stand on disk until [`Store::clean_tombstones`], or until their blocks are merged.
    pub fn delete_series(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), Error> {
        let mut chores = self.chores.lock();
        let Some(newest) = self.head.max_time() else { return Ok(()) };
        let end = range.end.min(newest);
        if range.start > end {
            return Ok(());
        }
        let range = TimeRange::new(range.start, end);
        let snapshot = self.snapshot();
        let mut tombstones = (*snapshot.view.tombstones).clone();
        for series in snapshot.series_refs(matchers, range) {
            tombstones.add(series, range)?;
        }
        if tombstones == *snapshot.view.tombstones {
            return Ok(());
        }
        let blocks = snapshot.view.blocks.clone();
        drop(snapshot);
        self.bury(&mut chores, blocks, tombstones)
    }

    /// Writes every block that holds deleted samples again without them, and forgets the
    /// tombstones that nothing needs any more. Takes as long as merging these blocks does; rows
    /// come in and queries are answered meanwhile. After an error some blocks may be clean, and
    /// what was deleted stays deleted.
    pub fn clean_tombstones(&self) -> Result<(), Error> {
        let mut chores = self.chores.lock();
        if self.view.read().tombstones.is_empty() {
            return Ok(());
        }
        // Late rows of sealed windows would come to blocks after the tombstones are gone.
        let view = Arc::clone(&self.view.read());
        let mark = LateMark { seq: self.head.last_seq(), until: view.sealed_until };
        self.seal_late(&self.head.late_layouts(), mark, &view, &mut chores)?;
        drop(view);
        loop {
            let view = Arc::clone(&self.view.read());
            let dirty = |block: &Arc<Block>| is_dirty(block, &view.tombstones);
            let Some(at) = view.blocks.iter().position(dirty) else { break };
            let (from, to) = with_overlapping(&view.blocks, (at, at + 1));
            let parts = view.blocks.get(from..to).unwrap_or(&[]);
            let merged = self.merge(parts, &mut chores)?;
            chores.doomed.extend(parts.iter().map(|block| block.name().to_owned()));
            let mut blocks = view.blocks.clone();
            blocks.splice(from..to, [Arc::new(merged)]);
            self.replace_view(&mut chores, blocks);
        }
        let view = Arc::clone(&self.view.read());
        // What the head has is left out when it is sealed.
        let left = view.tombstones.from(view.sealed_until);
        let blocks = view.blocks.clone();
        drop(view);
        self.bury(&mut chores, blocks, left)?;
        self.remove_doomed(&mut chores);
        Ok(())
    }

    /// Makes it durable that this is deleted, and then seen.
    fn bury(
        &self,
        chores: &mut Chores,
        blocks: Vec<Arc<Block>>,
        tombstones: Tombstones,
    ) -> Result<(), Error> {
        // ORDER: durable first: who was told that samples are gone must not see them again.
        self.tombstone_file.lock().save(&tombstones)?;
        self.replace_view_with(chores, blocks, |view| view.tombstones = Arc::new(tombstones));
        Ok(())
    }
}

/// Whether a block holds samples that are deleted, or may do so.
fn is_dirty(block: &Block, tombstones: &Tombstones) -> bool {
    let times = block.meta().times;
    let suspects: BTreeSet<_> = tombstones
        .series()
        .filter(|&series| tombstones.of(series).iter().any(|range| range.overlaps(times)))
        .collect();
    if suspects.is_empty() {
        return false;
    }
    let mut samples = crate::Samples::default();
    block.series_by_ref().into_iter().filter(|(series, _)| suspects.contains(series)).any(
        |(series, index)| {
            tombstones.of(series).iter().any(|&range| {
                samples.clear();
                block.read_with(index, range, &mut crate::block::Scratch::default(), &mut samples);
                !samples.is_empty()
            })
        },
    )
}
