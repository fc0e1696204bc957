//! Bad requests, sent to narthex and to a real Prometheus: the same status, the same kind of error,
//! the same text.

use std::fmt::Write as _;

use narthex_testkit::http::{self, Answer, encode};
use narthex_testkit::peers;

use crate::node::{Node, config};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// A request: method, path with its query, head and body.
struct Request {
    method: &'static str,
    path: String,
    head: String,
    body: String,
}

fn request(method: &'static str, path: impl Into<String>) -> Request {
    Request { method, path: path.into(), head: String::new(), body: String::new() }
}

fn get(path: impl Into<String>) -> Request {
    request("GET", path)
}

fn post(path: &str, body: &str) -> Request {
    Request { head: FORM.to_owned(), body: body.to_owned(), ..request("POST", path) }
}

fn with_type(path: &str, kind: &str, body: &str) -> Request {
    let head = format!("Content-Type: {kind}\r\n");
    Request { head, body: body.to_owned(), ..request("POST", path) }
}

/// Parameters that no endpoint with times, steps or limits should take as they are.
fn parameters() -> Vec<Request> {
    let mut all = Vec::new();
    let times = [
        "abc",
        "",
        "NaN",
        "Inf",
        "-Inf",
        "1e400",
        "2015-06-56T13:21:58Z",
        "12:00",
        "0x10",
        "1_000",
    ];
    for time in times {
        let time = encode(time);
        all.push(get(format!("/api/v1/query?query=up&time={time}")));
        all.push(get(format!("/api/v1/query_range?query=up&start={time}&end=10&step=1")));
        all.push(get(format!("/api/v1/query_range?query=up&start=1&end={time}&step=1")));
        all.push(get(format!("/api/v1/labels?start={time}")));
        all.push(get(format!("/api/v1/label/job/values?end={time}")));
        all.push(get(format!("/api/v1/series?match[]=up&end={time}")));
        all.push(get(format!("/api/v1/query_exemplars?query=up&start={time}&end=1")));
    }
    for step in
        ["abc", "", "0", "-1", "-5m", "0s", "NaN", "Inf", "1e300", "5mm", "1h1h", "1.5h", "1e-9"]
    {
        let step = encode(step);
        all.push(get(format!("/api/v1/query_range?query=up&start=1&end=10&step={step}")));
    }
    for limit in ["abc", "-1", "1.5", "99999999999999999999", "0x10", "+5", " 1"] {
        let limit = encode(limit);
        for path in [
            "query?query=up",
            "query_range?query=up&start=1&end=2&step=1",
            "labels?",
            "label/job/values?",
            "series?match[]=up",
            "metadata?",
            "targets/metadata?",
            "status/tsdb?",
        ] {
            all.push(get(format!("/api/v1/{path}&limit={limit}")));
        }
    }
    for timeout in ["abc", "-1", "0", "0s", "NaN", "1e300"] {
        all.push(get(format!("/api/v1/query?query=1&timeout={timeout}")));
        all.push(get(format!("/api/v1/query?query=1&lookback_delta={timeout}")));
    }
    for spare in
        ["metadata?limit_per_metric=x", "rules?type=x", "rules?group_limit=x", "rules?match[]={"]
    {
        all.push(get(format!("/api/v1/{spare}")));
    }
    all
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn queries() -> Vec<Request> {
    const QUERIES: [&str; 64] = [
        "",
        " ",
        "(",
        ")",
        "sum(",
        "sum()",
        "up{",
        "up{}[",
        "up[5m",
        "up[]",
        "up[5]",
        "up[0s]",
        "up[-5m]",
        "up[5m] offset",
        "up offset",
        "up offset x",
        "up @",
        "up @ x",
        "up @ start",
        "1 +",
        "+",
        "up up",
        "up + on",
        "up + on(",
        "up + on() group_left",
        "sum by",
        "sum by (",
        "sum by (job",
        "sum(up, up)",
        "rate(up)",
        "rate(up[5m], 1)",
        "nosuch(up)",
        "abs()",
        "abs('x')",
        "up{a}",
        "up{a=}",
        "up{a=b}",
        "up{a=~'('}",
        "up{a=~'*'}",
        "{}",
        "{a=''}",
        "{a=~'.*'}",
        "{__name__='a', __name__='b'}",
        "up{__name__='x'}",
        "'",
        "\"abc",
        "`x",
        "'\\x'",
        "1 == 2",
        "1 == bool",
        "up == bool",
        "1 and 2",
        "up and 1",
        "-'x'",
        "'a' + 'b'",
        "up[5m] + 1",
        "(up[5m])[5m:1m]",
        "up[5m:0s]",
        "up[5m:-1s]",
        "topk(up)",
        "topk('a', up)",
        "count_values(1, up)",
        "quantile(up)",
        "label_replace(up, 'a', 'b')",
    ];
    const FAILING: [&str; 12] = [
        "label_replace(up, '', 'x', 'job', '(.*)')",
        "label_replace(up, 'a', 'x', 'job', '(')",
        "label_join(up, '', ',', 'job')",
        "count_values('', up)",
        "topk(scalar(vector(NaN)), up)",
        "limitk(1, up)",
        "up[5m:1s] @ end() offset 5x",
        "sum by (1a) (up)",
        "up[1d:1y1w1d1h1m1s1ms1s]",
        "up{job='a' job='b'}",
        "0x",
        "1e",
    ];
    let mut all = Vec::new();
    for query in QUERIES.iter().chain(&FAILING) {
        let query = encode(query);
        all.push(get(format!("/api/v1/query?query={query}&time=100")));
        all.push(get(format!("/api/v1/format_query?query={query}")));
        all.push(get(format!("/api/v1/series?match[]={query}")));
    }
    for path in ["parse_query?query=", "query_exemplars?start=1&end=2&query=", "labels?match[]="] {
        for query in ["", "up{", "up[5m]", "1", "{}", "up offset 5m"] {
            all.push(get(format!("/api/v1/{path}{}", encode(query))));
        }
    }
    for query in ["up[5m]", "'x'", "up[5m:1m]"] {
        let query = encode(query);
        all.push(get(format!("/api/v1/query_range?query={query}&start=1&end=2&step=1")));
    }
    all.push(get("/api/v1/query_range?query=up&start=2&end=1&step=1"));
    all.push(get("/api/v1/query_range?query=up&start=0&end=11001&step=1"));
    all.push(get("/api/v1/query_range?query=up"));
    all.push(get("/api/v1/query_exemplars?query=up&start=2&end=1"));
    all
}

fn ways() -> Vec<Request> {
    let mut all = Vec::new();
    for path in [
        "query",
        "query_range",
        "labels",
        "label/job/values",
        "series",
        "metadata",
        "targets",
        "targets/metadata",
        "rules",
        "alerts",
        "alertmanagers",
        "status/config",
        "status/tsdb",
        "status/flags",
        "scrape_pools",
        "format_query",
        "read",
        "write",
        "otlp/v1/metrics",
        "admin/tsdb/delete_series",
        "admin/tsdb/clean_tombstones",
        "admin/tsdb/snapshot",
    ] {
        for method in ["PUT", "DELETE", "PATCH", "POST", "GET", "HEAD"] {
            all.push(request(method, format!("/api/v1/{path}")));
        }
    }
    for path in [
        "/nosuch",
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nosuch",
        "/api/v2/query",
        "/api/v1/query/",
        "/api/v1/label//values",
        "/api/v1/label/job",
        "/api/v1/label/%ff/values",
        "/api/v1/label/a-b/values",
        "/api/v1/status",
        "/api/v1/admin",
        "/-/nosuch",
        "/federate?match[]=",
        "/federate?match[]=%7B%7D",
        "/federate?match[]=up%5B5m%5D",
        "/federate?match[]=(",
        "/federate",
        "/-/reload",
        "/-/quit",
    ] {
        all.push(get(path));
    }
    for path in ["/-/reload", "/-/quit", "/-/healthy", "/-/ready", "/metrics", "/federate"] {
        all.push(request("POST", path));
        all.push(request("DELETE", path));
    }
    all
}

fn bodies() -> Vec<Request> {
    let mut all = vec![
        post("/api/v1/query", "query=%zz"),
        post("/api/v1/query?query=up", "time=abc"),
        post("/api/v1/query", ""),
        post("/api/v1/series", ""),
        post("/api/v1/series", "match[]=%7B"),
        post("/api/v1/labels", "start=x"),
        post("/api/v1/query", "query=sum(&time=4"),
        post("/api/v1/query_range", "query=up&start=1&end=5&step=-1"),
        post("/api/v1/query", "a;b&query=1"),
        get("/api/v1/query?query=%zz"),
        get("/api/v1/query?query=1;time=x"),
        get("/api/v1/query?query=1&query=up%7B"),
        get("/api/v1/series?match[]=up&match[]="),
        get("/api/v1/series?match=up"),
    ];
    for kind in [
        "application/json",
        "text/plain",
        "multipart/form-data",
        "",
        "application/x-www-form-urlencoded; charset=x",
        "a/b; c",
    ] {
        all.push(with_type("/api/v1/query", kind, "query=1"));
        all.push(with_type("/api/v1/read", kind, "x"));
        all.push(with_type("/api/v1/write", kind, "x"));
    }
    all
}

fn shown(answer: &Answer) -> String {
    let kind = answer.head.lines().filter_map(|line| line.split_once(':'));
    let kind = kind.filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let kind: String = kind.map(|(_, value)| value.trim().to_owned()).collect();
    let json = answer.json();
    let mut out = format!("{} {kind}", answer.status);
    if json["status"] == "error" {
        // Whatever else there is, these two decide what a client shows.
        let _ = write!(out, " {} {}", json["errorType"], json["error"]);
    } else if !answer.status.to_string().starts_with('2') {
        let _ = write!(out, " {:?}", answer.text());
    }
    out
}

#[test]
fn errors_equal_those_of_prometheus() {
    let Some(prometheus) = peers::find("prometheus") else { return };
    let text = config(&["127.0.0.1:1".to_owned()], None);
    let (ours, theirs) = (Node::narthex(&text), Node::start(&prometheus, &text, &[]));
    let requests: Vec<Request> =
        [parameters(), queries(), ways(), bodies()].into_iter().flatten().collect();
    let mut different = Vec::new();
    let count = requests.len();
    for Request { method, path, head, body } in requests {
        let of = |port| match http::ask(port, method, &path, &head, body.as_bytes()) {
            Ok(answer) => shown(&answer),
            Err(error) => error.to_string(),
        };
        let (theirs, ours) = (of(theirs.port), of(ours.port));
        if theirs != ours && !is_known(method, &path, &head, &theirs, &ours) {
            let head = head.trim();
            different.push(format!("{method} {path} {head} {body}\n    {theirs}\n    {ours}"));
        }
    }
    assert!(count > 150);
    assert!(
        different.is_empty(),
        "{} of {count} differ\n{}",
        different.len(),
        different.join("\n")
    );
}

/// Differences on purpose, or of no consequence.
fn is_known(method: &str, path: &str, head: &str, theirs: &str, ours: &str) -> bool {
    // Times that are no number, or none that is finite, are refused rather than taken for some
    // moment that depends on the processor.
    let no_time = ["=NaN", "=Inf", "=-Inf"].iter().any(|time| path.contains(time))
        && ours.contains("to a valid timestamp");
    // Prometheus names a word of its grammar by its number there.
    let numbered = theirs.contains("<Item 5");
    // Debian's Prometheus is built without it.
    let otlp = path.ends_with("otlp/v1/metrics");
    // Go's router sends clients on to paths that differ in a slash.
    let redirect = theirs.starts_with("301 ");
    // Go closes a connection whose body it has not read, which may come before the answer.
    let closed = method == "POST" && !head.is_empty() && theirs.contains("os error");
    // What has no time at all fails at the first place that looks at the clock.
    let late = ["timed out", "deadline exceeded"].iter().any(|text| theirs.contains(text))
        && path.contains("&timeout=");
    // The escape is refused by other words.
    let escape = path.contains("%5Cx%27");
    no_time || numbered || otlp || redirect || closed || late || escape
}
