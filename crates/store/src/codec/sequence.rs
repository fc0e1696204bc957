//! A sequence of integers as a transform of it, so that what is left is small, and its coder.
//!
//! All arithmetic wraps: every sequence of i64 survives, whatever the transform.

use super::Damaged;
use super::ints::{self, Coder, Sink, Work};
use super::ticks::{self, Corrections, Grid, Ticks};
use super::wire::{Reader, put_signed, put_varint, unzigzag, varint_bytes, zigzag};

/// Set in the first byte when a divisor follows.
const HAS_DIVISOR: u8 = 0x08;
/// Set in the first byte for the caller's own use (special values follow, in a DEC blob).
const FLAG: u8 = 0x10;
/// Where the coder's number stands in the first byte.
const CODER_SHIFT: u32 = 5;

/// Bits of a value from which on a clock's grid is sought.
const TICKS_BITS_MIN: usize = 7;

/// What is subtracted before coding. The number is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Transform {
    /// Values above the smallest.
    Offset = 0,
    /// Differences, zigzag.
    Delta = 1,
    /// Differences above the smallest difference: counters that only rise.
    DeltaOffset = 2,
    /// Differences around the median difference.
    DeltaMedian = 3,
    /// Differences of the differences.
    DeltaDelta = 4,
    /// Differences minus those of another column.
    Predicted = 5,
    /// Values on the grid of a clock.
    Ticks = 6,
}

impl Transform {
    /// Whether the first value stands before the residuals.
    fn has_first(self) -> bool {
        !matches!(self, Self::Offset | Self::Ticks)
    }

    /// Whether a base stands before the residuals.
    fn has_base(self) -> bool {
        !matches!(self, Self::Delta | Self::Predicted | Self::Ticks)
    }
}

/// The differences of an earlier column, which a sequence may be predicted from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Predictor<'a> {
    /// How many columns back it stands.
    pub(super) distance: u64,
    /// Its differences, one fewer than it has values.
    pub(super) deltas: &'a [i64],
}

/// A way to write a sequence, and what is left of it.
#[derive(Debug)]
struct Trial {
    transform: Transform,
    divisor: u64,
    base: i64,
    distance: u64,
    grid: Grid,
    corrections: Corrections,
    coder: Coder,
    bytes: usize,
    residuals: Vec<u64>,
}

impl Default for Trial {
    fn default() -> Self {
        Self {
            transform: Transform::Offset,
            divisor: 1,
            base: 0,
            distance: 0,
            grid: Grid::default(),
            corrections: Vec::new(),
            coder: Coder::Zero,
            bytes: usize::MAX,
            residuals: Vec::new(),
        }
    }
}

/// Memory that encoding uses again and again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    best: Trial,
    next: Trial,
    deltas: Vec<i64>,
    sorted: Vec<i64>,
    clock: ticks::Finder,
}

