//! Looks at every byte of a block that has a checksum, piece by piece.

use super::chunk::ChunkView;
use super::fault::Fault;
use super::format::{HEAD_TWICE, HEADER_BYTES, header};
use super::reader::Block;
use super::section::slice;
use crate::Error;

/// Pieces before the first chunk: the frame and the sections of the index.
const FIRST_CHUNK: u32 = 2;

impl Block {
    /// Checks the frame, all pages of the index and all chunks; gives what is damaged.
    pub fn verify(&self) -> Vec<Error> {
        (0..self.pieces()).flat_map(|piece| self.verify_piece(piece).1).collect()
    }

    /// In how many pieces [`Block::verify_piece`] checks the block.
    pub(crate) fn pieces(&self) -> u32 {
        self.meta().chunks.saturating_add(FIRST_CHUNK)
    }

    /// Checks one piece; gives how many bytes were looked at, and what is damaged.
    pub(crate) fn verify_piece(&self, piece: u32) -> (u64, Vec<Error>) {
        let (bytes, faults) = match piece {
            0 => self.check_frame(),
            1 => self.check_index(),
            _ => self.check_chunk(piece - FIRST_CHUNK),
        };
        (bytes, faults.into_iter().map(|fault| fault.into_error(self.name())).collect())
    }

    /// All pages of the index, and their parity.
    fn check_index(&self) -> (u64, Vec<Fault>) {
        let mut faults = Vec::new();
        for (section, page) in self.index_pages() {
            let Err(fault) = self.page(section, page) else { continue };
            let is_mended =
                self.mended().is_some_and(|it| (it.section, it.page) == (section, page));
            let what = if is_mended { "checksum of a page, now rebuilt," } else { fault.what };
            faults.push(Fault { what, ..fault });
        }
        faults.extend(self.parity().err());
        let parity = self.parity_span().bytes;
        (self.section_bytes().iter().sum::<u64>() + parity, faults)
    }

    /// The header and both footers.
    fn check_frame(&self) -> (u64, Vec<Fault>) {
        let mut faults = Vec::new();
        if self.bytes().get(..HEADER_BYTES) != Some(&header(self.id())[..]) {
            faults.push(Fault::new(0, "the header is not that of the block"));
        }
        faults.extend(self.footer_ends().into_iter().filter_map(|end| self.check_footer(end)));
        (HEADER_BYTES as u64 + 2 * self.footer_len(), faults)
    }

    /// Both copies of its head, where there are two, and all its groups.
    fn check_chunk(&self, number: u32) -> (u64, Vec<Fault>) {
        let mut faults = Vec::new();
        let record = match self.record(number) {
            Ok(record) => record,
            Err(fault) => return (0, vec![fault]),
        };
        let (head, data) = (u64::from(record.head_bytes), u64::from(record.data_bytes));
        let twice = record.flags & HEAD_TWICE != 0;
        if twice {
            let copy = record.data_offset().saturating_add(data);
            for offset in [record.offset, copy] {
                let view = ChunkView::checked_head(self.bytes(), self.id(), record, offset);
                faults.extend(view.err());
            }
        }
        match ChunkView::open(self.bytes(), self.id(), record) {
            Ok(view) => faults.extend((0..view.group_count()).filter_map(|group| {
                let place = view.group(group);
                place.and_then(|p| view.check_group_of(p.first_column.into())).err()
            })),
            // Both heads were found damaged above.
            Err(_) if twice => {}
            Err(fault) => faults.push(fault),
        }
        (head * (1 + u64::from(twice)) + data, faults)
    }

    fn check_footer(&self, end: u64) -> Option<Fault> {
        let found = Self::at(self.bytes(), end).err();
        found.or_else(|| {
            // Both must say the same, byte for byte.
            let copy = |end: u64| slice(self.bytes(), end - self.footer_len(), self.footer_len());
            let [first, second] = self.footer_ends().map(copy);
            let same = matches!((first, second), (Ok(a), Ok(b)) if a == b);
            (!same).then(|| Fault::new(end, "the footers differ"))
        })
    }
}
