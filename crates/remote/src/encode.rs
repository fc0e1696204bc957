//! Protocol buffers by hand: varints, label blocks, series and metadata.

use narthex_model::histogram::{Bar, Hint, to_spans};
use narthex_model::{Histogram, LabelsBuilder, Metadata, MetricKind, Timestamp};

/// Most bytes of a varint.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// Bytes of a sample message's fields but for the timestamp: its tag and length, the tag of the
/// value, the value, the tag of the timestamp.
const SAMPLE_FIXED_BYTES: usize = 2 + 1 + 8 + 1;

/// A timestamp as a varint, ready to be copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeBytes {
    bytes: [u8; VARINT_BYTES_MAX],
    len: u8,
}

impl TimeBytes {
    pub(crate) fn new(at: Timestamp) -> Self {
        let mut bytes = [0; VARINT_BYTES_MAX];
        let len = put_varint_at(&mut bytes, at.millis().cast_unsigned());
        Self { bytes, len }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len()).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }
}

fn put_varint_at(out: &mut [u8; VARINT_BYTES_MAX], mut value: u64) -> u8 {
    let mut len = 0;
    for slot in out.iter_mut() {
        len += 1;
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            *slot = low;
            break;
        }
        *slot = low | 0x80;
    }
    len
}

/// Appends `value` as a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: usize) {
    let mut bytes = [0; VARINT_BYTES_MAX];
    let len = put_varint_at(&mut bytes, value as u64);
    out.extend_from_slice(bytes.get(..usize::from(len)).unwrap_or_default());
}

