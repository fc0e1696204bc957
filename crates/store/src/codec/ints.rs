//! Three ways to write unsigned integers of which most are small.
#![expect(clippy::indexing_slicing, reason = "hot; every index is masked or below a fixed length")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "widths and counts are bounded by 64, lengths by a chunk's rows"
)]

use super::Damaged;
use super::bits::{BitReader, BitWriter, rice_bits, rice_parameter};
use super::wire::{Reader, put_varint, varint_bytes};

/// How a run of integers is written. The number is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Coder {
    /// All are zero; nothing is written.
    Zero = 0,
    /// Few are not zero: gaps and values as Rice codes.
    Sparse = 1,
    /// Blocks of 64 at a width of their own, with exceptions.
    Pack = 2,
}

impl Coder {
    /// The coder of a number in the format.
    pub(super) fn from_tag(tag: u8) -> Result<Self, Damaged> {
        match tag {
            0 => Ok(Self::Zero),
            1 => Ok(Self::Sparse),
            2 => Ok(Self::Pack),
            _ => Err(Damaged("unknown integer coder")),
        }
    }
}

/// Values in a block of [`Coder::Pack`].
pub(super) const BLOCK: usize = 64;
/// Room for a packed block, and for reading eight bytes anywhere in it.
const PACKED_BYTES: usize = 8 * BLOCK + 8;
/// A value of so many bits lies within the eight bytes from its first bit's on.
const NARROW_BITS_MAX: u32 = 56;
/// Set in a block's header when exceptions follow.
const HAS_EXCEPTIONS: u8 = 0x80;

/// The coder that takes the fewest bytes, and how many that is; some number that is not below
/// `limit` if it is not.
pub(super) fn choose(values: &[u64], limit: usize) -> (Coder, usize) {
    let nonzero = values.iter().filter(|&&value| value != 0).count();
    if nonzero == 0 {
        return (Coder::Zero, 0);
    }
    let mut pack = 0;
    for block in values.chunks(BLOCK) {
        pack += BlockPlan::of(block).bytes;
        if pack >= limit {
            break;
        }
    }
    if nonzero * 4 <= values.len() {
        let sparse = SparsePlan::of(values).bytes;
        if sparse < pack {
            return (Coder::Sparse, sparse);
        }
    }
    (Coder::Pack, pack)
}

/// Writes `values` with `coder`, which must be able to hold them.
pub(super) fn encode(values: &[u64], coder: Coder, out: &mut Vec<u8>) {
    match coder {
        Coder::Zero => debug_assert!(values.iter().all(|&value| value == 0)),
        Coder::Sparse => encode_sparse(values, out),
        Coder::Pack => {
            for block in values.chunks(BLOCK) {
                encode_block(block, &BlockPlan::of(block), out);
            }
        }
    }
}

/// Writes at most one block of values below `1 << width` without looking for exceptions.
pub(super) fn encode_plain_blocks(values: &[u64], width: u32, out: &mut Vec<u8>) {
    for block in values.chunks(BLOCK) {
        out.push(width as u8);
        if block.len() * width as usize <= 64 && width < 64 {
            // All in one word.
            let word = block.iter().rfold(0, |word, value| word << width | value);
            let bytes = packed_bytes(block.len(), width);
            out.extend_from_slice(&word.to_le_bytes()[..bytes]);
        } else {
            pack(block, width, out);
        }
    }
}

/// Memory that reading uses again and again.
#[derive(Debug)]
pub(super) struct Work {
    /// A packed block; what stands behind its bytes is left from others and never matters.
    packed: [u8; PACKED_BYTES],
    block: [u64; BLOCK],
}

impl Default for Work {
    fn default() -> Self {
        Self { packed: [0; PACKED_BYTES], block: [0; BLOCK] }
    }
}

/// Takes integers as they are read, in order.
pub(super) trait Sink {
    /// Some values, at most [`BLOCK`].
    fn values(&mut self, values: &[u64]);

    /// So many zeros.
    fn zeros(&mut self, count: usize);
}

/// Reads `count` values into `sink`.
pub(super) fn decode(
    reader: &mut Reader<'_>,
    coder: Coder,
    count: usize,
    work: &mut Work,
    sink: &mut impl Sink,
) -> Result<(), Damaged> {
    match coder {
        Coder::Zero => {
            sink.zeros(count);
            Ok(())
        }
        Coder::Sparse => decode_sparse(reader, count, sink),
        Coder::Pack => {
            let mut left = count;
            while left > 0 {
                let len = left.min(BLOCK);
                if decode_block(reader, len, work)? {
                    sink.values(&work.block[..len]);
                } else {
                    sink.zeros(len);
                }
                left -= len;
            }
            Ok(())
        }
    }
}

