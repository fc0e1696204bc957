//! A real Prometheus without samples of its own, whose `remote_read` names narthex.

use narthex_testkit::differ::{self, Data, Question, When};
use narthex_testkit::{http, peers};

use crate::node::{Node, now_ms};

const CONFIG: &str = "global: {evaluation_interval: 1m, external_labels: {site: here}}\n";

#[test]
fn prometheus_reads_from_narthex() {
    let Some(prometheus) = peers::find("prometheus") else { return };
    let narthex = std::path::Path::new(env!("CARGO_BIN_EXE_narthex"));
    let ours = Node::start(narthex, CONFIG, &["--web.enable-remote-write-receiver"]);
    let end_ms = now_ms() / 60_000 * 60_000;
    let data = Data::new(7, end_ms, 300);
    data.push(ours.port).unwrap();
    let url = format!("http://127.0.0.1:{}/api/v1/read", ours.port);
    let config = format!("{CONFIG}remote_read: [{{url: '{url}', read_recent: true}}]\n");
    let theirs = Node::start(&prometheus, &config, &[]);
    let start = end_ms - 60 * 60_000;
    for query in [
        "demo_memory_usage_bytes",
        "rate(demo_cpu_usage_seconds_total[5m])",
        "sum by (le) (increase(demo_api_request_duration_seconds_bucket[10m]))",
        "odd_values",
        "{\"odd.metric\"}",
        "demo_intermittent_metric",
        "count({__name__=~\"demo_.+\", instance!~\".*1\"})",
        "demo_native_seconds",
        "histogram_quantile(0.9, sum(rate(demo_native_seconds[5m])))",
        "nonexistent",
    ] {
        let when = When::Range { start, end: end_ms, step: 30_000 };
        let question = Question { query: query.to_owned(), when };
        let compared = differ::ask((theirs.port, ours.port), &question).unwrap();
        assert!(compared.differences.is_empty(), "{}", compared.report());
        let found = compared.second["data"]["result"].as_array().map_or(0, Vec::len);
        assert_eq!(found == 0, query == "nonexistent", "{query}");
    }
    // The columns that a histogram is made of are nobody's business.
    let all = http::encode("{__name__=~\".+\"}");
    for path in [
        format!("/api/v1/series?match[]={all}"),
        "/api/v1/labels".to_owned(),
        "/api/v1/label/__name__/values".to_owned(),
        format!("/federate?match[]={all}"),
        "/api/v1/status/tsdb?limit=100".to_owned(),
        format!("/api/v1/query?query={all}"),
    ] {
        let text = http::get(ours.port, &path).unwrap().text();
        assert!(text.len() > 50, "{path}");
        assert!(!text.contains("\\u0001") && !text.contains('\u{1}'), "{path}: {text}");
    }
    // Without a type that is known: samples in one message, with the external labels.
    let matcher = [&[0x12, 8][..], b"__name__", &[0x1a, 2], b"up"].concat();
    let mut message = vec![0x10];
    let mut end = end_ms.cast_unsigned();
    while end >= 0x80 {
        message.push(u8::try_from(end & 0x7f).unwrap() | 0x80);
        end >>= 7;
    }
    message.push(u8::try_from(end).unwrap());
    message.extend([0x1a, u8::try_from(matcher.len()).unwrap()]);
    message.extend(matcher);
    let mut request = vec![0x0a, u8::try_from(message.len()).unwrap()];
    request.extend(message);
    let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
    let answer = http::ask(ours.port, "POST", "/api/v1/read", "", &body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let plain = snap::raw::Decoder::new().decompress_vec(&answer.body).unwrap();
    let text = String::from_utf8_lossy(&plain);
    assert_eq!(text.matches("demo.promlabs.com").count(), 3);
    assert_eq!(text.matches("here").count(), 3);
}
