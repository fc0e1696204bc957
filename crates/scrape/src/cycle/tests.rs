use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use narthex_config::Config;
use narthex_model::{Matcher, TimeRange, is_stale};
use narthex_store::testing::memory_store;
use narthex_store::{Samples, Store};
use proptest::prelude::*;

use super::*;
use crate::columns::Columns;

/// A target that is scraped every 1000 ms from 1000 on.
struct Bench {
    store: Arc<Store>,
    writer: Mutex<Writer>,
    cycle: Cycle,
    at: Timestamp,
}

fn config(keys: &str) -> Arc<ScrapeConfig> {
    let text = format!("scrape_configs:\n- job_name: j\n{keys}");
    let config = Config::parse(&text, "test.yml").expect("a valid configuration");
    Arc::new(config.scrape_configs.into_iter().next().expect("one job"))
}

mod exemplars;

/// `name{label="value", ...}`, without the braces when there is nothing between them.
fn shown(labels: &Labels) -> String {
    let mut rest = LabelsBuilder::from_labels(labels);
    rest.remove("__name__");
    let rest = rest.build();
    let braces = if rest.is_empty() { String::new() } else { rest.to_string() };
    format!("{}{braces}", labels.metric_name())
}

impl Bench {
    fn new(keys: &str) -> Self {
        let (store, writer) = memory_store();
        let labels = Labels::from_pairs([("instance", "i"), ("job", "j")]);
        let cycle = Cycle::new(config(keys), labels, Duration::from_secs(1));
        Self { store, writer: Mutex::new(writer), cycle, at: Timestamp(0) }
    }

    fn absorb(&mut self, fetched: Result<&str, ScrapeError>) -> Outcome {
        self.absorb_as(Format::Text, fetched)
    }

    fn absorb_as(&mut self, format: Format, fetched: Result<&str, ScrapeError>) -> Outcome {
        self.at = self.at.plus_millis(1000);
        let body = fetched.map(|text| Body {
            bytes: text.as_bytes(),
            format,
            translated: None,
            exemplars: &[],
        });
        let outcome = self.cycle.absorb(&self.writer, body, self.at, || Duration::ZERO);
        outcome.expect("the store works")
    }

    /// Scrapes a protobuf body.
    fn scrape_binary(&mut self, body: &[u8]) -> Outcome {
        let (mut text, mut exemplars) = (Vec::new(), Vec::new());
        let config = &self.cycle.config;
        let all = Some(&mut exemplars);
        let translated = crate::translate::translate(body, config, &mut text, all);
        self.absorb_translated(Format::Text, translated, &text, &exemplars)
    }

    /// Scrapes a body of text that is rewritten first.
    fn scrape_rewritten(&mut self, format: Format, body: &str) -> Outcome {
        let (mut text, mut exemplars) = (Vec::new(), Vec::new());
        let config = &self.cycle.config;
        let all = Some(&mut exemplars);
        let body = body.as_bytes();
        let translated = crate::translate::rewrite(body, format, config, &mut text, all);
        self.absorb_translated(format, translated, &text, &exemplars)
    }

    fn absorb_translated(
        &mut self,
        format: Format,
        translated: Result<Translated, crate::translate::TranslateError>,
        text: &[u8],
        exemplars: &[LineExemplar],
    ) -> Outcome {
        self.at = self.at.plus_millis(1000);
        let body = translated.map_err(ScrapeError::from).map(|translated| Body {
            bytes: text,
            format,
            translated: Some(translated),
            exemplars,
        });
        let outcome = self.cycle.absorb(&self.writer, body, self.at, || Duration::ZERO);
        outcome.expect("the store works")
    }

    /// The native histograms of a metric, as text; `None` where it ended.
    fn histograms(&self, name: &str) -> Vec<Option<String>> {
        let matcher = Matcher::equal("__name__", name);
        let selection = self.store.snapshot().select(&[matcher], TimeRange::ALL).unwrap();
        let mut out = narthex_store::Histograms::default();
        let [series] = selection.series.as_slice() else { panic!("{selection:?}") };
        series.read_parts(TimeRange::ALL, &mut out).unwrap();
        let shown = |h: &Arc<narthex_model::Histogram>| (!h.is_stale()).then(|| h.to_string());
        out.values.iter().map(shown).collect()
    }

