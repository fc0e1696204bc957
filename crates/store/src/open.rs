//! Opening a data directory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use narthex_model::{Clock, Timestamp};
use parking_lot::{Mutex, RwLock};

use crate::block::{Block, SeriesIndex};
use crate::cursor::Cursors;
use crate::fs::again;
use crate::head::files;
use crate::head::mini::Scratch;
use crate::head::{Head, Pages};
use crate::tombstones::TombstoneFile;
use crate::upkeep::{Chores, ChunkFiles, UpkeepCounters, copy};
use crate::view::{self, BAD_END, TMP_END, View};
use crate::wal::Wal;
use crate::writer::{LateLayouts, Pen};
use crate::{Error, Fs, Options, RowSeq, SourceRef, Store, Writer};

mod recovery;

use recovery::Recovery;

/// Opens the data directory behind `fs`: takes its lock, loads the blocks, replays the log.
/// Damaged blocks and records are set aside and counted; they never keep the store from opening.
pub fn open(
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    options: Options,
) -> Result<(Arc<Store>, Writer), Error> {
    let began = clock.monotonic();
    let lock = fs.lock().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => Error::Locked(source),
        _ => Error::io("lock", "", source),
    })?;
    let mut shelf = Shelf::load(&*fs)?;
    copy::remove_unfinished(&*fs);
    let (tombstone_file, tombstones) = TombstoneFile::open(Arc::clone(&fs));
    shelf.view.tombstones = Arc::new(tombstones);
    let cursors = Cursors::open(Arc::clone(&fs));
    let head = Arc::new(Head::new(options.window_ms));
    head.freeze(shelf.view.sealed_until);
    let found = files::load(&*fs)?;
    let mut chunk_files = ChunkFiles { next_number: found.next_number, held: found.files };
    let mut recovery = Recovery::new(&head, &shelf.view, found.chunks);
    // No row may get the place of one that a consumer or a block has seen.
    let seq_used = cursors.bounds().map_or(RowSeq(0), |(_, last)| last).max(shelf.last_seq);
    let wal = Wal::open(Arc::clone(&fs), options.wal_segment_bytes_max, seq_used, &mut recovery)?;
    let known = recovery.knows_ids();
    let wanted_from = match cursors.bounds() {
        // All rows are written again, so none of their layouts may be forgotten.
        _ if wal.handle().has_failed() => RowSeq(0),
        bounds => bounds.map_or(RowSeq(u64::MAX), |(first, _)| first.next()),
    };
    let mut ids = recovery.finish(wanted_from);
    // Without the log nobody knows what the numbers in the chunk files stood for.
    let until = if known { shelf.view.sealed_until } else { Timestamp::MAX };
    for path in chunk_files.passed(until) {
        remove(&*fs, &path);
    }
    if !known {
        // Without the log only the blocks tell which numbers were given out.
        shelf.raise_ids(&mut ids);
    }
    let handle = wal.handle();
    head.show(handle.last_seq(), Timestamp::MIN);
    if let Some(block) = shelf.view.blocks.last() {
        head.raise_max_time(block.meta().times.end);
    }
    let store = Arc::new(Store {
        head,
        view: Arc::new(RwLock::new(Arc::new(shelf.view))),
        retention: Mutex::new(options.retention),
        fs,
        wal: handle,
        cursors,
        exemplars: crate::Exemplars::default(),
        tombstone_file: Mutex::new(tombstone_file),
        aged: Arc::default(),
        chores: Mutex::new(Chores::starting_at(shelf.next_number, chunk_files)),
        upkeep_counters: UpkeepCounters::default(),
        sync_nanos: AtomicU64::new(0),
        blocks_damaged: shelf.damaged,
        replay_time: clock.monotonic().saturating_sub(began).max(Duration::ZERO),
        _lock: lock,
        clock,
        options,
    });
    let (layouts, scratch) = (Pages::default(), Scratch::default());
    let dropped = if store.wal.has_failed() {
        Pen::all(&store.head, store.wal.last_seq())
    } else {
        Vec::new()
    };
    let writer = Writer {
        store: Arc::clone(&store),
        wal,
        layouts,
        dropped,
        ids,
        scratch,
        late: LateLayouts::default(),
    };
    Ok((store, writer))
}

