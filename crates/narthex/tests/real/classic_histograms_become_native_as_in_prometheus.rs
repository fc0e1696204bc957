//! A Prometheus and narthex scrape the same classic histograms with
//! `convert_classic_histograms_to_nhcb`, in all formats: the same series, values, counts of samples
//! and exemplars.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use narthex_testkit::process::wait_until;
use narthex_testkit::{http, peers};

use crate::exporter::{self, double, family, field};
use crate::node::{Node, now_ms};

/// Histograms as they should be and as they should not, with a gap between `{` and `}` for the
/// timestamp. What spoils the next histogram in Prometheus (a count below its last bucket) comes
/// last.
const TEXT: &str = r#"# HELP h a help
# TYPE h histogram
h_bucket{a="x",le="1"} 3{}
h_bucket{a="x",le="2.5"} 3{}
h_bucket{a="x",le="5"} 3{}
h_bucket{a="x",le="6"} 3{}
h_bucket{a="x",le="7"} 9{}
h_bucket{a="x",le="+Inf"} 10{}
h_sum{a="x"} 42.5{}
h_count{a="x"} 10{}
h_bucket{a="\"y\\\n",le="1"} 0.5{}
h_bucket{a="\"y\\\n",le="+Inf"} 3{}
h_sum{a="\"y\\\n"} 1{}
h_count{a="\"y\\\n"} 3{}
# TYPE bad histogram
bad_bucket{le="1"} 3{}
bad_bucket{le="+Inf"} 5{}
bad_sum 1{}
bad_count 6{}
# TYPE neg histogram
neg_bucket{le="1"} 5{}
neg_bucket{le="2"} 4{}
neg_sum 1{}
neg_count 5{}
# TYPE nocount histogram
nocount_bucket{le="1"} 5{}
nocount_bucket{le="2"} 7{}
nocount_sum 1{}
# TYPE sumonly histogram
sumonly_sum 4{}
# TYPE counted histogram
counted_sum 4{}
counted_count 4{}
# TYPE infinite histogram
infinite_bucket{le="1"} +Inf{}
infinite_bucket{le="+Inf"} +Inf{}
infinite_sum 1{}
infinite_count +Inf{}
# TYPE many histogram
many_bucket{le="1"} 1e19{}
many_bucket{le="+Inf"} 2e19{}
many_sum NaN{}
many_count 2e19{}
# TYPE odd histogram
odd_bucket{le="abc"} 5{}
odd_bucket{le="NaN"} 5{}
odd_bucket 5{}
odd 7{}
odd_count{z="1"} 3{}
# TYPE g gauge
g_bucket{le="1"} 3{}
g_count 3{}
# TYPE order histogram
order_count 9{}
order_sum 3{}
order_bucket{le="+Inf"} 9{}
order_bucket{le="3"} 5{}
order_bucket{le="2"} 5{}
order_bucket{le="2"} 6{}
# TYPE wrongname histogram
other_bucket{le="1"} 3{}
other_count 3{}
# TYPE mixed histogram
mixed_bucket{a="1",le="1"} 3{}
mixed_bucket{a="2",le="1"} 4{}
mixed_count{a="1"} 3{}
mixed_count{a="2"} 4{}
# TYPE "with.dots" histogram
{"with.dots_bucket","a.b"="c",le="1"} 3{}
{"with.dots_count","a.b"="c"} 3{}
# TYPE cut histogram
cut_bucket{le="1"} 3{}
# HELP cut between
cut_count 3{}
# TYPE last histogram
last_bucket{le="1"} 3{}
last_bucket{le="+Inf"} 4{}
last_count 4{}
"#;

/// The text with timestamps, and `more` before what must come last.
fn body_of_text(stamp: &str, more: &str) -> Vec<u8> {
    let falls = "# TYPE falls histogram\nfalls_bucket{le=\"1\"} 3\nfalls_count 2\n";
    format!("{}{more}{falls}", TEXT.replace("{}\n", &format!("{stamp}\n"))).into_bytes()
}

fn open_metrics(now_ms: i64) -> Vec<u8> {
    let at = now_ms / 1000;
    let more = format!(
        "# TYPE e histogram\n# UNIT e \n\
         e_bucket{{le=\"1\"}} 3 # {{id=\"a\"}} 0.5 {at}.25\n\
         e_bucket{{le=\"2\"}} 4 # {{id=\"b\"}} 1.5\n\
         e_bucket{{le=\"+Inf\"}} 5 # {{id=\"c\"}} 3.5 {at}\n\
         e_sum 3\ne_count 5\ne_created {at}\n\
         # TYPE gh gaugehistogram\ngh_bucket{{le=\"1\"}} 3\ngh_gcount 3\ngh_gsum 3\n\
         # TYPE c counter\nc_total 4 # {{id=\"d\"}} 4 {at}\n"
    );
    [body_of_text("", &more), b"# EOF\n".to_vec()].concat()
}

