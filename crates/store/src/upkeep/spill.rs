//! Letting go of series that died in windows which are not sealed yet.
//!
//! A target whose series come and go leaves the layouts behind that its dead series stood in. Their
//! labels and postings would stay in memory until the window is sealed. When there are more of
//! them than live ones, these layouts go to a block of their own, in the folder of the chunk
//! files: it only caches what the log has. The seal of its window takes it in, and a start removes
//! it.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use narthex_model::{TimeRange, Timestamp};

use super::Chores;
use crate::block::Block;
use crate::head::files::DIR;
use crate::head::{Layout, count};
use crate::view::{TMP_END, View};
use crate::{Error, RowSeq, Store};

/// What the names of such blocks end with.
const END: &str = ".block";

/// Most blocks of a size in a window; one more, and they become one.
const SPILLS_MAX: usize = 8;

/// How many series the smallest size has at most; the next has [`SPILLS_MAX`] times as many.
const SMALL_SERIES_MAX: u32 = 4096;

/// Blocks with more series are left as they are: to write them again costs more than to ask them.
const MERGED_SERIES_MAX: u32 = 1 << 18;

/// What is known of layouts that went to blocks.
#[derive(Debug, Default)]
pub(crate) struct Spills {
    next_number: u64,
    /// Those that readers of these views still look for in the head.
    leaving: Option<Leaving>,
}

#[derive(Debug)]
struct Leaving {
    views: Vec<Weak<View>>,
    layouts: Vec<Arc<Layout>>,
}

/// Whether a file of the chunk files' folder is such a block, whole or not.
pub(crate) fn is_spilled(name: &str) -> bool {
    name.ends_with(END) || name.ends_with(TMP_END)
}

impl Store {
    /// Whether [`Store::upkeep`] is worth its while before its time: there are more dead series in
    /// memory than live ones.
    pub fn wants_upkeep(&self) -> bool {
        self.ended_layouts().is_some()
    }

    /// Moves the layouts that ended to a block when they have more dead series than there are
    /// live ones. A failure is warned about: they stay in memory.
    pub(super) fn spill_if_due(&self, chores: &mut Chores) {
        self.let_go_of_spilled(chores);
        if chores.spills.leaving.is_some() {
            return;
        }
        let Some(ended) = self.ended_layouts() else { return };
        if let Err(error) = self.spill(ended, chores) {
            tracing::warn!(%error, "ended layouts stay in memory");
        }
    }

    /// The layouts that ended and whose rows nobody will ask the head for, if they are many.
    fn ended_layouts(&self) -> Option<Vec<Arc<Layout>>> {
        // ORDER: only what the log has durably, so that no block outlives what it leans on.
        let before = self.wanted_from(self.view.read().sealed_until).min(self.wal.durable_before());
        let (mut live, mut dead, mut ended) = (0, 0, Vec::new());
        for layout in self.head.all_layouts() {
            if layout.is_late() {
                continue;
            }
            let Some(last) = layout.ended_with() else {
                live += layout.width();
                continue;
            };
            if last < before {
                dead += layout.width();
                ended.push(layout);
            }
        }
        (dead > live + self.options.spill_columns_min).then_some(ended)
    }

    fn spill(&self, ended: Vec<Arc<Layout>>, chores: &mut Chores) -> Result<(), Error> {
        let view = Arc::clone(&self.view.read());
        let starts: BTreeSet<i64> =
            ended.iter().flat_map(|layout| layout.window_starts(view.sealed_until)).collect();
        let mut spilled = view.spilled.clone();
        let (mut fresh, mut replaced) = (Vec::new(), Vec::new());
        let mut written = Ok(());
        for start in starts {
            let end = start.saturating_add(self.head.window_ms);
            let window =
                TimeRange::new(view.sealed_until.max(Timestamp(start)), Timestamp(end - 1));
            let parts = mergeable(&view.spilled_in(start, self.head.window_ms));
            chores.spills.next_number += 1;
            let path = format!("{DIR}/{:08}{END}", chores.spills.next_number);
            fresh.push(path.clone());
            let tmp = format!("{path}-{}{TMP_END}", self.clock.now());
            let block = self
                .write_block(start, window, (&tmp, &path), (&ended, &parts))
                .and_then(|()| self.open_block(&path));
            match block {
                Ok(block) => spilled.push(Arc::new(block)),
                Err(error) => {
                    written = Err(error);
                    break;
                }
            }
            replaced.extend(parts);
        }
        if written.is_err() {
            chores.doomed.extend(fresh);
            return written;
        }
        spilled.retain(|block| !replaced.iter().any(|old| Arc::ptr_eq(old, block)));
        chores.doomed.extend(replaced.iter().map(|block| block.name().to_owned()));
        let blocks = view.blocks.clone();
        drop(view);
        for layout in &ended {
            layout.set_spilled();
        }
        self.replace_view_with(chores, blocks, |view| view.spilled = spilled);
        let views = chores.retired.iter().map(|(view, _)| Weak::clone(view)).collect();
        chores.spills.leaving = Some(Leaving { views, layouts: ended });
        self.let_go_of_spilled(chores);
        Ok(())
    }

    /// Drops layouts that went to a block once nobody looks for them in the head any more.
    fn let_go_of_spilled(&self, chores: &mut Chores) {
        let unseen = |leaving: &mut Leaving| leaving.views.iter().all(|v| v.strong_count() == 0);
        if let Some(leaving) = chores.spills.leaving.take_if(unseen) {
            let removed = self.head.let_go(&leaving.layouts);
            count(&self.head.counters.series_removed, removed);
        }
    }

    /// Rows before this one are not asked of the head's layouts by those who follow the rows.
    pub(super) fn wanted_from(&self, until: Timestamp) -> RowSeq {
        // Who follows the rows asks for the columns of layouts long after they were dropped.
        let cursor = self.cursors.bounds().map_or(RowSeq(u64::MAX), |(first, _)| first.next());
        let late = self.head.late_layouts();
        let late = late.iter().filter_map(|layout| layout.stats(until).first_seq).min();
        let wanted_from = cursor.max(self.wal.first_seq());
        late.map_or(wanted_from, |late| wanted_from.min(late))
    }
}

/// Those of a window's blocks that the next one takes in: where there are too many of a size, all
/// of that size.
fn mergeable(blocks: &[Arc<Block>]) -> Vec<Arc<Block>> {
    let (mut parts, mut sizes) = (Vec::new(), 0..SMALL_SERIES_MAX);
    while sizes.start < MERGED_SERIES_MAX {
        let of_size = |block: &&Arc<Block>| sizes.contains(&block.meta().series);
        if blocks.iter().filter(of_size).count() < SPILLS_MAX {
            break;
        }
        parts.extend(blocks.iter().filter(of_size).cloned());
        sizes = sizes.end..sizes.end.saturating_mul(8);
    }
    parts
}

impl View {
    /// The spilled blocks of the window that begins at `start`.
    pub(super) fn spilled_in(&self, start: i64, window_ms: i64) -> Vec<Arc<Block>> {
        let end = start.saturating_add(window_ms - 1);
        self.spilled.iter().filter(|block| block.meta().window.end.0 == end).cloned().collect()
    }
}
