//! Protocol 2.0: texts are sent once per request, and series refer to them by number.
//!
//! A queue gives every text a number for as long as it lives; a request numbers anew those that
//! it uses, in the order in which it meets them.

use std::collections::HashMap;

use narthex_model::{Hashing, LabelsBuilder, Metadata, Timestamp};

use crate::encode::{TimeBytes, kind_number, put_bytes, put_varint, varint_len};

/// Texts are forgotten, and all series encoded anew, when they take this many bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 20;

/// The tag of a symbol in a request.
const SYMBOL: u8 = 0x22;

/// The tag of a series in a request.
const SERIES: u8 = 0x2a;

/// All texts of a queue.
#[derive(Debug)]
pub(crate) struct Symbols {
    numbers: HashMap<Box<str>, u32, Hashing>,
    texts: Vec<Box<str>>,
    text_bytes: usize,
    /// Per text: the request that it was used in last, and its number there.
    used: Vec<(u64, u32)>,
    request: u64,
    next: u32,
    series: Vec<u8>,
    refs: Vec<u8>,
}

impl Default for Symbols {
    fn default() -> Self {
        let mut symbols = Self {
            numbers: HashMap::default(),
            texts: Vec::new(),
            text_bytes: 0,
            used: Vec::new(),
            request: 0,
            next: 0,
            series: Vec::new(),
            refs: Vec::new(),
        };
        // The first symbol of each request is the empty text.
        symbols.number("");
        symbols
    }
}

impl Symbols {
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Appends what is to be known of a series to encode it: how many references its labels are,
    /// the references, and its metadata; all as the queue's numbers.
    pub(crate) fn put_block(
        &mut self,
        labels: &LabelsBuilder,
        metadata: Option<&Metadata>,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let mut count = 0u32;
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            let number = self.number(text);
            out.extend_from_slice(&number.to_le_bytes());
            count += 1;
        }
        if let Some(hole) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<4>) {
            *hole = count.to_le_bytes();
        }
        if let Some(metadata) = metadata {
            let words = [
                u32::from(kind_number(metadata.kind)),
                self.number(&metadata.help),
                self.number(&metadata.unit),
            ];
            for word in words {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
    }

    /// Begins the symbols of a request, if `symbols` is empty.
    pub(crate) fn begin(&mut self, symbols: &mut Vec<u8>) {
        if symbols.is_empty() {
            self.request += 1;
            self.next = 0;
            self.local(0, symbols);
        }
    }

    /// Appends a series with one sample to `out`, and new texts to `symbols`. `start_ms`: when it
    /// began to count.
    pub(crate) fn put_series(
        &mut self,
        block: &[u8],
        (value, at): (f64, &TimeBytes),
        start_ms: Option<i64>,
        symbols: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let put = |series: &mut Vec<u8>| put_sample(series, value, at);
        self.put(block, put, start_ms, symbols, out);
    }

    /// The same with a `Histogram` message instead of a sample.
    pub(crate) fn put_histogram(
        &mut self,
        block: &[u8],
        message: &[u8],
        start_ms: Option<i64>,
        symbols: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let put = |series: &mut Vec<u8>| put_bytes(series, 0x1a, message);
        self.put(block, put, start_ms, symbols, out);
    }

    fn put(
        &mut self,
        block: &[u8],
        put: impl FnOnce(&mut Vec<u8>),
        start_ms: Option<i64>,
        symbols: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let Some((count, words)) = block.split_first_chunk::<4>() else { return };
        let count = u32::from_le_bytes(*count) as usize;
        let mut words = words.chunks_exact(4).map(|word| {
            let word = word.first_chunk::<4>().copied().unwrap_or_default();
            u32::from_le_bytes(word)
        });
        let mut refs = std::mem::take(&mut self.refs);
        refs.clear();
        for number in words.by_ref().take(count) {
            let local = self.local(number, symbols);
            put_varint(&mut refs, local as usize);
        }
        let mut series = std::mem::take(&mut self.series);
        series.clear();
        put_bytes(&mut series, 0x0a, &refs);
        put(&mut series);
        if let (Some(kind), Some(help), Some(unit)) = (words.next(), words.next(), words.next()) {
            refs.clear();
            for (tag, number) in [(0x18, help), (0x20, unit)] {
                if number != 0 {
                    refs.push(tag);
                    let local = self.local(number, symbols);
                    put_varint(&mut refs, local as usize);
                }
            }
            series.push(0x2a);
            put_varint(&mut series, 1 + varint_len(kind as usize) + refs.len());
            series.push(0x08);
            put_varint(&mut series, kind as usize);
            series.extend_from_slice(&refs);
        }
        if let Some(start_ms) = start_ms {
            series.push(0x30);
            series.extend_from_slice(TimeBytes::new(Timestamp(start_ms)).as_slice());
        }
        put_bytes(out, SERIES, &series);
        (self.series, self.refs) = (series, refs);
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        // Far fewer than 2^32 texts fit into the limit of their bytes.
        let number = u32::try_from(self.texts.len()).unwrap_or(0);
        self.text_bytes += text.len() + 64;
        self.texts.push(text.into());
        self.used.push((0, 0));
        self.numbers.insert(text.into(), number);
        number
    }

    /// The number of a text in this request.
    fn local(&mut self, number: u32, symbols: &mut Vec<u8>) -> u32 {
        let Some(used) = self.used.get_mut(number as usize) else { return 0 };
        if used.0 != self.request {
            *used = (self.request, self.next);
            self.next += 1;
            let text = self.texts.get(number as usize).map_or("", |text| text);
            put_bytes(symbols, SYMBOL, text.as_bytes());
        }
        used.1
    }
}