    fn scrape(&mut self, body: &str) -> Outcome {
        let outcome = self.absorb(Ok(body));
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        outcome
    }

    /// All samples by series, without `job` and `instance`; a stale marker is `None`.
    fn all(&self) -> BTreeMap<String, Vec<(i64, Option<f64>)>> {
        let every = Matcher::new(narthex_model::MatchOp::Regex, "__name__", ".+").unwrap();
        let selection = self.store.snapshot().select(&[every], TimeRange::ALL).unwrap();
        let mut all = BTreeMap::new();
        let mut samples = Samples::default();
        for series in &selection.series {
            series.read(TimeRange::ALL, &mut samples).unwrap();
            let times = samples.times.iter().map(|at| at.0);
            let values = samples.values.iter().map(|v| (!is_stale(*v)).then_some(*v));
            let mut labels = LabelsBuilder::from_labels(series.labels());
            let own = |name: &str, value: &str| {
                (name, value) != ("job", "j") && (name, value) != ("instance", "i")
            };
            labels.retain(own);
            all.insert(shown(&labels.build()), times.zip(values).collect());
        }
        all
    }

    fn series(&self, name: &str) -> Vec<(i64, Option<f64>)> {
        let all = self.all();
        all.get(name).unwrap_or_else(|| panic!("{name} is not in {:?}", all.keys())).clone()
    }

    fn names(&self) -> BTreeSet<String> {
        self.all().into_keys().collect()
    }
}

#[test]
fn a_scrape_is_stored_with_its_report() {
    let mut bench = Bench::new("");
    bench.scrape("a 1\nb{x=\"y\"} 2\n");
    bench.scrape("a 3\nb{x=\"y\"} 2\n");
    assert_eq!(bench.series("a"), [(1000, Some(1.0)), (2000, Some(3.0))]);
    assert_eq!(bench.series("b{x=\"y\"}"), [(1000, Some(2.0)), (2000, Some(2.0))]);
    assert_eq!(bench.series("up"), [(1000, Some(1.0)), (2000, Some(1.0))]);
    assert_eq!(bench.series("scrape_series_added"), [(1000, Some(2.0)), (2000, Some(0.0))]);
    assert_eq!(bench.series("scrape_samples_scraped"), [(1000, Some(2.0)), (2000, Some(2.0))]);
    assert_eq!(bench.names().len(), 7);
}

/// A family `h` of one native histogram with these buckets from `(0.5,1]` on, and a gauge `g`.
fn binary(deltas: &[u8], label: &str) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    };
    let zigzag: Vec<u8> = deltas.iter().map(|delta| delta * 2).collect();
    let span = [8, 0, 16, u8::try_from(deltas.len()).unwrap()];
    let histogram = [vec![8, 9], field(12, &span), field(13, &zigzag)].concat();
    let pair = [field(1, label.as_bytes()), field(2, b"v")].concat();
    let metric = [field(1, &pair), field(7, &histogram)].concat();
    let family = [field(1, b"h"), vec![24, 4], field(4, &metric)].concat();
    let gauge = [field(1, b"g"), vec![24, 1], field(4, &field(2, &[9, 0, 0, 0, 0, 0, 0, 240, 63]))];
    let gauge = gauge.concat();
    let mut body = vec![u8::try_from(family.len()).unwrap()];
    body.extend(family);
    body.push(u8::try_from(gauge.len()).unwrap());
    body.extend(gauge);
    body
}

