//! Records in their frames: where one starts, how long it is, and whether it is whole.

/// First two bytes of every record, by which the next one is found behind damage.
pub(super) const MAGIC: [u8; 2] = [0xd6, 0x9b];

/// Bytes before a record's payload.
pub(super) const HEADER_BYTES: usize = 16;

/// Largest payload of a record, in bytes: a row of the widest layout fits.
pub(super) const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// The record is the second copy of one that stands before it in the segment.
pub(super) const COPY: u8 = 1;
/// Later rows of the layout are encoded against this row.
pub(super) const BASE: u8 = 2;
/// The row is encoded against nothing.
pub(super) const FULL: u8 = 4;
const FLAGS: u8 = COPY | BASE | FULL;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What the segment is: the first record.
    Head = 1,
    /// A series and its labels.
    Series = 2,
    /// A layout and its source.
    Layout = 3,
    /// Columns of a layout.
    Columns = 4,
    /// No more rows come for a layout.
    Drop = 5,
    /// A row.
    Row = 6,
    /// Nothing: keeps a record and its copy out of the same sector.
    Filler = 7,
    /// The segment was closed in good order.
    End = 8,
}

impl Kind {
    fn new(byte: u8) -> Option<Self> {
        let kinds = [
            Self::Head,
            Self::Series,
            Self::Layout,
            Self::Columns,
            Self::Drop,
            Self::Row,
            Self::Filler,
            Self::End,
        ];
        kinds.into_iter().find(|&kind| kind as u8 == byte)
    }
}

/// A record's header, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// Length of the payload in bytes.
    pub(super) len: u32,
    /// The record's number in its segment, from 0, without a gap.
    pub(super) ordinal: u32,
}

impl Frame {
    /// Length of the whole record in bytes.
    pub(super) fn bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.len)
    }
}

/// Where a record stands; part of its checksum, so that a stale or misplaced page is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// Reads a header without looking at the payload. `None`: no record starts here.
pub(super) fn peek(header: &[u8]) -> Option<(Frame, u32)> {
    let &[m0, m1, kind, flags, l0, l1, l2, l3, o0, o1, o2, o3, c0, c1, c2, c3] =
        header.first_chunk::<HEADER_BYTES>()?;
    if [m0, m1] != MAGIC || flags & !FLAGS != 0 {
        return None;
    }
    let len = u32::from_le_bytes([l0, l1, l2, l3]);
    if len as usize > PAYLOAD_BYTES_MAX {
        return None;
    }
    let ordinal = u32::from_le_bytes([o0, o1, o2, o3]);
    let checksum = u32::from_le_bytes([c0, c1, c2, c3]);
    Some((Frame { kind: Kind::new(kind)?, flags, len, ordinal }, checksum))
}

/// Reads the record at the start of `bytes`, which stand at `place`. `None` when it is not whole.
/// Pure, and made for any bytes.
pub(super) fn parse(bytes: &[u8], place: Place) -> Option<(Frame, &[u8])> {
    let (frame, checksum) = peek(bytes)?;
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    let payload = rest.get(..frame.len as usize)?;
    (sum(header.first_chunk()?, payload, place) == checksum).then_some((frame, payload))
}

/// Writes the header of the record that starts at `start` of `out` and ends with it.
#[expect(clippy::indexing_slicing, reason = "the caller left room for the header")]
pub(super) fn seal(out: &mut [u8], start: usize, kind: Kind, flags: u8, ordinal: u32, at: Place) {
    let (header, payload) = out[start..].split_at_mut(HEADER_BYTES);
    debug_assert!(payload.len() <= PAYLOAD_BYTES_MAX);
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    header[..2].copy_from_slice(&MAGIC);
    header[2] = kind as u8;
    header[3] = flags;
    header[4..8].copy_from_slice(&len.to_le_bytes());
    header[8..12].copy_from_slice(&ordinal.to_le_bytes());
    let mut checked = [0; 12];
    checked.copy_from_slice(&header[..12]);
    let checksum = sum(&checked, payload, at);
    header[12..].copy_from_slice(&checksum.to_le_bytes());
}

/// The checksum of a record: over its place, its header and its payload.
pub(super) fn sum(header: &[u8; 12], payload: &[u8], place: Place) -> u32 {
    let mut prefix = [0; 28];
    if let Some((segment, rest)) = prefix.split_first_chunk_mut()
        && let Some((offset, rest)) = rest.split_first_chunk_mut()
    {
        *segment = place.segment.to_le_bytes();
        *offset = place.offset.to_le_bytes();
        rest.copy_from_slice(header);
    }
    crc32c::crc32c_append(crc32c::crc32c(&prefix), payload)
}
