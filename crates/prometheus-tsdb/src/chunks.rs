//! The segments in the folder `chunks` of a block.

use crate::Error;
use crate::bytes::{Reader, put_u32, put_uvarint};
use crate::error::check;

const MAGIC: u32 = 0x85BD_40DD;
const VERSION: u8 = 1;
const HEADER_BYTES: u64 = 8;

/// Length of a segment at most, in bytes; Prometheus' own limit.
pub const SEGMENT_BYTES_MAX: u64 = 512 << 20;

/// How a chunk is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Floats.
    Xor,
    /// Native histograms with integer counts.
    Histogram,
    /// Native histograms with float counts.
    FloatHistogram,
}

impl Encoding {
    /// The encoding with this number.
    pub fn new(number: u8) -> Result<Self, Error> {
        match number {
            1 => Ok(Self::Xor),
            2 => Ok(Self::Histogram),
            3 => Ok(Self::FloatHistogram),
            _ => Err(Error::Unsupported(format!("chunk encoding {number}"))),
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Xor => 1,
            Self::Histogram => 2,
            Self::FloatHistogram => 3,
        }
    }
}

/// Which segment of a block a chunk stands in, counted from 0, and at which byte of it.
pub fn place(reference: u64) -> (usize, u64) {
    (usize::try_from(reference >> 32).unwrap_or(usize::MAX), reference & 0xffff_ffff)
}

/// Checks the head of a segment.
pub fn check_header(segment: &[u8]) -> Result<(), Error> {
    let mut reader = Reader::new(segment);
    if reader.u32()? != MAGIC {
        return Err(Error::at(0, "not a segment of chunks"));
    }
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(Error::Unsupported(format!("version {other} of chunk segments"))),
    }
}

/// The chunk at `offset` of a segment, whose checksum is right.
pub fn chunk(segment: &[u8], offset: u64) -> Result<(Encoding, &[u8]), Error> {
    let mut reader = Reader::from(segment, offset)?;
    let len = reader.count()?;
    let start = reader.offset();
    let body = reader.take(len.saturating_add(1))?;
    check(body, reader.u32()?, start)?;
    let (&encoding, data) = body.split_first().ok_or(Error::at(start, "no chunk"))?;
    Ok((Encoding::new(encoding)?, data))
}

/// Writes the segments of a block, one after the other.
#[derive(Debug)]
pub struct Writer {
    segment: u32,
    len: u64,
    pending: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Self {
        let mut writer = Self { segment: 0, len: 0, pending: Vec::new() };
        writer.begin();
        writer
    }
}

impl Writer {
    /// The number of the segment, from 0; its file is named by the number after it.
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// Bytes of the segment that wait to be written.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether a chunk of `bytes` has to go to the next segment: write what waits, end the file,
    /// and call [`Writer::next_segment`].
    pub fn is_full(&self, bytes: usize) -> bool {
        self.len + bytes as u64 + 16 > SEGMENT_BYTES_MAX
    }

    /// Begins the next segment.
    pub fn next_segment(&mut self) {
        self.segment += 1;
        self.begin();
    }

    fn begin(&mut self) {
        self.len = HEADER_BYTES;
        self.pending.clear();
        put_u32(&mut self.pending, MAGIC);
        self.pending.extend_from_slice(&[VERSION, 0, 0, 0]);
    }

    /// Adds a chunk; gives its reference.
    pub fn push(&mut self, encoding: Encoding, data: &[u8]) -> u64 {
        let reference = u64::from(self.segment) << 32 | self.len;
        let before = self.pending.len();
        put_uvarint(&mut self.pending, data.len() as u64);
        let body = self.pending.len();
        self.pending.push(encoding.number());
        self.pending.extend_from_slice(data);
        let sum = crc32c::crc32c(self.pending.get(body..).unwrap_or_default());
        put_u32(&mut self.pending, sum);
        self.len += (self.pending.len() - before) as u64;
        reference
    }

    /// The bytes that are to be appended to the segment's file now.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }
}
