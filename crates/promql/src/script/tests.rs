use super::*;

fn failures(script: &str) -> Vec<String> {
    let outcomes = run(script).expect("the script is in order");
    outcomes.iter().filter_map(|outcome| outcome.failure.clone()).collect()
}

const DATA: &str = "load 1m\n  a{x=\"1\"} 0+1x10\n  a{x=\"2\"} 5 _ 7 stale\n";

#[test]
fn what_is_right_passes() {
    let script = "\neval instant at 1m a\n  a{x=\"1\"} 1\n  a{x=\"2\"} 5\n\
                  \neval range from 0 to 2m step 1m a{x=\"2\"}\n  a{x=\"2\"} 5 5 7\n\
                  \neval instant at 0 1 + 1\n  2\n\
                  \neval instant at 0 \"t\"\n  expect string \"t\"\n\
                  \neval instant at 0 a +\n  expect fail\n";
    assert_eq!(failures(&format!("{DATA}{script}")), Vec::<String>::new());
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
    ] {
        assert_eq!(failures(&format!("{DATA}\n{script}")).len(), 1, "{script}");
    }
}

#[test]
fn needs_are_told_apart() {
    let outcomes = run("load 1m\n  h {{sum:1}}x3\n  f 1\n\neval instant at 0 f\n  f 1\n\n\
                        eval instant at 0 h\n  h {{sum:1}}\n")
    .expect("the script is in order");
    let needs: Vec<Needs> = outcomes.iter().map(|outcome| outcome.needs).collect();
    assert_eq!(needs, [Needs::Nothing, Needs::Histograms]);
}

#[test]
fn a_broken_script_names_its_line() {
    for (script, line) in [("load x\n", 1), ("\nfoo\n", 2), ("load 1m\n  a{b} 1\n", 2)] {
        assert_eq!(run(script).expect_err(script).line, line, "{script}");
    }
}
