//! Some more bytes for the index: all its pages, exclusive-or, folded. With them the bytes of a
//! page that are damaged are rebuilt, if they lie close together.

use super::fault::Fault;
use super::format::{PAGE_BYTES, Span, checksum, put_u32};
use super::reader::Block;
use super::section::slice;

/// Pages are folded to this length: as much as a disk loses at once.
const FOLD: usize = 512;

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

/// Appends the checksum of a parity that will stand at `offset`; nothing if there is no page.
pub(super) fn seal(parity: &mut Vec<u8>, id: u64, offset: u64) {
    if !parity.is_empty() {
        let sum = checksum(id, offset, parity);
        put_u32(parity, sum);
    }
}

/// Adds a page, piece by piece; what is shorter counts as continued by zeros. A parity is as long as
/// the longest page, or [`FOLD`].
pub(super) fn add(parity: &mut Vec<u8>, page: &[u8]) {
    for piece in page.chunks(FOLD) {
        if parity.len() < piece.len() {
            parity.resize(piece.len(), 0);
        }
        parity.iter_mut().zip(piece).for_each(|(sum, byte)| *sum ^= byte);
    }
}

/// What a page of `len` bytes at `offset` may have to be changed by, of which only the fold `delta`
/// is known: one after the other, where the changes may begin. They take [`FOLD`] bytes at most.
fn beginnings(delta: &[u8], len: usize, offset: u64) -> impl Iterator<Item = isize> + use<> {
    let changed: Vec<usize> =
        (0..FOLD).filter(|&at| delta.get(at).is_some_and(|&it| it != 0)).collect();
    // The changes begin behind the longest stretch without one, or with a sector of the disk.
    let before = changed.iter().skip(changed.len().saturating_sub(1)).chain(&changed);
    let gaps = before.zip(&changed).map(|(&from, &to)| ((to + FOLD - from - 1) % FOLD, to));
    let sector = usize::try_from(offset % FOLD as u64).map_or(0, |at| (FOLD - at) % FOLD);
    let longest = gaps.max_by_key(|&(gap, _)| gap).filter(|&(gap, _)| gap > 0);
    let first = longest.map_or(sector, |(_, to)| to).cast_signed();
    let fold = FOLD.cast_signed();
    (0..=len.div_ceil(FOLD).cast_signed()).map(move |turn| first + (turn - 1) * fold)
}

/// The page with the changes that begin at `begin`.
fn changed(page: &[u8], delta: &[u8], begin: isize) -> Vec<u8> {
    let mut page = page.to_vec();
    let from = usize::try_from(begin).unwrap_or(0);
    let to = usize::try_from(begin + FOLD.cast_signed()).unwrap_or(0);
    for (at, byte) in page.iter_mut().enumerate().take(to).skip(from) {
        *byte ^= delta.get(at % FOLD).copied().unwrap_or(0);
    }
    page
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

    /// Rebuilds the one page that is damaged. `None` if none is, or more than one, or the parity,
    /// or if the damage takes more than [`FOLD`] bytes.
    pub(super) fn rebuild(&self) -> Option<Mended> {
        let mut delta = self.parity().ok()??.to_vec();
        let mut damaged = None;
        for (section, page) in self.index_pages() {
            if self.page(section, page).is_err() && damaged.replace((section, page)).is_some() {
                return None;
            }
            add(&mut delta, self.page_unchecked(section, page).ok()?.1);
        }
        let (section, page) = damaged?;
        let (offset, stored, sum) = self.page_unchecked(section, page).ok()?;
        let mut begins = beginnings(&delta, stored.len(), offset);
        let whole = if delta.iter().all(|&byte| byte == 0) {
            // It was the checksum that was damaged.
            stored.to_vec()
        } else {
            begins.find_map(|begin| {
                let page = changed(stored, &delta, begin);
                (checksum(self.id(), offset, &page) == sum).then_some(page)
            })?
        };
        let mut bytes: Box<[u8]> = self.section_unchecked(section).ok()?.into();
        let start = usize::try_from(page).ok()?.checked_mul(PAGE_BYTES)?;
        bytes.get_mut(start..start + whole.len())?.copy_from_slice(&whole);
        tracing::warn!(file = self.name(), offset, "a damaged page of the index was rebuilt");
        self.wear();
        Some(Mended { section, page, bytes })
    }
}