fn bit_length(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// How a block is written in the fewest bytes.
struct BlockPlan {
    width: u32,
    width_max: u32,
    exceptions: usize,
    bytes: usize,
}

impl BlockPlan {
    fn of(block: &[u64]) -> Self {
        let mut counts = [0u8; 128];
        let mut any = 0;
        for &value in block {
            counts[bit_length(value) as usize & 127] += 1;
            any |= value;
        }
        let width_max = bit_length(any);
        let plain = 1 + packed_bytes(block.len(), width_max);
        let mut best = Self { width: width_max, width_max, exceptions: 0, bytes: plain };
        let mut exceptions = 0;
        for width in (0..width_max).rev() {
            exceptions += usize::from(counts[width as usize + 1]);
            let bytes = 3
                + packed_bytes(block.len(), width)
                + packed_bytes(exceptions, 6 + width_max - width);
            if bytes < best.bytes {
                best = Self { width, width_max, exceptions, bytes };
            }
        }
        best
    }
}

fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

fn encode_block(block: &[u64], plan: &BlockPlan, out: &mut Vec<u8>) {
    if plan.exceptions == 0 {
        out.push(plan.width as u8);
        pack(block, plan.width, out);
        return;
    }
    let extra = plan.width_max - plan.width;
    out.extend([plan.width as u8 | HAS_EXCEPTIONS, plan.exceptions as u8, extra as u8 - 1]);
    let mut bits = BitWriter::new(out);
    for &value in block {
        bits.put(value & mask(plan.width), plan.width);
    }
    bits.finish();
    let mut bits = BitWriter::new(out);
    for (position, &value) in block.iter().enumerate() {
        let high = value >> plan.width;
        if high != 0 {
            bits.put(position as u64, 6);
            bits.put(high, extra);
        }
    }
    bits.finish();
}

fn pack(block: &[u64], width: u32, out: &mut Vec<u8>) {
    let mut bits = BitWriter::new(out);
    for &value in block {
        bits.put(value, width);
    }
    bits.finish();
}

fn mask(width: u32) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}

/// Reads a block of `len` values; the other slots hold anything afterwards. Says whether any value
/// may differ from zero; if not, no slot was written.
fn decode_block(reader: &mut Reader<'_>, len: usize, work: &mut Work) -> Result<bool, Damaged> {
    let Work { packed, block } = work;
    let head = reader.byte()?;
    let width = u32::from(head & !HAS_EXCEPTIONS);
    if width > 64 {
        return Err(Damaged("packed width out of range"));
    }
    let exceptions = match head & HAS_EXCEPTIONS {
        0 if width == 0 => return Ok(false),
        0 => None,
        _ => Some((usize::from(reader.byte()?), u32::from(reader.byte()?) + 1)),
    };
    let bytes = reader.take(packed_bytes(len, width))?;
    if width == 0 {
        *block = [0; BLOCK];
    } else if width <= NARROW_BITS_MAX {
        packed[..bytes.len()].copy_from_slice(bytes);
        unpack_narrow(packed, width, len, block);
    } else {
        let mut bits = BitReader::new(bytes);
        block[..len].iter_mut().for_each(|value| *value = bits.take(width));
    }
    let Some((count, extra)) = exceptions else { return Ok(true) };
    if width + extra > 64 || count > len {
        return Err(Damaged("packed exceptions out of range"));
    }
    let mut bits = BitReader::new(reader.rest());
    reader.take(packed_bytes(count, 6 + extra))?;
    for _ in 0..count {
        let (position, high) = if extra <= 50 {
            let both = bits.take_short(6 + extra);
            (both & 63, both >> 6)
        } else {
            (bits.take(6), bits.take(extra))
        };
        block[position as usize & (BLOCK - 1)] |= high << width;
    }
    Ok(true)
}

/// Unpacks `len` values, or some more, of 1 to [`NARROW_BITS_MAX`] bits.
fn unpack_narrow(packed: &[u8; PACKED_BYTES], width: u32, len: usize, block: &mut [u64; BLOCK]) {
    let width = width as usize;
    if len <= 8 {
        return unpack_eight(packed, 0, width, block);
    }
    if let Some(unpack) = UNPACK.get(width) {
        return unpack(packed, block);
    }
    for (group, values) in block.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        unpack_eight(packed, group * width, width, values);
    }
}

