//! Walks over the records of one segment, and around damage.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::frame::{self, COPY, Frame, HEADER_BYTES, MAGIC, Place};
use crate::fs::{FsRead, again};

/// How much of a segment is read at once, in bytes.
const WINDOW_BYTES: usize = 256 << 10;

/// What is given up together when the disk cannot read it, in bytes.
const PIECE_BYTES: usize = 4 << 10;

/// How far the magic of the next record is looked for at once, in bytes.
const SEARCH_BYTES: usize = 4 << 10;

/// Bytes before the payload in a second copy: the number of the record it repeats.
pub(super) const COPY_BYTES: u32 = 4;

/// How many lost stretches of records are remembered, in case their copies come later.
const MISSING_MAX: usize = 64;

/// Part of a file in memory.
#[derive(Debug)]
struct Window {
    file: Arc<dyn FsRead>,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The bytes from `offset` on: `len` of them, fewer where the file or `end` comes before.
    fn get(&mut self, offset: u64, len: usize, end: u64) -> io::Result<&[u8]> {
        let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let held = |window: &Self| {
            let from = usize::try_from(offset.checked_sub(window.start)?).ok()?;
            let range = from..from.checked_add(len)?;
            (range.end <= window.bytes.len()).then_some(range)
        };
        if held(self).is_none() {
            let want = len.max(WINDOW_BYTES).min(left);
            self.bytes.resize(want, 0);
            self.start = offset;
            match self.file.read_at(offset, &mut self.bytes) {
                Ok(read) => self.bytes.truncate(read),
                Err(_) => self.read_in_pieces(offset)?,
            }
        }
        let range = held(self).unwrap_or(0..self.bytes.len());
        Ok(self.bytes.get(range).unwrap_or_default())
    }
}

impl Window {
    /// Reads what cannot be read at once piece by piece. A piece that cannot be read either
    /// becomes zeros, which are no record: only what stands in it is lost. Fails when nothing can
    /// be read.
    #[cold]
    fn read_in_pieces(&mut self, offset: u64) -> io::Result<()> {
        let (mut failure, mut any, mut len) = (None, false, 0);
        for (piece, at) in self.bytes.chunks_mut(PIECE_BYTES).zip((offset..).step_by(PIECE_BYTES)) {
            match again(|| self.file.read_at(at, piece)) {
                Ok(read) => {
                    any = true;
                    len += read;
                    if read < piece.len() {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(offset = at, %error, "piece of the log cannot be read");
                    piece.fill(0);
                    len += piece.len();
                    failure = Some(error);
                }
            }
        }
        self.bytes.truncate(len);
        failure.filter(|_| !any).map_or(Ok(()), Err)
    }
}

/// A record that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) frame: Frame,
    /// The record's number; of a copy, that of the record it repeats.
    pub(super) ordinal: u32,
    /// Where the payload stands in the file.
    pub(super) payload_at: u64,
}

/// Gives the records of a segment in their order, each once.
///
/// A record that is not whole is stepped over: the next one is found by its magic and checksum.
/// The gap in the ordinals tells which records are gone, and those that were written twice are
/// given from their copies, before the walk goes on.
#[derive(Debug)]
pub(super) struct Scanner {
    segment: u64,
    window: Window,
    offset: u64,
    ordinal_next: u32,
    /// Records that were lost and not found again so far.
    missing: Vec<Range<u32>>,
    /// Where the second copies stand, by the record they repeat; filled at the first damage.
    copies: BTreeMap<u32, u64>,
    copies_to: u64,
    repaired: VecDeque<u64>,
    damaged: Option<u64>,
}

impl Scanner {
    pub(super) fn new(segment: u64, file: Arc<dyn FsRead>) -> Self {
        Self {
            segment,
            window: Window { file, start: 0, bytes: Vec::new() },
            offset: 0,
            ordinal_next: 0,
            missing: Vec::new(),
            copies: BTreeMap::new(),
            copies_to: 0,
            repaired: VecDeque::new(),
            damaged: None,
        }
    }

    /// Where bytes were stepped over since the last call, if they were.
    pub(super) fn take_damage(&mut self) -> Option<u64> {
        self.damaged.take()
    }

