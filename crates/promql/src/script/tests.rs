use super::*;

fn outcomes(script: &str) -> Vec<Outcome> {
    run(script).into_iter().map(|check| check.outcome).collect()
}

const DATA: &str = "load 1m\n  a{x=\"1\"} 0+1x10\n  a{x=\"2\"} 5 _ 7 stale\n";

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
fn what_is_not_there_yet_is_told_apart() {
    let outcomes = outcomes(
        "load 1m\n  h {{sum:1}}x3\n  f 1\n\neval instant at 0 f\n  f 1\n\n\
         eval instant at 0 h\n  h {{sum:1}}\n",
    );
    assert!(matches!(outcomes.as_slice(), [Outcome::Passed, Outcome::Unsupported(_)]));
}

#[test]
fn values_are_read_as_written() {
    let read = |text: &str| match series::parse(text) {
        Ok(Line::Floats(_, values)) => values,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(read("a 1+2x2 5x1 -1-1x1"), [1.0, 3.0, 5.0, 5.0, 5.0, -1.0, -2.0]);
    assert_eq!(read("a{b=\"}\"} 0x2"), [0.0, 0.0, 0.0]);
    let gaps = read("{\"a.b\"} _x2 1e3 Inf");
    assert_eq!(gaps.iter().filter(|&&value| is_absent(value)).count(), 2);
    assert_eq!(gaps[2..], [1000.0, f64::INFINITY]);
}
