//! Samples in the protobuf format: `io.prometheus.client.MetricFamily` messages, each behind its
//! length.

use narthex_model::Histogram;
use narthex_model::histogram::{Bar, Hint, to_spans};

use super::form::Escaping;
use super::{Found, Latest, Write};
use crate::web::proto::Message;

/// The numbers of `MetricType`.
const UNTYPED: i64 = 3;
const HISTOGRAM: i64 = 4;
const GAUGE_HISTOGRAM: i64 = 5;

/// Families that are being written.
#[derive(Debug)]
pub(super) struct Families {
    escaping: Escaping,
    /// The name and the type of the family that is being written.
    current: Option<(String, i64)>,
    family: Message,
    out: Vec<u8>,
}

impl Families {
    pub(super) fn new(escaping: Escaping) -> Self {
        Self { escaping, current: None, family: Message::default(), out: Vec::new() }
    }

    /// Begins a family, unless it is the current one.
    fn begin(&mut self, name: &str, kind: i64) {
        let same = |(have, of): &(String, i64)| have == name && *of == kind;
        if self.current.as_ref().is_some_and(same) {
            return;
        }
        self.end();
        self.family.bytes(1, self.escaping.name(name).as_bytes());
        self.family.number(3, kind);
        self.current = Some((name.to_owned(), kind));
    }

    fn end(&mut self) {
        if self.current.take().is_some() {
            std::mem::take(&mut self.family).put_delimited(&mut self.out);
        }
    }
}

impl Write for Families {
    fn sample(&mut self, found: &Found, labels: &[(&str, &str)]) {
        let mut metric = Message::default();
        for (name, value) in labels {
            let mut pair = Message::default();
            pair.bytes(1, self.escaping.name(name).as_bytes());
            pair.bytes(2, value.as_bytes());
            metric.message(1, &pair);
        }
        let kind = match &found.value {
            Latest::Number(value) => {
                let mut number = Message::default();
                number.always_double(1, *value);
                metric.message(5, &number);
                UNTYPED
            }
            Latest::Histogram(histogram) if histogram.is_custom() => {
                metric.message(7, &classic(histogram));
                HISTOGRAM
            }
            Latest::Histogram(histogram) => {
                metric.message(7, &native(histogram));
                if histogram.hint == Hint::Gauge { GAUGE_HISTOGRAM } else { HISTOGRAM }
            }
        };
        metric.always_number(6, found.at.0);
        self.begin(found.labels.metric_name(), kind);
        self.family.message(4, &metric);
    }

    fn len(&self) -> usize {
        self.out.capacity() + self.family.len()
    }

    fn finish(mut self: Box<Self>) -> Vec<u8> {
        self.end();
        self.out
    }
}

/// Count and sum.
fn begun(histogram: &Histogram) -> Message {
    let mut message = Message::default();
    message.always_double(2, histogram.sum);
    message.always_double(4, histogram.count);
    message
}

fn native(histogram: &Histogram) -> Message {
    let mut message = begun(histogram);
    message.signed(5, i64::from(histogram.schema));
    message.always_double(6, histogram.zero_threshold);
    message.always_double(8, histogram.zero_count);
    put_bars(&mut message, &histogram.negative, [9, 11]);
    put_bars(&mut message, &histogram.positive, [12, 14]);
    let silent = histogram.negative.is_empty() && histogram.positive.is_empty();
    if silent && histogram.zero_threshold == 0.0 && histogram.zero_count == 0.0 {
        // An empty span says that it is a native histogram nonetheless.
        message.bytes(12, &[]);
    }
    message
}

fn put_bars(message: &mut Message, bars: &[Bar], [spans, counts]: [u8; 2]) {
    for span in to_spans(bars) {
        let mut inner = Message::default();
        inner.signed(1, i64::from(span.offset));
        inner.number(2, i64::from(span.length));
        message.message(spans, &inner);
    }
    for bar in bars {
        message.always_double(counts, bar.count);
    }
}

/// A histogram with custom bounds as a classic one: the native form has no place for the bounds,
/// and who reads it without them refuses all.
fn classic(histogram: &Histogram) -> Message {
    let mut message = begun(histogram);
    let mut bars = histogram.positive.iter().peekable();
    let mut cumulated = 0.0;
    for (index, &bound) in (0..).zip(&*histogram.bounds) {
        while let Some(bar) = bars.next_if(|bar| bar.index <= index) {
            cumulated += bar.count;
        }
        let mut bucket = Message::default();
        bucket.always_double(2, bound);
        bucket.always_double(4, cumulated);
        message.message(3, &bucket);
    }
    message
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use narthex_expo::protobuf::{Item, ProtobufError, Wanted, read};
    use narthex_model::histogram::CUSTOM_SCHEMA;

    use super::*;
    use crate::web::federate::tests::written;

    #[test]
    fn who_reads_it_finds_all() {
        let bar = |index, count| Bar { index, count };
        let native = Histogram {
            schema: 1,
            count: 5.5,
            sum: -2.0,
            zero_count: 1.0,
            zero_threshold: 0.25,
            positive: vec![bar(-1, 1.0), bar(2, 2.0)],
            negative: vec![bar(3, 1.5)],
            ..Histogram::default()
        };
        let gauge = Histogram { hint: Hint::Gauge, ..native.clone() };
        let custom = Histogram {
            schema: CUSTOM_SCHEMA,
            count: 5.0,
            positive: vec![bar(1, 3.0), bar(2, 2.0)],
            bounds: [1.0, 2.0].into(),
            ..Histogram::default()
        };
        let of = |histogram| Latest::Histogram(Arc::new(histogram));
        let name = &[("__name__", "a.b")][..];
        let samples = [
            (name, Latest::Number(0.0)),
            (&[("__name__", "a.b"), ("x.y", "z")], Latest::Number(2.0)),
            (name, of(native.clone())),
            (name, of(gauge)),
            (name, of(Histogram::default())),
            (&[("__name__", "c")], of(custom)),
        ];
        let body = written(Box::new(Families::new(Escaping::Underscores)), &samples);
        let wanted = Wanted { native: true, ..Wanted::default() };
        let mut said = Vec::new();
        read(&body, wanted, &mut |item| {
            said.push(match item {
                Item::Family { name, kind, .. } => format!("{name} {kind}"),
                Item::Number { name, labels, bound, value, at, .. } => {
                    assert_eq!(at, Some(1500));
                    let bound = bound.map(|(_, bound)| bound);
                    format!("{name} {} {bound:?} {value}", labels.len())
                }
                Item::Histogram { name, value, at, .. } => {
                    assert_eq!(at, Some(1500));
                    format!("{name} {} {:?}", value.histogram, value.histogram.hint)
                }
            });
            Ok::<(), ProtobufError>(())
        })
        .unwrap();
        assert_eq!(
            said,
            [
                "a_b unknown",
                "a_b 3 None 0",
                "a_b 4 None 2",
                "a_b histogram",
                &format!("a_b {native} Unknown"),
                "a_b gaugehistogram",
                &format!("a_b {native} Gauge"),
                "a_b histogram",
                "a_b {count:0, sum:0} Unknown",
                "c histogram",
                "c_count 3 None 5",
                "c_sum 3 None 0",
                "c_bucket 3 Some(1.0) 0",
                "c_bucket 3 Some(2.0) 3",
                "c_bucket 3 Some(inf) 5",
            ]
        );
    }
}
