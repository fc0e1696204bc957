use std::collections::BTreeMap;

use narthex_model::{MatchOp, Matcher, TimeRange};
use narthex_store::{Samples, Store, testing};
use narthex_testkit::proto::{
    BucketSpan, Histogram, Label, Sample, TimeSeries, WriteRequest, v2 as proto2,
};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

mod exemplars;
mod otlp;

struct Bench {
    store: Arc<Store>,
    receiver: Receiver,
}

impl Bench {
    fn new() -> Self {
        let (store, writer) = testing::memory_store();
        Self { store, receiver: Receiver::new(Arc::new(Mutex::new(writer))) }
    }

    fn send(&mut self, series: &[(&str, &[(i64, f64)])]) -> Result<Answer, Failure> {
        let series = series.iter().map(|(labels, samples)| a_series(labels, samples)).collect();
        self.receiver.write(
            packed(&WriteRequest { timeseries: series, ..WriteRequest::default() }),
            Message::V1,
        )
    }

    fn read(&self) -> BTreeMap<String, Vec<(i64, f64)>> {
        let all = Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap();
        let range = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
        let selection = self.store.snapshot().select(&[all], range).unwrap();
        let mut samples = Samples::default();
        let mut found = BTreeMap::new();
        for series in &selection.series {
            samples.clear();
            series.read(range, &mut samples).unwrap();
            let times = samples.times.iter().map(|at| at.0);
            let samples = times.zip(samples.values.iter().copied()).collect();
            found.insert(series.labels().to_string(), samples);
        }
        found
    }
}

/// `a=1,b=2` as labels.
fn a_series(labels: &str, samples: &[(i64, f64)]) -> TimeSeries {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        Label { name: name.to_owned(), value: value.to_owned() }
    };
    let labels = labels.split(',').filter(|text| !text.is_empty()).map(pair).collect();
    let samples = samples.iter().map(|&(at, value)| Sample { value, timestamp: at }).collect();
    TimeSeries { labels, samples, ..TimeSeries::default() }
}

/// A series of the second message.
fn second(references: &[u32], samples: &[Sample]) -> proto2::TimeSeries {
    let (labels_refs, samples) = (references.to_vec(), samples.to_vec());
    proto2::TimeSeries { labels_refs, samples, ..proto2::TimeSeries::default() }
}

