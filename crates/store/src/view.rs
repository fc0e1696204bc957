//! The blocks that are served at one moment.

use std::sync::Arc;

use narthex_model::Timestamp;

use crate::block::Block;
use crate::head::late::LateMark;
use crate::tombstones::Tombstones;

/// Folder of the blocks.
pub(crate) const DIR: &str = "blocks";
/// What the names of blocks end with.
const BLOCK_END: &str = ".block";
/// What stands before that in the names of blocks of late rows.
const LATE: &str = "-late";
/// What the names of blocks that are being written end with.
pub(crate) const TMP_END: &str = ".tmp";
/// What the names of blocks end with that were set aside.
pub(crate) const BAD_END: &str = ".bad";

/// Blocks and the time up to which they have the rows. Replaced as a whole; who holds one keeps
/// its blocks, and keeps the head from dropping what only later blocks have.
#[derive(Debug)]
pub(crate) struct View {
    /// By time. Where windows overlap, those of late rows come behind the others.
    pub(crate) blocks: Vec<Arc<Block>>,
    /// Rows before this time are in blocks, later ones in the head...
    pub(crate) sealed_until: Timestamp,
    /// ...but for late rows, of which blocks have these.
    pub(crate) late: LateMark,
    /// Blocks that have rows of ended layouts, from `sealed_until` on: see `upkeep::spill`.
    pub(crate) spilled: Vec<Arc<Block>>,
    /// What is deleted of all that.
    pub(crate) tombstones: Arc<Tombstones>,
}

impl View {
    /// Serves `blocks`; rows before `sealed_until` are no longer sought in the head even where
    /// no block has them.
    pub(crate) fn new(mut blocks: Vec<Arc<Block>>, sealed_until: Timestamp) -> Self {
        let key = |block: &Arc<Block>| (block.meta().window.start, is_late(block.name()));
        blocks.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.name().cmp(b.name())));
        let end = last_end(&blocks).map_or(Timestamp::MIN, |end| end.plus_millis(1));
        let (late, tombstones) = (LateMark::default(), Arc::default());
        let sealed_until = sealed_until.max(end);
        Self { blocks, sealed_until, late, spilled: Vec::new(), tombstones }
    }

    /// All that readers look into.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.blocks.iter().chain(&self.spilled)
    }

    /// The one at a position of [`View::shown`].
    pub(crate) fn shown_at(&self, position: usize) -> Option<&Arc<Block>> {
        match position.checked_sub(self.blocks.len()) {
            None => self.blocks.get(position),
            Some(behind) => self.spilled.get(behind),
        }
    }

    /// Bytes of all blocks.
    pub(crate) fn bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.meta().bytes).sum()
    }
}

/// The end of the window that ends last.
pub(crate) fn last_end(blocks: &[Arc<Block>]) -> Option<Timestamp> {
    blocks.iter().map(|block| block.meta().window.end).max()
}

/// The file of the block with this number.
pub(crate) fn block_path(number: u64) -> String {
    format!("{DIR}/{number:08}{BLOCK_END}")
}

/// The file of the block of late rows with this number.
pub(crate) fn late_block_path(number: u64) -> String {
    format!("{DIR}/{number:08}{LATE}{BLOCK_END}")
}

/// Whether the file is a block of late rows, beside the block of its window.
pub(crate) fn is_late(name: &str) -> bool {
    name.strip_suffix(BLOCK_END).is_some_and(|name| name.ends_with(LATE))
}

/// The number in the name of a file that is, was or should have become a block.
pub(crate) fn block_number(name: &str) -> Option<u64> {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    name.get(..digits)?.parse().ok()
}

/// Whether a file of this name is a block.
pub(crate) fn is_block(name: &str) -> bool {
    let is = |path: String| path.ends_with(&format!("/{name}"));
    block_number(name).is_some_and(|number| is(block_path(number)) || is(late_block_path(number)))
}
