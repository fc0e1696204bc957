//! What the numbers in rows mean: series, layouts, columns, and the segment itself.

use narthex_model::{Labels, LabelsBuilder, Timestamp};

use super::varint::{self, Fields};
use crate::{LayoutRef, RowSeq, SeriesRef, SourceRef};

/// First bytes of the first record's payload.
const MAGIC: &[u8; 8] = b"narthexW";

/// Version of the log's format.
pub(crate) const VERSION: u32 = 1;

/// The next number of each kind that was never given out when a segment began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NextIds {
    /// The next [`SeriesRef`].
    pub series: u32,
    /// The next [`SourceRef`].
    pub source: u32,
    /// The next [`LayoutRef`].
    pub layout: u32,
}

/// The first record of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) segment: u64,
    /// The place after the last row that is known of the segments before.
    pub(super) seq_reached: RowSeq,
    /// The first row of this segment; higher than `seq_reached` when rows may have been lost
    /// with the power, for their places are not used again.
    pub(super) seq_first: RowSeq,
    /// No row of this segment has this place or a higher one.
    pub(super) seq_ceiling: RowSeq,
    /// Times of rows are written as differences to this one.
    pub(super) at: Timestamp,
    pub(super) ids: NextIds,
}

impl Head {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        for id in [self.ids.series, self.ids.source, self.ids.layout] {
            out.extend_from_slice(&id.to_le_bytes());
        }
        let seqs = [self.seq_reached, self.seq_first, self.seq_ceiling].map(|seq| seq.0);
        for number in [self.segment, self.at.0.cast_unsigned()].into_iter().chain(seqs) {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(super) fn decode(mut fields: Fields<'_>) -> Option<Self> {
        if fields.bytes(8)? != MAGIC || fields.u32()? != VERSION {
            return None;
        }
        let ids = NextIds { series: fields.u32()?, source: fields.u32()?, layout: fields.u32()? };
        Some(Self {
            ids,
            segment: fields.u64()?,
            at: Timestamp(fields.u64()?.cast_signed()),
            seq_reached: RowSeq(fields.u64()?),
            seq_first: RowSeq(fields.u64()?),
            seq_ceiling: RowSeq(fields.u64()?),
        })
    }
}

/// The labels come as pairs of name and value, by name.
pub(super) fn encode_series<'a>(
    series: SeriesRef,
    labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    out: &mut Vec<u8>,
) {
    varint::push(out, u64::from(series.get()));
    varint::push(out, labels.clone().count() as u64);
    for (name, value) in labels {
        for text in [name, value] {
            varint::push(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

pub(super) fn decode_series(mut fields: Fields<'_>) -> Option<(SeriesRef, Labels)> {
    let series = SeriesRef::new(fields.varint_u32()?)?;
    let mut rest = Pairs { left: fields.varint()?, fields };
    // Looked at once: to check texts is most of the work.
    let mut pairs = Vec::with_capacity(16);
    let mut is_sorted = true;
    let mut before = None;
    while rest.left > 0 {
        let (name, value) = rest.next()?;
        is_sorted &= before < Some(name) && !value.is_empty();
        before = Some(name);
        pairs.push((name, value));
    }
    if !rest.fields.is_empty() {
        return None;
    }
    if is_sorted {
        return Some((series, Labels::from_sorted(pairs.iter().copied())));
    }
    let mut labels = LabelsBuilder::default();
    for (name, value) in pairs {
        labels.set(name, value);
    }
    Some((series, labels.build()))
}

/// Names and values, as far as they can be read.
#[derive(Clone, Debug)]
struct Pairs<'a> {
    fields: Fields<'a>,
    left: u64,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some((take_text(&mut self.fields)?, take_text(&mut self.fields)?))
    }
}

fn take_text<'a>(fields: &mut Fields<'a>) -> Option<&'a str> {
    let len = usize::try_from(fields.varint()?).ok()?;
    std::str::from_utf8(fields.bytes(len)?).ok()
}

pub(super) fn encode_layout(layout: LayoutRef, source: SourceRef, out: &mut Vec<u8>) {
    varint::push(out, u64::from(layout.0));
    varint::push(out, u64::from(source.0));
}

pub(super) fn decode_layout(mut fields: Fields<'_>) -> Option<(LayoutRef, SourceRef)> {
    let layout = LayoutRef(fields.varint_u32()?);
    let source = SourceRef(fields.varint_u32()?);
    fields.is_empty().then_some((layout, source))
}

/// Columns of `layout`, of which the first is number `start`.
pub(super) fn encode_columns(
    layout: LayoutRef,
    start: u32,
    series: &[SeriesRef],
    out: &mut Vec<u8>,
) {
    varint::push(out, u64::from(layout.0));
    varint::push(out, u64::from(start));
    varint::push(out, series.len() as u64);
    let mut last = 0;
    for series in series {
        let number = i64::from(series.get());
        varint::push(out, varint::zigzag(number - last));
        last = number;
    }
}

pub(super) fn decode_columns(
    mut fields: Fields<'_>,
    series: &mut Vec<SeriesRef>,
) -> Option<(LayoutRef, u32)> {
    series.clear();
    let layout = LayoutRef(fields.varint_u32()?);
    let start = fields.varint_u32()?;
    let count = fields.varint()?;
    let mut last = 0i64;
    for _ in 0..count {
        last = last.checked_add(varint::unzigzag(fields.varint()?))?;
        series.push(SeriesRef::new(u32::try_from(last).ok()?)?);
    }
    fields.is_empty().then_some((layout, start))
}

pub(super) fn encode_drop(layout: LayoutRef, out: &mut Vec<u8>) {
    varint::push(out, u64::from(layout.0));
}

pub(super) fn decode_drop(mut fields: Fields<'_>) -> Option<LayoutRef> {
    let layout = LayoutRef(fields.varint_u32()?);
    fields.is_empty().then_some(layout)
}
