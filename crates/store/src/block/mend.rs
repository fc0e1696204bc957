//! What would make a damaged file whole again, as far as it holds the same twice.

use super::chunk::ChunkView;
use super::format::{HEAD_TWICE, HEADER_BYTES, PAGE_BYTES, checksum, header};
use super::reader::Block;
use super::section::slice;

/// Bytes to write at an offset of the file.
pub(crate) type Patch = (u64, Vec<u8>);

impl Block {
    /// What has to be written to the file to mend it: header, footer, heads of chunks, a page of
    /// the index or its parity. Sorted by place. Reads the whole index and the heads of all chunks.
    pub(crate) fn patches(&self) -> Vec<Patch> {
        let mut patches = Vec::new();
        if self.bytes().get(..HEADER_BYTES) != Some(&header(self.id())[..]) {
            patches.push((0, header(self.id()).to_vec()));
        }
        for number in 0..self.meta().chunks {
            patches.extend(self.patch_head(number));
        }
        patches.extend(self.patch_index());
        patches.extend(self.patch_footers());
        patches.sort_by_key(|&(offset, _)| offset);
        patches
    }

    /// A head that is damaged, from its copy, or the other way round.
    fn patch_head(&self, number: u32) -> Option<Patch> {
        let record = self.record(number).ok()?;
        if record.flags & HEAD_TWICE == 0 {
            return None;
        }
        let copy = record.data_offset().saturating_add(u64::from(record.data_bytes));
        let open = |offset| ChunkView::checked_head(self.bytes(), self.id(), record, offset);
        let (offset, whole) = match (open(record.offset), open(copy)) {
            (Err(_), Ok(whole)) => (record.offset, whole),
            (Ok(whole), Err(_)) => (copy, whole),
            _ => return None,
        };
        let mut head = whole.head().to_vec();
        head.extend_from_slice(&checksum(self.id(), offset, &head).to_le_bytes());
        Some((offset, head))
    }

    fn patch_index(&self) -> Vec<Patch> {
        if let Some(mended) = self.mended() {
            let at = mended.page.saturating_mul(PAGE_BYTES as u64);
            let start = usize::try_from(at).unwrap_or(usize::MAX);
            let rest = mended.bytes.get(start..).unwrap_or(&[]);
            let page = rest.get(..rest.len().min(PAGE_BYTES)).unwrap_or(&[]).to_vec();
            let Ok((offset, sum_offset)) = self.page_places(mended.section, mended.page) else {
                return Vec::new();
            };
            let sum = checksum(self.id(), offset, &page).to_le_bytes().to_vec();
            return vec![(offset, page), (sum_offset, sum)];
        }
        match (self.parity(), self.true_parity()) {
            (Err(_), Some(mut parity)) => {
                let offset = self.parity_span().offset;
                parity.extend_from_slice(&checksum(self.id(), offset, &parity).to_le_bytes());
                vec![(offset, parity)]
            }
            _ => Vec::new(),
        }
    }

    /// The footers that are not as the one that is used.
    fn patch_footers(&self) -> Vec<Patch> {
        let len = self.footer_len();
        let Ok(whole) = slice(self.bytes(), self.footer_start(), len) else { return Vec::new() };
        let starts = self.footer_ends().map(|end| end.saturating_sub(len));
        let is_other = |&start: &u64| slice(self.bytes(), start, len).is_ok_and(|it| it != whole);
        starts.into_iter().filter(is_other).map(|start| (start, whole.to_vec())).collect()
    }
}
