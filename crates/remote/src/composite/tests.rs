use std::sync::Arc;

use narthex_model::histogram::{Bar, CUSTOM_SCHEMA, Hint};
use narthex_model::{ABSENT, Histogram, Labels, STALE, Timestamp};
use narthex_store::histogram::parts;
use narthex_store::testing::{HandClock, memory_store};
use narthex_store::{Part, Row, Store, Writer};
use prost::Message;

use crate::{Requests, Version};
use narthex_testkit::proto::{self, BucketSpan, WriteRequest, v2};

fn bars(all: &[(i32, f64)]) -> Vec<Bar> {
    all.iter().map(|&(index, count)| Bar { index, count }).collect()
}

fn exponential() -> Histogram {
    Histogram {
        hint: Hint::Gauge,
        schema: 3,
        zero_threshold: 0.25,
        zero_count: 2.0,
        count: 12.0,
        sum: -1.5,
        positive: bars(&[(-3, 4.0), (-2, 1.0), (5, 2.0)]),
        negative: bars(&[(0, 3.0)]),
        ..Histogram::default()
    }
}

fn custom() -> Histogram {
    Histogram {
        schema: CUSTOM_SCHEMA,
        count: 3.0,
        sum: 7.0,
        positive: bars(&[(1, 3.0)]),
        bounds: Arc::from([0.5, 1.0]),
        ..Histogram::default()
    }
}

/// What a row has of a series: a number with a start time, or a histogram.
#[derive(Clone)]
enum Is {
    Number(f64, i64),
    Histogram(Histogram, bool, i64),
}

/// Appends rows to one layout, its columns in the order in which they come up.
fn rows(writer: &mut Writer, rows: &[Vec<(&str, Is)>]) {
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    let mut columns: Vec<Labels> = Vec::new();
    for (at, row) in (1000..).step_by(1000).zip(rows) {
        let mut values = vec![ABSENT; columns.len()];
        let mut put = |labels: Labels, value: f64| {
            let column = columns.iter().position(|known| *known == labels).unwrap_or_else(|| {
                let series = writer.resolve(&labels).unwrap();
                writer.add_columns(layout, &[series]).unwrap();
                columns.push(labels);
                values.push(ABSENT);
                columns.len() - 1
            });
            values[column] = value;
        };
        for (name, is) in row {
            let whole = Labels::from_pairs([("__name__", *name), ("job", "j")]);
            let start = match is {
                Is::Number(value, start) => {
                    put(whole.clone(), *value);
                    start
                }
                Is::Histogram(histogram, integer, start) => {
                    parts(histogram, *integer, |part, value| put(part.labels(&whole), value));
                    start
                }
            };
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            if *start != 0 {
                put(Part::Start.labels(&whole), *start as f64);
            }
        }
        writer.append(&Row { layout, at: Timestamp(at), values: &values, changed: None }).unwrap();
    }
}

/// All requests, decompressed, of at most `samples_max` samples.
fn sent(version: Version, store: Arc<Store>, samples_max: usize) -> Vec<Vec<u8>> {
    let clock = Arc::new(HandClock::new(Timestamp(1_000_000)));
    let external = Labels::from_pairs([("zone", "z")]);
    let mut requests =
        Requests::new(version, store, clock, external, Vec::new(), samples_max).with_histograms();
    let mut all = Vec::new();
    while let Some((body, _)) = requests.next_body() {
        all.push(snap::raw::Decoder::new().decompress_vec(body).unwrap());
    }
    all
}

fn story() -> Arc<Store> {
    let (store, mut writer) = memory_store();
    let number = Is::Number(4.0, 500);
    let of = |histogram, integer| Is::Histogram(histogram, integer, 700);
    rows(
        &mut writer,
        &[
            vec![("plain", number.clone()), ("exp", of(exponential(), true))],
            vec![("exp", of(exponential(), false)), ("custom", of(custom(), true))],
            vec![("plain", number), ("exp", of(Histogram::stale(), false))],
        ],
    );
    store
}

/// The histogram that [`exponential`] is on the wire.
fn expected(integer: bool, timestamp: i64) -> proto::Histogram {
    let span = |offset, length| BucketSpan { offset, length };
    let all = proto::Histogram {
        sum: -1.5,
        schema: 3,
        zero_threshold: 0.25,
        negative_spans: vec![span(0, 1)],
        positive_spans: vec![span(-3, 2), span(6, 1)],
        reset_hint: 3,
        timestamp,
        ..proto::Histogram::default()
    };
    if integer {
        return proto::Histogram {
            count_int: Some(12),
            zero_count_int: Some(2),
            negative_deltas: vec![3],
            positive_deltas: vec![4, -3, 1],
            ..all
        };
    }
    proto::Histogram {
        count_float: Some(12.0),
        zero_count_float: Some(2.0),
        negative_counts: vec![3.0],
        positive_counts: vec![4.0, 1.0, 2.0],
        ..all
    }
}

#[test]
fn histograms_go_out_whole_and_none_with_custom_buckets_by_1_0() {
    for samples_max in [1, 2, 100] {
        let mut all = WriteRequest::default();
        for body in sent(Version::V1, story(), samples_max) {
            let request = WriteRequest::decode(&body[..]).unwrap();
            assert!(request.timeseries.len() <= samples_max);
            all.timeseries.extend(request.timeseries);
        }
        let name = |series: &proto::TimeSeries| series.labels[0].value.clone();
        let labels: Vec<&str> = all.timeseries[1].labels.iter().map(|it| &*it.value).collect();
        assert_eq!(labels, ["exp", "j", "z"]);
        let numbers = all.timeseries.iter().filter(|it| name(it) == "plain");
        assert_eq!(numbers.map(|it| it.samples.len() + it.histograms.len()).sum::<usize>(), 2);
        let exp: Vec<_> = all.timeseries.iter().filter(|it| name(it) == "exp").collect();
        assert_eq!(exp[0].histograms, [expected(true, 1000)]);
        assert_eq!(exp[1].histograms, [expected(false, 2000)]);
        let end = &exp[2].histograms[0];
        assert_eq!((end.sum.to_bits(), end.timestamp), (STALE.to_bits(), 3000));
        assert_eq!((exp.len(), all.timeseries.len()), (3, 5));
    }
}

#[test]
fn by_2_0_start_times_and_custom_buckets_go_as_well() {
    let mut all = Vec::new();
    for body in sent(Version::V2, story(), 3) {
        let request = v2::Request::decode(&body[..]).unwrap();
        for series in request.timeseries {
            let name = request.symbols[series.labels_refs[1] as usize].clone();
            all.push((name, series));
        }
    }
    let of = |wanted: &str| {
        let found = all.iter().filter(|(name, _)| name == wanted);
        found.map(|(_, series)| series.clone()).collect::<Vec<_>>()
    };
    let plain = of("plain");
    assert_eq!(plain.iter().map(|it| it.created_timestamp).collect::<Vec<_>>(), [500, 500]);
    let exp = of("exp");
    assert_eq!(exp[0].histograms, [expected(true, 1000)]);
    assert_eq!(exp.iter().map(|it| it.created_timestamp).collect::<Vec<_>>(), [700; 3]);
    let custom = &of("custom")[0];
    let histogram = &custom.histograms[0];
    assert_eq!((histogram.schema, &*histogram.custom_values), (CUSTOM_SCHEMA, &[0.5, 1.0][..]));
    assert_eq!(histogram.positive_spans, [BucketSpan { offset: 1, length: 1 }]);
    assert_eq!((histogram.count_int, histogram.timestamp), (Some(3), 2000));
    assert_eq!(all.len(), 6);
}
