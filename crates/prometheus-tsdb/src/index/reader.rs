//! Reads an index, out of bytes that may be mapped.

use std::ops::Deref;

use narthex_model::Labels;

use super::{ChunkMeta, MAGIC, SERIES_ALIGN, TOC_BYTES, VERSION};
use crate::Error;
use crate::bytes::Reader;
use crate::error::check;

/// An index of version 2. It holds where each symbol stands, and nothing else in memory.
#[derive(Debug)]
pub struct Index<B> {
    bytes: B,
    /// Where each symbol stands, by its number.
    symbols: Vec<u32>,
    postings_table: u64,
}

impl<B: Deref<Target = [u8]>> Index<B> {
    /// Checks the frame and the symbols.
    pub fn open(bytes: B) -> Result<Self, Error> {
        let mut reader = Reader::new(&bytes);
        if reader.u32()? != MAGIC {
            return Err(Error::at(0, "not an index"));
        }
        match reader.u8()? {
            VERSION => {}
            other => return Err(Error::Unsupported(format!("version {other} of indexes"))),
        }
        let toc_at = bytes.len().checked_sub(TOC_BYTES);
        let toc_at = toc_at.ok_or(Error::at(0, "an index without an end"))?;
        let mut toc = Reader::from(&bytes, toc_at as u64)?;
        let body = bytes.get(toc_at..bytes.len() - 4).unwrap_or_default();
        let symbols_at = toc.u64()?;
        let (_series, _label_indices, _label_table, _postings) =
            (toc.u64()?, toc.u64()?, toc.u64()?, toc.u64()?);
        let postings_table = toc.u64()?;
        check(body, toc.u32()?, toc_at)?;
        let symbols = symbols(&bytes, symbols_at)?;
        Ok(Self { bytes, symbols, postings_table })
    }

    /// The references of all series, in the order of their labels.
    pub fn all_series(&self) -> Result<Vec<u64>, Error> {
        let (mut table, at) = section(&self.bytes, self.postings_table)?;
        let entries = table.u32()?;
        for _ in 0..entries {
            let parts = table.uvarint()?;
            if parts != 2 {
                return Err(Error::at(at, "postings without name and value"));
            }
            let (name, value) = (table.text()?, table.text()?);
            let offset = table.uvarint()?;
            if name.is_empty() && value.is_empty() {
                return self.postings(offset);
            }
        }
        Ok(Vec::new())
    }

    fn postings(&self, offset: u64) -> Result<Vec<u64>, Error> {
        let (mut reader, _) = section(&self.bytes, offset)?;
        let count = reader.u32()? as usize;
        let mut found = Vec::with_capacity(count.min(reader.rest().len() / 4));
        for _ in 0..count {
            found.push(u64::from(reader.u32()?));
        }
        Ok(found)
    }

    /// The labels of a series; its chunks go to `chunks`, which is cleared first.
    pub fn series(&self, reference: u64, chunks: &mut Vec<ChunkMeta>) -> Result<Labels, Error> {
        let mut reader = Reader::from(&self.bytes, reference.saturating_mul(SERIES_ALIGN))?;
        let len = reader.count()?;
        let start = reader.offset();
        let body = reader.take(len)?;
        check(body, reader.u32()?, start)?;
        self.entry(body, chunks).map_err(|error| error.shifted(start as u64))
    }

    fn entry(&self, body: &[u8], chunks: &mut Vec<ChunkMeta>) -> Result<Labels, Error> {
        let mut reader = Reader::new(body);
        let mut pairs = Vec::new();
        for _ in 0..reader.count()? {
            let (name, value) = (reader.uvarint()?, reader.uvarint()?);
            pairs.push((self.symbol(name)?, self.symbol(value)?));
        }
        chunks.clear();
        let (mut reference, mut last) = (0i64, 0i64);
        for number in 0..reader.count()? {
            let start = match number {
                0 => reader.varint()?,
                _ => last.wrapping_add(reader.uvarint()?.cast_signed()),
            };
            last = start.wrapping_add(reader.uvarint()?.cast_signed());
            reference = match number {
                0 => reader.uvarint()?.cast_signed(),
                _ => reference.wrapping_add(reader.varint()?),
            };
            chunks.push(ChunkMeta { reference: reference.cast_unsigned(), times: (start, last) });
        }
        Ok(Labels::from_pairs(pairs))
    }

    fn symbol(&self, number: u64) -> Result<&str, Error> {
        let place = usize::try_from(number).ok().and_then(|number| self.symbols.get(number));
        let place = place.ok_or(Error::at(0, "no such symbol"))?;
        Reader::from(&self.bytes, u64::from(*place))?.text()
    }
}

/// The body of a section that stands behind its length and before its checksum.
fn section(bytes: &[u8], offset: u64) -> Result<(Reader<'_>, usize), Error> {
    let mut reader = Reader::from(bytes, offset)?;
    let len = reader.u32()? as usize;
    let start = reader.offset();
    let body = reader.take(len)?;
    check(body, reader.u32()?, start)?;
    Ok((Reader::new(body), start))
}

/// Where each symbol stands.
fn symbols(bytes: &[u8], offset: u64) -> Result<Vec<u32>, Error> {
    let (mut reader, start) = section(bytes, offset)?;
    let count = reader.u32()? as usize;
    let mut places = Vec::with_capacity(count.min(reader.rest().len()));
    for _ in 0..count {
        let place = u32::try_from(start + reader.offset());
        places.push(place.map_err(|_| Error::at(start, "symbols beyond 4 GiB"))?);
        reader.text()?;
    }
    Ok(places)
}
