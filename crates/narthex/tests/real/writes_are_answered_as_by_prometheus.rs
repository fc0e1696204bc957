//! Remote writes as no sender should make them, sent to narthex and to a real Prometheus: the same
//! answer, the same counts of what was written, and the same samples.
//!
//! Differences that are meant: of a request of protocol 1.0 that is refused for some of its samples,
//! Prometheus keeps nothing and narthex keeps the rest; narthex refuses labels that Prometheus drops
//! without a word, and takes older samples.

use narthex_testkit::proto::{BucketSpan, Histogram, Label, Sample, TimeSeries, WriteRequest, v2};
use narthex_testkit::{http, peers};
use prost::Message as _;

use crate::node::{Node, Samples, now_ms};

const V2: &str = "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n";

/// What is said to have been written.
const WRITTEN: [&str; 3] = ["samples-written", "histograms-written", "exemplars-written"];

/// A series of a request: its labels as `name=value,...`, its samples and its histograms, each at
/// so many seconds after the begin.
#[derive(Clone)]
struct Entry {
    labels: String,
    samples: Vec<(i64, f64)>,
    histograms: Vec<(i64, u64)>,
}

/// Requests one after the other.
struct Case {
    name: String,
    requests: Vec<Vec<Entry>>,
}

fn floats(labels: &str, samples: &[(i64, f64)]) -> Entry {
    Entry { labels: labels.to_owned(), samples: samples.to_vec(), histograms: Vec::new() }
}

fn bars(labels: &str, histograms: &[(i64, u64)]) -> Entry {
    Entry { labels: labels.to_owned(), samples: Vec::new(), histograms: histograms.to_vec() }
}

fn both(labels: &str, samples: &[(i64, f64)], histograms: &[(i64, u64)]) -> Entry {
    Entry { histograms: histograms.to_vec(), ..floats(labels, samples) }
}

fn histogram(timestamp: i64, count: u64) -> Histogram {
    Histogram {
        count_int: Some(count),
        sum: 1.5,
        zero_threshold: 0.001,
        zero_count_int: Some(0),
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_deltas: vec![1, i64::try_from(count).unwrap() - 2],
        timestamp,
        ..Histogram::default()
    }
}

fn pairs(labels: &str) -> Vec<(String, String)> {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    labels.split(',').filter(|text| !text.is_empty()).map(pair).collect()
}

fn samples(entry: &Entry, begin: i64) -> (Vec<Sample>, Vec<Histogram>) {
    let at = |seconds: i64| begin.saturating_add(seconds.saturating_mul(1000));
    let samples = entry.samples.iter().map(|&(s, value)| Sample { value, timestamp: at(s) });
    let histograms = entry.histograms.iter().map(|&(s, count)| histogram(at(s), count));
    (samples.collect(), histograms.collect())
}

fn first(entries: &[Entry], begin: i64) -> Vec<u8> {
    let series = |entry: &Entry| {
        let labels = pairs(&entry.labels).into_iter();
        let (samples, histograms) = samples(entry, begin);
        TimeSeries {
            labels: labels.map(|(name, value)| Label { name, value }).collect(),
            samples,
            histograms,
            ..TimeSeries::default()
        }
    };
    let timeseries = entries.iter().map(series).collect();
    WriteRequest { timeseries, ..WriteRequest::default() }.encode_to_vec()
}

fn second(entries: &[Entry], begin: i64) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut reference = |text: String| {
        let known = symbols.iter().position(|symbol| *symbol == text);
        let place = known.unwrap_or_else(|| {
            symbols.push(text);
            symbols.len() - 1
        });
        u32::try_from(place).unwrap()
    };
    let mut timeseries = Vec::new();
    for entry in entries {
        let (samples, histograms) = samples(entry, begin);
        let labels = pairs(&entry.labels).into_iter().flat_map(|(name, value)| [name, value]);
        let labels_refs = labels.map(&mut reference).collect();
        timeseries.push(v2::TimeSeries {
            labels_refs,
            samples,
            histograms,
            ..v2::TimeSeries::default()
        });
    }
    v2::Request { symbols, timeseries }.encode_to_vec()
}

