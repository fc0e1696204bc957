//! What `stats=all` says of queries, to narthex and to a real Prometheus that hold the same samples.

use narthex_testkit::differ::Data;
use narthex_testkit::http::{self, encode};
use narthex_testkit::peers;
use serde_json::Value;

use crate::node::{Node, now_ms};

const CONFIG: &str = "global: {scrape_interval: 1m, evaluation_interval: 1m}\n";

/// Every way in which samples are read, and ways to put them together.
const QUERIES: [&str; 33] = [
    "1 + 1",
    "vector(1)",
    "time()",
    "demo_memory_usage_bytes",
    "demo_memory_usage_bytes offset 5m",
    "demo_memory_usage_bytes @ end()",
    "demo_memory_usage_bytes @ start() + demo_memory_usage_bytes",
    "timestamp(demo_memory_usage_bytes)",
    "sum(demo_memory_usage_bytes)",
    "sum by (type) (demo_memory_usage_bytes) / 2",
    "topk(2, demo_memory_usage_bytes)",
    "quantile(0.5, demo_memory_usage_bytes)",
    "count_values('v', demo_num_cpus)",
    "demo_memory_usage_bytes > 1",
    "demo_memory_usage_bytes and demo_memory_usage_bytes",
    "demo_num_cpus * on (instance) group_right () demo_memory_usage_bytes",
    "rate(demo_cpu_usage_seconds_total[5m])",
    "sum(rate(demo_cpu_usage_seconds_total[1m]))",
    "rate(demo_cpu_usage_seconds_total[5m] @ end())",
    "sum(rate(demo_cpu_usage_seconds_total[1m])) by (mode) > 0",
    "quantile_over_time(0.9, demo_memory_usage_bytes[3m])",
    "max_over_time(demo_memory_usage_bytes[5m:1m])",
    "max_over_time(rate(demo_cpu_usage_seconds_total[1m])[5m:30s])",
    "sum_over_time(max_over_time(demo_memory_usage_bytes[2m:1m])[5m:1m])",
    "max_over_time(demo_memory_usage_bytes[5m:1m] @ end())",
    "absent(demo_memory_usage_bytes)",
    "absent_over_time(demo_memory_usage_bytes[5m])",
    "histogram_quantile(0.9, rate(demo_api_request_duration_seconds_bucket[2m]))",
    "label_replace(demo_num_cpus, 'x', '$1', 'instance', '(.*)')",
    "-demo_num_cpus",
    "demo_native_seconds",
    "sum(rate(demo_native_seconds[2m]))",
    "histogram_quantile(0.9, sum_over_time(demo_native_seconds[3m:1m]))",
];

#[test]
fn statistics_equal_those_of_prometheus() {
    let Some(prometheus) = peers::find("prometheus") else { return };
    let flags = [
        "--web.enable-remote-write-receiver",
        "--enable-feature=promql-per-step-stats,native-histograms",
    ];
    let theirs = Node::start(&prometheus, CONFIG, &flags);
    let narthex = std::path::Path::new(env!("CARGO_BIN_EXE_narthex"));
    let ours = Node::start(narthex, CONFIG, &flags);
    let end_ms = now_ms() / 60_000 * 60_000;
    let data = Data::new(7, end_ms, 200);
    data.push(theirs.port).unwrap();
    data.push(ours.port).unwrap();
    let (start, end) = (end_ms / 1000 - 1500, end_ms / 1000 - 300);
    let mut different = Vec::new();
    let mut compare = |path: String| {
        let of = |port| {
            let answer = http::get(port, &path).unwrap().json();
            let mut samples = answer["data"]["stats"]["samples"].clone();
            // How much is held at once is each one's own affair.
            assert!(samples["peakSamples"].take().is_u64(), "{path}: {answer}");
            samples
        };
        let (theirs, ours) = (of(theirs.port), of(ours.port));
        assert!(theirs["totalQueryableSamplesPerStep"].is_array());
        if theirs != ours {
            different.push(format!("{path}\n    {theirs}\n    {ours}"));
        }
    };
    for query in QUERIES {
        let query = encode(query);
        compare(format!("/api/v1/query?query={query}&time={end}&stats=all"));
        let span = format!("start={start}&end={end}&step=70.5");
        compare(format!("/api/v1/query_range?query={query}&{span}&stats=all"));
    }
    for query in ["demo_num_cpus[5m]", "demo_num_cpus[5m:1m]", "rate(demo_num_cpus[1m])[5m:1m]"] {
        compare(format!("/api/v1/query?query={}&time={end}&stats=all", encode(query)));
    }
    assert!(different.is_empty(), "{} differ\n{}", different.len(), different.join("\n"));
    let plain = http::get(ours.port, "/api/v1/query?query=1&stats=true").unwrap().json();
    assert_eq!(plain["data"]["stats"]["samples"]["totalQueryableSamplesPerStep"], Value::Null);
}
