//! The message of remote write 1.0, `prometheus.WriteRequest`.

use crate::answer::Reason;
use crate::batch::Items;
use crate::exemplar::Exemplar;
use crate::labels::Pairs;
use crate::receiver::Intake;
use crate::v2::{SERIES_MAX, Unreadable};
use crate::wire::{Fields, Malformed};

/// The tag of a label in a series: field 1, bytes.
const LABEL: u8 = 0x0a;

/// Where the parts of a series stand.
const ITEMS: Items = Items { samples: 2, exemplars: 3, histograms: 4 };

/// Takes every series of the message.
pub(crate) fn walk(message: &[u8], intake: &mut Intake<'_>) -> Result<(), Unreadable> {
    let mut fields = Fields::new(message);
    let mut left = SERIES_MAX;
    while let Some(field) = fields.next()? {
        // Metadata, field 3, is not kept: Prometheus' receiver does not keep it either.
        if field.number == 1 {
            left = left.checked_sub(1).ok_or(Unreadable::Series)?;
            series(field.bytes()?, intake)?;
        }
    }
    Ok(())
}

fn series(message: &[u8], intake: &mut Intake<'_>) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    let span = fields.span(LABEL)?;
    let rest = fields.rest();
    if has_label(rest)? {
        return scattered(message, intake);
    }
    let key = intake.receiver.keys.of_bytes(span);
    let met = intake.meet(key, || labels(span))?;
    let shown = || labels(span).ok()?.ok()?.build().ok();
    intake.items(met, rest, ITEMS, shown, exemplar)
}

/// Whether a label stands among the samples; such a message is legal, and nobody writes it.
fn has_label(rest: &[u8]) -> Result<bool, Malformed> {
    // One sample follows in nearly every request.
    if let [0x12, length, sample @ ..] = rest
        && sample.len() == usize::from(*length)
    {
        return Ok(false);
    }
    let mut fields = Fields::new(rest);
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn scattered(message: &[u8], intake: &mut Intake<'_>) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    let mut span = Vec::new();
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            span.push(LABEL);
            put_length(&mut span, field.bytes()?.len());
            span.extend_from_slice(field.bytes()?);
        }
    }
    let key = intake.receiver.keys.of_bytes(&span);
    let met = intake.meet(key, || labels(&span))?;
    let shown = || labels(&span).ok()?.ok()?.build().ok();
    intake.items(met, message, ITEMS, shown, exemplar)
}

#[expect(clippy::cast_possible_truncation, reason = "masked to seven bits")]
fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push((length & 0x7f) as u8);
}

/// Appends a label as it stands in a series.
pub(crate) fn put_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let varint_bytes = |length: usize| length.checked_ilog2().map_or(1, |log| log as usize / 7 + 1);
    let of = |text: &[u8]| 1 + varint_bytes(text.len()) + text.len();
    out.push(LABEL);
    put_length(out, of(name) + of(value));
    for (tag, text) in [(0x0a, name), (0x12, value)] {
        out.push(tag);
        put_length(out, text.len());
        out.extend_from_slice(text);
    }
}

/// Reads an exemplar; `None` if nobody could keep it.
fn exemplar(message: &[u8]) -> Result<Option<Exemplar>, Malformed> {
    Exemplar::read(message, |field, pairs| pairs.push_message(field.bytes()?))
}

/// The pairs of labels that stand one after the other.
pub(crate) fn labels(span: &[u8]) -> Result<Result<Pairs<'_>, Reason>, Malformed> {
    let mut pairs = Pairs::default();
    let mut fields = Fields::new(span);
    while let Some(field) = fields.next()? {
        if let Err(reason) = pairs.push_message(field.bytes()?)? {
            return Ok(Err(reason));
        }
    }
    Ok(Ok(pairs))
}
