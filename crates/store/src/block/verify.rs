//! Looks at every byte of a block that has a checksum.

use super::chunk::ChunkView;
use super::reader::Block;
use crate::Error;

impl Block {
    /// Checks all pages of the index and all chunks; gives what is damaged, piece by piece.
    pub fn verify(&self) -> Vec<Error> {
        let mut faults = self.check_sections();
        for number in 0..self.meta().chunks {
            let record = self.record(number);
            match record.and_then(|record| ChunkView::open(self.bytes(), self.id(), record)) {
                Ok(view) => faults.extend((0..view.group_count()).filter_map(|group| {
                    let place = view.group(group);
                    place.and_then(|p| view.check_group_of(p.first_column.into())).err()
                })),
                Err(fault) => faults.push(fault),
            }
        }
        faults.into_iter().map(|fault| fault.into_error(self.name())).collect()
    }
}
