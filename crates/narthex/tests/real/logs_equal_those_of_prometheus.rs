//! The query log and the log of failed scrapes, beside those of a real Prometheus: the same lines
//! for the same requests, but for times and figures.

use std::collections::BTreeSet;
use std::time::Duration;

use narthex_testkit::http::{self, encode};
use narthex_testkit::peers;
use narthex_testkit::process::wait_until;
use serde_json::Value;

use crate::node::Node;

const PATIENCE: Duration = Duration::from_secs(20);

fn config(queries: &str) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, query_log_file: {queries}}}\n\
         scrape_configs:\n- job_name: dead\n  scrape_failure_log_file: scrapes.log\n\
         \x20 static_configs: [{{targets: ['127.0.0.1:1']}}]\n"
    )
}

fn ask_all(port: u16) {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let span = "start=1000.25&end=1005&step=2.5";
    for query in ["vector(1)", "1 +", "vector(1) + 2", "label_replace(vector(1), '', '', '', '')"] {
        let query = encode(query);
        http::get(port, &format!("/api/v1/query?query={query}&time=4.0004")).unwrap();
        http::get(port, &format!("/api/v1/query_range?query={query}&{span}")).unwrap();
        let body = format!("query={query}&time=5&stats=all");
        http::ask(port, "POST", "/api/v1/query", form, body.as_bytes()).unwrap();
    }
    // Not logged: no queries.
    http::get(port, "/api/v1/query_range?query=up%5B5m%5D&start=1&end=2&step=1").unwrap();
    http::get(port, "/api/v1/labels").unwrap();
}

/// The lines of a file without what differs from run to run.
fn lines(node: &Node, file: &str) -> Vec<String> {
    let text = node.read(file);
    let lines = text.lines().map(|line| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        for key in ["time", "source"] {
            assert!(value[key].as_str().is_some_and(|text| !text.is_empty()), "{line}");
            value[key] = Value::Null;
        }
        if let Some(timings) = value["stats"]["timings"].as_object_mut() {
            for time in timings.values_mut() {
                assert!(time.is_number(), "{line}");
                *time = Value::Null;
            }
        }
        if let Some(samples) = value["stats"]["samples"].as_object_mut() {
            samples.insert("peakSamples".to_owned(), Value::Null);
        }
        value.to_string()
    });
    lines.collect()
}

#[test]
fn logs_equal_those_of_prometheus() {
    let Some(prometheus) = peers::find("prometheus") else { return };
    let mut ours = Node::narthex(&config("a.log"));
    let mut theirs = Node::start(&prometheus, &config("a.log"), &[]);
    for file in ["a.log", "b.log"] {
        let all = 9;
        for node in [&mut ours, &mut theirs] {
            if file == "b.log" {
                node.configure(&config(file));
                assert!(wait_until(PATIENCE, || node.has(file)), "{}", node.log());
            }
            ask_all(node.port);
            let written = || node.read(file).lines().count() == all;
            assert!(wait_until(PATIENCE, written), "{}", node.read(file));
        }
        assert_eq!(lines(&ours, file), lines(&theirs, file));
    }
    let failures = |node: &Node| -> BTreeSet<String> {
        assert!(wait_until(PATIENCE, || !node.read("scrapes.log").is_empty()), "{}", node.log());
        lines(node, "scrapes.log").into_iter().collect()
    };
    assert_eq!(failures(&ours), failures(&theirs));
}
