//! Looks at one segment by itself: for tools that verify and show files, and for fuzzing.

use std::io;
use std::sync::Arc;

use super::player::{Played, Player};
use super::scan::Scanner;
use crate::RowBuf;
use crate::fs::FsRead;

/// What a segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Whole records, second copies and fillers not counted.
    pub records: u64,
    /// Rows among them that can be decoded.
    pub rows: u64,
    /// Samples in those rows.
    pub samples: u64,
    /// Places where bytes are no record.
    pub damaged: u64,
    /// Records that are whole but make no sense.
    pub malformed: u64,
    /// Bytes behind the last whole record.
    pub torn_bytes: u64,
    /// Whether the segment was closed in good order.
    pub ended: bool,
}

/// Looks at the bytes of the segment `number`; calls `row` with each row. Pure, and made for any
/// bytes.
pub fn inspect(number: u64, bytes: &[u8], row: &mut dyn FnMut(&RowBuf)) -> Inspection {
    let end = bytes.len() as u64;
    let mut scanner = Scanner::new(number, Arc::new(Bytes(bytes.to_vec())));
    let mut player = Player::default();
    let (mut inspection, mut buffer) = (Inspection::default(), RowBuf::default());
    // Memory is read without errors, so an error ends the walk as the end does.
    while let Ok(Some(found)) = scanner.next(end) {
        inspection.damaged += u64::from(scanner.take_damage().is_some());
        let Ok(payload) = scanner.payload(found, end) else {
            break;
        };
        inspection.records += 1;
        match player.play(found, payload, &mut buffer, None) {
            Played::Row => {
                inspection.rows += 1;
                let present = buffer.values.iter().filter(|&&it| !narthex_model::is_absent(it));
                inspection.samples += present.count() as u64;
                row(&buffer);
            }
            Played::End(_) => inspection.ended = true,
            Played::Malformed => inspection.malformed += 1,
            Played::Late | Played::Other => {}
        }
    }
    inspection.torn_bytes = scanner.tail(end).map_or(0, |tail| tail.end - tail.start);
    inspection
}

/// A file in memory.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl FsRead for Bytes {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.0.get(start..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Ok(count)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}