/// Orders, repeats and contradictions, within one request and from one to the next.
fn orders() -> Vec<(&'static str, Vec<Vec<Entry>>)> {
    let (a, b) = ("__name__=a", "__name__=b");
    let good = floats(b, &[(1, 1.0)]);
    vec![
        ("in order", vec![vec![floats(a, &[(1, 1.0), (2, 2.0)])]]),
        ("falling", vec![vec![floats(a, &[(2, 2.0), (1, 1.0)]), good.clone()]]),
        ("up and down", vec![vec![floats(a, &[(1, 1.0), (3, 3.0), (2, 2.0), (4, 4.0)])]]),
        ("twice", vec![vec![floats(a, &[(1, 1.0), (1, 1.0), (2, 2.0)])]]),
        ("two values at once", vec![vec![floats(a, &[(1, 1.0), (1, 7.0), (2, 2.0)])]]),
        ("two entries", vec![vec![floats(a, &[(1, 1.0)]), floats(a, &[(2, 2.0)])]]),
        ("two entries, falling", vec![vec![floats(a, &[(2, 2.0)]), floats(a, &[(1, 1.0)])]]),
        ("again", vec![vec![floats(a, &[(1, 1.0)])], vec![floats(a, &[(1, 1.0)]), good.clone()]]),
        (
            "another value",
            vec![vec![floats(a, &[(1, 1.0)])], vec![floats(a, &[(1, 9.0)]), good.clone()]],
        ),
        (
            "older",
            vec![
                vec![floats(a, &[(5, 5.0)])],
                vec![floats(a, &[(4, 4.0), (6, 6.0)]), good.clone()],
            ],
        ),
        (
            "older and the same",
            vec![vec![floats(a, &[(5, 5.0)])], vec![floats(a, &[(4, 4.0), (5, 5.0), (6, 6.0)])]],
        ),
        (
            "older last",
            vec![vec![floats(a, &[(5, 5.0)])], vec![good.clone(), floats(a, &[(4, 4.0)])]],
        ),
        ("histograms", vec![vec![bars(a, &[(1, 5), (2, 6)])]]),
        ("falling histograms", vec![vec![bars(a, &[(2, 6), (1, 5)]), good.clone()]]),
        ("a histogram twice", vec![vec![bars(a, &[(1, 5), (1, 5)])]]),
        ("two histograms at once", vec![vec![bars(a, &[(1, 5), (1, 6)])]]),
        ("histograms behind floats", vec![vec![both(a, &[(1, 1.0), (2, 2.0)], &[(3, 5)])]]),
        ("histograms before floats", vec![vec![both(a, &[(3, 3.0)], &[(1, 5), (2, 6)])]]),
        ("floats among histograms", vec![vec![both(a, &[(1, 1.0), (3, 3.0)], &[(2, 5), (4, 6)])]]),
        ("both at once", vec![vec![both(a, &[(1, 1.0)], &[(1, 5)]), good.clone()]]),
        (
            "a histogram where a float was",
            vec![vec![floats(a, &[(1, 1.0)])], vec![bars(a, &[(1, 5)])]],
        ),
        (
            "a float where a histogram was",
            vec![vec![bars(a, &[(1, 5)])], vec![floats(a, &[(1, 1.0)])]],
        ),
        (
            "an older histogram",
            vec![vec![bars(a, &[(5, 5)])], vec![bars(a, &[(4, 5), (6, 6)]), good]],
        ),
        ("a histogram again", vec![vec![bars(a, &[(5, 5)])], vec![bars(a, &[(5, 5)])]]),
        ("another histogram", vec![vec![bars(a, &[(5, 5)])], vec![bars(a, &[(5, 6)])]]),
    ]
}

/// Labels and times.
fn oddities() -> Vec<(&'static str, Vec<Vec<Entry>>)> {
    let one =
        |labels: &str| vec![vec![floats(labels, &[(1, 1.0)]), floats("__name__=b", &[(1, 1.0)])]];
    let at = |seconds: i64| {
        vec![vec![floats("__name__=a", &[(seconds, 1.0)]), floats("__name__=b", &[(1, 1.0)])]]
    };
    vec![
        ("nothing", vec![Vec::new()]),
        ("no samples", vec![vec![floats("__name__=a", &[])]]),
        ("no samples, no labels", vec![vec![floats("", &[])]]),
        ("no labels", one("")),
        ("no name", one("x=y")),
        ("an empty name", one("__name__=")),
        ("a label without a name", one("__name__=a,=y")),
        ("a label without a value", one("__name__=a,x=")),
        ("a label twice", one("__name__=a,x=y,x=z")),
        ("the same label twice", one("__name__=a,x=y,x=y")),
        ("labels in no order", one("z=1,__name__=a,b=2")),
        ("odd names", one("__name__=a b,x y=z,1=2")),
        ("an hour ahead", at(3600)),
        ("five minutes ahead", at(5 * 60)),
        ("the end of time", at(i64::MAX)),
        ("the year 1970", at(-1_700_000_000)),
        ("the beginning of time", at(i64::MIN)),
        (
            "nan and inf",
            vec![vec![floats("__name__=a", &[(1, f64::NAN), (2, f64::INFINITY), (3, -0.0)])]],
        ),
    ]
}

