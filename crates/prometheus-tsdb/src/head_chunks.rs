//! The files in `chunks_head`: full chunks of the head, cut off and mapped.

use crate::Error;
use crate::bytes::Reader;
use crate::chunks::Encoding;
use crate::error::check;

const MAGIC: u32 = 0x0130_BC91;
const VERSION: u8 = 1;
const HEADER_BYTES: u64 = 8;

/// Set in the encoding of chunks that hold what came out of order.
const OUT_OF_ORDER: u8 = 0x80;

/// Bytes before a chunk's data: series, two times, encoding, a length of at least one byte.
const CHUNK_HEAD_BYTES: usize = 8 + 8 + 8 + 1 + 1;

/// A chunk of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadChunk<'a> {
    /// The series, as the log's records name it.
    pub series: u64,
    /// The times of the first and the last sample.
    pub times: (i64, i64),
    /// Whether it holds what came out of order.
    pub out_of_order: bool,
    /// How it is encoded.
    pub encoding: Encoding,
    /// The chunk.
    pub data: &'a [u8],
}

/// Where a chunk stands in its file.
pub type Place = u64;

/// Calls `visit` with the place of each chunk of a file and with the chunk. The file may end in
/// zeros, for Prometheus makes room in advance. After an error the chunks before it were visited.
pub fn walk(file: &[u8], mut visit: impl FnMut(Place, HeadChunk<'_>)) -> Result<(), Error> {
    let mut reader = Reader::new(file);
    if reader.u32()? != MAGIC {
        // A file that was just made is empty or all zeros.
        return if file.iter().all(|&byte| byte == 0) {
            Ok(())
        } else {
            Err(Error::at(0, "not a file of head chunks"))
        };
    }
    match reader.u8()? {
        VERSION => {}
        other => return Err(Error::Unsupported(format!("version {other} of head chunks"))),
    }
    let mut place = HEADER_BYTES;
    while let Some((chunk, next)) = chunk_at(file, place)? {
        visit(place, chunk);
        place = next;
    }
    Ok(())
}

/// The chunk at `place`, and where the next one stands; `None` at the end.
pub fn chunk_at(file: &[u8], place: Place) -> Result<Option<(HeadChunk<'_>, Place)>, Error> {
    let mut reader = Reader::from(file, place)?;
    let start = reader.offset();
    let head = reader.rest();
    if head.get(..CHUNK_HEAD_BYTES).unwrap_or(head).iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let series = reader.u64()?;
    let times = (reader.i64()?, reader.i64()?);
    let encoding = reader.u8()?;
    let len = reader.count()?;
    let data = reader.take(len)?;
    let body = file.get(start..reader.offset()).unwrap_or_default();
    check(body, reader.u32()?, start)?;
    let out_of_order = encoding & OUT_OF_ORDER != 0;
    let encoding = Encoding::new(encoding & !OUT_OF_ORDER)?;
    let chunk = HeadChunk { series, times, out_of_order, encoding, data };
    Ok(Some((chunk, reader.offset() as u64)))
}
