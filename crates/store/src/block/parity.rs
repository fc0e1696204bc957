//! One more page for the index: all its pages, exclusive-or. With it any one page that is damaged
//! is rebuilt from the others.

use super::fault::Fault;
use super::format::{PAGE_BYTES, Span, checksum, put_u32};
use super::reader::Block;
use super::section::slice;

/// A section whose damaged page was rebuilt.
#[derive(Debug)]
pub(super) struct Mended {
    /// Which section.
    pub(super) section: usize,
    /// Which of its pages.
    pub(super) page: u64,
    /// All bytes of the section, without the checksums.
    pub(super) bytes: Box<[u8]>,
}

/// The parity of all pages of `sections`: as long as the longest page.
pub(super) fn of(sections: [&[u8]; 4]) -> Vec<u8> {
    let mut parity = Vec::new();
    for page in sections.iter().flat_map(|section| section.chunks(PAGE_BYTES)) {
        add(&mut parity, page);
    }
    parity
}

/// Appends the checksum of a parity that will stand at `offset`; nothing if there is no page.
pub(super) fn seal(parity: &mut Vec<u8>, id: u64, offset: u64) {
    if !parity.is_empty() {
        let sum = checksum(id, offset, parity);
        put_u32(parity, sum);
    }
}

/// Adds a page; it counts as continued by zeros.
fn add(parity: &mut Vec<u8>, page: &[u8]) {
    if parity.len() < page.len() {
        parity.resize(page.len(), 0);
    }
    parity.iter_mut().zip(page).for_each(|(sum, byte)| *sum ^= byte);
}

impl Block {
    /// The parity of the index as it should be; `None` if a page of the index is damaged.
    pub(super) fn true_parity(&self) -> Option<Vec<u8>> {
        let mut parity = Vec::new();
        for (section, page) in self.index_pages() {
            add(&mut parity, self.page(section, page).ok()?);
        }
        Some(parity)
    }

    /// The parity that stands in the file; a fault if it is damaged. Older blocks have none.
    pub(super) fn parity(&self) -> Result<Option<&[u8]>, Fault> {
        let Span { offset, bytes } = self.parity_span();
        if bytes == 0 {
            return Ok(None);
        }
        let parity = slice(self.bytes(), offset, bytes)?;
        let sum = slice(self.bytes(), offset.saturating_add(bytes), 4)?;
        let found = checksum(self.id(), offset, parity);
        let expected = sum.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if expected != found {
            return Err(Fault { offset, what: "parity checksum", sums: Some((expected, found)) });
        }
        Ok(Some(parity))
    }

    /// Rebuilds the one page that is damaged. `None` if none is, or more than one, or the parity.
    pub(super) fn rebuild(&self) -> Option<Mended> {
        let mut page_bytes = self.parity().ok()??.to_vec();
        let mut damaged = None;
        for (section, page) in self.index_pages() {
            match self.page(section, page) {
                Ok(bytes) => add(&mut page_bytes, bytes),
                Err(_) if damaged.is_none() => damaged = Some((section, page)),
                Err(_) => return None,
            }
        }
        let (section, page) = damaged?;
        let (offset, stored, sum) = self.page_unchecked(section, page).ok()?;
        let rest = page_bytes.split_off(stored.len().min(page_bytes.len()));
        // Either the page was damaged or its checksum; else the parity is of something else.
        let fits = checksum(self.id(), offset, &page_bytes) == sum || page_bytes == stored;
        if !fits || rest.iter().any(|&byte| byte != 0) {
            return None;
        }
        let mut bytes: Box<[u8]> = self.section_unchecked(section).ok()?.into();
        let start = usize::try_from(page).ok()?.checked_mul(PAGE_BYTES)?;
        bytes.get_mut(start..start + page_bytes.len())?.copy_from_slice(&page_bytes);
        tracing::warn!(file = self.name(), offset, "a damaged page of the index was rebuilt");
        self.wear();
        Some(Mended { section, page, bytes })
    }
}
