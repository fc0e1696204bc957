//! Scripts for native histograms and start times.

use narthex_promql::script::{Outcome, run};

fn passes(script: &str) {
    let checks = run(script);
    assert!(!checks.is_empty());
    for check in checks {
        assert_eq!(check.outcome, Outcome::Passed, "line {}: {}", check.line, check.query);
    }
}

fn passes_with_data(script: &str) {
    passes(&format!("{DATA}{script}"));
}

const DATA: &str = r#"
load 1m
  h{a="1"} {{schema:0 sum:5 count:4 buckets:[1 2 1]}}+{{sum:2 count:2 buckets:[1 1]}}x5
  h{a="2"} {{schema:1 sum:3 count:2 buckets:[2]}}x5
  c {{schema:-53 sum:9 count:6 custom_values:[1 5] buckets:[1 2 3]}}x5
  f{a="1"} 2x5
  mixed 1 2 {{sum:1 count:1}} {{sum:2 count:2}}
  ended {{count:1}} stale
"#;

#[test]
fn a_histogram_is_selected_moved_and_ends() {
    passes_with_data(
        r#"
eval instant at 1m h{a="1"}
  h{a="1"} {{schema:0 sum:7 count:6 buckets:[2 3 1]}}

eval instant at 1m ended

eval instant at 2m label_replace(h{a="2"} and on(a) h, "b", "x", "", "")
  h{a="2", b="x"} {{schema:1 sum:3 count:2 buckets:[2]}}

eval range from 0 to 3m step 1m mixed
  mixed 1 2 {{sum:1 count:1}} {{sum:2 count:2}}

eval instant at 2m abs(h) or sort(h) or clamp_min(c, 0)

eval instant at 2m scalar(c)
  NaN

eval instant at 2m absent(h)

eval instant at 2m count_values("v", c)
  {v="{count:6, sum:9, [-Inf,1]:1, (1,5]:2, (5,+Inf]:3}"} 1
"#,
    );
}

#[test]
fn figures_are_read_off() {
    passes_with_data(
        r#"
eval instant at 0 histogram_count(h)
  {a="1"} 4
  {a="2"} 2

eval instant at 0 histogram_avg(c)
  {} 1.5

eval instant at 0 histogram_quantile(0.5, h{a="1"})
  {a="1"} 1.414213562373095

eval instant at 0 histogram_quantile(0.25, c)
  {} 2

eval instant at 0 histogram_fraction(0, 5, c)
  {} 0.5

eval instant at 0 histogram_stdvar(h{a="1"})
  {a="1"} 0.71002435582

eval instant at 0 histogram_quantiles(c, "q", 0.25, 0.5)
  {q="0.25"} 2
  {q="0.5"} 5
"#,
    );
}

#[test]
fn sums_and_operators() {
    passes_with_data(
        r#"
eval instant at 0 sum(h)
  {} {{schema:0 sum:8 count:6 buckets:[3 2 1]}}

eval instant at 0 sum({__name__=~"h|c"})
  expect warn regex: mix of histograms with exponential and custom buckets

eval instant at 0 sum({__name__=~"h|f"})
  expect warn msg: PromQL warning: encountered a mix of histograms and floats for aggregation (1:5)

eval instant at 0 max({__name__=~"h|f"})
  expect info msg: PromQL info: ignored histogram in max aggregation (1:5)
  {} 2

eval instant at 0 topk(1, {__name__=~"h|f"})
  expect info msg: PromQL info: ignored histogram in topk aggregation (1:1)
  f{a="1"} 2

eval instant at 0 h * on(a) f
  {a="1"} {{schema:0 sum:10 count:8 buckets:[2 4 2]}}

eval instant at 0 h + on(a) f
  expect info msg: PromQL info: incompatible sample types encountered for binary operator "+": histogram + float (1:1)

eval instant at 0 -c / 2
  {} {{schema:-53 sum:-4.5 count:-3 custom_values:[1 5] buckets:[-0.5 -1 -1.5] counter_reset_hint:gauge}}

eval instant at 0 c </ 3
  c {{schema:-53 sum:2.5 count:2 custom_values:[1 5] buckets:[1 1]}}

eval instant at 0 1 >/ 2
  expect fail msg: operator ">/" not allowed for Scalar operations

eval instant at 0 c == c
  c {{schema:-53 sum:9 count:6 custom_values:[1 5] buckets:[1 2 3]}}
"#,
    );
}

#[test]
fn ranges_and_subqueries() {
    passes_with_data(
        r#"
eval instant at 4m increase(h{a="1"}[4m])
  {a="1"} {{schema:0 sum:8 count:8 buckets:[4 4] counter_reset_hint:gauge}}

eval instant at 4m rate(h{a="1"}[4m] anchored) * 60
  {a="1"} {{schema:0 sum:2 count:2 buckets:[1 1] counter_reset_hint:gauge}}

eval instant at 3m rate(mixed[4m])
  expect warn msg: PromQL warning: encountered a mix of histograms and floats for metric name "mixed" (1:6)

eval instant at 3m max_over_time(mixed[4m])
  expect info regex: ignored histograms in a range containing both floats and histograms
  {} 2

eval instant at 3m changes(mixed[4m])
  {} 3

eval instant at 4m sum_over_time(c[3m:1m])
  {} {{schema:-53 sum:27 count:18 custom_values:[1 5] buckets:[3 6 9]}}

eval instant at 4m count_over_time(h{a="2"}[3m]) + present_over_time(h{a="2"}[3m])
  {a="2"} 4
"#,
    );
}

#[test]
fn start_times_tell_resets() {
    passes(
        "load 1m
  c_total@st  _ -30s -90s -15s
  c_total     1   2    4   10

eval instant at 3m increase(c_total[2m30s])
  {} 14

eval instant at 3m resets(c_total[3m])
  {} 1

eval instant at 3m start_timestamp(c_total)
  {} 165
",
    );
}
