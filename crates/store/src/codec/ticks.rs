//! Durations that a coarse clock has measured.
//!
//! Many a clock counts ticks of some dozen nanoseconds (54 MHz on a Raspberry Pi, 24 MHz on other
//! boards, 100 MHz in some machines), and a program reads them as nanoseconds, which therefore
//! lie on a grid whose period is no integer: `ticks * period`, rounded down at both ends, is one of
//! two neighbours. Counted in ticks and one bit they are some bits shorter each.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "values are below 2^40, which is checked first"
)]

use super::Damaged;
use super::decimal::nearest;
use super::ints::Sink;
use super::wire::{Reader, put_signed, put_varint, varint_bytes, zigzag};

/// Values from here on are not taken for durations: 18 minutes in nanoseconds.
const VALUE_LIMIT: i64 = 1 << 40;
/// Periods that are looked for.
const PERIOD_MIN: f64 = 6.0;
const PERIOD_MAX: f64 = 320.0;
/// Gaps of at most so many periods are looked at.
const GAP_PERIODS_MAX: f64 = 12.0;
/// Fewer values tell no period.
const VALUES_MIN: usize = 96;
/// Values that are looked at when a period is sought.
const VALUES_SOUGHT: usize = 240;
/// How well values must stand on the grid: 1 for all on it, 0 for any.
const SCORE_MIN: f64 = 0.5;
/// Gaps after which a period is given up that they are too far off from, on average.
const FIRST_GAPS: usize = 32;
const OFF_MAX: f64 = 0.19;
/// Periods that are tried.
const CANDIDATES_MAX: usize = 16;
/// How often a period is sought in vain before no more is.
const SEARCHES_MAX: u32 = 8;
/// Low bits for the distance from the grid.
const DISTANCE_BITS_MAX: u32 = 2;
/// Distances that are counted.
const DISTANCE_MAX: i64 = 8;
/// About what a value costs that is not on the grid.
const CORRECTION_BITS: usize = 20;
/// What distances may cost for each value; counting in ticks saves about three bits or more.
const COST_BITS_MAX: usize = 3;

/// The fields of the transform: value = `base` + the distance + whole part of ticks * `period`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Grid {
    /// Period with 32 bits behind the point.
    period: u64,
    /// The least distance from the grid.
    base: i64,
    /// The least number of ticks.
    first: u64,
    /// A residual's low bits that are the distance; the others are ticks.
    bits: u32,
}

impl Grid {
    /// Reads the fields.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let (period, base) = (reader.varint()?, reader.signed()?);
        let field = reader.varint()?;
        Ok(Self { period, base, first: field >> 2, bits: (field & 3) as u32 })
    }

    /// Appends the fields.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.period);
        put_signed(out, self.base);
        put_varint(out, self.field());
    }

    /// How many bytes [`Grid::put`] takes.
    pub(super) fn bytes(&self) -> usize {
        varint_bytes(self.period) + varint_bytes(zigzag(self.base)) + varint_bytes(self.field())
    }

    fn field(&self) -> u64 {
        self.first << 2 | u64::from(self.bits)
    }

    #[inline]
    fn value(&self, residual: u64) -> i64 {
        let ticks = (residual >> self.bits).wrapping_add(self.first);
        let on_grid = (ticks.wrapping_mul(self.period) >> 32).cast_signed();
        let distance = residual & ((1 << self.bits) - 1);
        on_grid.wrapping_add(self.base).wrapping_add(distance.cast_signed())
    }
}

/// Turns residuals into values.
pub(super) struct Ticks<'a> {
    pub(super) grid: Grid,
    pub(super) out: &'a mut Vec<i64>,
}

impl Sink for Ticks<'_> {
    fn values(&mut self, residuals: &[u64]) {
        let grid = self.grid;
        self.out.extend(residuals.iter().map(|&u| grid.value(u)));
    }

    fn zeros(&mut self, count: usize) {
        self.out.extend(std::iter::repeat_n(self.grid.value(0), count));
    }
}

/// Values that do not stand on the grid: their rows, and what must be added.
pub(super) type Corrections = Vec<(usize, i64)>;

