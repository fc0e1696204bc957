//! What the queries are made of.

pub(super) const COUNTERS: &[&str] = &[
    "demo_cpu_usage_seconds_total",
    "demo_cpu_usage_seconds_total{mode=\"idle\"}",
    "demo_api_http_requests_total",
    "demo_items_shipped_total",
    "demo_api_request_duration_seconds_count",
    "demo_vanishing_total",
    "many_total",
    "many_total{group=\"1\"}",
];

pub(super) const GAUGES: &[&str] = &[
    "demo_memory_usage_bytes",
    "demo_memory_usage_bytes{type=~\"free|used\"}",
    "demo_num_cpus",
    "demo_disk_usage_bytes",
    "demo_disk_total_bytes",
    "demo_api_http_requests_in_progress",
    "demo_batch_last_success_timestamp_seconds",
    "demo_batch_last_run_duration_seconds",
    "demo_intermittent_metric",
    "demo_build_info",
    "up",
    "up{instance=~\".*1\"}",
    "odd_values",
    "odd_values{kind!~\".*nan.*|.*inf\"}",
    "odd_values{kind=\"walk\"}",
    "odd_values{kind=\"sparse\"}",
    "odd_labels",
    "{\"odd.metric\"}",
    "{\"odd.metric\", \"odd.label\"=~\".+\"}",
    "odd:colon",
    "odd_newcomer",
    "nonexistent",
    "target_info",
];

pub(super) const SELECTORS: &[&str] = &[
    "{__name__=~\"demo_(num_cpus|disk_.+)\"}",
    "{__name__=~\"demo_api_request_duration_seconds_.+\",method=\"GET\"}",
    "{job=\"demo\",type!=\"\"}",
    "{instance=\"demo.promlabs.com:10001\",mode=~\"i.*\"}",
    "{__name__=\"up\",job!=\"x\"}",
    "{__name__=~\"odd_.+\"}",
    "{__name__!~\".*native.*|many.*|.*bucket\", instance=~\".+\"}",
    "{\"\u{fc}ml\u{e4}ut\"!=\"\"}",
    "demo_memory_usage_bytes{type!~\"used|\"}",
    "demo_cpu_usage_seconds_total{mode=\"idle\", mode!=\"user\", instance=~\"demo.*:1000[0-1]\"}",
];

pub(super) const BUCKETS: &[&str] = &[
    "demo_api_request_duration_seconds_bucket",
    "demo_api_request_duration_seconds_bucket{method=\"GET\"}",
    "demo_api_request_duration_seconds_bucket{le!=\"+Inf\"}",
];

/// Metrics with native histograms, some of them with numbers too.
pub(super) const NATIVE: &[&str] = &[
    "demo_native_seconds",
    "demo_native_seconds{instance=~\".*[01]\"}",
    "demo_native_fresh_seconds",
    "demo_native_gauge_seconds",
    "demo_native_wide_seconds",
    "demo_native_nan_seconds",
    "demo_native_custom_seconds",
    "demo_native_mixed_seconds",
    "demo_native_ending_seconds",
    "{__name__=~\"demo_native_.*\"}",
    "{job=\"demo\", __name__=~\"demo_native_seconds|demo_num_cpus\"}",
    "{__name__=~\"demo_native_(fresh|custom)_seconds\"}",
];

/// What is made of one, `#` being the metric and `$` a length.
pub(super) const OVER_NATIVE: &[&str] = &[
    "#",
    "#",
    "rate(#[$])",
    "increase(#[$])",
    "delta(#[$])",
    "irate(#[$])",
    "idelta(#[$])",
    "sum_over_time(#[$])",
    "avg_over_time(#[$])",
    "last_over_time(#[$])",
    "rate(#[$:30s])",
    "sum_over_time(#[$:])",
    "sum(rate(#[$]))",
    "sum by (instance) (#)",
    "sum by (__name__) (#)",
    "avg(#)",
    "avg without (instance) (rate(#[$]))",
    "# * 2",
    "-1 * #",
    "# * 0",
    "# / 0",
    "# / 3",
    "-#",
    "# + #",
    "# - # offset 1m",
    "# == #",
    "# != # offset 2m",
    "# and #",
    "# unless # offset 10m",
    "# + 1",
    "# > 0",
    "# > bool #",
    "label_replace(#, \"a\", \"$1\", \"instance\", \"(.*)\")",
];

/// Functions of ranges that count, order or leave out histograms.
pub(super) const OVER_MIXED: &[&str] = &[
    "resets",
    "changes",
    "count_over_time",
    "present_over_time",
    "absent_over_time",
    "min_over_time",
    "max_over_time",
    "stddev_over_time",
    "deriv",
];

/// Functions of native histograms.
pub(super) const OF_NATIVE: &[&str] = &[
    "histogram_count",
    "histogram_sum",
    "histogram_avg",
    "histogram_stddev",
    "histogram_stdvar",
    "count",
    "absent",
    "timestamp",
    "abs",
    "min",
    "stddev",
    "group",
    "sort",
    "scalar",
    "",
    "",
];

pub(super) const LABELS: &[&str] = &[
    "instance",
    "job",
    "mode",
    "type",
    "method",
    "path",
    "status",
    "le",
    "i",
    "group",
    "kind",
    "__name__",
    "nonexistent",
    "version",
];

/// Functions of a vector.
pub(super) const OF_VECTOR: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "exp",
    "sqrt",
    "ln",
    "log2",
    "log10",
    "sgn",
    "round",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "deg",
    "rad",
    "timestamp",
    "sort",
    "sort_desc",
    "absent",
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
    "histogram_count",
    "histogram_sum",
    "histogram_avg",
    "histogram_stddev",
    "histogram_stdvar",
];

/// Vectors of no metric.
pub(super) const OF_NOTHING: &[&str] = &[
    "hour()",
    "minute()",
    "day_of_year()",
    "days_in_month()",
    "year()",
    "vector(time())",
    "vector(pi())",
    "time() - timestamp(up)",
    "vector(NaN)",
    "vector(-0)",
];

/// Functions of a vector whose last digits are those of Go's library.
pub(super) const EXACT: &[&str] = &[
    "exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
    "tanh", "asinh", "acosh", "atanh", "sqrt", "deg", "rad", "round", "ceil",
];

/// Functions of a range.
pub(super) const OF_RANGE: &[&str] = &[
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "deriv",
    "resets",
    "changes",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "present_over_time",
    "absent_over_time",
    "mad_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
    "ts_of_last_over_time",
];

pub(super) const AGGREGATORS: &[&str] =
    &["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];

pub(super) const DURATIONS: &[&str] = &[
    "15s", "1m", "1m30s", "5m", "7m", "10m", "30m", "1h", "20s", "1s", "14s999ms", "300", "61.5",
    "1h0m1ms", "0x40",
];

pub(super) const OFFSETS: &[&str] =
    &["15s", "1m", "5m", "10m", "-1m", "-5m", "1h", "37s", "0s", "60", "-7.25", "1ms"];

/// Steps of subqueries; none is a minute here.
pub(super) const STEPS: &[&str] =
    &["", "10s", "15s", "1m", "7s", "13s", "1m1s", "5m", "999ms", "20"];

pub(super) const NUMBERS: &[&str] = &[
    "0", "1", "2", "0.5", "-1", "1e3", "0x1f", "1e-9", "NaN", "Inf", "-Inf", "3.14159", "1e300",
    ".25", "100", "-0", "5m", "0.1", "1e18",
];

pub(super) const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];

pub(super) const COMPARISONS: &[&str] = &["==", "!=", "<", ">", "<=", ">="];
