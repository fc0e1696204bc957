//! Moving rows of the open windows from memory to files.

use std::sync::Arc;

use narthex_model::Timestamp;

use super::Chores;
use crate::head::Layout;
use crate::head::files::{self, ChunkFile};
use crate::head::layout::Due;
use crate::head::mini::Scratch;
use crate::{Error, Fs, Store};

/// A file is closed when it is so long; the rest waits for the next round of upkeep.
const FILE_BYTES_MAX: usize = 32 << 20;

impl Store {
    /// Writes rows that no longer need to be in memory to a chunk file, when there are enough of
    /// them. A failure is warned about: the rows stay in memory, and the next round tries again.
    pub(super) fn pack_head(&self, chores: &mut Chores) {
        let from = self.view.read().sealed_until;
        // ORDER: only what the log has durably, so that no chunk outlives the definitions it
        // leans on.
        let before = self.wal.durable_before();
        let mut due = Vec::new();
        let mut bytes = 0;
        for layout in self.head.all_layouts() {
            for part in layout.due_for_file(from, before) {
                bytes += part.minis.iter().map(|mini| mini.heap_bytes()).sum::<usize>();
                due.push((Arc::clone(&layout), part));
            }
        }
        if due.is_empty() || bytes < self.options.chunk_file_bytes_min {
            return;
        }
        let number = chores.chunk_files.take_number();
        if let Err(error) = self.pack(number, &due, chores) {
            tracing::warn!(%error, "rows stay in memory");
            chores.doomed.insert(files::path(number));
        }
    }

    fn pack(
        &self,
        number: u64,
        due: &[(Arc<Layout>, Due)],
        chores: &mut Chores,
    ) -> Result<(), Error> {
        let mut file = ChunkFile::create(Arc::clone(&self.fs), number)?;
        let mut scratch = Scratch::default();
        let mut last = Timestamp::MIN;
        for (layout, part) in due {
            file.add(layout.name, part, &mut scratch)?;
            last = last.max(part.minis.last().map_or(last, |mini| mini.last_key().at));
            if file.len() >= FILE_BYTES_MAX {
                break;
            }
        }
        for ((layout, part), chunk) in due.iter().zip(file.finish()?) {
            layout.replace(part, chunk);
        }
        chores.chunk_files.held.push((number, last));
        Ok(())
    }
}

/// The chunk files in use.
#[derive(Debug, Default)]
pub(crate) struct ChunkFiles {
    pub(crate) next_number: u64,
    /// Each with the time of its last row.
    pub(crate) held: Vec<(u64, Timestamp)>,
}

impl ChunkFiles {
    fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Bytes of all of them. What cannot be asked for counts as nothing.
    pub(super) fn bytes(&self, fs: &dyn Fs) -> u64 {
        let paths = self.held.iter().map(|&(number, _)| files::path(number));
        paths.map(|path| fs.file_len(&path).unwrap_or(0)).sum()
    }

    /// Takes out the files whose rows are all before `until`, and gives their paths.
    pub(crate) fn passed(&mut self, until: Timestamp) -> Vec<String> {
        let gone = self.held.extract_if(.., |(_, last)| *last < until);
        gone.map(|(number, _)| files::path(number)).collect()
    }
}