/// Histograms in the protobuf format: classic, in both forms, with floats, of gauges.
fn protobuf(now_ms: i64) -> Vec<u8> {
    let at = u64::try_from(now_ms / 1000).unwrap();
    let exemplar = [
        field(1, &[field(1, b"id"), field(2, b"a")].concat()),
        double(2, 0.5),
        field(3, &[vec![8], exporter::varint(at)].concat()),
    ];
    let bucket = |count: u8, bound| [vec![8, count], double(2, bound)].concat();
    let first = [bucket(3, 0.5), field(3, &exemplar.concat())].concat();
    let classic = [vec![8, 7], double(2, 2.5), field(3, &first), field(3, &bucket(5, 1.0))];
    let classic = classic.concat();
    let native = [field(12, &[8, 0, 16, 1]), vec![104, 14]].concat();
    let floats = [double(4, 2.5), field(3, &[double(4, 1.5), double(2, 1.0)].concat())].concat();
    let labelled = |value: &str, histogram: &[u8]| {
        let pair = [field(1, b"a"), field(2, value.as_bytes())].concat();
        [field(1, &pair), field(7, histogram)].concat()
    };
    let both = [classic.as_slice(), &native].concat();
    let two = [
        field(1, b"two"),
        vec![24, 4],
        field(4, &labelled("1", &both)),
        field(4, &labelled("2", &both)),
        field(4, &labelled("3", &both)),
    ];
    let two = two.concat();
    [
        family("classic", 4, &field(7, &classic)),
        family("both", 4, &field(7, &both)),
        family("floats", 4, &field(7, &floats)),
        family("native_gauge", 5, &field(7, &both)),
        [exporter::varint(two.len() as u64), two].concat(),
        family("counter", 0, &field(3, &double(1, 4.0))),
    ]
    .concat()
}

fn config(port: u16) -> String {
    let mut text =
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    for path in ["text", "timed", "open", "binary"] {
        let protocols =
            if path == "binary" { "[PrometheusProto]" } else { "[OpenMetricsText1.0.0]" };
        for keep in [false, true] {
            let _ = write!(
                text,
                "- job_name: {path}-{keep}\n  metrics_path: /{path}\n  \
                 scrape_protocols: {protocols}\n  convert_classic_histograms_to_nhcb: true\n  \
                 always_scrape_classic_histograms: {keep}\n  \
                 static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
            );
        }
    }
    text
}

/// All series that a node shows now, with their values; times that differ are left out.
fn shown(port: u16) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    for series in http::query(port, "{job!=\"\",__name__!~\"scrape_duration.*\"}", None) {
        let value =
            if series["histogram"].is_null() { &series["value"] } else { &series["histogram"] };
        shown.insert(series["metric"].to_string(), value[1].to_string());
    }
    for series in http::query(port, "timestamp({job=~\"timed.*\",__name__!=\"up\"})", None) {
        let fixed = !series["metric"]["job"].is_null();
        if fixed && series["metric"]["instance"].is_string() {
            let name = format!("at {}", series["metric"]);
            shown.entry(name).or_insert_with(|| series["value"][1].to_string());
        }
    }
    shown
}

/// The exemplars by series.
fn exemplars(port: u16) -> BTreeMap<String, String> {
    let query = http::encode("{__name__=~\"e|e_bucket|c_total|classic.*|both.*\"}");
    let path = format!("/api/v1/query_exemplars?query={query}&start=1&end=9999999999");
    let answer = http::get(port, &path).unwrap().json();
    let all = answer["data"].as_array().unwrap();
    // One has the time of its scrape, and so comes again with each.
    let told = all.iter().filter(|series| series["seriesLabels"]["le"] != "2.0");
    told.map(|series| (series["seriesLabels"].to_string(), series["exemplars"].to_string()))
        .collect()
}

fn differences(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differ = |name: &&String| ours.get(*name) != theirs.get(*name);
    let tell =
        |name: &String| format!("{name}: {:?}, Prometheus {:?}", ours.get(name), theirs.get(name));
    names.into_iter().filter(differ).map(tell).collect()
}

#[test]
fn classic_histograms_become_native_as_in_prometheus() {
    let Some(prometheus) = peers::find("prometheus") else { return };
    let now = now_ms();
    let port = exporter::serve(move |path| match path {
        "/text" => (exporter::TEXT, body_of_text("", "")),
        "/timed" => (exporter::TEXT, body_of_text(&format!(" {now}"), "")),
        "/open" => (exporter::OPEN_METRICS, open_metrics(now)),
        _ => (exporter::PROTOBUF, protobuf(now)),
    });
    let flags = ["--enable-feature=exemplar-storage,native-histograms"];
    let ours = Node::start(Path::new(env!("CARGO_BIN_EXE_narthex")), &config(port), &flags);
    let theirs = Node::start(&prometheus, &config(port), &flags);
    let ready = |port| http::query(port, "count_over_time(up[1m]) >= 2", None).len() == 8;
    let all = || [ours.port, theirs.port].into_iter().all(ready);
    assert!(wait_until(Duration::from_secs(20), all), "not scraped: {}", ours.log());
    for node in [&ours, &theirs] {
        let targets = http::get(node.port, "/api/v1/targets").unwrap().json();
        for target in targets["data"]["activeTargets"].as_array().unwrap() {
            assert_eq!(target["lastError"], "", "{target}");
        }
    }
    let (ours_shown, theirs_shown) = (shown(ours.port), shown(theirs.port));
    let different = differences(&ours_shown, &theirs_shown);
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(theirs_shown.len() > 300, "{}", theirs_shown.len());
    let (ours, theirs) = (exemplars(ours.port), exemplars(theirs.port));
    let different = differences(&ours, &theirs);
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(theirs.len() > 5, "{theirs:?}");
}