/// Appends `values` in the fewest bytes. `predictors` may be empty; gives the distance of the one
/// that was taken, if any was.
pub(super) fn encode(
    values: &[i64],
    flag: bool,
    predictors: &[Predictor<'_>],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Option<u64> {
    let Some((&first, rest)) = values.split_first() else {
        put_head(Transform::Offset, Coder::Zero, 1, flag, out);
        put_signed(out, 0);
        return None;
    };
    let Scratch { best, next, deltas, sorted, clock } = scratch;
    best.bytes = usize::MAX;
    deltas.clear();
    deltas.extend(values.iter().zip(rest).map(|(&a, &b)| b.wrapping_sub(a)));
    try_deltas(first, deltas, sorted, (&mut *best, &mut *next));
    for predictor in predictors {
        if best.bytes <= 4 || predictor.deltas.len() != deltas.len() {
            break;
        }
        next.signed(
            deltas.iter().zip(predictor.deltas).map(|(&d, &p)| d.wrapping_sub(p)),
            Transform::Predicted,
        );
        next.distance = predictor.distance;
        next.finish(first, best.bytes);
        keep_smaller(best, next);
    }
    if best.bytes > 4 {
        let low = values.iter().copied().min().unwrap_or(0);
        next.offset(values.iter().map(|&v| v.wrapping_sub(low).cast_unsigned()), low);
        next.transform = Transform::Offset;
        next.finish(first, best.bytes);
        keep_smaller(best, next);
    }
    // Noise around no trend, as durations are.
    let noise = best.transform == Transform::Offset && best.divisor == 1;
    if noise
        && best.bytes * 8 > values.len() * TICKS_BITS_MIN
        && let Some(grid) = clock.grid(values, &mut next.residuals, &mut next.corrections)
    {
        (next.transform, next.grid, next.divisor) = (Transform::Ticks, grid, 1);
        next.finish(first, best.bytes);
        keep_smaller(best, next);
    }
    best.write(first, flag, out);
    (best.transform == Transform::Predicted).then_some(best.distance)
}

/// Tries every transform that needs the differences alone.
fn try_deltas(
    first: i64,
    deltas: &[i64],
    sorted: &mut Vec<i64>,
    (best, next): (&mut Trial, &mut Trial),
) {
    let low = deltas.iter().copied().min().unwrap_or(0);
    best.offset(deltas.iter().map(|&d| d.wrapping_sub(low).cast_unsigned()), low);
    best.transform = Transform::DeltaOffset;
    best.finish(first, usize::MAX);
    if best.coder == Coder::Zero {
        return;
    }
    next.signed(deltas.iter().copied(), Transform::Delta);
    next.finish(first, best.bytes);
    keep_smaller(best, next);

    sorted.clear();
    sorted.extend_from_slice(deltas);
    let middle = sorted.len() / 2;
    let median = *sorted.select_nth_unstable(middle).1;
    if median != 0 {
        next.signed(deltas.iter().map(|&d| d.wrapping_sub(median)), Transform::DeltaMedian);
        next.base = median;
        next.finish(first, best.bytes);
        keep_smaller(best, next);
    }
    let start = deltas.first().copied().unwrap_or(0);
    let second = deltas.iter().zip(deltas.get(1..).unwrap_or(&[]));
    next.signed(second.map(|(&a, &b)| b.wrapping_sub(a)), Transform::DeltaDelta);
    next.base = start;
    next.finish(first, best.bytes);
    keep_smaller(best, next);
}

fn keep_smaller(best: &mut Trial, next: &mut Trial) {
    if next.bytes < best.bytes {
        std::mem::swap(best, next);
    }
}

impl Trial {
    /// Takes residuals that are not negative, above `base`.
    fn offset(&mut self, residuals: impl Iterator<Item = u64>, base: i64) {
        self.residuals.clear();
        self.residuals.extend(residuals);
        self.divisor = common_divisor(self.residuals.iter().copied());
        if self.divisor > 1 {
            divide(&mut self.residuals, self.divisor);
        }
        self.base = base;
        self.distance = 0;
    }

    /// Takes residuals of either sign.
    fn signed(&mut self, residuals: impl Iterator<Item = i64>, transform: Transform) {
        self.residuals.clear();
        self.residuals.extend(residuals.map(i64::cast_unsigned));
        let divisor =
            common_divisor(self.residuals.iter().map(|&r| r.cast_signed().unsigned_abs()));
        // Above this a divisor would not fit the signed arithmetic of the decoder.
        self.divisor = if divisor < 1 << 62 { divisor } else { 1 };
        let by = self.divisor.cast_signed();
        for residual in &mut self.residuals {
            let value = residual.cast_signed();
            *residual = zigzag(if by > 1 { value / by } else { value });
        }
        self.transform = transform;
        self.base = 0;
        self.distance = 0;
    }

    /// Finds the coder and the size in all; some size from `limit` on if it is not below.
    fn finish(&mut self, first: i64, limit: usize) {
        let fields = 1
            + if self.divisor > 1 { varint_bytes(self.divisor) } else { 0 }
            + if self.has_first() { varint_bytes(zigzag(first)) } else { 0 }
            + if self.has_base() { varint_bytes(zigzag(self.base)) } else { 0 }
            + usize::from(self.transform == Transform::Predicted)
            + if self.transform == Transform::Ticks { self.grid_bytes() } else { 0 };
        let (coder, bytes) = ints::choose(&self.residuals, limit.saturating_sub(fields));
        self.coder = coder;
        self.bytes = fields + bytes;
    }

    fn grid_bytes(&self) -> usize {
        self.grid.bytes() + ticks::correction_bytes(&self.corrections)
    }

    fn has_first(&self) -> bool {
        self.transform.has_first()
    }

    fn has_base(&self) -> bool {
        self.transform.has_base()
    }

    fn write(&self, first: i64, flag: bool, out: &mut Vec<u8>) {
        put_head(self.transform, self.coder, self.divisor, flag, out);
        if self.has_first() {
            put_signed(out, first);
        }
        if self.has_base() {
            put_signed(out, self.base);
        }
        if self.transform == Transform::Predicted {
            put_varint(out, self.distance);
        }
        if self.transform == Transform::Ticks {
            self.grid.put(out);
        }
        ints::encode(&self.residuals, self.coder, out);
        if self.transform == Transform::Ticks {
            ticks::put_corrections(&self.corrections, out);
        }
    }
}

fn put_head(transform: Transform, coder: Coder, divisor: u64, flag: bool, out: &mut Vec<u8>) {
    let divided = if divisor > 1 { HAS_DIVISOR } else { 0 };
    let flag = if flag { FLAG } else { 0 };
    out.push(transform as u8 | divided | flag | (coder as u8) << CODER_SHIFT);
    if divisor > 1 {
        put_varint(out, divisor);
    }
}

/// The greatest number that divides all values; 0 if all are zero.
fn common_divisor(values: impl Iterator<Item = u64>) -> u64 {
    let mut divisor = 0;
    for value in values {
        if value == 0 {
            continue;
        }
        divisor = if divisor == 0 { value } else { gcd(value, divisor) };
        if divisor == 1 {
            break;
        }
    }
    divisor
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn divide(values: &mut [u64], divisor: u64) {
    if divisor.is_power_of_two() {
        let shift = divisor.trailing_zeros();
        for value in values {
            *value >>= shift;
        }
    } else {
        for value in values {
            *value /= divisor;
        }
    }
}

/// Appends `values` quickly: offset or differences, divided by a power of two, at one width.
/// There are as many `residuals` as values at least; they are overwritten.
pub(super) fn encode_fast(values: &[i64], flag: bool, residuals: &mut [u64], out: &mut Vec<u8>) {
    let Some((&first, rest)) = values.split_first() else { return };
    let (mut low, mut high, mut before) = (first, first, first);
    let (mut delta_low, mut delta_high, mut folded) = (i64::MAX, i64::MIN, 0);
    for &value in rest {
        let delta = value.wrapping_sub(before);
        (low, high) = (low.min(value), high.max(value));
        (delta_low, delta_high) = (delta_low.min(delta), delta_high.max(delta));
        folded |= zigzag(delta);
        before = value;
    }
    let offset_width = width(high.wrapping_sub(low).cast_unsigned());
    let delta_offset_width = width(delta_high.wrapping_sub(delta_low).cast_unsigned());
    let deltas = values.iter().zip(rest).map(|(&a, &b)| b.wrapping_sub(a));
    let (transform, (count, any)) = if offset_width <= width(folded).min(delta_offset_width) {
        let offsets = values.iter().map(|&v| v.wrapping_sub(low).cast_unsigned());
        (Transform::Offset, fill(residuals, offsets))
    } else if delta_offset_width < width(folded) {
        let offsets = deltas.map(|d| d.wrapping_sub(delta_low).cast_unsigned());
        (Transform::DeltaOffset, fill(residuals, offsets))
    } else {
        (Transform::Delta, fill(residuals, deltas.map(zigzag)))
    };
    let residuals = residuals.get_mut(..count).unwrap_or(&mut []);
    // The zigzag doubles, so of the zeros of differences one is the sign's.
    let zeros = any.trailing_zeros().saturating_sub(u32::from(transform == Transform::Delta));
    let shift = if any == 0 || zeros >= 62 { 0 } else { zeros };
    let coder = if any == 0 { Coder::Zero } else { Coder::Pack };
    put_head(transform, coder, 1 << shift, flag, out);
    if transform != Transform::Offset {
        put_signed(out, first);
    }
    match transform {
        Transform::Offset => put_signed(out, low),
        Transform::DeltaOffset => put_signed(out, delta_low),
        _ => {}
    }
    if any == 0 {
        return;
    }
    let mut any = any >> shift;
    if shift > 0 && transform == Transform::Delta {
        any = 0;
        for residual in residuals.iter_mut() {
            *residual = zigzag(unzigzag(*residual) >> shift);
            any |= *residual;
        }
    } else if shift > 0 {
        for residual in residuals.iter_mut() {
            *residual >>= shift;
        }
    }
    ints::encode_plain_blocks(residuals, width(any), out);
}

/// Puts `values` into `slots`; says how many there were, and which bits are set in any.
fn fill(slots: &mut [u64], values: impl Iterator<Item = u64>) -> (usize, u64) {
    let mut any = 0;
    let filled = slots.iter_mut().zip(values).map(|(slot, value)| {
        *slot = value;
        any |= value;
    });
    (filled.count(), any)
}

fn width(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// The fields before the coded integers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    transform: Transform,
    coder: Coder,
    divisor: i64,
    first: i64,
    base: i64,
    distance: Option<u64>,
    grid: Grid,
    /// The caller's flag.
    pub(super) flag: bool,
}

impl Head {
    /// Reads the fields.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let tag = reader.byte()?;
        let transform = match tag & 7 {
            0 => Transform::Offset,
            1 => Transform::Delta,
            2 => Transform::DeltaOffset,
            3 => Transform::DeltaMedian,
            4 => Transform::DeltaDelta,
            5 => Transform::Predicted,
            6 => Transform::Ticks,
            _ => return Err(Damaged("unknown transform")),
        };
        let coder = Coder::from_tag(tag >> CODER_SHIFT)?;
        let divisor = if tag & HAS_DIVISOR == 0 { 1 } else { reader.varint()?.cast_signed() };
        let first = if transform.has_first() { reader.signed()? } else { 0 };
        let base = if transform.has_base() { reader.signed()? } else { 0 };
        let predicted = transform == Transform::Predicted;
        let distance = if predicted { Some(reader.varint()?) } else { None };
        let grid =
            if transform == Transform::Ticks { Grid::read(reader)? } else { Grid::default() };
        let flag = tag & FLAG != 0;
        Ok(Self { transform, coder, divisor, first, base, distance, grid, flag })
    }

    /// How many columns back the predictor stands, if there is one.
    pub(super) fn predictor_distance(&self) -> Option<u64> {
        self.distance
    }

    /// Reads `count` values into `out`, replacing what it held. `predictor` has as many values
    /// when [`Head::predictor_distance`] asked for it, else it is not looked at.
    pub(super) fn decode(
        &self,
        reader: &mut Reader<'_>,
        count: usize,
        predictor: &[i64],
        work: &mut Work,
        out: &mut Vec<i64>,
    ) -> Result<(), Damaged> {
        out.clear();
        if self.transform == Transform::Predicted && predictor.len() != count {
            return Err(Damaged("predictor of another length"));
        }
        out.reserve(count);
        let (divisor, base, value, coder) = (self.divisor, self.base, self.first, self.coder);
        if self.transform == Transform::Offset {
            return ints::decode(reader, coder, count, work, &mut Offsets { divisor, base, out });
        }
        if self.transform == Transform::Ticks {
            ints::decode(reader, coder, count, work, &mut Ticks { grid: self.grid, out })?;
            return ticks::correct(reader, out);
        }
        let Some(rest) = count.checked_sub(1) else { return Ok(()) };
        out.push(value);
        match self.transform {
            Transform::DeltaDelta => {
                let value = value.wrapping_add(base);
                if rest > 0 {
                    out.push(value);
                }
                let mut sink = SecondDeltas { divisor, delta: base, value, out };
                ints::decode(reader, coder, rest.saturating_sub(1), work, &mut sink)
            }
            Transform::Predicted => {
                let mut sink = Predicted { divisor, value, predictor, out };
                ints::decode(reader, coder, rest, work, &mut sink)
            }
            Transform::DeltaOffset => {
                let mut sink = Deltas::<false> { divisor, base, value, out };
                ints::decode(reader, coder, rest, work, &mut sink)
            }
            _ => {
                let mut sink = Deltas::<true> { divisor, base, value, out };
                ints::decode(reader, coder, rest, work, &mut sink)
            }
        }
    }
}

/// Turns residuals of [`Transform::Offset`] into values.
struct Offsets<'a> {
    divisor: i64,
    base: i64,
    out: &'a mut Vec<i64>,
}

