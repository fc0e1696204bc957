//! What the public compliance suite of remote write asks of a sender, group by group, over a real
//! socket and in both versions of the protocol. What takes minutes of waiting (backoff, fallback,
//! lost and partial answers) is tested beside the queue with a clock that jumps.

#![expect(clippy::unwrap_used, reason = "a test fails where it must")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use narthex_config::Config;
use narthex_model::{Labels, Metadata, MetricKind, STALE, Timestamp};
use narthex_net::dial::Tcp;
use narthex_remote::{Manager, MetadataSource};
use narthex_store::testing::{HandClock, memory_store};
use narthex_store::{Row, Writer};
use narthex_testkit::proto::v2::Request;
use narthex_testkit::proto::{Label, MetricMetadata, Sample, TimeSeries, WriteRequest};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const AT: i64 = 1_795_000_000_123;

/// A request as it came.
struct Came {
    head: String,
    raw: Vec<u8>,
}

struct Rig {
    listener: TcpListener,
    manager: Manager,
    writer: Writer,
}

#[derive(Debug)]
struct Described;

impl MetadataSource for Described {
    fn visit(&self, each: &mut dyn FnMut(&str, &Metadata)) {
        for (name, kind) in [
            ("requests", MetricKind::Counter),
            ("latency_seconds", MetricKind::Histogram),
            ("temperature", MetricKind::Gauge),
            ("size", MetricKind::Summary),
        ] {
            let help = format!("{name}: \"quoted\"\nand \u{fc}n\u{ef}code \\");
            each(name, &Metadata { kind, unit: "u".into(), help });
        }
    }
}

impl Rig {
    /// A sender with `more` in its section.
    async fn new(more: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (store, writer) = memory_store();
        let clock = Arc::new(HandClock::new(Timestamp(AT)));
        let manager = Manager::new(store, clock, Arc::new(Tcp), "/", Some(Arc::new(Described)));
        let text = format!(
            "remote_write:\n- url: http://127.0.0.1:{port}/write\n  \
             queue_config: {{batch_send_deadline: 50ms}}\n  \
             metadata_config: {{send_interval: 1s}}\n{more}"
        );
        let sections = Config::parse(&text, "test.yml").unwrap().remote_write;
        manager.apply(&sections, &Labels::empty()).unwrap();
        // The queue begins with the rows that come after it.
        tokio::time::sleep(Duration::from_millis(300)).await;
        Self { listener, manager, writer }
    }

    fn row(&mut self, series: &[(&[(&str, &str)], f64)], at: i64) {
        let source = self.writer.new_source();
        let layout = self.writer.new_layout(source).unwrap();
        for (pairs, _) in series {
            let labels = Labels::from_pairs(pairs.iter().copied());
            let series = self.writer.resolve(&labels).unwrap();
            self.writer.add_columns(layout, &[series]).unwrap();
        }
        let values: Vec<f64> = series.iter().map(|(_, value)| *value).collect();
        self.writer
            .append(&Row { layout, at: Timestamp(at), values: &values, changed: None })
            .unwrap();
    }

    /// Takes one request and answers it.
    async fn take(&self, answer: &str) -> Came {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let len = head.split("Content-Length: ").nth(1).unwrap().split('\r').next().unwrap();
        let mut body = vec![0; len.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        let text = format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let raw = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        Came { head, raw }
    }

    /// The samples of the next request that has any, or its metadata where `metadata`.
    async fn next(&self, metadata: bool) -> (Came, WriteRequest) {
        loop {
            let came = self.take(YES).await;
            let request = came.read();
            if request.timeseries.is_empty() == metadata {
                return (came, request);
            }
        }
    }
}

const YES: &str = "204 No Content\r\nX-Prometheus-Remote-Write-Samples-Written: 1000000";
const V2: &str = "  protobuf_message: io.prometheus.write.v2.Request\n";

impl Came {
    fn is_2(&self) -> bool {
        self.head.contains("version: 2.0.0")
    }

