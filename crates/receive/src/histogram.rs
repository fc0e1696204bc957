//! Native histograms of a request: the same message in both protocols.

use narthex_model::Histogram;
use narthex_model::histogram::{Bar, CUSTOM_SCHEMA, EXPONENTIAL_SCHEMAS, Hint, Span, from_spans};

use crate::answer::Reason;
use crate::wire::{Field, Fields, Malformed, Value};

/// Most buckets of one sign.
pub(crate) const BUCKETS_MAX: usize = 10_000;

/// A histogram as it came.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) histogram: Histogram,
    /// Whether its counts are whole numbers.
    pub(crate) integer: bool,
    pub(crate) at: i64,
}

/// The buckets of one sign, as the message has them.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Side {
    fn is_too_large(&self) -> bool {
        [self.spans.len(), self.deltas.len(), self.counts.len()].iter().any(|&n| n > BUCKETS_MAX)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are floats from here on")]
    fn bars(&self, integer: bool) -> Option<Vec<Bar>> {
        if !integer {
            return from_spans(&self.spans, self.counts.iter().copied());
        }
        let mut count = 0_i64;
        let mut sane = true;
        let counts = self.deltas.iter().map(|delta| {
            count = count.wrapping_add(*delta);
            sane &= count >= 0;
            count as f64
        });
        from_spans(&self.spans, counts).filter(|_| sane)
    }
}

/// Reads a `Histogram` message.
pub(crate) fn read(message: &[u8]) -> Result<Result<Incoming, Reason>, Malformed> {
    let mut histogram = Histogram::default();
    let (mut positive, mut negative) = (Side::default(), Side::default());
    let (mut integer, mut at, mut bounds) = (true, 0, Vec::new());
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => histogram.count = whole(&field)?,
            2 => {
                histogram.count = field.double()?;
                integer = false;
            }
            3 => histogram.sum = field.double()?,
            4 => histogram.schema = schema(field.varint()?),
            5 => histogram.zero_threshold = field.double()?,
            6 => histogram.zero_count = whole(&field)?,
            7 => histogram.zero_count = field.double()?,
            8 => negative.spans.push(span(field.bytes()?)?),
            9 => deltas(&field, &mut negative.deltas)?,
            10 => doubles(&field, &mut negative.counts)?,
            11 => positive.spans.push(span(field.bytes()?)?),
            12 => deltas(&field, &mut positive.deltas)?,
            13 => doubles(&field, &mut positive.counts)?,
            14 => {
                histogram.hint = match field.varint()? {
                    1 => Hint::Reset,
                    2 => Hint::NotReset,
                    3 => Hint::Gauge,
                    _ => Hint::Unknown,
                }
            }
            15 => at = field.varint()?.cast_signed(),
            16 => doubles(&field, &mut bounds)?,
            _ => {}
        }
        if positive.is_too_large() || negative.is_too_large() || bounds.len() > BUCKETS_MAX {
            return Ok(Err(Reason::BadHistogram));
        }
    }
    let known =
        histogram.schema == CUSTOM_SCHEMA || EXPONENTIAL_SCHEMAS.contains(&histogram.schema);
    let sides = positive.bars(integer).zip(negative.bars(integer)).filter(|_| known);
    let Some((positive, negative)) = sides else { return Ok(Err(Reason::BadHistogram)) };
    histogram.positive = positive;
    histogram.negative = negative;
    histogram.bounds = bounds.into();
    Ok(Ok(Incoming { histogram, integer, at }))
}

#[expect(clippy::cast_precision_loss, reason = "counts are floats from here on")]
fn whole(field: &Field<'_>) -> Result<f64, Malformed> {
    Ok(field.varint()? as f64)
}

/// Undoes the zigzag of signed numbers.
pub(crate) fn signed(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// A schema; one that is no schema stays none.
fn schema(number: u64) -> i32 {
    i32::try_from(signed(number)).unwrap_or(i32::MAX)
}

fn span(message: &[u8]) -> Result<Span, Malformed> {
    let mut span = Span::default();
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => span.offset = i32::try_from(signed(field.varint()?)).unwrap_or(i32::MAX),
            2 => span.length = u32::try_from(field.varint()?).unwrap_or(u32::MAX),
            _ => {}
        }
    }
    Ok(span)
}

/// A list of signed numbers, packed or not.
fn deltas(field: &Field<'_>, into: &mut Vec<i64>) -> Result<(), Malformed> {
    if let Value::Varint(number) = field.value {
        into.push(signed(number));
        return Ok(());
    }
    let mut packed = Fields::new(field.bytes()?);
    while let Some(number) = packed.packed()?.filter(|_| into.len() <= BUCKETS_MAX) {
        into.push(signed(number));
    }
    Ok(())
}

/// A list of doubles, packed or not.
fn doubles(field: &Field<'_>, into: &mut Vec<f64>) -> Result<(), Malformed> {
    if let Value::Fixed64(bits) = field.value {
        into.push(f64::from_bits(bits));
        return Ok(());
    }
    let (chunks, rest) = field.bytes()?.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Malformed::CutShort);
    }
    into.extend(chunks.iter().take(BUCKETS_MAX + 1).map(|bytes| f64::from_le_bytes(*bytes)));
    Ok(())
}
