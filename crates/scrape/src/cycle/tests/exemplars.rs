use std::fmt::Write as _;

use super::*;

/// Exemplars as `time value labels`, by the series' `le` or name.
fn kept(bench: &Bench) -> BTreeMap<String, Vec<String>> {
    let all = bench.store.exemplars().select(TimeRange::ALL, |_| true);
    let series = |labels: &Labels| labels.get("le").unwrap_or(labels.metric_name()).to_owned();
    let text = |one: &narthex_store::Exemplar| format!("{} {} {}", one.at.0, one.value, one.labels);
    all.iter().map(|of| (series(&of.labels), of.exemplars.iter().map(text).collect())).collect()
}

fn bench(keys: &str) -> Bench {
    let bench = Bench::new(keys);
    bench.store.exemplars().set_max(100);
    bench
}

fn scrape(bench: &mut Bench, lines: &str) -> Outcome {
    let body = format!("{lines}# EOF\n");
    let outcome = bench.absorb_as(Format::OpenMetrics, Ok(&body));
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    outcome
}

#[test]
fn exemplars_are_kept_with_the_labels_that_their_series_have_in_the_store() {
    let mut bench =
        bench("  metric_relabel_configs: [{source_labels: [gone], regex: 1, action: drop}]\n");
    scrape(
        &mut bench,
        "# TYPE h histogram\nh_bucket{le=\"1\"} 8 # {trace_id=\"a\"} 0.5 2.5\n\
         h_bucket{le=\"+Inf\"} 9 # {trace_id=\"b\"} 7\nh_count 9\ng{gone=\"1\"} 1 # {t=\"x\"} 1\n",
    );
    let all = bench.store.exemplars().select(TimeRange::ALL, |_| true);
    let first = &all[1];
    assert_eq!(
        first.labels.to_string(),
        r#"{__name__="h_bucket", instance="i", job="j", le="1.0"}"#
    );
    let kept = kept(&bench);
    assert_eq!(kept["1.0"], [r#"2500 0.5 {trace_id="a"}"#]);
    assert_eq!(kept["+Inf"], [r#"1000 7 {trace_id="b"}"#]);
    assert_eq!(kept.len(), 2);
}

#[test]
fn repeated_ones_are_kept_once_and_older_ones_counted() {
    let mut bench = bench("");
    for id in ["a", "a", "b", "b", "a"] {
        let lines = format!("c_total 1 # {{id=\"{id}\"}} 1\nd_total 2\n");
        assert_eq!(scrape(&mut bench, &lines).refused, Refused::default());
    }
    let with = |at, id| format!("{at} 1 {{id=\"{id}\"}}");
    assert_eq!(kept(&bench)["c_total"], [with(1000, "a"), with(3000, "b"), with(5000, "a")]);
    let outcome = scrape(&mut bench, "c_total 1 # {id=\"c\"} 1 4.9\nd_total 2\n");
    assert_eq!(outcome.refused, Refused { late_exemplars: 1, ..Refused::default() });
    // A sample's own time counts, if it is honoured.
    scrape(&mut bench, "d_total 3 4.5 # {} 9\n");
    assert_eq!(kept(&bench)["d_total"], ["4500 9 {}"]);
}

#[test]
fn nothing_of_a_failed_scrape_is_kept() {
    let mut bench = bench("  sample_limit: 1\n");
    let body = "a 1 # {} 1\nb 1 # {} 1\n# EOF\n";
    let outcome = bench.absorb_as(Format::OpenMetrics, Ok(body));
    assert!(outcome.error.is_some());
    assert!(kept(&bench).is_empty());
    let mut off = Bench::new("");
    scrape(&mut off, "a 1 # {} 1\n");
    assert!(kept(&off).is_empty());
}

#[test]
fn exemplars_on_an_unchanged_layout_need_no_hash() {
    let mut bench = bench("");
    let body = |scrape: usize| {
        let mut lines = String::new();
        for series in 0..50 {
            let _ = write!(lines, "a{{s=\"{series}\"}} {scrape}");
            if series % 3 == 0 {
                let _ = write!(lines, " # {{id=\"{}\"}} {scrape}", scrape / 2);
            }
            lines.push('\n');
        }
        lines
    };
    scrape(&mut bench, &body(0));
    for at in 1..20 {
        let before = narthex_model::hash::count();
        scrape(&mut bench, &body(at));
        assert_eq!(narthex_model::hash::count(), before);
    }
    assert_eq!(bench.store.exemplars().stats().appended, 17 * 20);
    // A line in front changes where all stand.
    let shifted = format!("a{{s=\"x\"}} 1 # {{}} 1\n{}", body(20));
    scrape(&mut bench, &shifted);
    assert_eq!(bench.store.exemplars().stats().series, 18);
    assert_eq!(bench.store.exemplars().stats().appended, 17 * 21 + 1);
}

/// A family `h` of a native histogram with an exemplar for each time, in seconds, and a counter
/// `c` with one.
fn binary(times: &[u8]) -> Vec<u8> {
    let field =
        |tag: &[u8], bytes: &[u8]| [tag, &[u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let exemplar = |at: u8| {
        let pair = [field(&[0x0a], b"id"), field(&[0x12], b"x")].concat();
        let value = [&[0x11][..], &1.5_f64.to_le_bytes()].concat();
        [field(&[0x0a], &pair), value, field(&[0x1a], &[8, at])].concat()
    };
    let mut histogram = [vec![8, 9], field(&[0x62], &[8, 0, 16, 1]), field(&[0x6a], &[2])].concat();
    for &at in times {
        histogram.extend(field(&[0x82, 0x01], &exemplar(at)));
    }
    let h = field(&[0x22], &field(&[0x3a], &histogram));
    let h = [field(&[0x0a], b"h"), vec![24, 4], h].concat();
    let c = field(&[0x22], &field(&[0x1a], &field(&[0x12], &exemplar(times[0]))));
    let c = [field(&[0x0a], b"c"), vec![24, 0], c].concat();
    [field(&[], &h), field(&[], &c)].concat()
}

#[test]
fn exemplars_of_native_histograms_belong_to_the_whole() {
    let mut bench = bench("  scrape_native_histograms: true\n");
    let with = |seconds: i64| format!("{} 1.5 {{id=\"x\"}}", seconds * 1000);
    let late = |outcome: Outcome| {
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        outcome.refused.late_exemplars
    };
    assert_eq!(late(bench.scrape_binary(&binary(&[5, 3]))), 0);
    let series = bench.store.exemplars().select(TimeRange::ALL, |_| true);
    let labels: Vec<_> = series.iter().map(|series| series.labels.to_string()).collect();
    assert_eq!(labels[1], r#"{__name__="h", instance="i", job="j"}"#);
    // Some of them are known: nothing is wrong with that.
    assert_eq!(late(bench.scrape_binary(&binary(&[6, 3, 5]))), 0);
    assert_eq!(kept(&bench)["h"], [with(3), with(5), with(6)]);
    assert_eq!(kept(&bench)["c"], [with(5), with(6)]);
    // All of the counter's are too old, and all of the histogram's.
    assert_eq!(late(bench.scrape_binary(&binary(&[2, 1]))), 3);
}