    /// The request in the words of 1.0, checked for what its version asks for.
    fn read(&self) -> WriteRequest {
        if !self.is_2() {
            return WriteRequest::decode(&self.raw[..]).unwrap();
        }
        let request = Request::decode(&self.raw[..]).unwrap();
        assert_eq!(request.symbols[0], "", "the first symbol is empty");
        let mut distinct = request.symbols.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), request.symbols.len(), "each symbol once");
        let text = |number: u32| request.symbols[usize::try_from(number).unwrap()].clone();
        let mut read = WriteRequest::default();
        for series in &request.timeseries {
            assert!(series.labels_refs.len().is_multiple_of(2), "pairs of references");
            let pairs = series.labels_refs.chunks(2);
            let labels: Vec<_> =
                pairs.map(|pair| Label { name: text(pair[0]), value: text(pair[1]) }).collect();
            if let Some(metadata) = series.metadata {
                read.metadata.push(MetricMetadata {
                    r#type: metadata.r#type,
                    metric_family_name: labels[0].value.clone(),
                    help: text(metadata.help_ref),
                    unit: text(metadata.unit_ref),
                });
            }
            let samples = series.samples.iter();
            let samples =
                samples.map(|it| Sample { value: it.value, timestamp: it.timestamp }).collect();
            read.timeseries.push(TimeSeries { labels, samples, ..Default::default() });
        }
        read
    }
}

#[tokio::test]
async fn protocol() {
    for (more, kind, version) in [
        ("", "application/x-protobuf\r\n", "0.1.0\r\n"),
        (V2, "application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n", "2.0.0\r\n"),
    ] {
        let headers =
            "  headers: {THANOS-TENANT: team-a}\n  basic_auth: {username: u, password: p}\n";
        let mut rig = Rig::new(&format!("{more}{headers}")).await;
        rig.row(&[(&[("__name__", "up"), ("job", "j"), ("instance", "i")], 1.0)], AT);
        let (came, request) = rig.next(false).await;
        let head = came.head.to_ascii_lowercase();
        assert!(head.starts_with("post /write http/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("content-type: {}", kind.to_ascii_lowercase())), "{head}");
        assert!(head.contains(&format!("x-prometheus-remote-write-version: {version}")), "{head}");
        assert!(head.contains("content-encoding: snappy\r\n"), "{head}");
        assert!(head.contains("user-agent: narthex/"), "{head}");
        assert!(head.contains("thanos-tenant: team-a\r\n"), "{head}");
        assert!(head.contains("authorization: basic dtpw\r\n"), "{head}");
        assert!(!head.contains("retry-attempt"), "{head}");
        let names: Vec<_> = request.timeseries[0].labels.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["__name__", "instance", "job"]);
    }
}

#[tokio::test]
async fn samples_and_timestamps() {
    let values = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        42.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        STALE,
        1e308,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        1.23e-100,
        0.1 + 0.2,
        9_007_199_254_740_993.0,
    ];
    for more in ["", V2] {
        let mut rig = Rig::new(more).await;
        let names: Vec<String> = (0..values.len()).map(|at| format!("m{at:02}")).collect();
        let pairs: Vec<[(&str, &str); 1]> = names.iter().map(|n| [("__name__", &**n)]).collect();
        let series: Vec<(&[(&str, &str)], f64)> =
            pairs.iter().map(|pair| &pair[..]).zip(values).collect();
        // A time of any size, and one that has not come yet.
        for at in [0, 1, AT, AT + 3_600_000] {
            rig.row(&series, at);
        }
        let mut got: BTreeMap<String, Vec<(i64, u64)>> = BTreeMap::new();
        while got.values().map(Vec::len).sum::<usize>() < 4 * values.len() {
            for series in rig.next(false).await.1.timeseries {
                let samples = series.samples.iter().map(|it| (it.timestamp, it.value.to_bits()));
                got.entry(series.labels[0].value.clone()).or_default().extend(samples);
            }
        }
        for (samples, value) in got.values().zip(values) {
            let want = [0, 1, AT, AT + 3_600_000].map(|at| (at, value.to_bits()));
            assert_eq!(samples, &want);
        }
    }
}

