//! The crate `prometheus-parse` as an oracle, where it is right: names without colons, values
//! without braces, commas, equals signs and escapes, and at least one label or no braces at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use narthex_expo::{Format, Limits, Stencil};
use narthex_model::LabelsBuilder;
use prometheus_parse::{Scrape, Value};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Line {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn line() -> impl Strategy<Value = Line> {
    let labels =
        proptest::collection::btree_map("[a-z_][a-z0-9_]{0,5}", "[ a-zA-Z0-9#/.-]{1,9}", 0..4);
    let value = prop_oneof![
        any::<f64>(),
        (-1_000_000i32..1_000_000).prop_map(f64::from),
        (0u32..100_000).prop_map(|v| f64::from(v) / 1000.0),
    ];
    // The other parser reads families out of suffixes; these names have none.
    ("[a-z][a-z0-9]{0,8}", labels, value).prop_map(|(name, mut labels, value)| {
        labels.retain(|name, _| !matches!(name.as_str(), "le" | "quantile" | "__name__"));
        Line { name, labels, value }
    })
}

fn key(name: &str, labels: &BTreeMap<String, String>) -> String {
    format!("{name} {labels:?}")
}

proptest! {
    #[test]
    fn another_parser_reads_the_same(lines in proptest::collection::vec(line(), 0..30)) {
        let mut seen = BTreeSet::new();
        let mut body = String::new();
        for line in &lines {
            if !seen.insert(key(&line.name, &line.labels)) {
                continue;
            }
            body.push_str(&line.name);
            if !line.labels.is_empty() {
                let pairs: Vec<_> = line.labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
                write!(body, "{{{}}}", pairs.join(",")).unwrap();
            }
            writeln!(body, " {:?}", line.value).unwrap();
        }

        let mut stencil = Stencil::new(Format::Text, Limits::default());
        stencil.fit(body.as_bytes()).unwrap();
        let mut ours = BTreeMap::new();
        let mut labels = LabelsBuilder::default();
        for (slot, value) in stencil.appeared().iter().zip(stencil.values()) {
            stencil.labels(*slot, &mut labels);
            let pairs = labels.iter().filter(|(name, _)| *name != "__name__");
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            ours.insert(key(labels.get("__name__").unwrap(), &pairs), value.to_bits());
        }

        let theirs = Scrape::parse(body.lines().map(|line| Ok(line.to_owned()))).unwrap();
        let theirs: BTreeMap<_, _> = theirs.samples.iter().map(|sample| {
            let pairs = sample.labels.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
            let (Value::Untyped(value) | Value::Gauge(value) | Value::Counter(value)) = sample.value
            else {
                panic!("{sample:?}");
            };
            let value = if value.is_nan() { narthex_model::sample::NORMAL_NAN } else { value };
            (key(&sample.metric, &pairs), value.to_bits())
        }).collect();
        prop_assert_eq!(ours, theirs);
    }
}
