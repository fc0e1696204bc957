//! Random queries over the whole grammar, nearly all of them valid.
//!
//! Each function gives an expression of one type. What Prometheus 3.5 does not know is left out, and
//! so is what later versions mended: `info()`, which there gives the labels of one target to another,
//! and `histogram_fraction` of classic buckets, which is NaN below the first bound.

use std::fmt::Write as _;

use super::random::Random;
use super::{Question, When};

/// Deepest nesting.
const DEPTH_MAX: usize = 4;

const COUNTERS: &[&str] = &[
    "demo_cpu_usage_seconds_total",
    "demo_cpu_usage_seconds_total{mode=\"idle\"}",
    "demo_api_http_requests_total",
    "demo_items_shipped_total",
    "demo_api_request_duration_seconds_count",
    "demo_vanishing_total",
    "many_total",
    "many_total{group=\"1\"}",
];

const GAUGES: &[&str] = &[
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

const SELECTORS: &[&str] = &[
    "{__name__=~\"demo_(num_cpus|disk_.+)\"}",
    "{__name__=~\"demo_api_request_duration_seconds_.+\",method=\"GET\"}",
    "{job=\"demo\",type!=\"\"}",
    "{instance=\"demo.promlabs.com:10001\",mode=~\"i.*\"}",
    "{__name__=\"up\",job!=\"x\"}",
];

const BUCKETS: &[&str] = &[
    "demo_api_request_duration_seconds_bucket",
    "demo_api_request_duration_seconds_bucket{method=\"GET\"}",
    "demo_api_request_duration_seconds_bucket{le!=\"+Inf\"}",
];

const NATIVE: &[&str] = &[
    "demo_native_seconds",
    "demo_native_seconds{instance=~\".*[01]\"}",
    "rate(demo_native_seconds[5m])",
    "increase(demo_native_seconds[10m])",
    "sum(rate(demo_native_seconds[5m]))",
    "sum by (instance) (demo_native_seconds)",
    "avg(demo_native_seconds)",
    "demo_native_seconds * 2",
    "irate(demo_native_seconds[1m])",
    "sum_over_time(demo_native_seconds[2m])",
    "-demo_native_seconds",
    "demo_native_seconds + demo_native_seconds",
    "demo_native_seconds / 3",
    "last_over_time(demo_native_seconds[1m])",
    "{job=\"demo\", __name__=~\"demo_native_seconds|demo_num_cpus\"}",
];

/// Functions of native histograms.
const OF_NATIVE: &[&str] = &[
    "histogram_count",
    "histogram_sum",
    "histogram_avg",
    "histogram_stddev",
    "histogram_stdvar",
    "count",
    "absent",
    "timestamp",
    "abs",
    "",
];

const LABELS: &[&str] = &[
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
const OF_VECTOR: &[&str] = &[
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

/// Functions of a range.
const OF_RANGE: &[&str] = &[
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

const AGGREGATORS: &[&str] = &["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];

const DURATIONS: &[&str] =
    &["15s", "1m", "1m30s", "5m", "7m", "10m", "30m", "1h", "20s", "1s", "14s999ms"];

const OFFSETS: &[&str] = &["15s", "1m", "5m", "10m", "-1m", "-5m", "1h", "37s", "0s"];

const NUMBERS: &[&str] = &[
    "0", "1", "2", "0.5", "-1", "1e3", "0x1f", "1e-9", "NaN", "Inf", "-Inf", "3.14159", "1e300",
    ".25", "100", "-0", "5m", "0.1", "1e18",
];

const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];

const COMPARISONS: &[&str] = &["==", "!=", "<", ">", "<=", ">="];

/// Writes queries.
#[derive(Clone, Debug)]
pub struct Grammar {
    random: Random,
    /// The times between which there is data, in ms.
    range: (i64, i64),
    experimental: bool,
}

impl Grammar {
    /// Queries that are the same for the same `seed`, about the time from `first_ms` to `last_ms`;
    /// with `experimental` functions or without.
    pub fn new(seed: u64, first_ms: i64, last_ms: i64, experimental: bool) -> Self {
        Self { random: Random::new(seed), range: (first_ms, last_ms), experimental }
    }

    /// The next question.
    pub fn question(&mut self) -> Question {
        let when = self.when();
        let depth = self.random.below(DEPTH_MAX) + 1;
        let query = match self.random.below(100) {
            0..85 => self.vector(depth),
            85..92 => self.scalar(depth),
            // A range cannot be the result of a range query; that is an answer, too.
            92..94 => self.matrix(depth),
            94..95 => "\"a string\"".to_owned(),
            _ => self.broken(),
        };
        Question { query: self.dress(query), when }
    }

    fn when(&mut self) -> When {
        let (first, last) = self.range;
        let length = usize::try_from(last - first).unwrap_or(0);
        let mut within = || {
            let at = first + i64::try_from(self.random.below(length)).unwrap_or(0);
            // Whole steps meet the samples exactly.
            if self.random.chance(60) { at - at.rem_euclid(15_000) } else { at }
        };
        let (one, other) = (within(), within());
        if self.random.chance(40) {
            return When::At(one);
        }
        let step = [1_000, 7_000, 10_000, 15_000, 30_000, 60_000, 311_000];
        let step = step[self.random.below(step.len())];
        let start = one.min(other);
        let end = one.max(other).min(start + 300 * step);
        When::Range { start, end, step }
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selector();
        }
        match self.random.below(100) {
            0..10 => self.selector(),
            10..24 => self.function(depth - 1),
            24..44 => self.range_function(depth - 1),
            44..64 => self.aggregation(depth - 1),
            64..84 => self.binary(depth - 1),
            84..90 => self.quantile(depth - 1),
            90..91 => format!("vector({})", self.scalar(depth - 1)),
            91..93 => self.native(),
            93..94 => format!("({})", self.vector(depth - 1)),
            94..96 => format!("-{}", self.operand(depth - 1)),
            _ => self.relabel(depth - 1),
        }
    }

    fn operand(&mut self, depth: usize) -> String {
        let vector = self.vector(depth);
        if vector.contains(' ') { format!("({vector})") } else { vector }
    }

    fn metric(&mut self) -> String {
        let group = match self.random.below(10) {
            0..3 => COUNTERS,
            3..8 => GAUGES,
            8 => SELECTORS,
            _ => BUCKETS,
        };
        self.random.pick(group).to_owned()
    }

    fn selector(&mut self) -> String {
        let metric = self.metric();
        self.moved(metric)
    }

    /// With `offset` or `@`, sometimes both.
    fn moved(&mut self, mut text: String) -> String {
        if self.random.chance(15) {
            text.push_str(" offset ");
            text.push_str(self.random.pick(OFFSETS));
        }
        if self.random.chance(8) {
            text.push_str(" @ ");
            match self.random.below(3) {
                0 => text.push_str("start()"),
                1 => text.push_str("end()"),
                _ => {
                    let (first, last) = self.range;
                    let length = usize::try_from(last - first).unwrap_or(0);
                    let at = first + i64::try_from(self.random.below(length)).unwrap_or(0);
                    let _ = write!(text, "{}.{:03}", at / 1000, at % 1000);
                }
            }
        }
        text
    }

    fn matrix(&mut self, depth: usize) -> String {
        let duration = self.random.pick(DURATIONS);
        if depth > 0 && self.random.chance(25) {
            let inner = match self.random.below(3) {
                0 => self.metric(),
                1 => self.range_function(depth - 1),
                _ => format!("({})", self.vector(depth - 1)),
            };
            let step = match self.random.below(4) {
                0 => "",
                1 => "10s",
                2 => "15s",
                _ => "1m",
            };
            let text = format!("{inner}[{duration}:{step}]");
            return self.moved(text);
        }
        let metric = match self.random.below(3) {
            0 => self.metric(),
            1 => self.random.pick(COUNTERS).to_owned(),
            _ => self.random.pick(GAUGES).to_owned(),
        };
        let text = format!("{metric}[{duration}]");
        self.moved(text)
    }

    fn scalar(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.random.pick(NUMBERS).to_owned();
        }
        match self.random.below(10) {
            0..4 => self.random.pick(NUMBERS).to_owned(),
            4 => "time()".to_owned(),
            5 => "pi()".to_owned(),
            6 => format!("scalar({})", self.vector(depth - 1)),
            7 => format!("-({})", self.scalar(depth - 1)),
            8 => {
                let operator = self.random.pick(COMPARISONS);
                let (left, right) = (self.scalar(depth - 1), self.scalar(depth - 1));
                format!("({left} {operator} bool {right})")
            }
            _ => {
                let operator = self.random.pick(ARITHMETIC);
                let (left, right) = (self.scalar(depth - 1), self.scalar(depth - 1));
                format!("({left} {operator} {right})")
            }
        }
    }

    fn function(&mut self, depth: usize) -> String {
        let inner = self.vector(depth);
        match self.random.below(12) {
            0 => {
                let (low, high) = (self.scalar(1), self.scalar(1));
                format!("clamp({inner}, {low}, {high})")
            }
            1 => format!("clamp_min({inner}, {})", self.scalar(1)),
            2 => format!("clamp_max({inner}, {})", self.scalar(1)),
            3 => format!("round({inner}, {})", self.scalar(1)),
            4 if self.experimental => {
                let label = self.random.pick(LABELS);
                let order = self.random.pick(&["sort_by_label", "sort_by_label_desc"]);
                format!("{order}({inner}, \"{label}\")")
            }
            _ => format!("{}({inner})", self.random.pick(OF_VECTOR)),
        }
    }

    fn range_function(&mut self, depth: usize) -> String {
        let range = self.matrix(depth);
        match self.random.below(14) {
            0 => format!("quantile_over_time({}, {range})", self.scalar(1)),
            1 => format!("predict_linear({range}, {})", self.scalar(1)),
            2 if self.experimental => {
                let factors = ["0.1", "0.5", "0.9", "1.5"];
                let (smooth, trend) = (self.random.pick(&factors), self.random.pick(&factors));
                format!("double_exponential_smoothing({range}, {smooth}, {trend})")
            }
            _ => {
                let usable = if self.experimental { OF_RANGE.len() } else { OF_RANGE.len() - 4 };
                format!("{}({range})", self.random.pick(&OF_RANGE[..usable]))
            }
        }
    }

    fn labels(&mut self) -> String {
        let count = self.random.below(4);
        let labels: Vec<&str> = (0..count).map(|_| self.random.pick(LABELS)).collect();
        labels.join(", ")
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let mut inner = self.vector(depth);
        let grouping = match self.random.below(5) {
            0 => String::new(),
            1 | 2 => format!(" by ({})", self.labels()),
            _ => format!(" without ({})", self.labels()),
        };
        let parameter = match self.random.below(12) {
            0 | 1 => {
                let which = self.random.pick(&["topk", "bottomk"]);
                let count = self.random.pick(&["1", "2", "3", "5", "0", "-1", "2.7", "1000"]);
                Some((which, count.to_owned()))
            }
            2 => Some(("quantile", self.scalar(1))),
            3 => {
                // Sines and powers may differ in their last digit, which is a label here.
                inner = format!("round({inner}, 0.001)");
                Some(("count_values", "\"value\"".to_owned()))
            }
            4 if self.experimental => {
                Some(("limitk", self.random.pick(&["1", "2", "10", "0"]).to_owned()))
            }
            5 if self.experimental => {
                Some(("limit_ratio", self.random.pick(&["0.5", "-0.3", "1", "0.9"]).to_owned()))
            }
            _ => None,
        };
        let after = self.random.chance(20);
        match parameter {
            Some((which, parameter)) if after => format!("{which}({parameter}, {inner}){grouping}"),
            Some((which, parameter)) => format!("{which}{grouping} ({parameter}, {inner})"),
            None => {
                let which = self.random.pick(AGGREGATORS);
                match after {
                    true => format!("{which}({inner}){grouping}"),
                    false => format!("{which}{grouping} ({inner})"),
                }
            }
        }
    }

    fn binary(&mut self, depth: usize) -> String {
        let left = self.operand(depth);
        match self.random.below(10) {
            0..3 => {
                let scalar = self.scalar(1);
                let operator = self.operator();
                match self.random.chance(50) {
                    true => format!("{left} {operator} {scalar}"),
                    false => format!("{scalar} {operator} {left}"),
                }
            }
            3..5 => {
                let operator = self.random.pick(&["and", "or", "unless"]);
                let right = self.operand(depth);
                format!("{left} {operator}{} {right}", self.matching(false))
            }
            5..7 => {
                // The same metric on both sides matches.
                let operator = self.operator();
                let metric = self.metric();
                let other = self.moved(metric.clone());
                format!("{metric} {operator} {other}")
            }
            7 => {
                // The classic form of many to one.
                let counter = self.random.pick(COUNTERS);
                let operator = self.operator();
                let side = self.random.pick(&["group_left", "group_left()", "group_left(job)"]);
                format!(
                    "{counter} {operator} on (instance, job) {side} \
                     demo_num_cpus"
                )
            }
            _ => {
                let operator = self.operator();
                let right = self.operand(depth);
                format!("{left} {operator}{} {right}", self.matching(true))
            }
        }
    }

    fn operator(&mut self) -> String {
        match self.random.below(4) {
            0 => self.random.pick(COMPARISONS).to_owned(),
            1 => format!("{} bool", self.random.pick(COMPARISONS)),
            _ => self.random.pick(ARITHMETIC).to_owned(),
        }
    }

    fn matching(&mut self, grouped: bool) -> String {
        let mut text = match self.random.below(3) {
            0 => return String::new(),
            1 => format!(" on ({})", self.labels()),
            _ => format!(" ignoring ({})", self.labels()),
        };
        if grouped && self.random.chance(40) {
            let side = self.random.pick(&["group_left", "group_right"]);
            let more = if self.random.chance(50) { self.labels() } else { String::new() };
            let _ = write!(text, " {side} ({more})");
        }
        text
    }

    fn quantile(&mut self, depth: usize) -> String {
        let of = self.random.pick(BUCKETS);
        let inner = match self.random.below(5) {
            0 => of.to_owned(),
            1 => format!("rate({of}[{}])", self.random.pick(DURATIONS)),
            2 => format!("sum by (le) (rate({of}[5m]))"),
            3 => format!("sum without (instance) (increase({of}[10m]))"),
            _ => self.vector(depth),
        };
        format!("histogram_quantile({}, {inner})", self.scalar(1))
    }

    fn native(&mut self) -> String {
        let inner = self.random.pick(NATIVE);
        match self.random.below(4) {
            0 => format!("histogram_quantile({}, {inner})", self.scalar(0)),
            1 => format!("histogram_fraction({}, {}, {inner})", self.scalar(0), self.scalar(0)),
            _ => format!("{}({inner})", self.random.pick(OF_NATIVE)),
        }
    }

    fn relabel(&mut self, depth: usize) -> String {
        let inner = self.vector(depth);
        let (from, to) = (self.random.pick(LABELS), self.random.pick(LABELS));
        if self.random.chance(50) {
            let other = self.random.pick(LABELS);
            return format!("label_join({inner}, \"{to}\", \"-\", \"{from}\", \"{other}\")");
        }
        let pattern = self.random.pick(&["(.*)", "(.*):(.*)", "demo(.+)", "", "[a-z]+", "(?i)GET"]);
        let into = self.random.pick(&["$1", "x-$2", "", "${1}_y", "$$", "fixed"]);
        format!("label_replace({inner}, \"{to}\", \"{into}\", \"{from}\", \"{pattern}\")")
    }

    /// What cannot be read, or is of the wrong type.
    fn broken(&mut self) -> String {
        let vector = self.vector(1);
        match self.random.below(12) {
            0 => format!("({vector}"),
            1 => format!("rate({vector})"),
            2 => format!("{vector} + "),
            3 => format!("sum({vector}, 1)"),
            4 => "demo_num_cpus[5m".to_owned(),
            5 => format!("scalar({})", self.scalar(0)),
            6 => format!("nosuch({vector})"),
            7 => "{__name__=~\".*\"}".to_owned(),
            8 => "demo_num_cpus{instance=~\"(\"}".to_owned(),
            9 => "1 == 1".to_owned(),
            10 => format!("{vector} on (job) 1"),
            _ => "demo_num_cpus offset 5".to_owned(),
        }
    }

    /// Spaces, comments, line ends and capitals that change nothing.
    fn dress(&mut self, query: String) -> String {
        match self.random.below(20) {
            0 => format!("  {query}\t\n"),
            1 => format!("{query} # a comment"),
            2 => query.replace(" by (", " BY\n("),
            3 => query.replace(" and ", " AND ").replace(" offset ", " OFFSET "),
            _ => query,
        }
    }
}