/// Appends corrections: their number; per correction the rows since the one before, the difference.
pub(super) fn put_corrections(corrections: &Corrections, out: &mut Vec<u8>) {
    put_varint(out, corrections.len() as u64);
    let mut next = 0;
    for &(row, difference) in corrections {
        put_varint(out, (row - next) as u64);
        put_signed(out, difference);
        next = row + 1;
    }
}

/// How many bytes [`put_corrections`] takes.
pub(super) fn correction_bytes(corrections: &Corrections) -> usize {
    let mut next = 0;
    let bytes = corrections.iter().map(|&(row, difference)| {
        let gap = row - next;
        next = row + 1;
        varint_bytes(gap as u64) + varint_bytes(zigzag(difference))
    });
    varint_bytes(corrections.len() as u64) + bytes.sum::<usize>()
}

/// Reads corrections and makes them.
pub(super) fn correct(reader: &mut Reader<'_>, values: &mut [i64]) -> Result<(), Damaged> {
    let count = reader.count(values.len())?;
    let mut rest = values.iter_mut();
    for _ in 0..count {
        let gap = reader.count(rest.len())?;
        let value = rest.nth(gap).ok_or(Damaged("correction out of place"))?;
        *value = value.wrapping_add(reader.signed()?);
    }
    Ok(())
}

/// Finds the grid of values; remembers the period, for one clock has made most of them.
#[derive(Debug, Default)]
pub(super) struct Finder {
    period: Option<f64>,
    searches: u32,
    sorted: Vec<i64>,
}

impl Finder {
    /// The grid on which most of `values` stand, the residuals and corrections in place of what
    /// was there.
    pub(super) fn grid(
        &mut self,
        values: &[i64],
        residuals: &mut Vec<u64>,
        corrections: &mut Corrections,
    ) -> Option<Grid> {
        let durations = values.iter().all(|&value| (0..VALUE_LIMIT).contains(&value));
        if values.len() < VALUES_MIN || !durations {
            return None;
        }
        if let Some(period) = self.period
            && let Some(grid) = fit(values, period, residuals, corrections)
        {
            return Some(grid);
        }
        if self.searches >= SEARCHES_MAX {
            return None;
        }
        self.searches += 1;
        self.sorted.clear();
        self.sorted.extend_from_slice(values);
        self.sorted.sort_unstable();
        let refined = search(&self.sorted).into_iter().map(|period| refine(&self.sorted, period));
        // What a period saves: the ticks have fewer bits, the distances cost some.
        let saved = |period: f64| {
            let (cost, _) = assess(values, period)?;
            Some(values.len() as f64 * period.log2() - cost as f64)
        };
        let best = refined.filter_map(|period| Some((saved(period)?, period)));
        let (_, period) = best.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (self.period, self.searches) = (Some(period), 0);
        fit(values, period, residuals, corrections)
    }
}

/// How well differences stand on a grid: 1 if all are multiples of the period, about 0 for any
/// numbers; `None` if they are too few to tell, or the first of them stand badly.
fn score(differences: impl Iterator<Item = f64>, period: f64) -> Option<f64> {
    let (mut off, mut count, inverse) = (0.0, 0, 1.0 / period);
    for difference in differences {
        let ticks = difference * inverse;
        off += (ticks - nearest(ticks, 1.0) as f64).abs();
        count += 1;
        if count == FIRST_GAPS && off > FIRST_GAPS as f64 * OFF_MAX {
            return None;
        }
    }
    (count >= VALUES_MIN / 2).then(|| 1.0 - 4.0 * off / count as f64)
}

