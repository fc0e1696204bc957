//! Metrics of OTLP, as a library of OpenTelemetry wrote them, sent to narthex and to
//! VictoriaMetrics: the same names, labels and values. (Debian's Prometheus is built without OTLP.)

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use narthex_testkit::process::{Process, free_port, wait_until};
use narthex_testkit::{http, peers};
use serde_json::Value;

use crate::node::{Node, now_ms};

const REQUEST: &[u8] = include_bytes!("../../../../testdata/otlp/request.pb");

/// The times in the request, in nanoseconds.
const TIMES: [u64; 2] = [100_000_000_000, 190_000_000_000];

/// The request with its times now.
fn request() -> Vec<u8> {
    let now = u64::try_from(now_ms()).unwrap() * 1_000_000;
    let mut request = REQUEST.to_vec();
    for time in TIMES {
        for at in 0..request.len() - 7 {
            if request[at..at + 8] == time.to_le_bytes() {
                request[at..at + 8].copy_from_slice(&now.to_le_bytes());
            }
        }
    }
    request
}

fn post(port: u16, path: &str, head: &str, body: &[u8]) -> http::Answer {
    http::ask(port, "POST", path, head, body).unwrap()
}

/// The series of a line or of an answer, without what tells of the resource or the scope.
fn name_of(metric: &Value) -> String {
    let labels = metric.as_object().unwrap().iter();
    let own = labels.filter(|(name, _)| {
        !name.starts_with("scope_") && !["job", "instance"].contains(&name.as_str())
    });
    own.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// Whether both programs make the same of a metric: native histograms, temporality and the data of
/// resources they take in different ways.
fn is_shared(name: &str) -> bool {
    !["sizes_", "delta", "target_info"].iter().any(|own| name.contains(own))
}

#[test]
fn otlp_is_read_as_by_other_software() {
    let Some(program) = peers::find("victoria-metrics") else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let mut command = Command::new(program);
    command
        .arg(format!("-storageDataPath={}", folder.path().join("data").display()))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .args(["-opentelemetry.usePrometheusNaming", "-search.latencyOffset=0s"])
        .arg("-opentelemetry.promoteAllResourceAttributes=false");
    let _other = Process::start(&mut command, &folder.path().join("log")).unwrap();
    let up = || http::get(port, "/health").is_ok_and(|answer| answer.status == 200);
    assert!(wait_until(Duration::from_secs(30), up), "VictoriaMetrics does not start");
    let flags = ["--web.enable-otlp-receiver"];
    let config = "scrape_configs: []\n";
    let ours = Node::start(Path::new(env!("CARGO_BIN_EXE_narthex")), config, &flags);
    let body = request();
    let head = "Content-Type: application/x-protobuf\r\n";
    let answer = post(ours.port, "/api/v1/otlp/v1/metrics", head, &body);
    assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{}", ours.log());
    assert_eq!(post(port, "/opentelemetry/v1/metrics", head, &body).status, 200);

    let mut found = BTreeMap::new();
    for series in http::query(ours.port, "{__name__!=\"\"}", None) {
        found.insert(
            name_of(&series["metric"]),
            series["value"][1].as_str().unwrap_or("").to_owned(),
        );
    }
    let shown = || {
        // What came last is in memory until it is flushed.
        http::get(port, "/internal/force_flush").unwrap();
        let path = "/api/v1/export?match%5B%5D=%7B__name__!=%22%22%7D";
        let lines = http::get(port, path).unwrap().text();
        let series = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        // A series that ended is no sample to us.
        let living = series.filter_map(|series| {
            Some((name_of(&series["metric"]), series["values"][0].as_f64()?.to_string()))
        });
        living.collect::<BTreeMap<String, String>>()
    };
    wait_until(Duration::from_secs(20), || !shown().is_empty());
    let mut theirs = shown();
    assert!(theirs.len() > 15, "{theirs:?}");
    found.retain(|name, _| is_shared(name));
    theirs.retain(|name, _| is_shared(name));
    assert_eq!(found, theirs);

    let sizes = http::query(ours.port, "histogram_count(sizes_bytes)", None);
    assert_eq!(sizes[0]["value"][1], "11");
    let target = http::query(ours.port, "target_info{job=\"eu/shop\",host_name=\"h1\"}", None);
    assert_eq!(target.len(), 1);
}

#[test]
fn otlp_is_refused_in_the_words_of_prometheus() {
    let config = "scrape_configs: []\n";
    let path = "/api/v1/otlp/v1/metrics";
    let off = Node::narthex(config);
    let answer = post(off.port, path, "Content-Type: application/json\r\n", b"{}");
    assert_eq!(answer.status, 404);
    let want = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
    assert_eq!(answer.text(), want);
    let flags = ["--web.enable-otlp-receiver"];
    let on = Node::start(Path::new(env!("CARGO_BIN_EXE_narthex")), config, &flags);
    let status = |head: &str, body: &[u8]| post(on.port, path, head, body).status;
    assert_eq!(status("Content-Type: application/json\r\n", b"{}"), 200);
    assert_eq!(status("Content-Type: application/json\r\n", b"{"), 400);
    assert_eq!(status("Content-Type: text/plain\r\n", b"{}"), 400);
    let zipped = "Content-Type: application/json\r\nContent-Encoding: zstd\r\n";
    assert_eq!(status(zipped, b"{}"), 400);
    assert_eq!(status("Content-Type: application/x-protobuf\r\n", b"\x0a\xff"), 400);
    let large = vec![b' '; 5 << 20];
    assert_eq!(status("Content-Type: application/json\r\n", &large), 413);
    // Remote write is another flag's.
    let write = post(on.port, "/api/v1/write", "Content-Type: application/x-protobuf\r\n", b"");
    assert_eq!(write.status, 404);
}
