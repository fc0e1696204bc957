//! Looks at one segment by itself: for tools that verify and show files, and for fuzzing.

use std::io;
use std::sync::Arc;

use narthex_model::Labels;

use super::definition::NextIds;
use super::frame::HEADER_BYTES;
use super::player::{Played, Player, Replay};
use super::scan::Scanner;
use crate::fs::FsRead;
use crate::{LayoutRef, RowBuf, RowSeq, SeriesRef, SourceRef};

/// What stands at some place of a segment.
#[derive(Debug)]
pub enum LogEntry<'a> {
    /// What the segment is; series, source and layout that come next are named.
    Head(u32, u32, u32),
    /// A series has these labels.
    Series(SeriesRef, Labels),
    /// A layout belongs to this source.
    Layout(LayoutRef, SourceRef),
    /// A layout has these columns, behind those it had.
    Columns(LayoutRef, &'a [SeriesRef]),
    /// No more rows come for a layout.
    Drop(LayoutRef),
    /// A row.
    Row(&'a RowBuf),
    /// The segment was closed in good order; the next row has this place.
    End(RowSeq),
    /// Bytes that are no record; what follows is.
    Damaged,
    /// A record that is whole and makes no sense.
    Malformed,
    /// No record from here to the end, so many bytes: the power went, or they are damaged.
    Torn(u64),
}

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
    inspect_log(number, bytes, &mut |_, entry| {
        if let LogEntry::Row(found) = entry {
            row(found);
        }
    })
}

/// Looks at the bytes of the segment `number`; calls `visit` with the place of each record, in
/// bytes from the start, and with what it says. Pure, and made for any bytes.
pub fn inspect_log(
    number: u64,
    bytes: &[u8],
    visit: &mut dyn FnMut(u64, LogEntry<'_>),
) -> Inspection {
    let end = bytes.len() as u64;
    let mut scanner = Scanner::new(number, Arc::new(Bytes(bytes.to_vec())));
    let mut player = Player::default();
    let (mut inspection, mut buffer) = (Inspection::default(), RowBuf::default());
    // Memory is read without errors, so an error ends the walk as the end does.
    while let Ok(Some(found)) = scanner.next(end) {
        if let Some(offset) = scanner.take_damage() {
            inspection.damaged += 1;
            visit(offset, LogEntry::Damaged);
        }
        let Ok(payload) = scanner.payload(found, end) else {
            break;
        };
        inspection.records += 1;
        let offset = found.payload_at - HEADER_BYTES as u64;
        let mut tell = Tell { offset, visit };
        match player.play(found, payload, &mut buffer, Some(&mut tell)) {
            Played::Row | Played::Late => {
                inspection.rows += 1;
                let present = buffer.values.iter().filter(|&&it| !narthex_model::is_absent(it));
                inspection.samples += present.count() as u64;
                visit(offset, LogEntry::Row(&buffer));
            }
            Played::End(seq) => {
                inspection.ended = true;
                visit(offset, LogEntry::End(seq));
            }
            Played::Malformed => {
                inspection.malformed += 1;
                visit(offset, LogEntry::Malformed);
            }
            Played::Other => {}
        }
    }
    if let Some(tail) = scanner.tail(end) {
        inspection.torn_bytes = tail.end - tail.start;
        visit(tail.start, LogEntry::Torn(inspection.torn_bytes));
    }
    inspection
}

/// Passes definitions on, with the place of their record.
struct Tell<'a> {
    offset: u64,
    visit: &'a mut dyn FnMut(u64, LogEntry<'_>),
}

impl Replay for Tell<'_> {
    fn ids(&mut self, ids: NextIds) {
        (self.visit)(self.offset, LogEntry::Head(ids.series, ids.source, ids.layout));
    }

    fn series(&mut self, series: SeriesRef, labels: Labels) {
        (self.visit)(self.offset, LogEntry::Series(series, labels));
    }

    fn layout(&mut self, layout: LayoutRef, source: SourceRef) {
        (self.visit)(self.offset, LogEntry::Layout(layout, source));
    }

    fn columns(&mut self, layout: LayoutRef, _: u32, series: &[SeriesRef]) {
        (self.visit)(self.offset, LogEntry::Columns(layout, series));
    }

    fn drop_layout(&mut self, layout: LayoutRef) {
        (self.visit)(self.offset, LogEntry::Drop(layout));
    }

    fn row(&mut self, _: &RowBuf) {}
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
