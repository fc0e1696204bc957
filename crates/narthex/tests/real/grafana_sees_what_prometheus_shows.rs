//! The requests of Grafana's Prometheus data source, sent to narthex and to a real Prometheus that
//! scrape the same exporter: status, kind of body and shape of the answers are the same.

use std::collections::BTreeSet;
use std::time::Duration;

use narthex_testkit::http::{self, Answer, encode};
use narthex_testkit::peers;
use narthex_testkit::process::wait_until;
use serde_json::Value;

use crate::node::{Node, config, node_exporter, now_ms};

/// A request as the data source makes it.
struct Request {
    method: &'static str,
    path: String,
    form: String,
}

fn get(path: impl Into<String>) -> Request {
    Request { method: "GET", path: path.into(), form: String::new() }
}

fn post(path: &str, form: impl Into<String>) -> Request {
    Request { method: "POST", path: path.to_owned(), form: form.into() }
}

/// All of them, about the minute before `now`.
fn requests(now: i64) -> Vec<Request> {
    let (start, end) = (now / 1000 - 60, now / 1000);
    let span = format!("start={start}&end={end}");
    let job = encode("{job=\"node\"}");
    let rate = encode("sum by (mode) (rate(node_cpu_seconds_total{job=\"node\"}[30s]))");
    let mut all = vec![
        // The health check, and what it looks at to tell servers apart.
        post("/api/v1/query", "query=1%2B1&time=4"),
        get("/api/v1/query?query=1%2B1&time=4"),
        get("/api/v1/status/buildinfo"),
        // The query editor.
        post("/api/v1/labels", span.clone()),
        post("/api/v1/labels", format!("{span}&match[]={job}")),
        get(format!("/api/v1/labels?{span}&match[]={job}&limit=40000")),
        get(format!("/api/v1/label/__name__/values?{span}")),
        get(format!("/api/v1/label/__name__/values?{span}&limit=40000")),
        get(format!("/api/v1/label/mode/values?{span}&match[]={job}")),
        get(format!("/api/v1/label/nosuch/values?{span}")),
        post("/api/v1/series", format!("{span}&match[]={}", encode("up"))),
        get(format!("/api/v1/series?{span}&match[]={job}&limit=3")),
        post("/api/v1/series", span.clone()),
        get("/api/v1/metadata"),
        get("/api/v1/metadata?limit=2"),
        get("/api/v1/metadata?metric=node_load1"),
        post("/api/v1/format_query", format!("query={}", encode("sum(up)by(job)"))),
        get(format!("/api/v1/format_query?query={}", encode("sum("))),
        get(format!("/api/v1/parse_query?query={}", encode("sum(up{job=\"x\"} offset 5m)by(job)"))),
        // Panels and Explore.
        post("/api/v1/query_range", format!("query={rate}&{span}&step=15")),
        get(format!("/api/v1/query_range?query={rate}&{span}&step=15")),
        post("/api/v1/query_range", format!("query={rate}&start={start}.5&end={end}.25&step=15.5")),
        post("/api/v1/query", format!("query={rate}&time={end}.123")),
        post("/api/v1/query", format!("query=up&time={end}&timeout=30s&limit=1&stats=all")),
        post("/api/v1/query_range", format!("query=up&{span}&step=15&stats=true")),
        post("/api/v1/query", format!("query={}&time={end}", encode("up[30s]"))),
        post("/api/v1/query", format!("query={}&time={end}", encode("\"text\""))),
        post("/api/v1/query_exemplars", format!("query={rate}&{span}")),
        get(format!("/api/v1/query_exemplars?query=up&{span}")),
        // Mistakes of users.
        post("/api/v1/query", format!("query={}&time={end}", encode("sum("))),
        post("/api/v1/query_range", format!("query=up&{span}&step=0")),
        post("/api/v1/query_range", "query=up&start=0&end=1000000&step=1"),
        post(
            "/api/v1/query",
            format!("query={}", encode("up + on(job) group_left() {job=~\".+\"}")),
        ),
        get("/api/v1/query"),
        get("/api/v1/query?query=up&time=abc"),
        post("/api/v1/query", "query=up&limit=-1"),
        get(format!("/api/v1/series?match[]={}", encode("{"))),
        get("/api/v1/nosuch"),
        // Alerting pages.
        get("/api/v1/rules"),
        get("/api/v1/rules?type=alert"),
        get("/api/v1/rules?type=nosuch"),
        get("/api/v1/alerts"),
        get("/api/v1/alertmanagers"),
    ];
    for path in ["targets", "targets?state=active", "targets/metadata?limit=2", "scrape_pools"] {
        all.push(get(format!("/api/v1/{path}")));
    }
    for path in ["config", "flags", "runtimeinfo", "tsdb", "tsdb?limit=2", "walreplay"] {
        all.push(get(format!("/api/v1/status/{path}")));
    }
    all.push(get("/api/v1/notifications"));
    all
}

