//! Bits in little-endian order: the first bit written is bit 0 of the first byte.
#![expect(
    clippy::cast_possible_truncation,
    reason = "numbers of bits are at most 64, bytes are cut out of words"
)]

use super::Damaged;

/// Values of Rice codes with a quotient from here on are written raw behind this many zeros.
const RICE_ESCAPE: u32 = 20;

/// Appends bits to a byte vector.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    used: u32,
}

impl<'a> BitWriter<'a> {
    /// Starts at the end of `out`, on a byte boundary.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, used: 0 }
    }

    /// Appends the low `bits` (at most 64) of `value`, which has no higher ones.
    #[inline]
    pub(super) fn put(&mut self, value: u64, bits: u32) {
        debug_assert!(bits == 64 || value >> bits == 0);
        self.pending |= value << self.used;
        let used = self.used + bits;
        if used < 64 {
            self.used = used;
            return;
        }
        self.out.extend_from_slice(&self.pending.to_le_bytes());
        self.pending = value.checked_shr(64 - self.used).unwrap_or(0);
        self.used = used - 64;
    }

    /// Appends a Rice code with `k` (at most 63) low bits.
    pub(super) fn put_rice(&mut self, value: u64, k: u32) {
        let quotient = value >> k;
        if quotient < u64::from(RICE_ESCAPE) {
            self.put(1 << quotient, quotient as u32 + 1);
            self.put(value & ((1 << k) - 1), k);
        } else {
            let bits = 64 - value.leading_zeros();
            self.put(0, RICE_ESCAPE);
            self.put(u64::from(bits - 1), 6);
            self.put(value, bits);
        }
    }

    /// Fills the last byte with zeros and writes it.
    pub(super) fn finish(self) {
        let bytes = self.used.div_ceil(8) as usize;
        self.out.extend(self.pending.to_le_bytes().iter().take(bytes));
    }
}

/// How many bits [`BitWriter::put_rice`] takes.
pub(super) fn rice_bits(value: u64, k: u32) -> usize {
    let quotient = value >> k;
    if quotient < u64::from(RICE_ESCAPE) {
        quotient as usize + 1 + k as usize
    } else {
        (RICE_ESCAPE + 6 + 64 - value.leading_zeros()) as usize
    }
}

/// The `k` whose Rice codes of the values are about the shortest, given their sum and count.
pub(super) fn rice_parameter(sum: u64, count: u64) -> u32 {
    let mean = sum / count.max(1);
    (mean | 1).ilog2().min(40)
}

/// Reads bits; past the end it reads zeros, and [`BitReader::finish`] tells.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Reads from bit 0 of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// At least 57 bits from the current position on.
    #[inline]
    fn peek(&self) -> u64 {
        let tail = self.bytes.get(self.at / 8..).unwrap_or(&[]);
        let word = match tail.first_chunk() {
            Some(word) => u64::from_le_bytes(*word),
            None => last_word(tail),
        };
        word >> (self.at % 8)
    }

    /// The next `bits`, at most 56.
    #[inline]
    pub(super) fn take_short(&mut self, bits: u32) -> u64 {
        let value = self.peek() & ((1 << bits) - 1);
        self.at += bits as usize;
        value
    }

    /// The next `bits`, at most 64.
    #[inline]
    pub(super) fn take(&mut self, bits: u32) -> u64 {
        if bits > 32 {
            let low = self.take(32);
            return low | self.take(bits - 32) << 32;
        }
        self.take_short(bits)
    }

    /// The next Rice code with `k` low bits, `k` below 64.
    #[inline]
    pub(super) fn take_rice(&mut self, k: u32) -> u64 {
        let word = self.peek();
        let zeros = word.trailing_zeros();
        if zeros < RICE_ESCAPE && k <= 32 {
            // All of it is in the word, which has 57 bits.
            self.at += (zeros + 1 + k) as usize;
            return u64::from(zeros) << k | (word >> (zeros + 1)) & ((1 << k) - 1);
        }
        if zeros >= RICE_ESCAPE {
            self.at += RICE_ESCAPE as usize;
            let bits = self.take(6) as u32 + 1;
            return self.take(bits);
        }
        self.at += zeros as usize + 1;
        u64::from(zeros) << k | self.take(k)
    }

    /// How many bytes were read, if there were so many.
    pub(super) fn finish(self) -> Result<usize, Damaged> {
        let bytes = self.at.div_ceil(8);
        if bytes <= self.bytes.len() { Ok(bytes) } else { Err(Damaged("bits cut short")) }
    }
}

/// Fewer than eight bytes, and zeros behind them.
#[cold]
fn last_word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, &from) in word.iter_mut().zip(bytes) {
        *to = from;
    }
    u64::from_le_bytes(word)
}