#[test]
fn native_histograms_are_scraped() {
    let mut bench = Bench::new("  scrape_native_histograms: true\n");
    let first = bench.scrape_binary(&binary(&[1, 1], "l"));
    assert!(first.error.is_none(), "{:?}", first.error);
    bench.scrape_binary(&binary(&[1, 1, 3], "l"));
    bench.scrape_binary(&binary(&[4], "l"));
    let gone = bench.scrape("g 1\n");
    assert_eq!(
        bench.histograms("h"),
        [
            Some("{count:9, sum:0, (0.5,1]:1, (1,2]:2}".to_owned()),
            Some("{count:9, sum:0, (0.5,1]:1, (1,2]:2, (2,4]:5}".to_owned()),
            Some("{count:9, sum:0, (0.5,1]:4}".to_owned()),
            None,
        ]
    );
    assert_eq!(bench.series("g").len(), 4);
    assert_eq!((first.scraped, gone.scraped), (2, 1));
    let scraped = bench.series("scrape_samples_scraped");
    assert_eq!(scraped[..3], [1000, 2000, 3000].map(|at| (at, Some(2.0))));
    let kept = bench.series("scrape_samples_post_metric_relabeling");
    assert_eq!(kept[..3], scraped[..3]);
}

#[test]
fn relabelling_sees_whole_histograms() {
    let rules = "  scrape_native_histograms: true\n  metric_relabel_configs:\n  \
                 - {action: labelkeep, regex: __name__|job|instance}\n";
    let mut bench = Bench::new(rules);
    assert!(bench.scrape_binary(&binary(&[1, 1], "l")).error.is_none());
    assert_eq!(bench.histograms("h").len(), 1);
    assert!(bench.names().contains("h"), "{:?}", bench.names());
    let rules = "  scrape_native_histograms: true\n  metric_relabel_configs:\n  \
                 - {action: drop, source_labels: [__name__], regex: h}\n";
    let mut bench = Bench::new(rules);
    bench.scrape_binary(&binary(&[1, 1], "l"));
    assert!(!bench.names().contains("h"), "{:?}", bench.names());
    let kept = bench.series("scrape_samples_post_metric_relabeling");
    assert_eq!(kept, [(1000, Some(1.0))]);
}

#[test]
fn nobody_may_send_parts() {
    let mut bench = Bench::new("  scrape_native_histograms: true\n");
    assert!(bench.scrape_binary(&binary(&[1], "\u{1}")).error.is_some());
    // What was known of a translated body is not believed of another.
    assert!(bench.scrape_binary(&binary(&[1], "l")).error.is_none());
    let mut text = Vec::new();
    crate::translate::translate(&binary(&[1], "l"), &bench.cycle.config, &mut text, None).unwrap();
    let outcome = bench.absorb(Ok(std::str::from_utf8(&text).unwrap()));
    let error = outcome.error.expect("a reserved label").to_string();
    assert!(error.contains("is reserved"), "{error}");
}

#[test]
fn gauge_histograms_tell_what_they_are() {
    let mut bench = Bench::new("  scrape_native_histograms: true\n");
    let mut body = binary(&[1, 1], "l");
    // The kind stands behind the name of one letter.
    body[5] = 5;
    let outcome = bench.scrape_binary(&body);
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    let (_, mut metadata) = bench.cycle.metadata();
    assert!(metadata.any(|(name, said)| {
        name == "h" && said.kind == narthex_model::MetricKind::GaugeHistogram
    }));
}

const CONVERTED: &str = "  convert_classic_histograms_to_nhcb: true\n";

#[test]
fn classic_histograms_become_native() {
    let body = |count: u32| {
        format!(
            "# TYPE h histogram\nh_bucket{{le=\"1\"}} 3\nh_bucket{{le=\"+Inf\"}} {count}\n\
             h_sum 1\nh_count {count}\n# TYPE g gauge\ng_count 4"
        )
    };
    for (keep, lines) in [("", 2), ("  always_scrape_classic_histograms: true\n", 6)] {
        let mut bench = Bench::new(&format!("{CONVERTED}{keep}"));
        for count in [4, 5] {
            let outcome = bench.scrape_rewritten(Format::Text, &body(count));
            assert!(outcome.error.is_none(), "{:?}", outcome.error);
            assert_eq!(outcome.scraped, lines);
        }
        let found = [1, 2].map(|rest| {
            Some(format!("{{count:{}, sum:1, [-Inf,1]:3, (1,+Inf]:{rest}}}", 3 + rest))
        });
        assert_eq!(bench.histograms("h"), found);
        assert_eq!(bench.series("g_count").len(), 2);
        assert_eq!(bench.names().contains("h_sum"), lines == 6);
    }
}

