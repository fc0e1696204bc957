//! Follows the rows behind the writer.

use std::io;
use std::sync::Arc;

use super::handle::Shared;
use super::player::{Played, Player};
use super::scan::Scanner;
use super::segment::{self, Segment};
use crate::{Error, RowBuf, RowSeq};

/// Reads the rows of the log in order, behind the writer.
///
/// It sees a row once that is wholly written, and reads with positioned reads, so it neither
/// waits for the writer nor holds it up. Rows that are gone, by damage or because the log was
/// shortened, are passed over and counted.
#[derive(Debug)]
pub(crate) struct LogReader {
    shared: Arc<Shared>,
    player: Player,
    at: Option<At>,
    /// Number of the segment to go on with.
    segment_next: u64,
}

/// A segment that is being read.
#[derive(Debug)]
struct At {
    number: u64,
    scanner: Scanner,
    end: u64,
    closed: bool,
}

/// What [`LogReader::next_or_gap`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logged {
    /// A row.
    Row,
    /// There is none yet.
    Nothing,
    /// The log goes on at the place `until`, though there were rows from `from` on.
    Gap {
        /// The place that was due.
        from: RowSeq,
        /// The first place that the log may have again.
        until: RowSeq,
        /// They were lost by damage; else the log was shortened.
        damaged: bool,
    },
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>, after: RowSeq) -> Self {
        let first = after.next();
        let segment_next = {
            let inner = shared.inner.lock();
            let mut segments = inner.segments.iter();
            let holds = segments.find(|it| !it.closed || it.seq_end > first);
            holds.or(inner.segments.back()).map_or(0, |segment| segment.number)
        };
        Self { shared, player: Player::expecting(first), at: None, segment_next }
    }

    /// Reads the next row into `out`; `false` when there is none yet. Passes over gaps, and
    /// counts what they lack. After an error it goes on where it was.
    #[cfg(test)]
    pub(crate) fn next(&mut self, out: &mut RowBuf) -> Result<bool, Error> {
        Ok(self.step(out, false)? == Logged::Row)
    }

    /// As [`LogReader::next`], but stops where rows between two segments are gone.
    pub(crate) fn next_or_gap(&mut self, out: &mut RowBuf) -> Result<Logged, Error> {
        self.step(out, true)
    }

    fn step(&mut self, out: &mut RowBuf, stop: bool) -> Result<Logged, Error> {
        loop {
            if self.at.is_none() {
                match self.enter(stop)? {
                    Logged::Row => {}
                    other => return Ok(other),
                }
            }
            let Some(at) = &mut self.at else {
                return Ok(Logged::Nothing);
            };
            match at.step(&mut self.player, out) {
                Ok(Some(Played::Row)) => return Ok(Logged::Row),
                Ok(Some(_)) => {}
                Ok(None) if at.closed => self.at = None,
                Ok(None) => {
                    let (end, number) = (at.end, at.number);
                    let found = self.shared.inner.lock().find(number);
                    // A segment that was removed meanwhile was closed before; all of it is still
                    // there for those who have it open.
                    (at.end, at.closed) = found.map_or((u64::MAX, true), |it| (it.len, it.closed));
                    if at.end == end && !at.closed {
                        return Ok(Logged::Nothing);
                    }
                }
                Err(error) => return Err(Error::io("read", &segment::path(at.number), error)),
            }
        }
    }

    /// The rows before `next` came from elsewhere.
    pub(crate) fn pass(&mut self, next: RowSeq) {
        self.player.pass(next);
    }

    /// How many rows no longer existed when they were due.
    pub(crate) fn lost(&self) -> u64 {
        self.player.lost()
    }

    #[cfg(test)]
    pub(super) fn segment_next_for_tests(&self) -> u64 {
        self.segment_next
    }

    /// Opens the next segment that there is: [`Logged::Row`] when it did.
    fn enter(&mut self, stop: bool) -> Result<Logged, Error> {
        loop {
            let (next, damaged) = {
                let inner = self.shared.inner.lock();
                let mut segments = inner.segments.iter();
                // The one read last is still there, so what follows it is what always did.
                let damaged = segments.clone().any(|it| it.number < self.segment_next);
                (segments.find(|it| it.number >= self.segment_next).copied(), damaged)
            };
            let Some(Segment { number, len, closed, seq_reached, .. }) = next else {
                return Ok(Logged::Nothing);
            };
            let from = self.player.reached();
            if stop && from < seq_reached {
                return Ok(Logged::Gap { from, until: seq_reached, damaged });
            }
            match self.shared.fs.open(&segment::path(number)) {
                Ok(file) => {
                    let scanner = Scanner::new(number, file);
                    self.segment_next = number + 1;
                    self.player.begin_segment();
                    self.at = Some(At { number, scanner, end: len, closed });
                    return Ok(Logged::Row);
                }
                // Removed between the look and the opening.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.segment_next = number + 1;
                }
                Err(error) => return Err(Error::io("open", &segment::path(number), error)),
            }
        }
    }
}

impl At {
    fn step(&mut self, player: &mut Player, out: &mut RowBuf) -> io::Result<Option<Played>> {
        let Some(found) = self.scanner.next(self.end)? else {
            return Ok(None);
        };
        let payload = self.scanner.payload(found, self.end)?;
        Ok(Some(player.play(found, payload, out, None)))
    }
}