impl Sink for Offsets<'_> {
    fn values(&mut self, residuals: &[u64]) {
        let (divisor, base) = (self.divisor, self.base);
        let values = residuals.iter().map(|&u| u.cast_signed().wrapping_mul(divisor));
        self.out.extend(values.map(|value| value.wrapping_add(base)));
    }

    fn zeros(&mut self, count: usize) {
        self.out.extend(std::iter::repeat_n(self.base, count));
    }
}

/// Turns residuals of differences, signed or not, into values.
struct Deltas<'a, const SIGNED: bool> {
    divisor: i64,
    base: i64,
    /// The last value.
    value: i64,
    out: &'a mut Vec<i64>,
}

impl<const SIGNED: bool> Sink for Deltas<'_, SIGNED> {
    fn values(&mut self, residuals: &[u64]) {
        let (divisor, base, mut value) = (self.divisor, self.base, self.value);
        self.out.extend(residuals.iter().map(|&u| {
            let residual = if SIGNED { unzigzag(u) } else { u.cast_signed() };
            value = value.wrapping_add(base).wrapping_add(residual.wrapping_mul(divisor));
            value
        }));
        self.value = value;
    }

    fn zeros(&mut self, count: usize) {
        let (base, mut value) = (self.base, self.value);
        if base == 0 {
            self.out.extend(std::iter::repeat_n(value, count));
            return;
        }
        self.out.extend((0..count).map(|_| {
            value = value.wrapping_add(base);
            value
        }));
        self.value = value;
    }
}

