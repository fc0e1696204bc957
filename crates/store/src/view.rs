//! The blocks that are served at one moment.

use std::sync::Arc;

use narthex_model::Timestamp;

use crate::block::Block;

/// Folder of the blocks.
pub(crate) const DIR: &str = "blocks";
/// What the names of blocks end with.
const BLOCK_END: &str = ".block";
/// What the names of blocks that are being written end with.
pub(crate) const TMP_END: &str = ".tmp";
/// What the names of blocks end with that were set aside.
pub(crate) const BAD_END: &str = ".bad";

/// Blocks and the time up to which they have the rows. Replaced as a whole; who holds one keeps
/// its blocks, and keeps the head from dropping what only later blocks have.
#[derive(Debug)]
pub(crate) struct View {
    /// By time; their windows do not overlap.
    pub(crate) blocks: Vec<Arc<Block>>,
    /// Rows before this time are in blocks, later ones in the head.
    pub(crate) sealed_until: Timestamp,
}

impl View {
    /// Serves `blocks`; rows before `sealed_until` are no longer sought in the head even where
    /// no block has them.
    pub(crate) fn new(mut blocks: Vec<Arc<Block>>, sealed_until: Timestamp) -> Self {
        blocks.sort_by_key(|block| block.meta().window.start);
        let end = blocks.last().map_or(Timestamp::MIN, |b| b.meta().window.end.plus_millis(1));
        Self { blocks, sealed_until: sealed_until.max(end) }
    }

    /// Bytes of all blocks.
    pub(crate) fn bytes(&self) -> u64 {
        self.blocks.iter().map(|block| block.meta().bytes).sum()
    }
}

/// The file of the block with this number.
pub(crate) fn block_path(number: u64) -> String {
    format!("{DIR}/{number:08}{BLOCK_END}")
}

/// The number in the name of a file that is, was or should have become a block.
pub(crate) fn block_number(name: &str) -> Option<u64> {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    name.get(..digits)?.parse().ok()
}

/// Whether a file of this name is a block.
pub(crate) fn is_block(name: &str) -> bool {
    block_number(name).is_some_and(|number| block_path(number).ends_with(&format!("/{name}")))
}
