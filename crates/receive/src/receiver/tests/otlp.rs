use narthex_store::Histograms;

use super::*;
use crate::otlp::{Form, Names, Promote, Settings};

/// A request with metrics of every kind, as a library of OpenTelemetry wrote it, and the same as
/// JSON.
const PROTOBUF: &[u8] = include_bytes!("../../../../../testdata/otlp/request.pb");
const JSON: &[u8] = include_bytes!("../../../../../testdata/otlp/request.json");

const PLAIN: Form = Form { gzip: false, json: false };
const TEXT: Form = Form { gzip: false, json: true };

fn settings() -> Settings {
    Settings {
        names: Names { suffixes: true, utf8: false },
        promote: Promote::Only(Vec::new()),
        keep_identifying: false,
        to_custom_buckets: false,
        promote_scope: false,
        lookback_ms: 300_000,
    }
}

/// What a store has after a request: series and samples as text, in order.
fn stored(body: &[u8], form: Form, settings: &Settings) -> (Vec<String>, Answer) {
    let mut bench = Bench::new();
    let answer = bench.receiver.write_otlp(body, form, settings).unwrap();
    let all = Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap();
    let range = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
    let selection = bench.store.snapshot().select(&[all], range).unwrap();
    let (mut samples, mut parts) = (Samples::default(), Histograms::default());
    let mut found = Vec::new();
    for series in &selection.series {
        series.read(range, &mut samples).unwrap();
        series.read_parts(range, &mut parts).unwrap();
        let numbers = samples.times.iter().zip(&samples.values);
        let numbers = numbers.map(|(at, value)| match narthex_model::is_stale(*value) {
            true => format!("stale@{}", at.0),
            false => format!("{value}@{}", at.0),
        });
        let histograms = parts.times.iter().zip(&parts.values);
        let histograms = histograms.map(|(at, histogram)| format!("{histogram}@{}", at.0));
        let all: Vec<String> = numbers.chain(histograms).collect();
        found.push(format!("{} {}", series.labels(), all.join(" ")));
    }
    found.sort();
    (found, answer)
}

/// A request with these metrics of a resource with these attributes, as JSON.
fn request(attributes: &str, metrics: &str) -> Vec<u8> {
    format!(
        "{{\"resourceMetrics\":[{{\"resource\":{{\"attributes\":[{attributes}]}},\
         \"scopeMetrics\":[{{\"metrics\":[{metrics}]}}]}}]}}"
    )
    .into_bytes()
}

fn attribute(key: &str, value: &str) -> String {
    format!("{{\"key\":\"{key}\",\"value\":{{\"stringValue\":\"{value}\"}}}}")
}

fn gauge(name: &str, point: &str) -> String {
    format!("{{\"name\":\"{name}\",\"gauge\":{{\"dataPoints\":[{{{point}}}]}}}}")
}

#[test]
fn every_kind_of_metric_becomes_its_series() {
    let (found, answer) = stored(PROTOBUF, PLAIN, &settings());
    let of = |labels: &str, name: &str| {
        let labels = if labels.is_empty() { String::new() } else { format!(", {labels}") };
        format!("{{__name__=\"{name}\", instance=\"i-1\", job=\"eu/shop\"{labels}}}")
    };
    let want = [
        format!("{} 4.5@100000", of("", "latency_seconds_sum")),
        format!("{} 9@100000", of("", "latency_seconds_count")),
        format!("{} 2@100000", of("le=\"0.1\"", "latency_seconds_bucket")),
        format!("{} 2@100000", of("le=\"0.5\"", "latency_seconds_bucket")),
        format!("{} 5@100000", of("le=\"2\"", "latency_seconds_bucket")),
        format!("{} 9@100000", of("le=\"+Inf\"", "latency_seconds_bucket")),
        format!("{} 6@100000", of("", "old_sum")),
        format!("{} 3@100000", of("", "old_count")),
        format!("{} 2@100000", of("quantile=\"0.5\"", "old")),
        format!("{} 3@100000", of("quantile=\"1\"", "old")),
        format!("{} 12@190000", of("", "requests_total")),
        format!("{} 21.5@100000", of("pct=\"0.5\", room=\"a\"", "temp_now_celsius")),
        format!("{} -7@100000", of("room=\"b\"", "temp_now_celsius")),
        format!("{} stale@100000", of("room=\"gone\"", "temp_now_celsius")),
        format!(
            "{} {{count:11, sum:99, [-4,-2.82842712474619):6, [-1e-128,1e-128]:1, \
             (0.5,0.7071067811865475]:1, (1,1.414213562373095]:3}}@100000",
            of("", "sizes_bytes")
        ),
        "{__name__=\"target_info\", cpu=\"-4\", host_name=\"h1\", instance=\"i-1\", \
         job=\"eu/shop\"} 1@100000 1@190000"
            .to_owned(),
    ];
    let mut want = want.to_vec();
    want.sort();
    assert_eq!(found, want);
    assert_eq!(answer.refused.total(), 0, "{}", answer.refused);
    assert_eq!(
        answer.notes,
        [
            "invalid temporality and type combination for metric \"delta\"",
            "empty data points. empty is dropped"
        ]
    );
    assert_eq!(stored(JSON, TEXT, &settings()).0, found);
}