#[test]
fn what_converts_histograms_tells_faults_as_any_scrape() {
    let mut bench = Bench::new(CONVERTED);
    let mut other = Bench::new("");
    for body in ["# TYPE h histogram\nh_count 1\nh_sum x\nb 1\n", "a 1\n# TYPE b c\n", "\u{e9}\n"] {
        let wrong = |outcome: Outcome| outcome.error.map(|error| error.to_string());
        let found = wrong(bench.scrape_rewritten(Format::Text, body));
        assert!(found.is_some());
        assert_eq!(found, wrong(other.absorb(Ok(body))), "{body}");
    }
    for body in ["h{\"\u{1}\"=\"count\"} 3\n", "# TYPE h histogram\nh_count{\"\u{1}\"=\"sum\"} 3\n"]
    {
        let error = bench.scrape_rewritten(Format::Text, body).error.expect("a reserved label");
        assert!(error.to_string().contains("is reserved"), "{error}");
    }
}

#[test]
fn a_histogram_that_comes_twice_counts_once() {
    let mut bench = Bench::new(CONVERTED);
    let outcome = bench.scrape_rewritten(
        Format::OpenMetrics,
        "# TYPE h histogram\nh_bucket{le=\"1\"} 3\n# HELP h x\nh_count 5\n# EOF\n",
    );
    assert_eq!((outcome.scraped, outcome.refused.duplicate), (2, 1));
    assert_eq!(bench.histograms("h"), [Some("{count:3, sum:0, [-Inf,1]:3}".to_owned())]);
}

#[test]
fn buckets_are_limited() {
    let keys = "  scrape_native_histograms: true\n  native_histogram_bucket_limit: 2\n";
    let mut bench = Bench::new(keys);
    bench.scrape_binary(&binary(&[1, 0, 0, 0], "l"));
    let found = bench.histograms("h");
    assert_eq!(found, [Some("{count:9, sum:0, (0.0625,1]:1, (1,16]:3}".to_owned())]);
}

#[test]
fn a_series_that_left_goes_stale_once() {
    let mut bench = Bench::new("");
    bench.scrape("a 1\nb 2\n");
    bench.scrape("a 1\n");
    bench.scrape("a 1\n");
    bench.scrape("a 1\nb 5\n");
    assert_eq!(bench.series("b"), [(1000, Some(2.0)), (2000, None), (4000, Some(5.0))]);
    bench.absorb(Err(ScrapeError::BodyTooLarge));
    bench.scrape("a 1\nb 5\n");
    bench.scrape("");
    bench.scrape("a 1\nb 5\n");
    let added: Vec<_> =
        bench.series("scrape_series_added").iter().map(|s| s.1.unwrap_or(f64::NAN)).collect();
    assert_eq!(added, [2.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], "only a body that lacks it counts");
}

#[test]
fn a_failed_scrape_ends_all_and_reports() {
    let mut bench = Bench::new("");
    bench.scrape("a 1\n");
    let outcome = bench.absorb(Err(ScrapeError::Status("503 Service Unavailable".to_owned())));
    let error = outcome.error.expect("the scrape failed").to_string();
    assert_eq!(error, "server returned HTTP status 503 Service Unavailable");
    bench.absorb(Ok("a 1\nb 2\nc broken\n"));
    bench.scrape("a 1\n");
    assert_eq!(bench.series("a"), [(1000, Some(1.0)), (2000, None), (4000, Some(1.0))]);
    let up: Vec<_> = bench.series("up").iter().map(|s| s.1).collect();
    assert_eq!(up, [Some(1.0), Some(0.0), Some(0.0), Some(1.0)]);
    assert_eq!(bench.series("scrape_samples_scraped")[2], (3000, Some(2.0)));
    assert!(!bench.names().contains("b"), "nothing of a broken body is stored");
}

