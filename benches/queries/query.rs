//! The queries.

use narthex_testkit::http::encode;

use crate::data::END_MS;

/// A query and its times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    /// Hours of the range and seconds of the step; `None` for one instant.
    range: Option<(i64, i64)>,
}

const fn instant(name: &'static str, text: &'static str) -> Query {
    Query { name, text, range: None }
}

const fn range(name: &'static str, text: &'static str, hours: i64, step: i64) -> Query {
    Query { name, text, range: Some((hours, step)) }
}

/// From a single number to everything there is.
pub(crate) const ALL: [Query; 24] = [
    instant("one sample", r#"node_load1{instance="node-3:9100"}"#),
    instant("instant rate", r#"rate(node_cpu_seconds_total{mode!="idle"}[5m])"#),
    instant("instant sum by", "sum by (instance) (rate(node_network_receive_bytes_total[5m]))"),
    instant(
        "instant quantile",
        "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    ),
    instant("topk of all", r#"topk(10, count by (__name__)({__name__!=""}))"#),
    instant(
        "regex count",
        r#"count by (job) ({__name__=~"node_.*_total|vm_.*",instance=~".*-[0-3]:.+"})"#,
    ),
    instant("regex contains", r#"sum({__name__=~".*bytes.*",job!~"a.*"})"#),
    instant("increase 24h", "sum by (instance) (increase(node_network_receive_bytes_total[24h]))"),
    instant(
        "subquery 1h",
        r#"max_over_time(rate(node_cpu_seconds_total{mode="user"}[5m])[1h:1m])"#,
    ),
    instant("quantile_over_time 6h", "quantile_over_time(0.9, node_load1[6h])"),
    range("1 series 24h 15s", r#"node_load1{instance="node-3:9100"}"#, 24, 15),
    range(
        "16 rates 24h 60s",
        r#"rate(node_cpu_seconds_total{instance="node-1:9100"}[5m])"#,
        24,
        60,
    ),
    range("128 rates 6h 60s", "sum by (mode) (rate(node_cpu_seconds_total[5m]))", 6, 60),
    range(
        "cpu busy 1h 15s",
        r#"100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])))"#,
        1,
        15,
    ),
    range(
        "quantile 1h 15s",
        "histogram_quantile(0.99, sum by (le, handler) (rate(http_request_duration_seconds_bucket[5m])))",
        1,
        15,
    ),
    range(
        "quantile 24h 60s",
        r#"histogram_quantile(0.5, sum by (le) (rate(http_request_duration_seconds_bucket{handler="/"}[5m])))"#,
        24,
        60,
    ),
    range("1000 series 1h 60s", r#"{__name__=~"vm_.*",instance="vm-0:9100"}"#, 1, 60),
    range("sum of 4000 1h 60s", r#"sum by (instance) ({__name__=~"node_.+"})"#, 1, 60),
    range("all by name 1h 60s", r#"count by (__name__) ({__name__!=""})"#, 1, 60),
    range("avg_over_time 24h 60s", "avg_over_time(node_load1[1h])", 24, 60),
    range("max_over_time 6h 30s", "max_over_time(node_memory_MemAvailable_bytes[10m])", 6, 30),
    range(
        "group_left 6h 60s",
        "rate(node_network_receive_bytes_total[5m]) * on (instance) group_left (nodename) node_uname_info",
        6,
        60,
    ),
    range(
        "ratio on 6h 60s",
        "node_filesystem_avail_bytes / on (instance, device, mountpoint) node_filesystem_size_bytes",
        6,
        60,
    ),
    range(
        "subquery 6h 60s",
        r#"max_over_time(sum(rate(node_cpu_seconds_total{mode!="idle"}[5m]))[30m:1m])"#,
        6,
        60,
    ),
];

impl Query {
    /// What is asked of a server.
    pub(crate) fn path(&self) -> String {
        let text = encode(self.text);
        let end = END_MS / 1000 - 60;
        match self.range {
            None => format!("/api/v1/query?query={text}&time={end}"),
            Some((hours, step)) => {
                let start = end - hours * 3600;
                format!("/api/v1/query_range?query={text}&start={start}&end={end}&step={step}")
            }
        }
    }
}
