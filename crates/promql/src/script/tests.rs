use super::*;

fn outcomes(script: &str) -> Vec<Outcome> {
    run(script).into_iter().map(|check| check.outcome).collect()
}

const DATA: &str = "load 1m\n  a{x=\"1\"} 0+1x10\n  a{x=\"2\"} 5 _ 7 stale\n";

/// The project's own scripts.
const SCRIPTS: [&str; 6] = [
    include_str!("../../../../testdata/promql/matching.test"),
    include_str!("../../../../testdata/promql/names.test"),
    include_str!("../../../../testdata/promql/order.test"),
    include_str!("../../../../testdata/promql/parameters.test"),
    include_str!("../../../../testdata/promql/sums.test"),
    include_str!("../../../../testdata/promql/windows.test"),
];

#[test]
fn the_scripts_of_the_project_pass() {
    for script in SCRIPTS {
        for check in run(script) {
            assert_eq!(check.outcome, Outcome::Passed, "{}", check.query);
        }
    }
}

#[test]
fn what_is_right_passes() {
    let script = "\neval instant at 1m a\n  a{x=\"1\"} 1\n  a{x=\"2\"} 5\n\
                  \neval range from 0 to 2m step 1m a{x=\"2\"}\n  a{x=\"2\"} 5 5 7\n\
                  \neval instant at 0 1 + 1\n  2\n\
                  \neval instant at 0 \"t\"\n  expect string \"t\"\n\
                  \neval instant at 0 a +\n  expect fail\n";
    let outcomes = outcomes(&format!("{DATA}{script}"));
    assert_eq!(outcomes, vec![Outcome::Passed; 5]);
}

#[test]
fn what_is_wrong_is_told() {
    for script in [
        "eval instant at 1m a\n  a{x=\"1\"} 1\n",
        "eval instant at 1m a\n  a{x=\"1\"} 2\n  a{x=\"2\"} 5\n",
        "eval instant at 1m a{x=\"1\"}\n  b{x=\"1\"} 1\n",
        "eval range from 0 to 2m step 1m a{x=\"2\"}\n  a{x=\"2\"} 5 _ 7\n",
        "eval instant at 0 1 + 1\n  3\n",
        "eval instant at 0 1\n  expect fail\n",
        "eval instant at 0 a{x=\"2\"}\n  expect warn\n  a{x=\"2\"} 5\n",
        "eval instant at 0 sort(a)\n  expect ordered\n  a{x=\"2\"} 5\n  a{x=\"1\"} 0\n",
        "load x\n",
        "foo\n",
    ] {
        let outcomes = outcomes(&format!("{DATA}\n{script}"));
        assert!(matches!(outcomes.as_slice(), [Outcome::Failed(_)]), "{script}: {outcomes:?}");
    }
}

#[test]
fn histograms_and_start_times_are_loaded_and_compared() {
    let script = "load 1m\n  h {{schema:0 sum:1 count:3 buckets:[1 2]}}+{{count:1 buckets:[1]}}x2\n  \
                  c_total@st -30s-1mx2\n  c_total 5 6 7\n\n\
                  eval instant at 2m h\n  h {{schema:0 sum:1 count:5 buckets:[3 2]}}\n\n\
                  eval instant at 2m h\n  h {{schema:0 sum:1 count:5 buckets:[2 3]}}\n\n\
                  eval instant at 2m h\n  h {{sum:1 count:5 buckets:[3 2] counter_reset_hint:gauge}}\n\n\
                  eval instant at 1m start_timestamp(c_total)\n  {} -30\n\n\
                  load_with_nhcb 1m\n  b_bucket{le=\"1\"} 1\n  b_bucket{le=\"+Inf\"} 3\n  b_sum 7\n\n\
                  eval instant at 0 b\n  b {{schema:-53 sum:7 count:3 custom_values:[1] buckets:[1 2]}}\n\n\
                  load 1m\n  h {{foo:1}}\n";
    let passed = |outcome: &Outcome| *outcome == Outcome::Passed;
    let outcomes = outcomes(script);
    let passed: Vec<bool> = outcomes.iter().map(passed).collect();
    assert_eq!(passed, [true, false, false, true, true, false], "{outcomes:?}");
}

#[test]
fn values_are_read_as_written() {
    let read = |text: &str| match series::parse(text) {
        Ok(Line::Samples(_, items)) => items,
        other => panic!("{text}: {other:?}"),
    };
    let numbers = |values: &[f64]| values.iter().map(|&v| Item::Number(v)).collect::<Vec<_>>();
    assert_eq!(read("a 1+2x2 5x1 -1-1x1"), numbers(&[1.0, 3.0, 5.0, 5.0, 5.0, -1.0, -2.0]));
    assert_eq!(read("a{b=\"}\"} 0x2"), numbers(&[0.0, 0.0, 0.0]));
    let gaps = read("{\"a.b\"} _x2 1e3 Inf");
    assert_eq!(gaps[..2], [Item::Gap, Item::Gap]);
    assert_eq!(gaps[2..], numbers(&[1000.0, f64::INFINITY]));
    let starts = |text: &str| match series::parse(text) {
        Ok(Line::Starts(_, starts)) => starts,
        other => panic!("{text}: {other:?}"),
    };
    let want = [None, Some(-30_000), Some(-90_000), Some(0), None, None, Some(60_000)];
    assert_eq!(starts("a{b=\"c\"}@st _ -30s-1mx1 0 _x2 +1m"), want);
}