#[test]
fn exposed_labels_give_way_or_are_honored() {
    let body = "a{job=\"own\",exported_job=\"x\"} 1\nb{instance=\"\"} 2\n";
    let mut bench = Bench::new("");
    bench.scrape(body);
    let names = bench.names();
    assert!(names.contains("a{exported_exported_job=\"own\", exported_job=\"x\"}"), "{names:?}");
    let mut bench = Bench::new("  honor_labels: true\n");
    bench.scrape(body);
    let all = bench.store.snapshot().select(&[Matcher::equal("__name__", "b")], TimeRange::ALL);
    let labels = all.unwrap().series.first().map(|s| shown(s.labels()));
    assert_eq!(labels.as_deref(), Some("b{job=\"j\"}"), "a blank label keeps the target's out");
    assert!(bench.names().contains("a{exported_job=\"x\", job=\"own\"}"), "{:?}", bench.names());
}

#[test]
fn of_two_lines_with_one_series_the_first_wins() {
    let keys = "  metric_relabel_configs:\n  - {action: labeldrop, regex: x}\n";
    let mut bench = Bench::new(keys);
    assert_eq!(bench.scrape("a{x=\"1\"} 1\na{x=\"2\"} 2\n").refused.duplicate, 1);
    assert_eq!(bench.scrape("a{x=\"1\"} 3\na{x=\"2\"} 3\n").refused.duplicate, 0);
    bench.scrape("a{x=\"2\"} 7\n");
    bench.scrape("a{x=\"1\"} 8\na{x=\"2\"} 9\n");
    let values: Vec<_> = bench.series("a").iter().map(|s| s.1).collect();
    assert_eq!(values[..3], [Some(1.0), Some(3.0), Some(7.0)]);
    assert_eq!(values.len(), 4);
}

#[test]
fn dropped_series_are_not_stored_nor_counted() {
    let keys = "  metric_relabel_configs:\n  - {action: drop, source_labels: [__name__], \
                regex: b}\n  sample_limit: 1\n";
    let mut bench = Bench::new(keys);
    bench.scrape("a 1\nb 2\n");
    bench.scrape("a 1\nb 3\n");
    assert!(!bench.names().contains("b"));
    let post = bench.series("scrape_samples_post_metric_relabeling");
    assert_eq!(post, [(1000, Some(1.0)), (2000, Some(1.0))]);
    let outcome = bench.absorb(Ok("a 1\nb 3\nc 4\n"));
    assert_eq!(outcome.error.expect("over the limit").to_string(), "sample limit exceeded");
    assert_eq!(bench.series("scrape_samples_scraped")[2].1, Some(3.0));
}

#[test]
fn a_line_that_comes_again_does_not_break_the_sample_limit() {
    let mut bench = Bench::new("  sample_limit: 2\n");
    bench.scrape("a 1\na 1\na 1\n");
    let post = bench.series("scrape_samples_post_metric_relabeling");
    assert_eq!(post, [(1000, Some(3.0))]);
}

#[test]
fn what_lags_too_far_behind_is_refused() {
    let mut bench = Bench::new("");
    bench.at = Timestamp(10_000_000);
    let outcome = bench.scrape("a 1 6400000\nb 1 6402000\nc 1\n");
    assert_eq!(outcome.refused, Refused { out_of_bounds: 1, ..Refused::default() });
    assert!(!bench.names().contains("a"), "{:?}", bench.names());
    assert_eq!(bench.series("b"), [(6_402_000, Some(1.0))]);
}

#[test]
fn too_many_series_are_refused_and_their_memory_is_given_back() {
    let mut bench = Bench::new("");
    bench.scrape("a 1\nb 2\n");
    let mut body = String::from("a 1\nb 2\n");
    for n in 0..TARGET_SERIES_MAX {
        writeln!(body, "s{n} 1").unwrap();
    }
    for _ in 0..2 {
        let error = bench.absorb(Ok(&body)).error.expect("it is refused");
        assert!(error.is_series_limit(), "{error}");
        assert_eq!(bench.cycle.stencil.slot_count(), 0);
    }
    bench.scrape("b 3\na 4\n");
    let after = bench.scrape("b 3\na 5\nc 6\n");
    assert_eq!(after.scraped, 3);
    let a = [(1000, Some(1.0)), (2000, None), (4000, Some(4.0)), (5000, Some(5.0))];
    assert_eq!(bench.series("a"), a);
    assert_eq!(bench.series("b").len(), 4);
    let up: Vec<_> = bench.series("up").into_iter().map(|(_, value)| value.unwrap()).collect();
    assert_eq!(up, [1.0, 0.0, 0.0, 1.0, 1.0]);
    assert_eq!(bench.names().len(), 8, "nothing of the large body is stored");
}

