//! Records that are about to be written with one call.

use std::io;

use super::frame::{self, COPY, HEADER_BYTES, Kind, Place};
use crate::fs::FsFile;

/// What a disk loses at once, in bytes: a record and its copy stand further apart.
const SECTOR_BYTES: u64 = 512;

/// Room that is kept for the next write, in bytes. Only definitions take more.
const ROOM_KEPT_BYTES: usize = 256 << 10;

/// Frames records one behind the other.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    segment: u64,
    /// Where in the segment `bytes` begins.
    offset: u64,
    ordinal: u32,
    /// Where the record being framed starts in `bytes`.
    start: usize,
}

impl Outbox {
    /// Begins anew for the place `offset` of a segment, where the record `ordinal` is next.
    pub(super) fn start(&mut self, segment: u64, offset: u64, ordinal: u32) {
        self.bytes.clear();
        (self.segment, self.offset, self.ordinal) = (segment, offset, ordinal);
    }

    /// Gives up what was framed.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The number of the next record.
    pub(super) fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// Where the next record will stand in the segment.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Begins a record: its payload is to be appended to what this returns.
    pub(super) fn open(&mut self) -> &mut Vec<u8> {
        self.start = self.bytes.len();
        self.bytes.resize(self.start + HEADER_BYTES, 0);
        &mut self.bytes
    }

    /// Ends the record that [`Outbox::open`] began, and gives its payload.
    pub(super) fn close(&mut self, kind: Kind, flags: u8) -> &[u8] {
        let place = Place { segment: self.segment, offset: self.offset + self.start as u64 };
        frame::seal(&mut self.bytes, self.start, kind, flags, self.ordinal, place);
        self.ordinal += 1;
        self.bytes.get(self.start + HEADER_BYTES..).unwrap_or_default()
    }

    /// Adds a record.
    pub(super) fn record(&mut self, kind: Kind, flags: u8, payload: &[u8]) {
        self.open().extend_from_slice(payload);
        self.close(kind, flags);
    }

    /// Adds the second copy of the record `original`.
    pub(super) fn copy(&mut self, original: u32, kind: Kind, flags: u8, payload: &[u8]) {
        let out = self.open();
        out.extend_from_slice(&original.to_le_bytes());
        out.extend_from_slice(payload);
        self.close(kind, flags | COPY);
    }

    /// Makes sure that what follows is in another sector than what ends at `end`.
    pub(super) fn part(&mut self, end: u64) {
        let apart = self.end().saturating_sub(end);
        if apart < SECTOR_BYTES {
            let filler = (SECTOR_BYTES - apart).saturating_sub(HEADER_BYTES as u64);
            let out = self.open();
            let len = out.len() + usize::try_from(filler).unwrap_or(0);
            out.resize(len, 0);
            self.close(Kind::Filler, 0);
        }
    }

    /// Writes with one call what was framed, when it is more than `least` bytes.
    pub(super) fn flush(&mut self, least: usize, file: &mut dyn FsFile) -> io::Result<()> {
        if self.bytes.len() > least {
            file.write(&self.bytes)?;
            self.offset = self.end();
            self.bytes.clear();
            self.bytes.shrink_to(ROOM_KEPT_BYTES);
        }
        Ok(())
    }
}