/// How many bytes `value` takes as a varint.
pub(crate) fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Appends a signed number, zigzag, as a varint.
fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_long(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends a number of 64 bits as a varint.
fn put_long(out: &mut Vec<u8>, value: u64) {
    let mut bytes = [0; VARINT_BYTES_MAX];
    let len = put_varint_at(&mut bytes, value);
    out.extend_from_slice(bytes.get(..usize::from(len)).unwrap_or_default());
}

fn put_double(out: &mut Vec<u8>, tag: u8, value: f64) {
    out.push(tag);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends the fields of a `Histogram` message, the same in both versions of the protocol.
pub(crate) fn put_histogram(
    out: &mut Vec<u8>,
    histogram: &Histogram,
    integer: bool,
    at: &TimeBytes,
) {
    for (value, tags) in [(histogram.count, [0x08, 0x11]), (histogram.zero_count, [0x30, 0x39])] {
        if integer {
            out.push(tags[0]);
            put_long(out, whole(value).cast_unsigned());
        } else {
            put_double(out, tags[1], value);
        }
    }
    put_double(out, 0x19, histogram.sum);
    out.push(0x20);
    put_signed(out, i64::from(histogram.schema));
    put_double(out, 0x29, histogram.zero_threshold);
    put_bars(out, &histogram.negative, integer, [0x42, 0x4a, 0x52]);
    put_bars(out, &histogram.positive, integer, [0x5a, 0x62, 0x6a]);
    let hint: u8 = match histogram.hint {
        Hint::Unknown => 0,
        Hint::Reset => 1,
        Hint::NotReset => 2,
        Hint::Gauge => 3,
    };
    out.extend_from_slice(&[0x70, hint, 0x78]);
    out.extend_from_slice(at.as_slice());
    if !histogram.bounds.is_empty() {
        // The tag of field 16 has two bytes.
        out.push(0x82);
        let bounds: Vec<u8> = histogram.bounds.iter().flat_map(|it| it.to_le_bytes()).collect();
        put_bytes(out, 0x01, &bounds);
    }
}

/// Appends the buckets of one sign: spans, and counts as deltas or as they are, by these tags.
fn put_bars(out: &mut Vec<u8>, bars: &[Bar], integer: bool, [spans, deltas, counts]: [u8; 3]) {
    if bars.is_empty() {
        return;
    }
    let mut bytes = Vec::new();
    for span in to_spans(bars) {
        bytes.clear();
        bytes.push(0x08);
        put_signed(&mut bytes, i64::from(span.offset));
        bytes.push(0x10);
        put_varint(&mut bytes, span.length as usize);
        put_bytes(out, spans, &bytes);
    }
    bytes.clear();
    let mut before = 0;
    for bar in bars {
        if integer {
            put_signed(&mut bytes, whole(bar.count).wrapping_sub(before));
            before = whole(bar.count);
        } else {
            bytes.extend_from_slice(&bar.count.to_le_bytes());
        }
    }
    put_bytes(out, if integer { deltas } else { counts }, &bytes);
}

/// A count that was a whole number at its source.
#[expect(clippy::cast_possible_truncation, reason = "a cast stays within the type")]
fn whole(count: f64) -> i64 {
    count as i64
}

/// Reads a varint that is a length; made for what was written here.
pub(crate) fn take_varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate().take(VARINT_BYTES_MAX) {
        value |= usize::from(byte & 0x7f).checked_shl(7 * u32::try_from(index).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Appends a field that has a length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends the labels as the fields of a `TimeSeries` message.
pub(crate) fn put_labels(out: &mut Vec<u8>, labels: &LabelsBuilder) {
    for (name, value) in labels.iter() {
        let len = |text: &str| 1 + varint_len(text.len()) + text.len();
        out.push(0x0a);
        put_varint(out, len(name) + len(value));
        put_bytes(out, 0x0a, name.as_bytes());
        put_bytes(out, 0x12, value.as_bytes());
    }
}

/// Appends a `TimeSeries` with one sample, as a field of a `WriteRequest`. The value stands at
/// [`value_offset_from_end`] from the end, the timestamp at the very end.
pub(crate) fn put_series(out: &mut Vec<u8>, labels: &[u8], value: f64, at: &TimeBytes) {
    out.push(0x0a);
    put_varint(out, labels.len() + SAMPLE_FIXED_BYTES + at.len());
    out.extend_from_slice(labels);
    out.push(0x12);
    put_varint(out, SAMPLE_FIXED_BYTES - 2 + at.len());
    out.push(0x09);
    out.extend_from_slice(&value.to_le_bytes());
    out.push(0x10);
    out.extend_from_slice(at.as_slice());
}

/// Appends a `TimeSeries` with one histogram, as a field of a `WriteRequest`.
pub(crate) fn put_series_of(out: &mut Vec<u8>, labels: &[u8], histogram: &[u8]) {
    out.push(0x0a);
    put_varint(out, labels.len() + 1 + varint_len(histogram.len()) + histogram.len());
    out.extend_from_slice(labels);
    put_bytes(out, 0x22, histogram);
}

/// How far before the end of a series its value begins.
pub(crate) fn value_offset_from_end(at: &TimeBytes) -> usize {
    8 + 1 + at.len()
}

/// The number of a kind, the same in both versions of the protocol.
pub(crate) fn kind_number(kind: MetricKind) -> u8 {
    match kind {
        MetricKind::Unknown => 0,
        MetricKind::Counter => 1,
        MetricKind::Gauge => 2,
        MetricKind::Histogram => 3,
        MetricKind::GaugeHistogram => 4,
        MetricKind::Summary => 5,
        MetricKind::Info => 6,
        MetricKind::StateSet => 7,
    }
}

/// Appends one entry of `WriteRequest.metadata`.
pub(crate) fn put_metadata(out: &mut Vec<u8>, family: &str, metadata: &Metadata) {
    let kind = kind_number(metadata.kind);
    let mut entry = Vec::with_capacity(family.len() + metadata.help.len() + 16);
    entry.extend_from_slice(&[0x08, kind]);
    put_bytes(&mut entry, 0x12, family.as_bytes());
    if !metadata.help.is_empty() {
        put_bytes(&mut entry, 0x22, metadata.help.as_bytes());
    }
    if !metadata.unit.is_empty() {
        put_bytes(&mut entry, 0x2a, metadata.unit.as_bytes());
    }
    put_bytes(out, 0x1a, &entry);
}

#[cfg(test)]
mod tests {
    use narthex_model::STALE;
    use prost::Message;

    use super::*;
    use narthex_testkit::proto::WriteRequest;

    #[test]
    fn reads_back_as_it_was_written() {
        let mut labels = LabelsBuilder::default();
        labels.set("__name__", "up").set("long", &"x".repeat(300));
        let mut block = Vec::new();
        put_labels(&mut block, &labels);
        let mut out = Vec::new();
        for at in [0, 1, 127, 128, 1_795_000_000_000, -5, i64::MAX] {
            let bytes = TimeBytes::new(Timestamp(at));
            put_series(&mut out, &block, STALE, &bytes);
            let value = out.len() - value_offset_from_end(&bytes);
            assert_eq!(out[value..value + 8], STALE.to_le_bytes());
        }
        put_metadata(
            &mut out,
            "up",
            &Metadata { kind: MetricKind::Gauge, unit: "s".into(), help: "h".into() },
        );
        let request = WriteRequest::decode(&out[..]).unwrap();
        assert_eq!(request.timeseries.len(), 7);
        for series in &request.timeseries {
            assert_eq!(series.labels[0].name, "__name__");
            assert_eq!(series.labels[1].value.len(), 300);
            assert_eq!(series.samples[0].value.to_bits(), STALE.to_bits());
        }
        assert_eq!(request.timeseries[5].samples[0].timestamp, -5);
        assert_eq!(request.metadata[0].r#type, 2);
        assert_eq!((&*request.metadata[0].unit, &*request.metadata[0].help), ("s", "h"));
        for value in [0, 1, 127, 128, 16383, 16384, usize::MAX] {
            out.clear();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
    }
}
