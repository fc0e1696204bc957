//! XOR chunks: up to 65,535 samples of one series, times as differences of differences, values
//! as what changed in their bits.

use crate::Error;
use crate::bits::{BitReader, BitWriter};

/// Samples that Prometheus puts into one chunk at most, but for blocks it was given.
pub const SAMPLES_BEST: u16 = 120;

/// Encodes the samples of one chunk.
#[derive(Clone, Debug)]
pub struct Appender {
    bits: BitWriter,
    count: u16,
    at: i64,
    delta: u64,
    value: u64,
    /// Zeros before and behind the bits that changed last; `None` before there were any.
    zeros: Option<(u32, u32)>,
}

impl Default for Appender {
    fn default() -> Self {
        let bits = BitWriter::after(vec![0; 2]);
        Self { bits, count: 0, at: 0, delta: 0, value: 0, zeros: None }
    }
}

impl Appender {
    /// Samples so far.
    pub fn len(&self) -> u16 {
        self.count
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The time of the last sample; 0 if there is none.
    pub fn last_at(&self) -> i64 {
        self.at
    }

    /// Bytes that the chunk takes so far.
    pub fn bytes(&self) -> usize {
        self.bits.bytes().len()
    }

    /// Adds a sample, later than the one before. At 65,535 samples nothing more is taken.
    pub fn push(&mut self, at: i64, value: f64) {
        let bits = value.to_bits();
        match self.count {
            u16::MAX => return,
            0 => {
                self.bits.put_varint(at);
                self.bits.put(bits, 64);
            }
            1 => {
                self.delta = at.wrapping_sub(self.at).cast_unsigned();
                self.bits.put_uvarint(self.delta);
                self.put_value(bits);
            }
            _ => {
                let delta = at.wrapping_sub(self.at).cast_unsigned();
                self.put_change(delta.wrapping_sub(self.delta).cast_signed());
                self.delta = delta;
                self.put_value(bits);
            }
        }
        self.at = at;
        self.value = bits;
        self.count += 1;
    }

    fn put_change(&mut self, change: i64) {
        let fits = |bits: u32| (-(1i64 << (bits - 1)) < change) && change <= 1i64 << (bits - 1);
        let bits = change.cast_unsigned();
        match change {
            0 => self.bits.put(0, 1),
            _ if fits(14) => self.put_both(0b10, 2, bits, 14),
            _ if fits(17) => self.put_both(0b110, 3, bits, 17),
            _ if fits(20) => self.put_both(0b1110, 4, bits, 20),
            _ => self.put_both(0b1111, 4, bits, 64),
        }
    }

    fn put_both(&mut self, prefix: u64, prefix_bits: u32, value: u64, bits: u32) {
        self.bits.put(prefix, prefix_bits);
        self.bits.put(value, bits);
    }

    fn put_value(&mut self, bits: u64) {
        let change = bits ^ self.value;
        if change == 0 {
            return self.bits.put(0, 1);
        }
        self.bits.put(1, 1);
        // Five bits tell how many zeros lead.
        let (leading, trailing) = (change.leading_zeros().min(31), change.trailing_zeros());
        if let Some((before, behind)) = self.zeros
            && leading >= before
            && trailing >= behind
        {
            self.bits.put(0, 1);
            return self.bits.put(change >> behind, 64 - before - behind);
        }
        self.zeros = Some((leading, trailing));
        let len = 64 - leading - trailing;
        self.bits.put(1, 1);
        self.bits.put(u64::from(leading), 5);
        // 64 does not fit into six bits, and stands as 0.
        self.bits.put(u64::from(len) & 63, 6);
        self.bits.put(change >> trailing, len);
    }

    /// The chunk's bytes; the appender begins anew.
    pub fn finish(&mut self) -> Vec<u8> {
        let [high, low] = self.count.to_be_bytes();
        for (room, byte) in self.bits.bytes_mut().iter_mut().zip([high, low]) {
            *room = byte;
        }
        let bytes = self.bits.take();
        *self = Self::default();
        bytes
    }
}

/// How many samples a chunk holds, of any encoding.
pub fn count(chunk: &[u8]) -> Result<u16, Error> {
    let (count, _) = chunk.split_first_chunk().ok_or(Error::at(0, "a chunk without a count"))?;
    Ok(u16::from_be_bytes(*count))
}

/// Calls `visit` with the time and value of each sample of an XOR chunk. After an error the
/// samples before it were visited.
pub fn decode(chunk: &[u8], mut visit: impl FnMut(i64, f64)) -> Result<u16, Error> {
    let count = count(chunk)?;
    let mut bits = BitReader::new(chunk.get(2..).unwrap_or_default());
    let (mut at, mut delta, mut value) = (0i64, 0u64, 0u64);
    let mut zeros = (0u32, 0u32);
    for number in 0..count {
        match number {
            0 => {
                at = bits.varint()?;
                value = bits.bits(64)?;
            }
            1 => {
                delta = bits.uvarint()?;
                at = at.wrapping_add(delta.cast_signed());
                read_value(&mut bits, &mut value, &mut zeros)?;
            }
            _ => {
                delta = delta.wrapping_add(change(&mut bits)?);
                at = at.wrapping_add(delta.cast_signed());
                read_value(&mut bits, &mut value, &mut zeros)?;
            }
        }
        visit(at, f64::from_bits(value));
    }
    Ok(count)
}

/// How much more than the time before this one is ahead of the one before it.
fn change(bits: &mut BitReader<'_>) -> Result<u64, Error> {
    for width in [0, 14, 17, 20] {
        if bits.bit()? {
            continue;
        }
        let value = bits.bits(width)?;
        if width > 0 && value > 1 << (width - 1) {
            return Ok(value.wrapping_sub(1 << width));
        }
        return Ok(value);
    }
    bits.bits(64)
}

fn read_value(
    bits: &mut BitReader<'_>,
    value: &mut u64,
    zeros: &mut (u32, u32),
) -> Result<(), Error> {
    if !bits.bit()? {
        return Ok(());
    }
    if bits.bit()? {
        let leading = u32::try_from(bits.bits(5)?).unwrap_or(0);
        let len = match u32::try_from(bits.bits(6)?).unwrap_or(0) {
            0 => 64,
            len => len,
        };
        let trailing = 64u32.checked_sub(leading + len);
        *zeros = (leading, trailing.ok_or(Error::at(2, "a value of more than 64 bits"))?);
    }
    let (leading, trailing) = *zeros;
    *value ^= bits.bits(64 - leading - trailing)? << trailing;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(samples: &[(i64, u64)]) {
        let mut appender = Appender::default();
        for &(at, bits) in samples {
            appender.push(at, f64::from_bits(bits));
        }
        let bytes = appender.finish();
        let mut found = Vec::new();
        decode(&bytes, |at, value| found.push((at, value.to_bits()))).unwrap();
        assert_eq!(found, samples);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            start in any::<i64>(),
            steps in prop::collection::vec((prop_oneof![Just(15_000i64), 1..20i64, 1..600_000i64,
                1..i64::MAX], prop_oneof![any::<u64>(), (0..100u32).prop_map(|v| f64::from(v).to_bits()),
                Just(0x7ff0_0000_0000_0002)]), 0..300),
        ) {
            let mut at = start;
            let samples: Vec<_> = steps
                .into_iter()
                .map(|(step, bits)| {
                    at = at.wrapping_add(step);
                    (at, bits)
                })
                .collect();
            round_trip(&samples);
        }

        #[test]
        fn any_bytes_end_well(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, |_, _| {});
        }
    }
}
