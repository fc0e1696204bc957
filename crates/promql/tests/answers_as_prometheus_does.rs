//! Scripts for what is easily got wrong.

use narthex_promql::script::{Outcome, run};

fn passes(script: &str) {
    let checks = run(script);
    assert!(!checks.is_empty());
    for check in checks {
        assert_eq!(check.outcome, Outcome::Passed, "line {}: {}", check.line, check.query);
    }
}

#[test]
fn windows_are_open_on_the_left() {
    passes(
        "load 15s
           a_total 0+15x20

         eval instant at 2m count_over_time(a_total[1m])
           {} 4

         eval instant at 2m rate(a_total[1m])
           {} 1

         eval instant at 10m a_total

         eval instant at 9m59s a_total
           a_total 300

         eval instant at 2m sum_over_time(a_total[30s:15s])
           {} 225
        ",
    );
}

#[test]
fn vectors_match_by_their_labels() {
    passes(
        "load 1m
           many{k=\"1\", z=\"1\"} 1 2
           many{k=\"1\", z=\"2\"} 3 4
           one{k=\"1\", e=\"x\"} 10 20

         eval range from 0 to 1m step 1m many * on(k) group_left(e) one
           {k=\"1\", z=\"1\", e=\"x\"} 10 40
           {k=\"1\", z=\"2\", e=\"x\"} 30 80

         eval instant at 0 many * on(k) one
           expect fail msg: multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)

         eval instant at 0 one * on(k) many
           expect fail regex: many-to-many matching not allowed

         eval instant at 0 many and on(k) one
           many{k=\"1\", z=\"1\"} 1
           many{k=\"1\", z=\"2\"} 3

         eval instant at 0 many unless on(z) many{z=\"1\"} or one
           many{k=\"1\", z=\"2\"} 3
           one{k=\"1\", e=\"x\"} 10
        ",
    );
}

#[test]
fn a_series_that_comes_and_goes_is_found_where_it_is() {
    passes(
        "load 1m
           a{x=\"1\"} 1 2 stale _ _
           a{x=\"2\"} _ _ 5 6 7

         eval range from 0 to 4m step 1m a
           a{x=\"1\"} 1 2 _ _ _
           a{x=\"2\"} _ _ 5 6 7

         eval range from 0 to 4m step 1m sum(a)
           {} 1 2 5 6 7

         eval range from 0 to 4m step 1m topk(1, a)
           a{x=\"1\"} 1 2 _ _ _
           a{x=\"2\"} _ _ 5 6 7

         eval range from 0 to 4m step 1m absent(a{x=\"2\"})
           {x=\"2\"} 1 1 _ _ _

         eval range from 0 to 4m step 1m count_values(\"v\", a)
           {v=\"1\"} 1 _ _ _ _
           {v=\"2\"} _ 1 _ _ _
           {v=\"5\"} _ _ 1 _ _
           {v=\"6\"} _ _ _ 1 _
           {v=\"7\"} _ _ _ _ 1
        ",
    );
}