#[test]
fn settings_change_names_labels_and_histograms() {
    let changed = Settings {
        names: Names { suffixes: false, utf8: true },
        promote: Promote::AllBut(vec!["cpu".to_owned()]),
        keep_identifying: true,
        to_custom_buckets: true,
        promote_scope: true,
        ..settings()
    };
    let (found, _) = stored(PROTOBUF, PLAIN, &changed);
    let shared = "\"host.name\"=\"h1\", instance=\"i-1\", job=\"eu/shop\"";
    let scope = "otel_scope_name=\"lib\", otel_scope_schema_url=\"http://s\", \
                 otel_scope_version=\"1.2\", \"otel_scope_x.y\"=\"true\"";
    let service = "\"service.instance.id\"=\"i-1\", \"service.name\"=\"shop\", \
                   \"service.namespace\"=\"eu\"";
    for want in [
        format!(
            "{{__name__=\"latency\", {shared}, {scope}, {service}}} {{count:9, sum:4.5, \
             [-Inf,0.1]:2, (0.5,2]:3, (2,+Inf]:4}}@100000"
        ),
        format!("{{__name__=\"requests\", {shared}, {scope}, {service}}} 12@190000"),
        format!("{{__name__=\"target_info\", cpu=\"-4\", {shared}, {service}}} 1@100000 1@190000"),
    ] {
        assert!(found.contains(&want), "{want}\n{}", found.join("\n"));
    }
    let only = Settings { promote: Promote::Only(vec!["host.name".to_owned()]), ..settings() };
    let (found, _) = stored(PROTOBUF, PLAIN, &only);
    let want = "{__name__=\"requests_total\", host_name=\"h1\", instance=\"i-1\", \
                job=\"eu/shop\"} 12@190000";
    assert!(found.contains(&want.to_owned()), "{}", found.join("\n"));
}

#[test]
fn labels_of_the_same_name_stand_in_one() {
    let attributes = [attribute("a.b", "2"), attribute("a-b", "1"), attribute("__name__", "x")];
    let point = format!("\"timeUnixNano\":\"5000000\",\"attributes\":[{}]", attributes.join(","));
    // Without service.name or service.instance.id there is nobody to tell of.
    let body = request(&attribute("zone", "1"), &gauge("g", &point));
    let (found, answer) = stored(&body, TEXT, &settings());
    assert_eq!(found, ["{__name__=\"g\", a_b=\"1;2\"} 0@5"]);
    assert!(answer.refused.is_empty());
}

#[test]
fn exemplars_go_to_their_buckets() {
    let mut bench = Bench::new();
    bench.store.exemplars().set_max(10);
    bench.receiver.write_otlp(PROTOBUF, PLAIN, &settings()).unwrap();
    let all = bench.store.exemplars().select(TimeRange::ALL, |_| true);
    let mut found: Vec<String> = all
        .iter()
        .flat_map(|of| of.exemplars.iter().map(move |one| (of, one)))
        .map(|(of, one)| {
            let le = of.labels.get("le").unwrap_or("");
            format!("{} {le} {} {} {}", of.labels.metric_name(), one.at.0, one.value, one.labels)
        })
        .collect();
    found.sort();
    let trace = "trace_id=\"0102030405060708090a0b0c0d0e0f10\"";
    assert_eq!(
        found,
        [
            format!("latency_seconds_bucket 0.5 100000 0.3 {{{trace}}}"),
            format!(
                "requests_total  100000 0.25 {{span_id=\"0102030405060708\", {trace}, u=\"v\"}}"
            ),
        ]
    );
}

#[test]
fn compressed_requests_are_read_as_far_as_the_limits_allow() {
    use std::io::Write as _;
    let gzip = |body: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    let form = Form { gzip: true, json: false };
    let (found, _) = stored(&gzip(PROTOBUF), form, &settings());
    assert_eq!(found, stored(PROTOBUF, PLAIN, &settings()).0);
    let json = Form { gzip: true, json: true };
    assert_eq!(found, stored(&gzip(JSON), json, &settings()).0);
    let mut receiver = Bench::new().receiver;
    let bomb = gzip(&vec![0; 64 << 20]);
    for form in [form, json] {
        let outcome = receiver.write_otlp(&bomb, form, &settings());
        assert!(matches!(outcome, Err(Failure::TooLarge(_))), "{outcome:?}");
    }
    let outcome = receiver.write_otlp(b"no gzip", form, &settings());
    assert!(matches!(outcome, Err(Failure::Malformed(_))), "{outcome:?}");
}

