//! Values that are no decimal numbers: NaN, infinities, -0.0. They stand apart as runs.
#![expect(clippy::cast_possible_truncation, reason = "codes are bounded by their table")]

use narthex_model::STALE;
use narthex_model::sample::NORMAL_NAN;

use super::Damaged;
use super::wire::{Reader, put_varint};

/// The values that have a code, which is their position.
const CODED: [u64; 5] = [
    NORMAL_NAN.to_bits(),
    STALE.to_bits(),
    f64::INFINITY.to_bits(),
    f64::NEG_INFINITY.to_bits(),
    (-0.0f64).to_bits(),
];
/// The code of any other value: eight raw bytes follow.
const RAW: u8 = 7;

/// Whether no mantissa can stand for `value`.
#[inline]
pub(super) fn is_special(value: f64) -> bool {
    !value.is_finite() || value.to_bits() == (-0.0f64).to_bits()
}

/// How many runs of equal special values there are, and whether any needs raw bytes.
pub(super) fn count_runs(values: &[f64]) -> (usize, bool) {
    let (mut runs, mut raw) = (0, false);
    for_each_run(values, |_, _, bits| {
        runs += 1;
        raw |= !CODED.contains(&bits);
    });
    (runs, raw)
}

/// Appends the runs of special values.
pub(super) fn encode(values: &[f64], out: &mut Vec<u8>) {
    put_varint(out, count_runs(values).0 as u64);
    for_each_run(values, |gap, len, bits| {
        let code = CODED.iter().position(|&coded| coded == bits).map_or(RAW, |code| code as u8);
        put_varint(out, gap as u64);
        put_varint(out, (len as u64) << 3 | u64::from(code));
        if code == RAW {
            out.extend_from_slice(&bits.to_le_bytes());
        }
    });
}

/// Reads runs and puts the special values into their places.
pub(super) fn decode(reader: &mut Reader<'_>, values: &mut [f64]) -> Result<(), Damaged> {
    let runs = reader.count(values.len())?;
    let mut rest = values;
    for _ in 0..runs {
        let gap = reader.count(rest.len())?;
        let field = reader.varint()?;
        let code = (field & 7) as u8;
        let len = usize::try_from(field >> 3).map_err(|_| Damaged("special run too long"))?;
        let bits = if code == RAW {
            reader.u64()?
        } else {
            *CODED.get(usize::from(code)).ok_or(Damaged("unknown special value"))?
        };
        let (_, tail) = rest.split_at_mut(gap);
        let (run, tail) = tail.split_at_mut_checked(len).ok_or(Damaged("special run too long"))?;
        run.fill(f64::from_bits(bits));
        rest = tail;
    }
    Ok(())
}

/// Calls `visit` with each run: how many values stand between it and the run before, its length,
/// and its bits.
fn for_each_run(values: &[f64], mut visit: impl FnMut(usize, usize, u64)) {
    let mut gap = 0;
    for run in values.chunk_by(|a, b| a.to_bits() == b.to_bits()) {
        match run.first() {
            Some(&value) if is_special(value) => {
                visit(gap, run.len(), value.to_bits());
                gap = 0;
            }
            _ => gap += run.len(),
        }
    }
}
