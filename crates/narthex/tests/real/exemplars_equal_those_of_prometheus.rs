//! A Prometheus and narthex scrape the same exporter, by text and by protobuf: the exemplars that
//! they show are the same, and so are the answers to questions that are wrong.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use narthex_testkit::http;
use narthex_testkit::peers;
use narthex_testkit::process::wait_until;
use serde_json::Value;

use crate::exporter::{self, double, family, field, varint};
use crate::node::{Node, now_ms};

/// Bodies that the exporter shows, one after the other.
const FRAMES: u64 = 6;

/// An exporter whose body changes when it is told to: `/text` and `/binary`.
struct Exporter {
    port: u16,
    frame: Arc<AtomicU64>,
}

impl Exporter {
    fn start() -> Self {
        let (frame, start) = (Arc::new(AtomicU64::new(0)), now_ms());
        let shown = Arc::clone(&frame);
        let port = exporter::serve(move |path| {
            let frame = shown.load(SeqCst);
            match path {
                "/binary" => (exporter::PROTOBUF, binary(frame, start)),
                _ => (exporter::OPEN_METRICS, text(frame, start).into_bytes()),
            }
        });
        Self { port, frame }
    }
}

/// When the exemplars of a frame were observed, in seconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
fn observed(frame: u64, start: i64) -> f64 {
    (start + i64::try_from(frame).unwrap() * 250) as f64 / 1000.0
}

/// The body in OpenMetrics text: exemplars that change, that stay, that come too late, without a
/// time, with odd labels and with long ones.
fn text(frame: u64, start: i64) -> String {
    let at = observed(frame, start);
    let late = observed(20 - frame, start);
    let (fits, long) = ("x".repeat(127), "x".repeat(128));
    format!(
        "# TYPE frame gauge\nframe{{job=\"text\"}} {frame}\n\
         # TYPE h histogram\n\
         h_bucket{{le=\"0.1\"}} 8 # {{trace_id=\"a{frame}\"}} 0.0{frame}5 {at:.3}\n\
         h_bucket{{le=\"1\"}} 9 # {{trace_id=\"fixed\"}} 0.67 {start_s:.3}\n\
         h_bucket{{le=\"+Inf\"}} 9 # {{}} {value}\nh_count 9\nh_sum 4\n\
         # TYPE c counter\nc_total 5 # {{b=\"2\",a=\"1\",none=\"\"}} 5.0 {at:.3}\n\
         # TYPE g gauge\n\
         g{{a=\"1\"}} 1 # {{trace_id=\"x\\\"y\\\\n\\n<&\u{e9}\"}} 1e-7 {at:.3}\n\
         g{{a=\"2\"}} 1 # {{l=\"{fits}\"}} NaN 1.5\ng{{a=\"3\"}} 1 # {{l=\"{long}\"}} 1 2.5\n\
         g{{a=\"4\"}} 1 # {{l=\"late\"}} 1 {late:.3}\ng{{a=\"5\"}} 1 # {{l=\"dropped\"}} 1 1.5\n\
         g{{a=\"6\"}} 1 {at:.3} # {{l=\"as the sample\"}} +Inf\n\
         g{{a=\"7\"}} 1 # {{l=\"back\"}} {frame} 0\n# EOF\n",
        start_s = observed(0, start),
        value = frame / 2,
    )
}

fn exemplar(id: &str, value: f64, at_ms: Option<i64>) -> Vec<u8> {
    let pair = [field(1, b"trace_id"), field(2, id.as_bytes())].concat();
    let time = at_ms.map_or_else(Vec::new, |ms| {
        let ms = u64::try_from(ms).unwrap();
        let time = [vec![8], varint(ms / 1000), vec![16], varint(ms % 1000 * 1_000_000)].concat();
        field(3, &time)
    });
    [field(1, &pair), double(2, value), time].concat()
}