#[tokio::test]
async fn labels() {
    let (long_name, long_value) = ("n".repeat(500), "v".repeat(20_000));
    for more in ["", V2] {
        let mut rig = Rig::new(more).await;
        let names: Vec<String> = (0..60).map(|at| format!("label_{at:02}")).collect();
        let mut pairs = vec![
            ("zz", "last"),
            ("__name__", "ns:rule:rate5m"),
            ("unicode", "\u{65e5}\u{672c} \u{1f600}"),
            ("special", "a\"b\\c\nd\te,f={g}"),
            (&*long_name, &*long_value),
            ("job", "j"),
        ];
        pairs.extend(names.iter().map(|name| (name.as_str(), "x")));
        rig.row(&[(&pairs, 1.0)], AT);
        let (_, request) = rig.next(false).await;
        let labels = &request.timeseries[0].labels;
        assert!(labels.is_sorted_by(|a, b| a.name < b.name), "sorted, and none twice");
        assert!(labels.iter().all(|it| !it.name.is_empty()));
        let got: BTreeMap<_, _> = labels.iter().map(|it| (&*it.name, &*it.value)).collect();
        assert_eq!(got, pairs.into_iter().collect());
    }
}

#[tokio::test]
async fn metadata() {
    let want = |name: &str| format!("{name}: \"quoted\"\nand \u{fc}n\u{ef}code \\");
    let rig = Rig::new("").await;
    let (_, request) = rig.next(true).await;
    let of = |name: &str| {
        let mut all = request.metadata.iter();
        let it = all.find(|it| it.metric_family_name == name).unwrap();
        (it.r#type, it.help.clone(), it.unit.clone())
    };
    for (name, kind) in [("requests", 1), ("temperature", 2), ("latency_seconds", 3), ("size", 5)] {
        assert_eq!(of(name), (kind, want(name), "u".to_owned()));
    }
    let mut rig = Rig::new(V2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let names = ["latency_seconds_bucket", "latency_seconds_sum", "requests_total", "temperature"];
    let pairs = names.map(|name| [("__name__", name)]);
    let series: Vec<(&[(&str, &str)], f64)> = pairs.iter().map(|it| (&it[..], 1.0)).collect();
    rig.row(&series, AT);
    let (came, request) = rig.next(false).await;
    assert!(came.is_2());
    let kinds: Vec<_> = request.metadata.iter().map(|it| (&*it.help, it.r#type)).collect();
    let [latency, requests, temperature] = ["latency_seconds", "requests", "temperature"].map(want);
    assert_eq!(kinds, [(&*latency, 3), (&*latency, 3), (&*requests, 1), (&*temperature, 2)]);
}

#[tokio::test]
async fn retry() {
    for status in ["500 Oops", "502 Bad Gateway", "503 Unavailable", "504 Timeout", "429 Slow down"]
    {
        let mut rig = Rig::new("").await;
        rig.row(&[(&[("__name__", "up")], 1.0)], AT);
        let first = loop {
            let came = rig.take(status).await;
            if !came.read().timeseries.is_empty() {
                break came;
            }
        };
        let again = loop {
            let came = rig.take(YES).await;
            if !came.read().timeseries.is_empty() {
                break came;
            }
        };
        assert_eq!(first.raw, again.raw, "{status}");
        assert!(again.head.contains("retry-attempt: 1\r\n"), "{status}: {}", again.head);
    }
    for status in ["400 Bad Request", "401 Unauthorized", "404 Not Found", "413 Too Large"] {
        let mut rig = Rig::new("").await;
        rig.row(&[(&[("__name__", "up")], 1.0)], AT);
        while rig.take(status).await.read().timeseries.is_empty() {}
        // Metadata is due in a second; samples must not come again so soon.
        let quiet = tokio::time::timeout(Duration::from_secs(3), rig.next(false)).await.is_err();
        assert!(quiet, "{status}: sent again at once");
    }
}

#[tokio::test]
async fn nothing_is_sent_when_there_is_nothing() {
    let rig = Rig::new("").await;
    let came = rig.take(YES).await.read();
    assert!(came.timeseries.is_empty() && !came.metadata.is_empty(), "only metadata");
    assert_eq!(rig.manager.stats()[0].samples, 0);
}