/// The blocks that were found.
#[derive(Debug)]
struct Shelf {
    view: View,
    damaged: u64,
    next_number: u64,
    last_seq: RowSeq,
}

impl Shelf {
    /// Opens all blocks; sets the damaged ones aside, removes what was never finished and what a
    /// merge left over.
    fn load(fs: &dyn Fs) -> Result<Self, Error> {
        let made = fs.create_dir(view::DIR).and_then(|()| fs.sync_dir(""));
        made.map_err(|source| Error::io("make", view::DIR, source))?;
        let names = again(|| fs.list(view::DIR));
        let names = names.map_err(|source| Error::io("list", view::DIR, source))?;
        // ORDER: before the log is shortened, for the process before may have been killed between
        // the naming of a block and the sync.
        let synced = again(|| fs.sync_dir(view::DIR));
        synced.map_err(|source| Error::io("sync", view::DIR, source))?;
        let mut blocks = Vec::new();
        let (mut damaged, mut next_number) = (0, 1);
        for name in &names {
            let path = format!("{}/{name}", view::DIR);
            if let Some(number) = view::block_number(name) {
                next_number = next_number.max(number.saturating_add(1));
            }
            if name.ends_with(TMP_END) {
                remove(fs, &path);
            } else if view::is_block(name) {
                match open_block(fs, &path) {
                    Ok(block) => blocks.push(Arc::new(block)),
                    Err(error) => {
                        damaged += 1;
                        set_aside(fs, &path, &error);
                    }
                }
            }
        }
        let blocks = without_parts(fs, &blocks);
        let last_seq = blocks.iter().map(|block| block.meta().last_seq).max().unwrap_or_default();
        Ok(Self { view: View::new(blocks, Timestamp::MIN), damaged, next_number, last_seq })
    }

    /// Makes sure that no number is given out that a block knows.
    fn raise_ids(&self, ids: &mut crate::wal::NextIds) {
        for block in &self.view.blocks {
            for index in 0..block.series_count() {
                if let Ok(series) = block.series_ref(SeriesIndex(index)) {
                    ids.series = ids.series.max(series.get().saturating_add(1));
                }
            }
            for chunk in block.chunks() {
                ids.layout = ids.layout.max(chunk.layout.0.saturating_add(1));
                if chunk.source != SourceRef::LATE {
                    ids.source = ids.source.max(chunk.source.0.saturating_add(1));
                }
            }
        }
    }
}

fn open_block(fs: &dyn Fs, path: &str) -> Result<Block, Error> {
    let bytes = again(|| fs.map(path)).map_err(|source| Error::io("map", path, source))?;
    Block::open(path, bytes)
}

/// Gives a damaged block another name, so that it is not tried again and a user can look at it.
/// One that could only not be read keeps its name, for next time it may go well.
fn set_aside(fs: &dyn Fs, path: &str, error: &Error) {
    tracing::warn!(file = path, %error, "block is not served");
    if !matches!(error, Error::Corrupt { .. }) {
        return;
    }
    let renamed = fs.rename(path, &format!("{path}{BAD_END}"));
    if let Err(error) = renamed.and_then(|()| fs.sync_dir(view::DIR)) {
        tracing::warn!(file = path, %error, "damaged block cannot be set aside");
    }
}

fn remove(fs: &dyn Fs, path: &str) {
    if let Err(error) = fs.remove(path) {
        tracing::warn!(file = path, %error, "cannot remove");
    }
}

/// Leaves out, and removes, the blocks whose window lies in that of one that was written later:
/// those that a merge has joined, and those of a seal that failed at its very end. What late rows
/// came to only stands beside others.
fn without_parts(fs: &dyn Fs, blocks: &[Arc<Block>]) -> Vec<Arc<Block>> {
    let number = |block: &Block| {
        let name = block.name().rsplit('/').next().unwrap_or_default();
        (view::block_number(name), view::is_late(name))
    };
    let is_part = |block: &Arc<Block>| {
        let window = block.meta().window;
        let (this, _) = number(block);
        blocks.iter().any(|other| {
            let (that, late) = number(other);
            let whole = other.meta().window;
            !late && this < that && whole.start <= window.start && window.end <= whole.end
        })
    };
    let (parts, kept): (Vec<_>, Vec<_>) = blocks.iter().map(Arc::clone).partition(is_part);
    for block in parts {
        remove(fs, block.name());
    }
    kept
}