#[test]
fn label_limits_fail_the_scrape() {
    let mut bench = Bench::new("  label_limit: 3\n");
    let outcome = bench.absorb(Ok("a{x=\"1\"} 1\n"));
    let error = outcome.error.expect("too many labels").to_string();
    assert_eq!(error, "label_limit exceeded (metric: a, number of labels: 4, limit: 3)");
    bench.scrape("a 1\n");
    let mut bench = Bench::new("  label_value_length_limit: 3\n");
    let error = bench.absorb(Ok("a{x=\"1234\"} 1\n")).error.expect("too long").to_string();
    let text = "label_value_length_limit exceeded (metric: a, label name: x, value: \"1234\", \
                length: 4, limit: 3)";
    assert_eq!(error, text);
}

#[test]
fn own_timestamps_are_honored() {
    let mut bench = Bench::new("");
    bench.scrape("a 1 500\nb 2\nc 3 600\n");
    bench.scrape("a 2 1500\nb 2\nc 4 1500\n");
    bench.scrape("a 2 1500\nb 2\n");
    bench.scrape("b 2\nc 5 2500\na 9 1200\n");
    assert_eq!(bench.series("a"), [(500, Some(1.0)), (1500, Some(2.0))]);
    assert_eq!(bench.series("c"), [(600, Some(3.0)), (1500, Some(4.0)), (2500, Some(5.0))]);
    assert_eq!(bench.series("b").len(), 4);
    let mut bench = Bench::new("  honor_timestamps: false\n");
    bench.scrape("a 1 500\n");
    bench.scrape("a 1 500\n");
    assert_eq!(bench.series("a"), [(1000, Some(1.0)), (2000, Some(1.0))]);
}

#[test]
fn within_its_window_what_is_out_of_order_is_stored() {
    let mut bench = Bench::new("");
    bench.scrape("a 1 100\nb 1 100\n");
    bench.scrape("a 2 300\nb 2 300\n");
    let refused = bench.scrape("a 9 200\nb 9 150\n").refused;
    assert_eq!(refused.out_of_order, 2);
    bench.store.set_out_of_order_window(Duration::from_secs(60));
    let refused = bench.scrape("a 3 200\nb 3 150\n").refused;
    assert_eq!((refused.out_of_order, refused.duplicate), (0, 0));
    // Once more: the same is known, another value at the newest time is not taken.
    let refused = bench.scrape("a 3 200\nb 4 300\n").refused;
    assert_eq!((refused.out_of_order, refused.duplicate), (0, 1));
    bench.scrape("a 5 400\nb 5 400\n");
    let of = |times: [i64; 4], values: [f64; 4]| -> Vec<_> {
        times.into_iter().zip(values.map(Some)).collect()
    };
    assert_eq!(bench.series("a"), of([100, 200, 300, 400], [1.0, 3.0, 2.0, 5.0]));
    assert_eq!(bench.series("b"), of([100, 150, 300, 400], [1.0, 3.0, 2.0, 5.0]));
}

#[test]
fn tracked_timestamps_go_stale() {
    let mut bench = Bench::new("  track_timestamps_staleness: true\n");
    bench.scrape("a 1 500\nb 1\n");
    bench.scrape("b 1\n");
    assert_eq!(bench.series("a"), [(500, Some(1.0)), (2000, None)]);
}

#[test]
fn one_that_ends_does_not_hold_up_its_group() {
    let mut bench = Bench::new("  track_timestamps_staleness: true\n");
    bench.scrape("a 1 100\nb 1 100\n");
    bench.scrape("a 2 200\n");
    bench.scrape("a 3 300\nb 9 300\n");
    bench.scrape("a 4 400\nb 9 2400\n");
    assert_eq!(bench.series("a").len(), 4, "older than the marker of b");
    assert_eq!(bench.series("b"), [(100, Some(1.0)), (2000, None), (2400, Some(9.0))]);
}