fn packed(message: &impl prost::Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

#[test]
fn samples_of_one_time_become_one_row() {
    let mut bench = Bench::new();
    let a = "__name__=a,instance=x,job=j";
    let b = "__name__=b,instance=x,job=j";
    for at in [1000, 2000, 3000] {
        let answer = bench.send(&[(a, &[(at, 1.0)]), (b, &[(at, 5.0)])]).unwrap();
        assert_eq!(answer.samples, 2);
    }
    let found = bench.read();
    let b = &found[r#"{__name__="b", instance="x", job="j"}"#];
    assert_eq!(b, &[(1000, 5.0), (2000, 5.0), (3000, 5.0)]);
    assert_eq!(bench.store.stats().rows_appended, 3);
}

#[test]
fn a_scrape_may_come_in_parts() {
    let mut bench = Bench::new();
    let names: Vec<String> = (0..10).map(|n| format!("__name__=m{n},instance=x,job=j")).collect();
    for round in 0..200i32 {
        let at = 1000 * i64::from(round + 1);
        // Parted at another place each time.
        let cut = usize::try_from(round % 9).unwrap() + 1;
        for part in [&names[..cut], &names[cut..]] {
            let samples = [(at, f64::from(round))];
            let series: Vec<_> = part.iter().map(|name| (name.as_str(), &samples[..])).collect();
            assert!(bench.send(&series).unwrap().refused.is_empty());
        }
    }
    for samples in bench.read().values() {
        let want: Vec<_> = (0..200).map(|n| (1000 * i64::from(n + 1), f64::from(n))).collect();
        assert_eq!(samples, &want);
    }
    assert!(bench.store.stats().layouts <= 4, "{}", bench.store.stats().layouts);
}

#[test]
fn late_and_repeated_samples_are_judged_one_by_one() {
    let mut bench = Bench::new();
    let (a, b) = ("__name__=a", "__name__=b");
    bench.send(&[(a, &[(1000, 1.0), (2000, 2.0)])]).unwrap();
    let answer = bench.send(&[(a, &[(2000, 2.0)]), (b, &[(500, 1.0)])]).unwrap();
    assert_eq!((answer.samples, answer.refused.total()), (2, 0), "a repeat is no harm");
    let answer = bench.send(&[(a, &[(1500, 1.0), (2000, 7.0), (3000, 3.0)]), (b, &[(600, 2.0)])]);
    let answer = answer.unwrap();
    assert_eq!(answer.samples, 2);
    assert_eq!(answer.refused.of(Reason::OutOfOrder), 1);
    assert_eq!(answer.refused.of(Reason::Duplicate), 1);
    let text = answer.refused.to_string();
    assert!(
        text.starts_with("out of order sample (1 refused, the first: {__name__=\"a\"} at "),
        "{text}"
    );
    let found = bench.read();
    assert_eq!(found[r#"{__name__="a"}"#], [(1000, 1.0), (2000, 2.0), (3000, 3.0)]);
    assert_eq!(found[r#"{__name__="b"}"#], [(500, 1.0), (600, 2.0)]);
}

#[test]
fn what_its_own_request_outruns_is_left_out_without_a_word() {
    let mut bench = Bench::new();
    let a = "__name__=a";
    bench.send(&[(a, &[(1000, 1.0)])]).unwrap();
    let answer = bench.send(&[(a, &[(3000, 3.0), (2000, 2.0), (3000, 7.0), (500, 1.0)])]).unwrap();
    assert_eq!((answer.samples, answer.told_samples()), (1, 3));
    assert_eq!(answer.refused.to_string().split('(').next(), Some("out of order sample "));
    assert_eq!((answer.refused.total(), answer.outrun.total()), (1, 2), "500 was late before");
    assert_eq!(bench.receiver.counters().refused(Reason::OutOfOrder), 2);
    assert_eq!(bench.receiver.counters().refused(Reason::Duplicate), 1);
    assert_eq!(bench.read()[r#"{__name__="a"}"#], [(1000, 1.0), (3000, 3.0)]);
    let answer = bench.send(&[(a, &[(2000, 2.0)])]).unwrap();
    assert_eq!((answer.refused.total(), answer.told_samples()), (1, 0));
}

#[test]
fn a_new_receiver_knows_what_the_store_has() {
    let mut bench = Bench::new();
    bench.send(&[("__name__=a", &[(1000, 1.0), (2000, 2.0)])]).unwrap();
    bench.receiver = Receiver::new(Arc::clone(&bench.receiver.writer));
    let answer = bench.send(&[("__name__=a", &[(1500, 1.0), (2000, 2.0), (3000, 3.0)])]).unwrap();
    assert_eq!((answer.samples, answer.refused.of(Reason::OutOfOrder)), (2, 1));
    let found = bench.read();
    assert_eq!(found[r#"{__name__="a"}"#], [(1000, 1.0), (2000, 2.0), (3000, 3.0)]);
}

#[test]
fn bad_series_cost_only_themselves() {
    let mut bench = Bench::new();
    let many = (0..300).map(|n| format!("l{n}=v")).collect::<Vec<_>>().join(",");
    let series = vec![
        a_series("a=1", &[(1, 1.0), (2, 1.0)]),
        a_series("__name__=x,a=1,a=2", &[(1, 1.0)]),
        a_series(&format!("__name__=x,{many}"), &[(1, 1.0)]),
        a_series("__name__=good", &[(1, 1.0)]),
        a_series(&format!("__name__=x,long={}", "y".repeat(100_000)), &[(1, 1.0)]),
        a_series("__name__=no-text", &[(1, 1.0)]),
    ];
    let request = WriteRequest { timeseries: series, ..WriteRequest::default() };
    let mut bytes = request.encode_to_vec();
    let at = bytes.windows(7).position(|bytes| bytes == b"no-text").unwrap();
    bytes[at..at + 7].fill(0xff);
    let body = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
    let answer = bench.receiver.write(&body, Message::V1).unwrap();
    assert_eq!(answer.samples, 1);
    for (reason, count) in [
        (Reason::NoName, 2),
        (Reason::DuplicateLabel, 1),
        (Reason::TooManyLabels, 1),
        (Reason::LabelTooLong, 1),
        (Reason::BadUtf8, 1),
    ] {
        assert_eq!(answer.refused.of(reason), count, "{reason:?}");
        assert_eq!(bench.receiver.counters().refused(reason), count, "{reason:?}");
    }
    assert_eq!(bench.read().len(), 1);
}

#[test]
fn histograms_are_stored_in_parts() {
    let mut bench = Bench::new();
    let histogram = |at, more: i64| {
        let spans = [(-1, 2), (3, 1)].map(|(offset, length)| BucketSpan { offset, length });
        Histogram {
            count_int: Some(9),
            sum: 1.5,
            schema: 3,
            positive_spans: spans.to_vec(),
            positive_deltas: vec![1, 2, more],
            timestamp: at,
            ..Histogram::default()
        }
    };
    let mut send = |histograms: Vec<Histogram>| {
        let mut series = a_series("__name__=h,instance=x,job=j", &[]);
        series.histograms = histograms;
        let other = a_series("__name__=f,instance=x,job=j", &[]);
        let body =
            packed(&WriteRequest { timeseries: vec![series, other], ..WriteRequest::default() });
        bench.receiver.write(&body, Message::V1).unwrap()
    };
    let answer = send(vec![histogram(1000, 0), histogram(2000, 1)]);
    assert_eq!((answer.samples, answer.histograms, answer.refused.total()), (0, 2, 0));
    let answer = send(vec![histogram(1500, 0), histogram(2000, 1), histogram(3000, -9)]);
    assert_eq!(answer.histograms, 1, "the repeated one");
    assert_eq!(answer.refused.of(Reason::OutOfOrder), 1);
    assert_eq!(answer.refused.of(Reason::BadHistogram), 1, "a count below zero");
    let all = Matcher::new(MatchOp::Equal, "__name__", "h").unwrap();
    let selection = bench.store.snapshot().select(&[all], TimeRange::ALL).unwrap();
    let [series] = selection.series.as_slice() else { panic!("one series") };
    let mut found = narthex_store::Histograms::default();
    series.read_parts(TimeRange::ALL, &mut found).unwrap();
    assert_eq!(found.times, [Timestamp(1000), Timestamp(2000)]);
    let bars: Vec<_> = found.values[1].positive.iter().map(|b| (b.index, b.count)).collect();
    assert_eq!(bars, [(-1, 1.0), (0, 3.0), (4, 4.0)]);
    assert_eq!((found.values[1].count, found.values[1].schema), (9.0, 3));
}

#[test]
fn the_second_message_is_read() {
    let mut bench = Bench::new();
    let symbols = ["", "__name__", "a", "job", "j"].map(str::to_owned).to_vec();
    let samples = vec![Sample { value: 1.0, timestamp: 7 }];
    let series = vec![
        second(&[1, 2, 3, 4], &samples),
        second(&[1, 2, 3], &samples),
        second(&[1, 99], &samples),
    ];
    let answer = bench
        .receiver
        .write(packed(&proto2::Request { symbols, timeseries: series }), Message::V2)
        .unwrap();
    assert_eq!((answer.samples, answer.refused.of(Reason::BadSymbol)), (1, 2));
    assert_eq!(bench.read()[r#"{__name__="a", job="j"}"#], [(7, 1.0)]);
    // The same series by the other message is the same series.
    let answer = bench.send(&[("job=j,__name__=a", &[(7, 1.0), (8, 2.0)])]).unwrap();
    assert_eq!((answer.samples, answer.refused.total()), (2, 0));
    assert_eq!(bench.receiver.counters().series.load(Relaxed), 1);
}

#[test]
fn what_is_no_message_leaves_nothing() {
    let mut bench = Bench::new();
    let mut bytes = WriteRequest {
        timeseries: vec![a_series("__name__=a", &[(1000, 1.0)])],
        ..WriteRequest::default()
    }
    .encode_to_vec();
    bytes.extend_from_slice(&[0x0a, 0x7f, 0x01]);
    let body = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
    let failure = bench.receiver.write(&body, Message::V1).unwrap_err();
    assert!(matches!(failure, Failure::Malformed(_)), "{failure}");
    assert!(bench.read().is_empty());
    let answer = bench.send(&[("__name__=a", &[(500, 1.0)])]).unwrap();
    assert_eq!((answer.samples, answer.refused.total()), (1, 0));
    for bad in [&b""[..], b"\xff", b"\x05hello", &[0x0a; 40]] {
        assert!(bench.receiver.write(bad, Message::V1).is_err(), "{bad:?}");
    }
}

#[test]
fn bombs_are_refused_before_there_is_room_for_them() {
    let mut bench = Bench::new();
    // Declared sizes of 2.5 GB, 4 GB and 2^60.
    for head in [
        &[0x80, 0xf2, 0x8b, 0xa8, 0x09][..],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
    ] {
        assert!(bench.receiver.write(head, Message::V1).is_err());
    }
    let zeros = snap::raw::Encoder::new().compress_vec(&vec![0; 30 << 20]).unwrap();
    let failure = bench.receiver.write(&zeros, Message::V1).unwrap_err();
    assert!(matches!(failure, Failure::TooLarge(_)), "{failure}");
    assert!(bench.receiver.plain.is_empty());
    let empty = snap::raw::Encoder::new().compress_vec(&b"\x0a\x00".repeat(v2::SERIES_MAX + 1));
    let failure = bench.receiver.write(empty.unwrap(), Message::V1).unwrap_err();
    assert!(failure.to_string().ends_with("more than 100000 series"), "{failure}");
    let symbols = vec![String::new(); v2::SYMBOLS_MAX + 1];
    let body = packed(&proto2::Request { symbols, timeseries: Vec::new() });
    assert!(bench.receiver.write(&body, Message::V2).is_err());
}

/// A series and its samples.
type Sent = (usize, Vec<(i64, u8)>);

/// Requests of a few series with a few samples.
fn requests() -> impl Strategy<Value = Vec<Vec<Sent>>> {
    let samples = proptest::collection::vec((0i64..40, 0u8..3), 0..6);
    let series = proptest::collection::vec((0usize..6, samples), 0..8);
    proptest::collection::vec(series, 1..12)
}

proptest! {
    #[test]
    fn what_is_counted_as_stored_is_there(requests in requests()) {
        let mut bench = Bench::new();
        let names = ["a,instance=x,job=j", "b,instance=x,job=j", "c,instance=x,job=j",
            "d,instance=y,job=j", "e", "f"].map(|rest| format!("__name__={rest}"));
        let mut model: BTreeMap<usize, Vec<(i64, f64)>> = BTreeMap::new();
        for request in requests {
            let mut stored = 0;
            let mut sent = Vec::new();
            for (series, samples) in &request {
                let samples: Vec<_> = samples.iter().map(|&(at, v)| (at, f64::from(v))).collect();
                let known = model.entry(*series).or_default();
                for &(at, value) in &samples {
                    match known.last() {
                        Some(&last) if last == (at, value) => stored += 1,
                        Some(&(last, _)) if at <= last => {}
                        _ => {
                            known.push((at, value));
                            stored += 1;
                        }
                    }
                }
                sent.push((names[*series].as_str(), samples));
            }
            let sent: Vec<_> = sent.iter().map(|(name, s)| (*name, s.as_slice())).collect();
            prop_assert_eq!(bench.send(&sent).unwrap().samples, stored);
        }
        let mut found: Vec<_> = bench.read().into_values().collect();
        let mut want: Vec<_> = model.into_values().filter(|s| !s.is_empty()).collect();
        found.sort_by(|a, b| a.partial_cmp(b).unwrap());
        want.sort_by(|a, b| a.partial_cmp(b).unwrap());
        prop_assert_eq!(found, want);
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bench = Bench::new();
        let _ = bench.receiver.write(&bytes, Message::V1);
        let body = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        let _ = bench.receiver.write(&body, Message::V1);
        let _ = bench.receiver.write(&body, Message::V2);
    }
}