/// Unpacks eight values that begin at a byte: they fill as many bytes as a value has bits.
#[inline]
fn unpack_eight(packed: &[u8; PACKED_BYTES], start: usize, width: usize, values: &mut [u64]) {
    let mask = (1 << width) - 1;
    let word_at = |byte: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&packed[byte & (8 * BLOCK - 1)..][..8]);
        u64::from_le_bytes(word)
    };
    let first = word_at(start);
    for (lane, value) in values.iter_mut().enumerate().take(8) {
        // Where all eight fit into a word, that is read once.
        let word = match width {
            ..=8 => first >> (lane * width),
            _ => word_at(start + lane * width / 8) >> (lane * width % 8),
        };
        *value = word & mask;
    }
}

/// Unpacks a whole block of values of `WIDTH` bits: the compiler knows all places and shifts.
fn unpack_block<const WIDTH: usize>(packed: &[u8; PACKED_BYTES], block: &mut [u64; BLOCK]) {
    for (group, values) in block.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        unpack_eight(packed, group * WIDTH, WIDTH, values);
    }
}

type Unpack = fn(&[u8; PACKED_BYTES], &mut [u64; BLOCK]);

/// For the widths that most blocks have.
const UNPACK: [Unpack; 25] = [
    unpack_block::<0>,
    unpack_block::<1>,
    unpack_block::<2>,
    unpack_block::<3>,
    unpack_block::<4>,
    unpack_block::<5>,
    unpack_block::<6>,
    unpack_block::<7>,
    unpack_block::<8>,
    unpack_block::<9>,
    unpack_block::<10>,
    unpack_block::<11>,
    unpack_block::<12>,
    unpack_block::<13>,
    unpack_block::<14>,
    unpack_block::<15>,
    unpack_block::<16>,
    unpack_block::<17>,
    unpack_block::<18>,
    unpack_block::<19>,
    unpack_block::<20>,
    unpack_block::<21>,
    unpack_block::<22>,
    unpack_block::<23>,
    unpack_block::<24>,
];

struct SparsePlan {
    count: usize,
    gap_k: u32,
    value_k: u32,
    bytes: usize,
}

impl SparsePlan {
    fn of(values: &[u64]) -> Self {
        let (mut count, mut gaps, mut sum) = (0u64, 0u64, 0u64);
        for_each_nonzero(values, |gap, value| {
            count += 1;
            gaps += gap;
            sum = sum.saturating_add(value - 1);
        });
        let gap_k = rice_parameter(gaps, count);
        let value_k = rice_parameter(sum, count);
        let mut bits = 12;
        for_each_nonzero(values, |gap, value| {
            bits += rice_bits(gap, gap_k) + rice_bits(value - 1, value_k);
        });
        let bytes = varint_bytes(count) + bits.div_ceil(8);
        Self { count: count as usize, gap_k, value_k, bytes }
    }
}

/// Calls `visit` with each value that is not zero and the number of zeros before it.
fn for_each_nonzero(values: &[u64], mut visit: impl FnMut(u64, u64)) {
    let mut gap = 0;
    for &value in values {
        if value == 0 {
            gap += 1;
        } else {
            visit(gap, value);
            gap = 0;
        }
    }
}

fn encode_sparse(values: &[u64], out: &mut Vec<u8>) {
    let plan = SparsePlan::of(values);
    put_varint(out, plan.count as u64);
    let mut bits = BitWriter::new(out);
    bits.put(u64::from(plan.gap_k), 6);
    bits.put(u64::from(plan.value_k), 6);
    for_each_nonzero(values, |gap, value| {
        bits.put_rice(gap, plan.gap_k);
        bits.put_rice(value - 1, plan.value_k);
    });
    bits.finish();
}

fn decode_sparse(
    reader: &mut Reader<'_>,
    count: usize,
    sink: &mut impl Sink,
) -> Result<(), Damaged> {
    let nonzero = reader.count(count)?;
    let mut bits = BitReader::new(reader.rest());
    let (gap_k, value_k) = (bits.take(6) as u32, bits.take(6) as u32);
    let mut left = count;
    for _ in 0..nonzero {
        let gap = usize::try_from(bits.take_rice(gap_k)).unwrap_or(usize::MAX);
        if gap >= left {
            return Err(Damaged("sparse value out of place"));
        }
        left -= gap + 1;
        if gap > 0 {
            sink.zeros(gap);
        }
        sink.values(&[bits.take_rice(value_k).wrapping_add(1)]);
    }
    sink.zeros(left);
    let read = bits.finish()?;
    reader.take(read).map(drop)
}
