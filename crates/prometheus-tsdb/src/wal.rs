//! The pages of a segment of the write-ahead log (`wal`, `wbl` and checkpoints): records, cut
//! into fragments that do not cross a page.

use crate::Error;
use crate::bytes::Reader;
use crate::error::check;

/// Length of a page. A segment is read page by page; its last one may be shorter.
pub const PAGE_BYTES: usize = 32 << 10;

/// The longest record that is put together, in bytes: a segment's length.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

const FRAGMENT_HEAD_BYTES: usize = 7;
const SNAPPY: u8 = 1 << 3;
const ZSTD: u8 = 1 << 4;
const KIND_MASK: u8 = 7;

/// Puts the records of a segment together.
#[derive(Debug, Default)]
pub struct Pages {
    offset: u64,
    record: Vec<u8>,
    /// A record has begun and is not whole yet.
    open: bool,
    unpacked: Vec<u8>,
}

impl Pages {
    /// Takes the next page and calls `visit` with each record that ends in it. After an error
    /// nothing more of the segment can be trusted.
    pub fn page(&mut self, page: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let base = self.offset;
        self.offset += page.len() as u64;
        let mut reader = Reader::new(page);
        while !reader.is_empty() {
            let at = reader.offset();
            let done = self.fragment(&mut reader, visit).map_err(|e| match e {
                // A segment that was being written to may end in the middle of a fragment.
                Error::Malformed { .. } if page.len() < PAGE_BYTES => {
                    Error::at(at, "the segment ends within a record")
                }
                other => other,
            });
            if done.map_err(|e| e.shifted(base))? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the last record is not whole.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Reads one fragment; tells whether the rest of the page is empty.
    fn fragment(
        &mut self,
        reader: &mut Reader<'_>,
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, Error> {
        let start = reader.offset();
        let flags = reader.u8()?;
        let kind = flags & KIND_MASK;
        if kind == 0 {
            return match reader.rest().iter().all(|&byte| byte == 0) {
                true => Ok(true),
                false => Err(Error::at(start, "bytes where the page should be empty")),
            };
        }
        let len = usize::from(reader.u16()?);
        let sum = reader.u32()?;
        debug_assert_eq!(reader.offset(), start + FRAGMENT_HEAD_BYTES);
        let data = reader.take(len)?;
        check(data, sum, start)?;
        match (kind, self.open) {
            (1 | 2, false) => self.record.clear(),
            (3 | 4, true) => {}
            _ => return Err(Error::at(start, "a fragment that does not fit the one before")),
        }
        if self.record.len() + data.len() > RECORD_BYTES_MAX {
            return Err(Error::at(start, "a record that is too long"));
        }
        self.record.extend_from_slice(data);
        self.open = matches!(kind, 2 | 3);
        if !self.open {
            let record = unpack(&self.record, flags, &mut self.unpacked);
            visit(record.map_err(|e| e.shifted(start as u64))?);
        }
        Ok(false)
    }
}

/// The record without its compression.
fn unpack<'a>(record: &'a [u8], flags: u8, buffer: &'a mut Vec<u8>) -> Result<&'a [u8], Error> {
    buffer.clear();
    if flags & SNAPPY != 0 {
        let bad = |_| Error::at(0, "a record that snappy cannot read");
        let len = snap::raw::decompress_len(record).map_err(bad)?;
        if len > RECORD_BYTES_MAX {
            return Err(Error::at(0, "a record that is too long"));
        }
        buffer.resize(len, 0);
        snap::raw::Decoder::new().decompress(record, buffer).map_err(bad)?;
    } else if flags & ZSTD != 0 {
        use std::io::Read as _;
        let bad = || Error::at(0, "a record that zstd cannot read");
        let decoder = ruzstd::decoding::StreamingDecoder::new(record).map_err(|_| bad())?;
        let limit = RECORD_BYTES_MAX as u64 + 1;
        decoder.take(limit).read_to_end(buffer).map_err(|_| bad())?;
        if buffer.len() > RECORD_BYTES_MAX {
            return Err(Error::at(0, "a record that is too long"));
        }
    } else {
        return Ok(record);
    }
    Ok(buffer)
}
