//! Reading back rows that may not have reached the disk, to write them again.

use std::collections::{HashSet, VecDeque};
use std::io;

use narthex_model::{Hashing, Labels};

use super::definition::NextIds;
use super::handle::Shared;
use super::player::{Played, Player, Replay};
use super::scan::Scanner;
use super::segment::{self, Segment};
use crate::fs::{Fs, again};
use crate::{LayoutRef, RowBuf, RowSeq, SeriesRef, SourceRef};

/// Stands in the log's folder while rows have to be written again, so that the next process does
/// it when this one is killed before. It needs no sync: when the power goes, what is read
/// afterwards is on the disk.
const MARK: &str = "wal/suspect";

/// Takes note that the segments may not be on the disk as they are read.
pub(super) fn mark(fs: &dyn Fs) {
    if let Err(error) = fs.create(MARK) {
        tracing::warn!(file = MARK, %error, "cannot take note of a failed sync");
    }
}

/// All rows were written again.
pub(super) fn unmark(fs: &dyn Fs) {
    match fs.remove(MARK) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(file = MARK, %error, "cannot remove");
        }
        _ => {}
    }
}

/// Makes the segments of earlier processes durable, so that nothing of what was read from them
/// can be gone, or different, after the power was. `false`: they have to be written again, for a
/// second sync could say yes without having written anything.
pub(super) fn make_durable(fs: &dyn Fs, segments: &VecDeque<Segment>) -> bool {
    let is_marked = !matches!(
        again(|| fs.file_len(MARK)),
        Err(error) if error.kind() == io::ErrorKind::NotFound
    );
    if is_marked {
        return false;
    }
    for segment in segments {
        let path = segment::path(segment.number);
        let synced = again(|| fs.append(&path)).and_then(|mut file| file.sync());
        if let Err(error) = synced {
            tracing::warn!(file = path, %error, "sync failed: the log is written again");
            mark(fs);
            return false;
        }
    }
    true
}

/// Gives the rows of some segments from a place on, each once, whatever their order.
#[derive(Debug)]
pub(super) struct Salvage {
    /// Number and length of the segments to come.
    segments: VecDeque<(u64, u64)>,
    pub(super) from: RowSeq,
    player: Player,
    current: Option<(Scanner, u64)>,
    given: HashSet<RowSeq, Hashing>,
}

impl Salvage {
    /// The rows that no sync has covered.
    pub(super) fn new(shared: &Shared) -> Self {
        let inner = shared.inner.lock();
        let unsynced = inner.segments.iter().filter(|it| it.number >= inner.segment_synced);
        Self {
            segments: unsynced.map(|it| (it.number, it.len)).collect(),
            from: inner.seq_synced,
            player: Player::default(),
            current: None,
            given: HashSet::default(),
        }
    }

    /// Reads the next row into `out`; `false` after the last. After an error nothing more can be
    /// read.
    pub(super) fn next(&mut self, fs: &dyn Fs, out: &mut RowBuf) -> io::Result<bool> {
        loop {
            let Some((scanner, end)) = &mut self.current else {
                let Some((number, end)) = self.segments.pop_front() else { return Ok(false) };
                let file = again(|| fs.open(&segment::path(number)))?;
                self.player.begin_segment();
                self.current = Some((Scanner::new(number, file), end));
                continue;
            };
            let Some(found) = scanner.next(*end)? else {
                self.current = None;
                continue;
            };
            let payload = scanner.payload(found, *end)?;
            match self.player.play(found, payload, out, Some(&mut AllRows)) {
                Played::Row | Played::Late
                    if out.seq >= self.from && self.given.insert(out.seq) =>
                {
                    return Ok(true);
                }
                _ => {}
            }
        }
    }
}

/// Wants the rows and nothing else.
struct AllRows;

impl Replay for AllRows {
    fn ids(&mut self, _: NextIds) {}
    fn series(&mut self, _: SeriesRef, _: Labels) {}
    fn layout(&mut self, _: LayoutRef, _: SourceRef) {}
    fn columns(&mut self, _: LayoutRef, _: u32, _: &[SeriesRef]) {}
    fn drop_layout(&mut self, _: LayoutRef) {}
    fn row(&mut self, _: &RowBuf) {}

    fn wants_changes(&self) -> bool {
        false
    }
}
