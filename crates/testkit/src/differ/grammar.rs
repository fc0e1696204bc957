//! Random queries over the whole grammar, nearly all of them valid.
//!
//! Each function gives an expression of one type. What Prometheus 3.5 does not know is left out, and
//! so is `info()`, which there gives the labels of one target to another.

use std::fmt::Write as _;

use super::random::Random;
use super::{Question, When};

mod words;

use words::{
    AGGREGATORS, ARITHMETIC, BUCKETS, COMPARISONS, COUNTERS, DURATIONS, EXACT, GAUGES, LABELS,
    NATIVE, NUMBERS, OF_NATIVE, OF_NOTHING, OF_RANGE, OF_VECTOR, OFFSETS, OVER_MIXED, OVER_NATIVE,
    SELECTORS, STEPS,
};

/// Deepest nesting.
const DEPTH_MAX: usize = 4;

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
        let step = [333, 1_000, 1_500, 7_000, 10_000, 15_000, 30_000, 60_000, 61_001, 311_000];
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
            91..94 => self.native(),
            94 => format!("({})", self.vector(depth - 1)),
            95 => format!("-{}", self.operand(depth - 1)),
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
            let inner = match self.random.below(4) {
                0 => self.metric(),
                1 => {
                    let metric = self.metric();
                    self.moved(metric)
                }
                2 => self.range_function(depth - 1),
                _ => format!("({})", self.vector(depth - 1)),
            };
            let step = self.random.pick(STEPS);
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
        match self.random.below(13) {
            0 => {
                let (low, high) = (self.scalar(1), self.scalar(1));
                format!("clamp({inner}, {low}, {high})")
            }
            1 => format!("clamp_min({inner}, {})", self.scalar(1)),
            2 => format!("clamp_max({inner}, {})", self.scalar(1)),
            3 => format!("round({inner}, {})", self.scalar(1)),
            4 => self.random.pick(OF_NOTHING).to_owned(),
            5 if self.experimental => {
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
                Some((which, self.count()))
            }
            2 => Some(("quantile", self.scalar(1))),
            3 => {
                // Sums may differ in their last digit, which is a label here.
                inner = match self.random.below(3) {
                    0 => self.selector(),
                    1 => format!("{}({})", self.random.pick(EXACT), self.selector()),
                    _ => format!("round({inner}, 0.001)"),
                };
                let label = self.random.pick(&["value", "value", "instance", "__name__", "le"]);
                Some(("count_values", format!("\"{label}\"")))
            }
            4 if self.experimental => Some(("limitk", self.count())),
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

    /// How many elements are to stay.
    fn count(&mut self) -> String {
        match self.random.below(8) {
            0 => self.scalar(2),
            _ => self.random.pick(&["1", "2", "3", "5", "0", "-1", "2.7", "1000", "20"]).to_owned(),
        }
    }

    fn binary(&mut self, depth: usize) -> String {
        let left = self.operand(depth);
        match self.random.below(11) {
            10 => {
                // Several may match, but for what the comparison filters out.
                let (many, one) = (self.random.pick(COUNTERS), self.random.pick(GAUGES));
                let (many, one) = (many.to_owned(), self.moved(one.to_owned()));
                let operator = self.random.pick(COMPARISONS);
                let labels =
                    self.random.pick(&["on (instance)", "on (job)", "ignoring (mode, type)"]);
                let number = self.random.pick(NUMBERS);
                format!("{many} {operator} {labels} ({one} > {number})")
            }
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
        if self.random.chance(25) {
            return format!("histogram_fraction({}, {}, {inner})", self.scalar(0), self.scalar(0));
        }
        format!("histogram_quantile({}, {inner})", self.scalar(1))
    }

    fn native(&mut self) -> String {
        let metric = self.random.pick(NATIVE);
        let metric =
            if self.random.chance(20) { self.moved(metric.to_owned()) } else { metric.to_owned() };
        let inner = self.random.pick(OVER_NATIVE);
        let inner = inner.replace('$', self.random.pick(DURATIONS));
        let fits = !metric.contains([' ', '@']) || !inner.contains('[');
        let inner = inner.replace('#', if fits { &metric } else { "demo_native_seconds" });
        match self.random.below(6) {
            0 => format!("histogram_quantile({}, {inner})", self.scalar(0)),
            1 => format!("histogram_fraction({}, {}, {inner})", self.scalar(0), self.scalar(0)),
            2 => {
                let (of, length) = (self.random.pick(OVER_MIXED), self.random.pick(DURATIONS));
                let metric = self.random.pick(NATIVE);
                format!("{of}({metric}[{length}])")
            }
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
