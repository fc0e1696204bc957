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
const BLOCK: usize = 64;
/// Set in a block's header when exceptions follow.
const HAS_EXCEPTIONS: u8 = 0x80;

/// The coder that takes the fewest bytes, and how many that is.
pub(super) fn choose(values: &[u64]) -> (Coder, usize) {
    let nonzero = values.iter().filter(|&&value| value != 0).count();
    if nonzero == 0 {
        return (Coder::Zero, 0);
    }
    let pack = values.chunks(BLOCK).map(|block| BlockPlan::of(block).bytes).sum();
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
        pack(block, width, out);
    }
}

/// Reads `count` values into `out`, replacing what it held.
pub(super) fn decode(
    reader: &mut Reader<'_>,
    coder: Coder,
    count: usize,
    out: &mut Vec<u64>,
) -> Result<(), Damaged> {
    out.clear();
    out.resize(count, 0);
    match coder {
        Coder::Zero => Ok(()),
        Coder::Sparse => decode_sparse(reader, out),
        Coder::Pack => out.chunks_mut(BLOCK).try_for_each(|block| decode_block(reader, block)),
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

fn decode_block(reader: &mut Reader<'_>, block: &mut [u64]) -> Result<(), Damaged> {
    let head = reader.byte()?;
    let width = u32::from(head & !HAS_EXCEPTIONS);
    if width > 64 {
        return Err(Damaged("packed width out of range"));
    }
    let exceptions = match head & HAS_EXCEPTIONS {
        0 => None,
        _ => Some((usize::from(reader.byte()?), u32::from(reader.byte()?) + 1)),
    };
    let bytes = reader.take(packed_bytes(block.len(), width))?;
    unpack(bytes, width, block);
    let Some((count, extra)) = exceptions else { return Ok(()) };
    if width + extra > 64 || count > block.len() {
        return Err(Damaged("packed exceptions out of range"));
    }
    let mut bits = BitReader::new(reader.take(packed_bytes(count, 6 + extra))?);
    for _ in 0..count {
        let position = bits.take(6) as usize;
        let high = bits.take(extra);
        let value = block.get_mut(position).ok_or(Damaged("packed exception out of place"))?;
        *value |= high << width;
    }
    Ok(())
}

/// Unpacks at most 64 values of `width` bits; `bytes` holds exactly as many as they take.
fn unpack(bytes: &[u8], width: u32, block: &mut [u64]) {
    if width == 0 {
        return;
    }
    // A copy behind which zeros stand: every value is then one load, with no check for the end.
    let mut padded = [0u8; 8 * BLOCK + 16];
    let len = bytes.len().min(8 * BLOCK);
    padded[..len].copy_from_slice(&bytes[..len]);
    if width <= 56 {
        unpack_narrow(&padded, width, block);
    } else {
        unpack_wide(&padded, width, block);
    }
}

fn unpack_narrow(padded: &[u8; 8 * BLOCK + 16], width: u32, block: &mut [u64]) {
    let mask = mask(width);
    let mut at = 0usize;
    for value in block {
        let byte = (at >> 3) & (8 * BLOCK - 1);
        let mut word = [0; 8];
        word.copy_from_slice(&padded[byte..byte + 8]);
        *value = (u64::from_le_bytes(word) >> (at & 7)) & mask;
        at += width as usize;
    }
}

fn unpack_wide(padded: &[u8; 8 * BLOCK + 16], width: u32, block: &mut [u64]) {
    let mut bits = BitReader::new(padded);
    for value in block {
        *value = bits.take(width);
    }
}

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

fn decode_sparse(reader: &mut Reader<'_>, out: &mut [u64]) -> Result<(), Damaged> {
    let count = reader.count(out.len())?;
    let mut bits = BitReader::new(reader.rest());
    let (gap_k, value_k) = (bits.take(6) as u32, bits.take(6) as u32);
    let mut slots = out.iter_mut();
    for _ in 0..count {
        let gap = usize::try_from(bits.take_rice(gap_k)).unwrap_or(usize::MAX);
        let slot = slots.nth(gap).ok_or(Damaged("sparse value out of place"))?;
        *slot = bits.take_rice(value_k).wrapping_add(1);
    }
    let read = bits.finish()?;
    reader.take(read).map(drop)
}
