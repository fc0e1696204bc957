//! Writing blocks again that hold whole what is damaged in them.

use std::sync::Arc;

use super::{Chores, add};
use crate::block::{Block, Patch};
use crate::view::{self, TMP_END};
use crate::{Error, Store};

/// How much is written at once, in bytes.
const WRITE_BYTES: usize = 1 << 20;

impl Store {
    /// Writes one block again in which damage was met, if all of it, or some, can be mended. Each
    /// block is tried once.
    pub(super) fn mend_if_due(&self, chores: &mut Chores) {
        if chores.merging.is_some() {
            return;
        }
        let view = Arc::clone(&self.view.read());
        let worn = |block: &&Arc<Block>| block.is_worn() && !chores.tried.contains(block.name());
        let Some(block) = view.blocks.iter().find(worn) else { return };
        chores.tried.insert(block.name().to_owned());
        let patches = block.patches();
        if patches.is_empty() {
            return;
        }
        let tmp = format!("{}-{}{TMP_END}", block.name(), self.clock.now());
        match self.write_mended(block, &patches, &tmp) {
            Ok(mended) => {
                add(&self.upkeep_counters.mended, 1);
                tracing::warn!(file = block.name(), "damaged block was mended");
                let mended = Arc::new(mended);
                let blocks = view.blocks.iter();
                let blocks = blocks.map(|it| if Arc::ptr_eq(it, block) { &mended } else { it });
                self.replace_view(chores, blocks.map(Arc::clone).collect());
            }
            Err(error) => {
                tracing::warn!(%error, "damaged block cannot be mended");
                chores.doomed.insert(tmp);
            }
        }
    }

    /// Puts a file in the block's place that is as it should be.
    fn write_mended(&self, block: &Block, patches: &[Patch], tmp: &str) -> Result<Block, Error> {
        let mut file = self.fs.create(tmp).map_err(|e| Error::io("create", tmp, e))?;
        let mut write = |bytes: &[u8]| {
            let mut parts = bytes.chunks(WRITE_BYTES);
            parts.try_for_each(|part| file.write(part)).map_err(|e| Error::io("write", tmp, e))
        };
        let mut rest = block.bytes();
        let mut at = 0;
        for (offset, patch) in patches {
            let before = usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX);
            let (unchanged, behind) = rest.split_at_checked(before).unwrap_or((rest, &[]));
            write(unchanged)?;
            write(patch)?;
            rest = behind.get(patch.len()..).unwrap_or(&[]);
            at = offset + patch.len() as u64;
        }
        write(rest)?;
        file.sync().map_err(|e| Error::io("sync", tmp, e))?;
        // ORDER: the name only after the bytes are durable. Until the folder is, either file has
        // it, and both say the same.
        self.fs.rename(tmp, block.name()).map_err(|e| Error::io("rename", tmp, e))?;
        self.fs.sync_dir(view::DIR).map_err(|e| Error::io("sync", view::DIR, e))?;
        self.open_block(block.name())
    }
}
