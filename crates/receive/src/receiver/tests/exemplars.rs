use super::*;

use narthex_testkit::proto::Exemplar;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.store.exemplars().set_max(100);
    bench
}

fn kept(bench: &Bench) -> Vec<String> {
    let range = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
    let found = bench.store.exemplars().select(range, |_| true);
    let text = |one: &narthex_store::Exemplar| format!("{} {} {}", one.at.0, one.value, one.labels);
    let line = |of: &narthex_store::exemplars::SeriesExemplars| {
        let exemplars: Vec<_> = of.exemplars.iter().map(text).collect();
        format!("{} {}", of.labels, exemplars.join("; "))
    };
    found.iter().map(line).collect()
}

fn first(id: &str, timestamp: i64, value: f64) -> Exemplar {
    let label = Label { name: "id".to_owned(), value: id.to_owned() };
    Exemplar { labels: vec![label], value, timestamp }
}

fn send(bench: &mut Bench, labels: &str, exemplars: Vec<Exemplar>) -> Answer {
    let series = TimeSeries { exemplars, ..a_series(labels, &[]) };
    bench.receiver.write(packed(&one(series)), Message::V1).unwrap()
}

fn one(series: TimeSeries) -> WriteRequest {
    WriteRequest { timeseries: vec![series], ..WriteRequest::default() }
}

#[test]
fn the_first_protocol_never_fails_for_an_exemplar() {
    let mut bench = bench();
    bench.send(&[("__name__=a", &[(1000, 1.0)])]).unwrap();
    let answer = send(&mut bench, "__name__=a", vec![first("x", 500, 1.0), first("y", 700, 2.0)]);
    assert_eq!((answer.exemplars, answer.late_exemplars), (2, 0));
    let again = vec![first("y", 700, 2.0), first("z", 600, 1.0), first(&"l".repeat(200), 800, 1.0)];
    let answer = send(&mut bench, "__name__=a", again);
    assert_eq!((answer.exemplars, answer.late_exemplars), (1, 1));
    assert!(answer.refused.is_empty());
    let unknown = send(&mut bench, "__name__=b", vec![first("x", 500, 1.0)]);
    assert_eq!((unknown.exemplars, unknown.refused.total()), (0, 0));
    assert_eq!(kept(&bench), [r#"{__name__="a"} 500 1 {id="x"}; 700 2 {id="y"}"#]);
    assert_eq!(bench.receiver.counters().late_exemplars.load(Relaxed), 1);
}

#[test]
fn the_second_protocol_says_what_it_refused() {
    let mut bench = bench();
    let symbols = ["", "__name__", "a", "id", "x"].map(str::to_owned).to_vec();
    let mut send = |exemplars| {
        let series = second(&[1, 2], &[Sample { value: 1.0, timestamp: 1000 }]);
        let timeseries = vec![proto2::TimeSeries { exemplars, ..series }];
        let request = proto2::Request { symbols: symbols.clone(), timeseries };
        bench.receiver.write(packed(&request), Message::V2).unwrap()
    };
    let exemplar = |timestamp, labels_refs| proto2::Exemplar { labels_refs, value: 0.5, timestamp };
    let answer = send(vec![exemplar(900, vec![3, 4]), exemplar(950, vec![])]);
    assert_eq!((answer.samples, answer.exemplars, answer.refused.total()), (1, 2, 0));
    // A symbol that is not there, and half a pair.
    let answer =
        send(vec![exemplar(960, vec![3, 9]), exemplar(970, vec![3]), exemplar(100, vec![])]);
    assert_eq!((answer.exemplars, answer.late_exemplars), (0, 1));
    assert_eq!(
        answer.refused.to_string(),
        "out of order exemplar (1 refused, the first: {__name__=\"a\"})"
    );
    assert_eq!(kept(&bench), [r#"{__name__="a"} 900 0.5 {id="x"}; 950 0.5 {}"#]);
}

#[test]
fn exemplars_of_a_broken_request_are_not_kept() {
    let mut bench = bench();
    let exemplars = vec![first("x", 1, 1.0)];
    let series = TimeSeries { exemplars, ..a_series("__name__=a", &[(1000, 1.0)]) };
    let mut message = one(series).encode_to_vec();
    message.extend([0x0a, 0x7f]);
    let body = snap::raw::Encoder::new().compress_vec(&message).unwrap();
    assert!(bench.receiver.write(&body, Message::V1).is_err());
    assert!(kept(&bench).is_empty());
    // Where none are kept they count as taken, as in Prometheus.
    bench.store.exemplars().set_max(0);
    assert_eq!(send(&mut bench, "__name__=a", vec![first("x", 1, 1.0)]).exemplars, 1);
    assert!(kept(&bench).is_empty());
}

#[test]
fn many_exemplars_take_little_memory_while_they_wait() {
    let mut bench = bench();
    bench.send(&[("__name__=a", &[(1000, 1.0)])]).unwrap();
    let many = (0..3 * i64::try_from(PENDING_MAX).unwrap()).map(|at| first("x", at + 1, 1.0));
    let answer = send(&mut bench, "__name__=a", many.collect());
    assert_eq!(answer.exemplars, 3 * PENDING_MAX as u64);
    assert_eq!(bench.store.exemplars().stats().exemplars, 100);
    assert!(bench.receiver.exemplars.capacity() <= 2 * PENDING_MAX);
}

proptest! {
    #[test]
    fn any_exemplar_is_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        second: bool,
    ) {
        let mut bench = bench();
        let tag = if second { 0x22 } else { 0x1a };
        let exemplar = [&[tag, u8::try_from(bytes.len()).unwrap()][..], &bytes].concat();
        let head: &[u8] = if second { &[0x0a, 2, 0, 0] } else { b"\x0a\x0d\x0a\x08__name__\x12\x01a" };
        let series = [head, &exemplar].concat();
        let tag = if second { 0x2a } else { 0x0a };
        let message = [&[tag, u8::try_from(series.len()).unwrap()][..], &series].concat();
        let body = snap::raw::Encoder::new().compress_vec(&message).unwrap();
        let _ = bench.receiver.write(&body, if second { Message::V2 } else { Message::V1 });
    }
}
