//! narthex and a Prometheus scrape the same exporter, and another Prometheus federates from both:
//! it ends up with the same series, native histograms among them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use narthex_testkit::process::wait_until;
use narthex_testkit::{http, peers};

use crate::exporter::{self, double, family, field};
use crate::node::Node;

/// The body of the exporter: numbers and histograms, native, of a gauge, with custom bounds.
fn body() -> Vec<u8> {
    let native = [
        vec![8, 9],
        double(2, -1.5),
        vec![40, 2],
        double(6, 0.25),
        vec![56, 1],
        field(9, &[8, 0, 16, 1]),
        vec![80, 4],
        field(12, &[8, 3, 16, 2]),
        vec![104, 4, 104, 4],
    ];
    let native = field(7, &native.concat());
    let label = field(1, &[field(1, b"x.y"), field(2, b"a\"b\\")].concat());
    let buckets = [field(3, &[vec![8, 3], double(2, 1.0)].concat()), vec![8, 5], double(2, 2.5)];
    [
        family("up.to.date", 1, &[label.clone(), field(2, &double(1, 1.5))].concat()),
        family("plain_total", 0, &field(3, &double(1, f64::INFINITY))),
        family("native", 4, &[label, native.clone()].concat()),
        family("gauge_native", 5, &native),
        family("empty", 4, &field(7, &field(12, &[]))),
        family("custom", 4, &field(7, &buckets.concat())),
    ]
    .concat()
}

/// The series of a query, without the label that tells the sources apart.
fn shown(port: u16, query: &str) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    for mut series in http::query(port, query, None) {
        let labels = series["metric"].as_object_mut().unwrap();
        labels.remove("site");
        let name = series["metric"].to_string();
        let number = series["histogram"].is_null();
        let value = if number { &series["value"][1] } else { &series["histogram"][1] };
        shown.insert(name, value.to_string());
    }
    shown
}

/// An answer without the times of its samples and the name of its source.
fn page(port: u16, accept: &str) -> String {
    let path = "/federate?match%5B%5D=%7Bjob%3D%22src%22,__name__!~%22scrape_.*%22%7D";
    let answer = http::ask(port, "GET", path, &format!("Accept: {accept}\r\n"), &[]).unwrap();
    let text = answer.text();
    let lines = text.lines().map(|line| match line.rsplit_once(' ') {
        Some((line, _)) if !line.starts_with('#') => line,
        _ => line,
    });
    let kind = answer.head.lines().find(|line| line.to_lowercase().starts_with("content-type:"));
    let lines: Vec<&str> = kind.into_iter().chain(lines).collect();
    lines.join("\n").replace("site=\"theirs\"", "site=\"ours\"").to_lowercase()
}

#[test]
fn federation_hands_on_what_prometheus_does() {
    let Some(prometheus) = peers::find("prometheus") else { return };
    let target = exporter::serve(|_| (exporter::PROTOBUF, body()));
    let source = |site: &str| {
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{site: {site}}}}}\n\
             scrape_configs:\n- job_name: src\n  convert_classic_histograms_to_nhcb: true\n  \
             static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n"
        )
    };
    let flags = ["--enable-feature=native-histograms"];
    let ours = Node::start(Path::new(env!("CARGO_BIN_EXE_narthex")), &source("ours"), &flags);
    let theirs = Node::start(&prometheus, &source("theirs"), &flags);
    let job = |name: &str, port: u16, matcher: &str| {
        format!(
            "- job_name: {name}\n  honor_labels: true\n  metrics_path: /federate\n  \
             params: {{'match[]': ['{{job=\"src\",__name__!~\"scrape_.*\",{matcher}}}']}}\n  \
             static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
        )
    };
    // Prometheus hands on custom bounds in a way that no Prometheus can read.
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{}{}{}",
        job("ours", ours.port, "__name__!=\"custom\""),
        job("theirs", theirs.port, "__name__!=\"custom\""),
        job("custom", ours.port, "__name__=\"custom\""),
    );
    let third = Node::start(&prometheus, &config, &flags);
    let all = "{job=\"src\"}";
    let found = || shown(third.port, "native{site=\"theirs\"}").len();
    let both = || {
        found() == 1
            && shown(third.port, "native{site=\"ours\"}").len() == 1
            && !shown(third.port, "custom_bucket").is_empty()
    };
    assert!(wait_until(Duration::from_secs(30), both), "{:?}", shown(third.port, all));
    let of = |site: &str| {
        shown(
            third.port,
            &format!("{{job=\"src\",site=\"{site}\",__name__!~\"custom.*|empty.*\"}}"),
        )
    };
    assert_eq!(of("ours"), of("theirs"));
    assert!(of("ours").len() >= 5, "{:?}", of("ours"));
    // A native histogram without any bucket stays one, and does not become a classic one.
    assert_eq!(shown(third.port, "{site=\"ours\",__name__=~\"empty.*\"}").len(), 1);
    let custom = shown(third.port, "{__name__=~\"custom.*\"}");
    let values: Vec<(&str, &str)> = custom
        .iter()
        .map(|(name, value)| (name.split(',').next().unwrap_or(""), value.as_str()))
        .collect();
    assert_eq!(
        values,
        [
            ("{\"__name__\":\"custom_bucket\"", "\"5\""),
            ("{\"__name__\":\"custom_bucket\"", "\"3\""),
            ("{\"__name__\":\"custom_count\"", "\"5\""),
            ("{\"__name__\":\"custom_sum\"", "\"2.5\""),
        ]
    );
    for accept in [
        "*/*",
        "text/plain;escaping=dots",
        "text/plain;escaping=values",
        "text/plain;escaping=allow-utf-8",
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4",
        "application/openmetrics-text;version=1.0.0;escaping=values",
    ] {
        assert_eq!(page(ours.port, accept), page(theirs.port, accept), "{accept}");
    }
}