#[test]
fn bombs_are_refused() {
    let refused = |body: &[u8]| {
        let outcome = Bench::new().receiver.write_otlp(body, TEXT, &settings());
        let error = outcome.expect_err("it is too much").to_string();
        assert!(error.starts_with("cannot read the message: "), "{error}");
        error
    };
    let time = "\"timeUnixNano\":\"5000000\"";
    // A large resource in each of many series.
    let promote = Settings { promote: Promote::AllBut(Vec::new()), ..settings() };
    let told = |count: usize, points: usize| {
        let attributes: Vec<String> =
            (0..count).map(|n| attribute(&format!("a{n}"), &"x".repeat(60_000))).collect();
        let points = vec![format!("{{{time}}}"); points].join(",");
        let metric = format!("{{\"name\":\"g\",\"gauge\":{{\"dataPoints\":[{points}]}}}}");
        let body = request(&attributes.join(","), &metric);
        let outcome = Bench::new().receiver.write_otlp(&body, TEXT, &promote);
        outcome.map_or_else(|error| error.to_string(), |_| String::new())
    };
    assert!(told(4, 1000).contains("labels of all series"));
    assert!(told(5, 1).contains("one of them too large"));
    assert_eq!(told(4, 10), "");
    // Many buckets in many points.
    let bounds = (0..2000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let counts = vec!["1"; 2001].join(",");
    let point = format!("{{{time},\"explicitBounds\":[{bounds}],\"bucketCounts\":[{counts}]}}");
    let points = vec![point; 60].join(",");
    let body = request(
        "",
        &format!(
            "{{\"name\":\"h\",\"histogram\":{{\"aggregationTemporality\":2,\
             \"dataPoints\":[{points}]}}}}"
        ),
    );
    assert!(refused(&body).contains("more than 100000 series"));
    // Many buckets of native histograms.
    let counts = vec!["1"; 9000].join(",");
    let point = format!("{{{time},\"scale\":1,\"positive\":{{\"bucketCounts\":[{counts}]}}}}");
    let points = vec![point; 23].join(",");
    let body = request(
        "",
        &format!(
            "{{\"name\":\"e\",\"exponentialHistogram\":{{\"aggregationTemporality\":2,\
             \"dataPoints\":[{points}]}}}}"
        ),
    );
    assert!(refused(&body).contains("too many buckets"));
    // Many attributes.
    let many = vec![attribute("a", "b"); 1025].join(",");
    assert!(refused(&request(&many, "")).contains("too many attributes"));
}

#[test]
fn what_is_wrong_with_a_point_is_told() {
    let long = format!(
        "\"timeUnixNano\":\"5000000\",\"attributes\":[{}]",
        attribute("a", &"x".repeat(100_000))
    );
    let coarse = "{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,\
                  \"dataPoints\":[{\"timeUnixNano\":\"5000000\",\"scale\":-5}]}}";
    let unordered = "{\"name\":\"c\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":\
                     [{\"timeUnixNano\":\"5000000\",\"explicitBounds\":[2,1],\
                     \"bucketCounts\":[1,1,1]}]}}";
    let good = gauge("good", "\"timeUnixNano\":\"5000000\",\"asInt\":1");
    let nothing = "{\"name\":\"n\"}";
    let metrics = [&gauge("long", &long), coarse, unordered, nothing, &good].join(",");
    let custom = Settings { to_custom_buckets: true, ..settings() };
    let (found, answer) = stored(&request("", &metrics), TEXT, &custom);
    assert_eq!(found, ["{__name__=\"good\"} 1@5"]);
    for reason in [Reason::LabelTooLong, Reason::BadHistogram] {
        assert_eq!(answer.refused.of(reason), 1, "{reason:?}: {}", answer.refused);
    }
    assert_eq!(answer.notes.len(), 2, "{:?}", answer.notes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_request_gets_an_answer(
        cuts in proptest::collection::vec((0..PROTOBUF.len(), any::<u8>()), 0..6),
        length in 0..=PROTOBUF.len(),
        json in any::<bool>(),
    ) {
        let whole = if json { JSON } else { PROTOBUF };
        let mut body = whole[..length.min(whole.len())].to_vec();
        for (at, byte) in cuts {
            if let Some(place) = body.get_mut(at) {
                *place = byte;
            }
        }
        let form = Form { gzip: false, json };
        let _ = Bench::new().receiver.write_otlp(&body, form, &settings());
    }
}