/// The body in the protobuf format: a counter, a classic histogram, and native ones with exemplars
/// of their own and of their buckets.
fn binary(frame: u64, start: i64) -> Vec<u8> {
    let at = |frames_back: u64| {
        Some(start + i64::try_from(frame.saturating_sub(frames_back)).unwrap() * 250)
    };
    let value = |value: f64| double(1, value);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let count = frame as f64;
    let counter = [value(count), field(2, &exemplar("counter", count, at(0)))].concat();
    let bucket = |bound, id: &str, at| {
        [vec![8, 3], double(2, bound), field(3, &exemplar(id, bound / 2.0, at))].concat()
    };
    let classic = [
        vec![8, 3],
        field(3, &bucket(0.5, "early", at(1))),
        field(3, &bucket(1.0, "timeless", None)),
    ];
    let native = [vec![8, 3], vec![40, 0], field(12, &[8, 0, 16, 1]), vec![104, 6]].concat();
    let own = [
        native.clone(),
        field(16, &exemplar("second", 0.75, at(0))),
        field(16, &exemplar("first", 0.7, at(0))),
        field(16, &exemplar("before", 0.9, at(2))),
        field(16, &exemplar("timeless", 0.8, None)),
    ];
    let of_buckets = [native, classic.concat()[2..].to_vec()];
    [
        family("frame", 1, &field(2, &value(count))),
        family("p", 0, &field(3, &counter)),
        family("q", 4, &field(7, &classic.concat())),
        family("r", 4, &field(7, &own.concat())),
        family("s", 4, &field(7, &of_buckets.concat())),
    ]
    .concat()
}

fn config(exporter: u16, max: u64) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         storage: {{exemplars: {{max_exemplars: {max}}}}}\n\
         scrape_configs:\n\
         - job_name: text\n  metrics_path: /text\n  \
           static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]\n  \
           metric_relabel_configs: [{{source_labels: [a], regex: '5', action: drop}}]\n\
         - job_name: binary\n  metrics_path: /binary\n  \
           scrape_protocols: [PrometheusProto]\n  \
           static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]\n"
    )
}

fn ask(port: u16, query: &str, more: &str) -> (u16, Value) {
    let path = format!("/api/v1/query_exemplars?query={}{more}", http::encode(query));
    let answer = http::get(port, &path).unwrap();
    (answer.status, if answer.text().is_empty() { Value::Null } else { answer.json() })
}

/// An answer, the times of exemplars without one of their own left out.
fn shown(port: u16, query: &str, more: &str) -> (u16, Value) {
    let (status, mut answer) = ask(port, query, more);
    for series in answer["data"].as_array_mut().into_iter().flatten() {
        let name = series["seriesLabels"]["__name__"].clone();
        let bound = series["seriesLabels"]["le"].clone();
        let timeless =
            (name == "h_bucket" && bound == "+Inf") || (name == "q_bucket" && bound == "1.0");
        for exemplar in series["exemplars"].as_array_mut().into_iter().flatten() {
            if timeless {
                exemplar["timestamp"] = Value::Null;
            }
        }
    }
    (status, answer)
}