    /// The next record before `end`; `None` when there is no more.
    pub(super) fn next(&mut self, end: u64) -> io::Result<Option<Found>> {
        loop {
            if let Some(offset) = self.repaired.pop_front() {
                if let Some(found) = self.copy_at(offset, end)? {
                    return Ok(Some(found));
                }
                continue;
            }
            let Some((frame, offset)) = self.find(self.offset, end)? else {
                return Ok(None);
            };
            if offset > self.offset && self.damaged.is_none() {
                self.damaged = Some(self.offset);
            }
            let after = offset + frame.bytes();
            if frame.ordinal < self.ordinal_next {
                // Only a writer gone wrong writes this; it must not lead in a circle.
                self.offset = after;
                continue;
            }
            if frame.ordinal > self.ordinal_next {
                self.repair(self.ordinal_next..frame.ordinal, offset, end)?;
                self.offset = offset;
                self.ordinal_next = frame.ordinal;
                continue;
            }
            self.offset = after;
            self.ordinal_next = frame.ordinal.saturating_add(1);
            if frame.flags & COPY == 0 {
                let payload_at = offset + HEADER_BYTES as u64;
                return Ok(Some(Found { frame, ordinal: frame.ordinal, payload_at }));
            }
            if !self.missing.is_empty() {
                self.repaired.push_back(offset);
            }
        }
    }

    /// The payload of a record that was just found.
    pub(super) fn payload(&mut self, found: Found, end: u64) -> io::Result<&[u8]> {
        self.window.get(found.payload_at, found.frame.len as usize, end)
    }

    /// Bytes at the end that are no records: `Some` only after [`Scanner::next`] gave `None`.
    pub(super) fn tail(&self, end: u64) -> Option<Range<u64>> {
        (self.offset < end).then_some(self.offset..end)
    }

    /// The record that the copy at `offset` repeats, when it was missed.
    fn copy_at(&mut self, offset: u64, end: u64) -> io::Result<Option<Found>> {
        let Some((frame, original)) = self.copy_of(offset, end)? else {
            return Ok(None);
        };
        let Some(at) = self.missing.iter().position(|gap| gap.contains(&original)) else {
            return Ok(None);
        };
        let gap = self.missing.swap_remove(at);
        let rest = [gap.start..original, original + 1..gap.end];
        self.missing.extend(rest.into_iter().filter(|gap| !gap.is_empty()));
        let frame = Frame { len: frame.len - COPY_BYTES, flags: frame.flags & !COPY, ..frame };
        let payload_at = offset + HEADER_BYTES as u64 + u64::from(COPY_BYTES);
        Ok(Some(Found { frame, ordinal: original, payload_at }))
    }

    /// The copy at `offset`, and the number of the record it repeats.
    fn copy_of(&mut self, offset: u64, end: u64) -> io::Result<Option<(Frame, u32)>> {
        let Some(frame) = self.record_at(offset, end)? else {
            return Ok(None);
        };
        let bytes = self.window.get(offset + HEADER_BYTES as u64, frame.len as usize, end)?;
        let original = bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        Ok(original.filter(|&original| original < frame.ordinal).map(|original| (frame, original)))
    }

    /// Finds the copies of the records in `gap`; the walk goes on at `offset`.
    fn repair(&mut self, gap: Range<u32>, offset: u64, end: u64) -> io::Result<()> {
        let mut at = self.copies_to.max(offset);
        while let Some((frame, found)) = self.find(at, end)? {
            at = found + frame.bytes();
            if frame.flags & COPY != 0
                && let Some((_, original)) = self.copy_of(found, end)?
            {
                self.copies.insert(original, found);
            }
        }
        self.copies_to = at;
        self.repaired.extend(self.copies.range(gap.clone()).map(|(_, &offset)| offset));
        if self.missing.len() == MISSING_MAX {
            self.missing.remove(0);
        }
        self.missing.push(gap);
        Ok(())
    }

    /// The first whole record at or behind `from`.
    fn find(&mut self, from: u64, end: u64) -> io::Result<Option<(Frame, u64)>> {
        let mut offset = from;
        loop {
            if let Some(frame) = self.record_at(offset, end)? {
                return Ok(Some((frame, offset)));
            }
            // One byte on, and from there to where a record could start.
            offset += 1;
            let bytes = self.window.get(offset, SEARCH_BYTES, end)?;
            if bytes.len() < HEADER_BYTES {
                return Ok(None);
            }
            let next = bytes.windows(2).position(|pair| pair == MAGIC);
            offset += next.unwrap_or(bytes.len() - 1) as u64;
        }
    }

    /// The record that starts at `offset`, if one does.
    fn record_at(&mut self, offset: u64, end: u64) -> io::Result<Option<Frame>> {
        let header = self.window.get(offset, HEADER_BYTES, end)?;
        let Some((frame, _)) = frame::peek(header) else {
            return Ok(None);
        };
        if frame.bytes() > end.saturating_sub(offset) {
            return Ok(None);
        }
        let len = HEADER_BYTES + frame.len as usize;
        let bytes = self.window.get(offset, len, end)?;
        let place = Place { segment: self.segment, offset };
        Ok(frame::parse(bytes, place).map(|(frame, _)| frame))
    }
}