/// Turns residuals of [`Transform::DeltaDelta`] into values.
struct SecondDeltas<'a> {
    divisor: i64,
    /// The last difference and the last value.
    delta: i64,
    value: i64,
    out: &'a mut Vec<i64>,
}

impl Sink for SecondDeltas<'_> {
    fn values(&mut self, residuals: &[u64]) {
        let (divisor, mut delta, mut value) = (self.divisor, self.delta, self.value);
        self.out.extend(residuals.iter().map(|&u| {
            delta = delta.wrapping_add(unzigzag(u).wrapping_mul(divisor));
            value = value.wrapping_add(delta);
            value
        }));
        (self.delta, self.value) = (delta, value);
    }

    fn zeros(&mut self, count: usize) {
        let (delta, mut value) = (self.delta, self.value);
        self.out.extend((0..count).map(|_| {
            value = value.wrapping_add(delta);
            value
        }));
        self.value = value;
    }
}

/// Turns residuals of [`Transform::Predicted`] into values.
struct Predicted<'a> {
    divisor: i64,
    /// The last value.
    value: i64,
    /// The predictor's values, from the one beside the last value on.
    predictor: &'a [i64],
    out: &'a mut Vec<i64>,
}

impl Predicted<'_> {
    /// The next `count` values, given how each residual follows.
    fn extend(&mut self, residuals: impl Iterator<Item = i64>, count: usize) {
        let (divisor, mut value) = (self.divisor, self.value);
        let next = self.predictor.get(1..).unwrap_or(&[]);
        let pairs = self.predictor.iter().zip(next);
        self.out.extend(residuals.zip(pairs).map(|(residual, (&a, &b))| {
            let delta = b.wrapping_sub(a).wrapping_add(residual.wrapping_mul(divisor));
            value = value.wrapping_add(delta);
            value
        }));
        self.value = value;
        self.predictor = self.predictor.get(count..).unwrap_or(&[]);
    }
}

impl Sink for Predicted<'_> {
    fn values(&mut self, residuals: &[u64]) {
        self.extend(residuals.iter().map(|&u| unzigzag(u)), residuals.len());
    }

    fn zeros(&mut self, count: usize) {
        self.extend(std::iter::repeat_n(0, count), count);
    }
}