#[test]
fn grafana_sees_what_prometheus_shows() {
    let folder = tempfile::tempdir().unwrap();
    let Some(prometheus) = peers::find("prometheus") else { return };
    let Some((exporter, port)) = node_exporter(folder.path()) else { return };
    let text = config(&[format!("127.0.0.1:{port}")], None);
    let ours = Node::narthex(&text);
    let theirs = Node::start(&prometheus, &text, &[]);
    let rate = "rate(node_cpu_seconds_total{job=\"node\"}[30s])";
    for port in [ours.port, theirs.port] {
        let has_data = || !http::query(port, rate, None).is_empty();
        assert!(wait_until(Duration::from_secs(30), has_data), "nothing was scraped");
    }
    // The requests end at a whole second.
    std::thread::sleep(Duration::from_secs(3));
    let mut different = Vec::new();
    for request in requests(now_ms()) {
        let (theirs, ours) = (ask(theirs.port, &request), ask(ours.port, &request));
        for difference in differences(&request.path, &theirs, &ours) {
            let Request { method, path, form } = &request;
            different.push(format!("{method} {path} {form}\n    {difference}"));
        }
    }
    exporter.kill();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn ask(port: u16, request: &Request) -> Answer {
    let head = match request.form.is_empty() {
        true => "",
        false => "Content-Type: application/x-www-form-urlencoded\r\n",
    };
    http::ask(port, request.method, &request.path, head, request.form.as_bytes()).unwrap()
}

fn differences(asked: &str, theirs: &Answer, ours: &Answer) -> Vec<String> {
    if theirs.status != ours.status {
        return vec![format!("status {} and {}", theirs.status, ours.status)];
    }
    let kind = |answer: &Answer| {
        let lines = answer.head.lines();
        let found = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
        });
        found.unwrap_or_default()
    };
    let (a, b) = (kind(theirs), kind(ours));
    if a != b {
        return vec![format!("{a:?} and {b:?}")];
    }
    let (a, b) = (theirs.json(), ours.json());
    // Which series the text of a failed match names is chance.
    if a["status"] == "error" && a["errorType"] != "execution" && a != b {
        return vec![format!("{a} and {b}")];
    }
    let (mut first, mut second) = (BTreeSet::new(), BTreeSet::new());
    // What is named there follows from the data.
    let root = if asked.contains("/metadata") || asked.contains("/series") { "named" } else { "" };
    shape(root, &a, &mut first);
    shape(root, &b, &mut second);
    let only = |who: &'static str, mine: &BTreeSet<String>, other: &BTreeSet<String>| {
        let lines: Vec<_> = mine.difference(other).take(5).cloned().collect();
        lines.into_iter().map(move |line| format!("only {who}: {line}"))
    };
    only("theirs", &first, &second).chain(only("ours", &second, &first)).collect()
}

/// The path and the kind of every value. What data alone decides is left out: names of metrics,
/// labels and flags, and how long lists are.
fn shape(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    const FREE: [&str; 5] = [".metric", "abels", "ounts", "named.data", "named.data[]"];
    match value {
        Value::Object(fields) => {
            found.insert(format!("{path} object"));
            let free = FREE.iter().any(|end| path.ends_with(end)) || fields.len() > 40;
            for (name, value) in fields {
                let name = if free { "*" } else { name.as_str() };
                shape(&format!("{path}.{name}"), value, found);
            }
        }
        Value::Array(items) => {
            found.insert(format!("{path} array"));
            for item in items {
                shape(&format!("{path}[]"), item, found);
            }
        }
        Value::String(_) => drop(found.insert(format!("{path} string"))),
        Value::Number(_) => drop(found.insert(format!("{path} number"))),
        Value::Bool(_) => drop(found.insert(format!("{path} bool"))),
        Value::Null => drop(found.insert(format!("{path} null"))),
    }
}