#[test]
fn a_new_configuration_ends_what_it_does_not_bring() {
    let mut bench = Bench::new("");
    bench.scrape("a 1\nb 2\n");
    let drop = config(
        "  metric_relabel_configs:\n  - {action: drop, source_labels: [__name__], regex: b}\n",
    );
    bench.cycle.reconfigure(drop, Duration::from_secs(1));
    bench.scrape("a 1\nb 2\n");
    assert_eq!(bench.series("a"), [(1000, Some(1.0)), (2000, Some(1.0))]);
    assert_eq!(bench.series("b"), [(1000, Some(2.0)), (2000, None)]);
}

#[test]
fn the_end_spares_what_another_target_brings() {
    let mut bench = Bench::new("");
    bench.scrape("a 1\nb 2\n");
    let a = bench.store.snapshot().select(&[Matcher::equal("__name__", "a")], TimeRange::ALL);
    let a = a.unwrap().series.first().map(|s| s.labels().clone()).expect("a is there");
    let a = bench.writer.lock().resolve(&a).unwrap();
    bench.cycle.end(&bench.writer, Timestamp(2000), &std::iter::once(a).collect()).unwrap();
    assert_eq!(bench.series("a"), [(1000, Some(1.0))]);
    assert_eq!(bench.series("b"), [(1000, Some(2.0)), (2000, None)]);
    assert_eq!(bench.series("up"), [(1000, Some(1.0)), (2000, None)]);
}

#[test]
fn churn_does_not_widen_the_layout_for_ever() {
    let mut bench = Bench::new("");
    for round in 0..40 {
        let mut body = String::new();
        for at in 0..50 {
            let _ = writeln!(body, "a{{id=\"{}\"}} {round}", round * 50 + at);
        }
        bench.scrape(&body);
    }
    let columns = bench.cycle.columns.as_ref().map_or(0, Columns::len);
    assert!(columns < 400, "{columns} columns for 55 series");
    assert_eq!(bench.series("a{id=\"0\"}"), [(1000, Some(0.0)), (2000, None)]);
    assert_eq!(bench.series("a{id=\"1999\"}"), [(40_000, Some(39.0))]);
}

/// What one scrape of the model brings: values of some of a few series; or it fails.
fn body() -> impl Strategy<Value = Option<Vec<(u8, u8)>>> {
    let line = (0_u8..12, 0_u8..3);
    prop_oneof![
        9 => prop::collection::vec(line, 0..12).prop_map(Some),
        1 => Just(None),
    ]
}

proptest! {
    /// Any run of scrapes is stored as a naive reading of the bodies has it.
    #[test]
    fn equals_the_naive_reading(bodies in prop::collection::vec(body(), 1..40)) {
        let mut bench = Bench::new("");
        let mut expected: BTreeMap<String, Vec<(i64, Option<f64>)>> = BTreeMap::new();
        let mut present: BTreeSet<String> = BTreeSet::new();
        for (turn, body) in bodies.iter().enumerate() {
            let at = (i64::try_from(turn).unwrap() + 1) * 1000;
            let mut now = BTreeMap::new();
            match body {
                Some(lines) => {
                    let mut text = String::new();
                    for (series, value) in lines {
                        let _ = writeln!(text, "m{{s=\"{series}\"}} {value}");
                        now.entry(format!("m{{s=\"{series}\"}}")).or_insert(f64::from(*value));
                    }
                    bench.scrape(&text);
                }
                None => {
                    bench.absorb(Err(ScrapeError::BodyTooLarge));
                }
            }
            for gone in present.iter().filter(|s| !now.contains_key(*s)) {
                expected.entry(gone.clone()).or_default().push((at, None));
            }
            for (series, value) in &now {
                expected.entry(series.clone()).or_default().push((at, Some(*value)));
            }
            present = now.into_keys().collect();
        }
        let mut all = bench.all();
        all.retain(|name, _| name.starts_with("m{"));
        prop_assert_eq!(all, expected);
    }
}