fn cases() -> Vec<Case> {
    let all = orders().into_iter().chain(oddities());
    all.map(|(name, requests)| Case { name: name.to_owned(), requests }).collect()
}

/// What came of a request: status, what is said to be written, the text.
type Answered = (u16, Vec<Option<String>>, String);

/// Sends the requests of a case, each series with a label that tells the case.
fn send(node: &Node, case: &Case, id: &str, version: u8, begin: i64) -> Vec<Answered> {
    let marked = |entry: &Entry| {
        let comma = if entry.labels.is_empty() { "" } else { "," };
        Entry { labels: format!("{}{comma}zcase={id}", entry.labels), ..entry.clone() }
    };
    let mut answers = Vec::new();
    for entries in &case.requests {
        let entries: Vec<Entry> = entries.iter().map(marked).collect();
        let (plain, head) = match version {
            1 => (first(&entries, begin), ""),
            _ => (second(&entries, begin), V2),
        };
        let body = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        let answer = http::ask(node.port, "POST", "/api/v1/write", head, &body).unwrap();
        let written = WRITTEN.map(|name| {
            let wanted = format!("x-prometheus-remote-write-{name}");
            answer.head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(&wanted).then(|| value.trim().to_owned())
            })
        });
        answers.push((answer.status, written.to_vec(), answer.text().trim().to_owned()));
    }
    answers
}

/// All samples of a case, native histograms included.
fn stored(node: &Node, id: &str, begin: i64) -> Samples {
    let path = format!(
        "/api/v1/query?query={}&time={}",
        http::encode(&format!("{{zcase=\"{id}\"}}[20h]")),
        begin / 1000 + 4000
    );
    let answer = http::get(node.port, &path).unwrap().json();
    let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let of = |series: &serde_json::Value| {
        let all = ["values", "histograms"].into_iter().flat_map(|kind| {
            let list = series[kind].as_array().cloned().unwrap_or_default();
            list.into_iter().map(|pair| {
                let ms = pair[0].as_f64().unwrap() * 1000.0;
                (format!("{ms:.0}").parse().unwrap(), pair[1].to_string())
            })
        });
        (series["metric"].to_string(), all.collect())
    };
    result.iter().map(of).collect()
}

/// Whether narthex did what Prometheus did, but for the differences that are meant.
fn is_equal(version: u8, theirs: (&[Answered], &Samples), ours: (&[Answered], &Samples)) -> bool {
    let answers = theirs.0.iter().zip(ours.0).all(|(theirs, ours)| {
        let refused = version == 1 && theirs.0 == 204 && ours.2.starts_with("invalid labels");
        refused || (theirs.0, &theirs.1) == (ours.0, &ours.1)
    });
    let partial = version == 1 && theirs.0.iter().any(|(status, ..)| *status == 400);
    let kept = match partial {
        false => theirs.1 == ours.1,
        true => theirs.1.iter().all(|(series, want)| {
            ours.1.get(series).is_some_and(|kept| want.iter().all(|sample| kept.contains(sample)))
        }),
    };
    answers && kept
}

#[test]
fn writes_are_answered_as_by_prometheus() {
    let Some(program) = peers::find("prometheus") else { return };
    let config = "global: {scrape_interval: 1h}\n";
    let flags = ["--web.enable-remote-write-receiver"];
    let prometheus = Node::start(
        &program,
        config,
        &[&flags[..], &["--enable-feature=native-histograms"]].concat(),
    );
    let narthex = Node::start(std::path::Path::new(env!("CARGO_BIN_EXE_narthex")), config, &flags);
    let begin = now_ms() / 1000 * 1000 - 60_000;
    let mut different = Vec::new();
    for version in [1, 2] {
        for (number, case) in cases().iter().enumerate() {
            let id = format!("{version}-{number}");
            let theirs = send(&prometheus, case, &id, version, begin);
            let ours = send(&narthex, case, &id, version, begin);
            let (kept, want) = (stored(&narthex, &id, begin), stored(&prometheus, &id, begin));
            if !is_equal(version, (&theirs, &want), (&ours, &kept)) {
                different.push(format!(
                    "{version}.0 {}:\n  Prometheus {theirs:?}\n  narthex    {ours:?}\n  Prometheus {want:?}\n  narthex    {kept:?}",
                    case.name
                ));
            }
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}
