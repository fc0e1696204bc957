//! What stands behind the chunks of a block that is being written: the sections of its index, piece
//! by piece, and the footer.
#![expect(
    clippy::cast_possible_truncation,
    reason = "footer and parity have fewer bytes than 2^32: each counts what is below that"
)]

use super::Meta;
use super::format::{
    FOOTER_ALIGN, FOOTER_MAGIC, Footer, PAGE_BYTES, Span, TAIL_BYTES, align_up, checksum, put_u32,
};
use super::index::Directory;
use super::parity;
use super::section::put_checksums;
use crate::Error;

/// So much of a section is gathered before it is written, in bytes: whole pages.
const GATHERED_BYTES: usize = 16 * PAGE_BYTES;

/// Writes symbols, series and columns, in this order, and then the rest.
pub(super) struct Tail<'a> {
    write: &'a mut dyn FnMut(&[u8]) -> Result<(), Error>,
    id: u64,
    /// Where in the file the next byte goes.
    at: u64,
    /// Where the section begins that is being written.
    start: u64,
    /// What was not written of it yet, from a whole page on.
    gathered: Vec<u8>,
    /// The checksums of what was.
    sums: Vec<u8>,
    /// Of all pages so far.
    parity: Vec<u8>,
    spans: Vec<Span>,
}

impl<'a> Tail<'a> {
    /// For the file `id`, behind its first `at` bytes; all goes to `write`.
    pub(super) fn new(
        id: u64,
        at: u64,
        write: &'a mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Self {
        let (gathered, sums, parity, spans) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { write, id, at, start: at, gathered, sums, parity, spans }
    }

    /// Adds to the section.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < GATHERED_BYTES {
            return Ok(());
        }
        self.flush(self.gathered.len() / PAGE_BYTES * PAGE_BYTES)
    }

    /// Ends the section; the next one begins.
    pub(super) fn end_section(&mut self) -> Result<(), Error> {
        self.flush(self.gathered.len())?;
        self.spans.push(Span { offset: self.start, bytes: self.at - self.start });
        let sums = std::mem::take(&mut self.sums);
        self.write(&sums)?;
        self.start = self.at;
        Ok(())
    }

    fn flush(&mut self, bytes: usize) -> Result<(), Error> {
        let mut at = self.at;
        for page in self.gathered.get(..bytes).unwrap_or(&[]).chunks(PAGE_BYTES) {
            put_u32(&mut self.sums, checksum(self.id, at, page));
            parity::add(&mut self.parity, page);
            at += page.len() as u64;
        }
        (self.write)(self.gathered.get(..bytes).unwrap_or(&[]))?;
        self.gathered.drain(..bytes);
        self.at = at;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        (self.write)(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes the postings and both footers. Gives what the block is about, its length included.
    pub(super) fn finish(
        mut self,
        mut postings: Vec<u8>,
        directory: &Directory,
        meta: Meta,
    ) -> Result<Meta, Error> {
        let mut parity = std::mem::take(&mut self.parity);
        postings.chunks(PAGE_BYTES).for_each(|page| parity::add(&mut parity, page));
        // The postings stand between the two footers, so that no single loss takes both.
        let footer_bytes = (Footer::BYTES + directory.arrays.len() + TAIL_BYTES) as u64;
        let first_end = align_up(self.at + footer_bytes, FOOTER_ALIGN);
        self.spans.push(Span { offset: first_end, bytes: postings.len() as u64 });
        put_checksums(&mut postings, self.id, first_end);
        let parity_bytes = parity.len() as u32;
        parity::seal(&mut parity, self.id, first_end + postings.len() as u64);
        let between = (postings.len() + parity.len()) as u64;
        let second_start = first_end + FOOTER_ALIGN.max(between);
        let bytes = align_up(second_start + footer_bytes, FOOTER_ALIGN);
        let mut footer = Footer {
            id: self.id,
            meta: Meta { bytes, series: directory.series, ..meta },
            symbols: directory.symbols,
            layouts: directory.layouts,
            names: directory.names,
            shapes: directory.shapes,
            shape_bytes: directory.shape_bytes,
            parity_bytes,
            sections: Default::default(),
        };
        footer.sections.iter_mut().zip(&self.spans).for_each(|(to, &from)| *to = from);
        let mut encoded = Vec::new();
        footer.put(&mut encoded);
        encoded.extend_from_slice(&directory.arrays);
        let (body, sum) = (encoded.len() as u32, crc32c::crc32c(&encoded));
        put_u32(&mut encoded, body);
        put_u32(&mut encoded, sum);
        encoded.extend_from_slice(&FOOTER_MAGIC);
        self.pad(first_end - footer_bytes)?;
        self.write(&encoded)?;
        self.write(&postings)?;
        self.write(&parity)?;
        self.pad(bytes - footer_bytes)?;
        self.write(&encoded)?;
        Ok(footer.meta)
    }

    /// Goes on to `at` with zeros.
    fn pad(&mut self, at: u64) -> Result<(), Error> {
        let gap = usize::try_from(at - self.at).unwrap_or(0);
        self.write(&vec![0; gap])
    }
}
