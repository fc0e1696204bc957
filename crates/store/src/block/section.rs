//! Parts of the index, guarded page by page.

use std::sync::atomic::{AtomicU64, Ordering};

use super::fault::Fault;
use super::format::{PAGE_BYTES, Span, checksum, put_u32};

/// As an offset.
const PAGE: u64 = PAGE_BYTES as u64;

/// A section of an open block. Behind its bytes stands one checksum per page of [`PAGE_BYTES`];
/// a page is checked when it is first looked at.
#[derive(Debug)]
pub(super) struct Section {
    span: Span,
    /// One bit per page that was found good.
    good: Box<[AtomicU64]>,
}

impl Section {
    /// A section that lies within a file of `file_bytes`.
    pub(super) fn new(span: Span, file_bytes: u64) -> Result<Self, Fault> {
        let pages = span.bytes.div_ceil(PAGE);
        let end = span.offset.checked_add(span.bytes).and_then(|end| end.checked_add(pages * 4));
        if end.is_none_or(|end| end > file_bytes) {
            return Err(Fault::new(span.offset, "section beyond the end of the file"));
        }
        let words = usize::try_from(pages.div_ceil(64)).unwrap_or(usize::MAX);
        Ok(Self { span, good: (0..words).map(|_| AtomicU64::new(0)).collect() })
    }

    /// Length in bytes, without the checksums.
    pub(super) fn len(&self) -> u64 {
        self.span.bytes
    }

    /// Length in bytes, the checksums included.
    pub(super) fn len_with_checksums(&self) -> u64 {
        self.span.bytes + self.pages() * 4
    }

    /// Where the byte at `at` stands in the file.
    pub(super) fn place(&self, at: u64) -> u64 {
        self.span.offset.saturating_add(at)
    }

    /// The bytes from `start` to `end`, once their pages are known to be good.
    pub(super) fn get<'a>(
        &self,
        file: &'a [u8],
        id: u64,
        start: u64,
        end: u64,
    ) -> Result<&'a [u8], Fault> {
        if start > end || end > self.span.bytes {
            return Err(Fault::new(self.place(start), "piece beyond its section"));
        }
        if start < end {
            (start / PAGE..=(end - 1) / PAGE).try_for_each(|page| self.check(file, id, page))?;
        }
        slice(file, self.place(start), end - start)
    }

    /// How many pages there are.
    pub(super) fn pages(&self) -> u64 {
        self.span.bytes.div_ceil(PAGE)
    }

    /// All bytes, good or not.
    pub(super) fn all<'a>(&self, file: &'a [u8]) -> Result<&'a [u8], Fault> {
        slice(file, self.span.offset, self.span.bytes)
    }

    /// Where a page and its checksum stand in the file.
    pub(super) fn places(&self, page: u64) -> (u64, u64) {
        let sum = self.place(self.span.bytes).saturating_add(page.saturating_mul(4));
        (self.place(page.saturating_mul(PAGE)), sum)
    }

    /// Where a page stands, its bytes, good or not, and its checksum, right or wrong.
    pub(super) fn stored<'a>(
        &self,
        file: &'a [u8],
        page: u64,
    ) -> Result<(u64, &'a [u8], u32), Fault> {
        let (offset, sum_offset) = self.places(page);
        let len = PAGE.min(self.span.bytes.saturating_sub(page.saturating_mul(PAGE)));
        let sum = u32_at(slice(file, sum_offset, 4)?, 0).unwrap_or(0);
        Ok((offset, slice(file, offset, len)?, sum))
    }

    fn check(&self, file: &[u8], id: u64, page: u64) -> Result<(), Fault> {
        let word = usize::try_from(page / 64).ok().and_then(|word| self.good.get(word));
        let bit = 1u64 << (page % 64);
        if word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0) {
            return Ok(());
        }
        self.compare(file, id, page)?;
        if let Some(word) = word {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The bytes of a page, checked now.
    pub(super) fn compare<'a>(
        &self,
        file: &'a [u8],
        id: u64,
        page: u64,
    ) -> Result<&'a [u8], Fault> {
        let (offset, bytes, expected) = self.stored(file, page)?;
        let found = checksum(id, offset, bytes);
        if expected == found {
            Ok(bytes)
        } else {
            Err(Fault { offset, what: "page checksum", sums: Some((expected, found)) })
        }
    }
}

/// Appends the checksums of the pages of `bytes`, which stand at `offset` in the file.
pub(super) fn put_checksums(bytes: &mut Vec<u8>, id: u64, offset: u64) {
    let mut sums = Vec::new();
    let mut at = offset;
    for page in bytes.chunks(PAGE_BYTES) {
        put_u32(&mut sums, checksum(id, at, page));
        at += page.len() as u64;
    }
    bytes.append(&mut sums);
}

/// `len` bytes of the file from `offset` on.
pub(super) fn slice(file: &[u8], offset: u64, len: u64) -> Result<&[u8], Fault> {
    let range = || {
        let start = usize::try_from(offset).ok()?;
        file.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    };
    range().ok_or(Fault::new(offset, "piece beyond the end of the file"))
}

/// The integer at position `index` of an array of little-endian integers.
pub(super) fn u32_at(bytes: &[u8], index: usize) -> Option<u32> {
    let word = bytes.get(index.checked_mul(4)?..)?.first_chunk()?;
    Some(u32::from_le_bytes(*word))
}