fn figure(port: u16, name: &str) -> u64 {
    let page = http::get(port, "/metrics").unwrap().text();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn exemplars_equal_those_of_prometheus() {
    let Some(prometheus) = peers::find("prometheus") else { return };
    let exporter = Exporter::start();
    let flags = ["--enable-feature=exemplar-storage,native-histograms"];
    let text = config(exporter.port, 1000);
    let mut ours = Node::start(std::path::Path::new(env!("CARGO_BIN_EXE_narthex")), &text, &flags);
    let theirs = Node::start(&prometheus, &text, &flags);
    for frame in 0..FRAMES {
        exporter.frame.store(frame, SeqCst);
        let want = Value::from(frame.to_string());
        let seen = |port| {
            let result = http::query(port, "frame", None);
            result.len() == 2 && result.iter().all(|series| series["value"][1] == want)
        };
        let all = || [ours.port, theirs.port].into_iter().all(seen);
        assert!(wait_until(Duration::from_secs(20), all), "frame {frame} was not scraped");
    }
    let differences = differences(theirs.port, ours.port);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // NaN is no duplicate of itself, so that one is counted at every scrape.
    let nan = |port| ask(port, "g{a=\"2\"}", "").1["data"][0]["exemplars"].clone();
    let nans = |port| nan(port).as_array().unwrap().len() as u64;
    for name in ["exemplars_appended_total", "exemplars_in_storage"] {
        let name = format!("prometheus_tsdb_exemplar_{name}");
        let count = |port| figure(port, &name) - nans(port);
        assert!(count(ours.port).abs_diff(count(theirs.port)) <= 2, "{name}");
    }
    for name in ["series_with_exemplars_in_storage", "max_exemplars"] {
        let name = format!("prometheus_tsdb_exemplar_{name}");
        assert_eq!(figure(ours.port, &name), figure(theirs.port, &name), "{name}");
    }
    let late = "prometheus_target_scrapes_exemplar_out_of_order_total";
    assert!(figure(ours.port, late) >= 4 && figure(theirs.port, late) >= 4);
    // Another limit is taken over without a restart.
    ours.configure(&config(exporter.port, 3));
    let in_storage = "prometheus_tsdb_exemplar_exemplars_in_storage";
    let shrunk = || figure(ours.port, in_storage) <= 3;
    assert!(wait_until(Duration::from_secs(10), shrunk), "{}", ours.log());
    ours.stop();
}

fn differences(theirs: u16, ours: u16) -> Vec<String> {
    let queries = [
        "{__name__=~\"h.*|c.*|q.*|r|s|p|p_total\"}",
        "g{a!=\"2\"}",
        "rate(c_total[1m]) + on() group_left sum(g{a=\"1\"}) or r",
        "sum(h_bucket) by (le)",
        "nosuch",
        "1 + 2",
        "\"text\"",
        "sum(",
        "",
        "{job=\"\"}",
        "h_bucket[5m:1m] offset 1h",
    ];
    let (old, far) = ("&start=0&end=1", "&start=1&end=9999999999");
    let wrong = ["&start=2&end=1", "&start=x", "&end=y", "&start=2015-07-01T20:10:30.781Z&end=1"];
    let mut different = Vec::new();
    for query in queries {
        for more in ["", old, far].iter().chain(&wrong) {
            let [a, b] = [theirs, ours].map(|port| shown(port, query, more));
            if a != b {
                different.push(format!("{query} {more}\n  theirs: {a:?}\n  ours:   {b:?}"));
            }
        }
    }
    let (status, answer) = shown(ours, queries[0], "");
    let found = answer["data"].as_array().map_or(0, Vec::len);
    if status != 200 || found < 7 {
        different.push(format!("only {found} series have exemplars: {answer}"));
    }
    different
}

#[test]
fn exemplars_are_forwarded_by_both_protocols() {
    let Some(prometheus) = peers::find("prometheus") else { return };
    let exporter = Exporter::start();
    let receiver_flags = [
        "--enable-feature=exemplar-storage,native-histograms",
        "--web.enable-remote-write-receiver",
        "--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest",
        "--web.remote-write-receiver.accepted-protobuf-messages=io.prometheus.write.v2.Request",
    ];
    let receivers = [(); 2].map(|()| Node::start(&prometheus, "global: {}\n", &receiver_flags));
    let own = Node::start(
        std::path::Path::new(env!("CARGO_BIN_EXE_narthex")),
        "global: {}\n",
        &receiver_flags,
    );
    let mut text = config(exporter.port, 1000);
    text.push_str("remote_write:\n");
    let (v1, v2) = ("prometheus.WriteRequest", "io.prometheus.write.v2.Request");
    let ports = [(receivers[0].port, v1), (receivers[1].port, v2), (own.port, v2)];
    for (port, message) in ports {
        let _ = write!(
            text,
            "- url: http://127.0.0.1:{port}/api/v1/write\n  send_exemplars: true\n  \
               protobuf_message: {message}\n  queue_config: {{batch_send_deadline: 1s}}\n"
        );
    }
    let flags = ["--enable-feature=exemplar-storage"];
    let sender = Node::start(std::path::Path::new(env!("CARGO_BIN_EXE_narthex")), &text, &flags);
    for frame in 0..3 {
        exporter.frame.store(frame, SeqCst);
        let want = Value::from(frame.to_string());
        let query = "frame{job=\"text\"}";
        let seen = || http::query(sender.port, query, None).iter().any(|s| s["value"][1] == want);
        assert!(wait_until(Duration::from_secs(20), seen), "frame {frame} was not scraped");
    }
    let query = "{__name__=~\"h_bucket|c_total|p\"}";
    let (_, kept) = ask(sender.port, query, "");
    assert!(kept["data"].as_array().unwrap().len() >= 4, "{kept}");
    for (port, message) in ports {
        let arrived = || ask(port, query, "").1 == ask(sender.port, query, "").1;
        let same = wait_until(Duration::from_secs(30), arrived);
        assert!(same, "{message}: {}\n{}\n{}", ask(port, query, "").1, kept, sender.log());
    }
}