/// Appends a sample as a field of a series.
fn put_sample(out: &mut Vec<u8>, value: f64, at: &TimeBytes) {
    out.push(0x12);
    put_varint(out, 1 + 8 + 1 + at.len());
    out.push(0x09);
    out.extend_from_slice(&value.to_le_bytes());
    out.push(0x10);
    out.extend_from_slice(at.as_slice());
}

#[cfg(test)]
mod tests {
    use narthex_model::MetricKind;
    use prost::Message;

    use super::*;
    use narthex_testkit::proto::v2::Request;

    fn labels(pairs: &[(&str, &str)]) -> LabelsBuilder {
        let mut labels = LabelsBuilder::default();
        for (name, value) in pairs {
            labels.set(name, value);
        }
        labels
    }

    #[test]
    fn a_request_holds_each_text_once_and_only_those_it_uses() {
        let mut all = Symbols::default();
        let metadata =
            Metadata { kind: MetricKind::Counter, unit: String::new(), help: "a help".into() };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        all.put_block(&labels(&[("__name__", "a"), ("job", "j")]), Some(&metadata), &mut first);
        all.put_block(&labels(&[("__name__", "b"), ("job", "j")]), None, &mut second);
        let at = TimeBytes::new(Timestamp(1_795_000_000_000));
        for blocks in [[&second, &first], [&first, &first]] {
            let (mut symbols, mut out) = (Vec::new(), Vec::new());
            all.begin(&mut symbols);
            for block in blocks {
                all.put_series(block, (1.5, &at), None, &mut symbols, &mut out);
            }
            symbols.extend_from_slice(&out);
            let request = Request::decode(&symbols[..]).unwrap();
            let mut distinct = request.symbols.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), request.symbols.len());
            assert_eq!(request.symbols[0], "");
            let text = |number: u32| &*request.symbols[number as usize];
            let series = &request.timeseries[1];
            let refs: Vec<_> = series.labels_refs.iter().map(|&number| text(number)).collect();
            assert_eq!(refs, ["__name__", "a", "job", "j"]);
            assert_eq!(
                (series.samples[0].value, series.samples[0].timestamp),
                (1.5, 1_795_000_000_000)
            );
            let metadata = series.metadata.unwrap();
            assert_eq!((metadata.r#type, text(metadata.help_ref)), (1, "a help"));
            assert_eq!(metadata.unit_ref, 0);
        }
    }
}