/// The periods, best first, that the gaps between `sorted` neighbours tell. Parts of the period
/// score as well as the whole.
fn search(sorted: &[i64]) -> Vec<f64> {
    let neighbours = |lag: usize| {
        let pairs = sorted.iter().zip(sorted.get(lag..).unwrap_or(&[]));
        pairs.take(VALUES_SOUGHT).map(|(&a, &b)| (b - a) as f64)
    };
    let mut gaps: Vec<f64> = neighbours(1).chain(neighbours(2)).collect();
    gaps.retain(|&gap| gap > PERIOD_MIN / 2.0 && gap < PERIOD_MAX * GAP_PERIODS_MAX);
    let mut found: Vec<(f64, f64)> = Vec::new();
    let mut period = PERIOD_MIN;
    while period < PERIOD_MAX {
        // Shorter gaps tell nothing of the period, over longer ones a small error is out of step.
        let (least, most) = (period * 0.6, period * GAP_PERIODS_MAX);
        let telling = gaps.iter().filter(|&&gap| gap > least && gap < most);
        let score = score(telling.copied(), period);
        if let Some(score) = score.filter(|&score| score > SCORE_MIN) {
            match found.last_mut() {
                // The same period, seen a little wrong.
                Some(same) if period < same.1 * 1.03 => {
                    if score > same.0 {
                        *same = (score, period);
                    }
                }
                _ => found.push((score, period)),
            }
        }
        period *= 1.0 + 0.1 / GAP_PERIODS_MAX;
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(CANDIDATES_MAX);
    found.into_iter().map(|(_, period)| period).collect()
}

/// A more exact period, by going from the gaps between neighbours to ever larger differences: over
/// each the period is known well enough to count its ticks.
fn refine(sorted: &[i64], mut period: f64) -> f64 {
    // The largest are often not of one clock: it was adjusted meanwhile, or counts otherwise.
    let sorted = sorted.get(..sorted.len() * 9 / 10).unwrap_or(&[]);
    let mut most = period * GAP_PERIODS_MAX;
    for lag in [1, 1, 4, 16, 64, 256] {
        let pairs = sorted.iter().zip(sorted.get(lag..).unwrap_or(&[]));
        let (mut product, mut square) = (0.0, 0.0);
        for (&a, &b) in pairs {
            let difference = (b - a) as f64;
            if difference < most {
                let ticks = nearest(difference, 1.0 / period) as f64;
                product += ticks * difference;
                square += ticks * ticks;
            }
        }
        if square > 0.0 {
            period = product / square;
        }
        most *= 8.0;
    }
    period
}

/// A period's ticks: how many a value is nearest to, and how far above them it stands.
struct Clock {
    period: f64,
    fixed: u64,
}

impl Clock {
    fn new(period: f64) -> Option<Self> {
        let sound = (PERIOD_MIN / 2.0..PERIOD_MAX * 2.0).contains(&period);
        let fixed = (period * (1u64 << 32) as f64).round() as u64;
        sound.then_some(Self { period, fixed })
    }

    fn ticks(&self, value: i64) -> (u64, i64) {
        // A reading rounds down, so a duration is longer by half of the unit in the middle.
        let ticks = nearest((value as f64 - 0.5).max(0.0), 1.0 / self.period) as u64;
        (ticks, value - (ticks.wrapping_mul(self.fixed) >> 32).cast_signed())
    }
}

/// The grid of a period that takes the fewest bits, and how many its distances take; `None` if the
/// values do not stand on one.
fn assess(values: &[i64], period: f64) -> Option<(usize, Grid)> {
    let clock = Clock::new(period)?;
    let mut counts = [0u32; 2 * DISTANCE_MAX as usize];
    let mut first = u64::MAX;
    for &value in values {
        let (ticks, distance) = clock.ticks(value);
        first = first.min(ticks);
        let slot = usize::try_from(distance + DISTANCE_MAX).ok();
        if let Some(count) = slot.and_then(|slot| counts.get_mut(slot)) {
            *count += 1;
        }
    }
    let (cost, bits, base) = best_window(&counts, values.len())?;
    Some((cost, Grid { period: clock.fixed, base, first, bits }))
}

/// The grid of a period with its residuals and corrections.
fn fit(
    values: &[i64],
    period: f64,
    residuals: &mut Vec<u64>,
    corrections: &mut Corrections,
) -> Option<Grid> {
    let (_, grid) = assess(values, period)?;
    let clock = Clock::new(period)?;
    residuals.clear();
    corrections.clear();
    for (row, &value) in values.iter().enumerate() {
        let (ticks, distance) = clock.ticks(value);
        let above = distance.wrapping_sub(grid.base).clamp(0, (1 << grid.bits) - 1);
        let residual = (ticks - grid.first) << grid.bits | above.cast_unsigned();
        residuals.push(residual);
        let difference = value.wrapping_sub(grid.value(residual));
        if difference != 0 {
            corrections.push((row, difference));
        }
    }
    Some(grid)
}

/// What distances cost in bits in all, how many bits each has, and from which on they count, given
/// how often each occurs; `None` if the values do not stand on the grid.
fn best_window(counts: &[u32], values: usize) -> Option<(usize, u32, i64)> {
    let windows = (0..=DISTANCE_BITS_MAX).flat_map(|bits| {
        let starts = counts.windows(1 << bits).zip(-DISTANCE_MAX..);
        starts.map(move |(window, start)| {
            let outside = values - window.iter().sum::<u32>() as usize;
            (values * bits as usize + outside * CORRECTION_BITS, bits, start)
        })
    });
    windows.min().filter(|&(cost, ..)| cost < values * COST_BITS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::column;

    /// Durations of `ticks` of a clock, as two readings in whole nanoseconds give them.
    fn durations(period: f64, count: u64) -> Vec<i64> {
        (0..count)
            .map(|row| {
                let random = row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
                let (start, ticks) = (random % 1_000_003, 300 + random % 4001);
                let at = |ticks: u64| (ticks as f64 * period).floor() as i64;
                at(start + ticks) - at(start)
            })
            .collect()
    }

    #[test]
    fn a_coarse_clock_is_found() {
        for period in [1e9 / 99_843_518.0, 1e9 / 54e6, 1e9 / 24e6, 1e9 / 19.2e6] {
            let mut values = durations(period, 480);
            values[7] += 5;
            values[479] = 77_777_777;
            let (mut residuals, mut corrections) = (Vec::new(), Vec::new());
            let grid = Finder::default().grid(&values, &mut residuals, &mut corrections).unwrap();
            let found = grid.period as f64 / (1u64 << 32) as f64;
            assert!((found - period).abs() < period * 1e-5, "{found} {period}");
            assert_eq!(grid.bits, 1);
            assert!(corrections.len() < 20, "{corrections:?}");
            let mut back = Vec::new();
            Ticks { grid, out: &mut back }.values(&residuals);
            let mut bytes = Vec::new();
            put_corrections(&corrections, &mut bytes);
            assert_eq!(bytes.len(), correction_bytes(&corrections));
            correct(&mut Reader::new(&bytes), &mut back).unwrap();
            assert_eq!(back, values, "{period}");
        }
    }

    #[test]
    fn numbers_without_a_clock_have_no_grid() {
        let mut finder = Finder::default();
        let mut grid = |values: &[i64]| finder.grid(values, &mut Vec::new(), &mut Vec::new());
        for seed in 0..20u64 {
            let values: Vec<i64> =
                (0..480u64).map(|row| (mixed(seed << 32 | row) % 60_000).cast_signed()).collect();
            assert_eq!(grid(&values), None);
        }
        assert_eq!(grid(&[i64::MIN; 200]), None);
        assert_eq!(grid(&[0; 200]), None);
        assert_eq!(finder.searches, SEARCHES_MAX);
    }

    fn mixed(x: u64) -> u64 {
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    #[test]
    fn durations_take_fewer_bytes() {
        let size = |values: &[i64]| {
            let values: Vec<f64> = values.iter().map(|&v| v as f64 / 1e9).collect();
            let mut blob = Vec::new();
            column::encode_best(&values, &mut blob);
            let mut back = Vec::new();
            column::decode(&blob, values.len(), &mut back).unwrap();
            assert!(back.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()));
            blob.len()
        };
        let coarse = durations(1e9 / 54e6, 480);
        let fine: Vec<i64> = (0..480).map(|row| (mixed(row) % 74_000).cast_signed()).collect();
        assert!(size(&coarse) * 100 < size(&fine) * 84, "{} {}", size(&coarse), size(&fine));
    }
}
