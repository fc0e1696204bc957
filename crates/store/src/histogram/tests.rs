use std::sync::Arc;

use narthex_model::histogram::{Bar, CUSTOM_SCHEMA};
use narthex_model::{MatchOp, Matcher, STALE, TimeRange, Timestamp};

use super::*;
use crate::{Row, Selection, Snapshot, testing};

const ALL: TimeRange = TimeRange { start: Timestamp(0), end: Timestamp(1_000_000) };

fn bars(first: i32, counts: &[f64]) -> Vec<Bar> {
    counts.iter().zip(first..).map(|(&count, index)| Bar { index, count }).collect()
}

fn exponential(count: f64) -> Histogram {
    Histogram {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count,
        sum: 2.5,
        positive: bars(-1, &[count, 0.0, 2.0]),
        negative: bars(4, &[1.0]),
        ..Histogram::default()
    }
}

fn custom() -> Histogram {
    let bounds = Arc::from([0.0, 5.0]);
    let positive = bars(0, &[1.0, 2.0, 3.0]);
    Histogram { schema: CUSTOM_SCHEMA, count: 6.0, bounds, positive, ..Histogram::default() }
}

/// A snapshot of one source whose rows, one each second, have these parts.
fn store(rows: &[Vec<(Labels, f64)>]) -> Snapshot {
    let (store, mut writer) = testing::memory_store();
    let source = writer.new_source();
    for (row, at) in rows.iter().zip(1..) {
        let layout = writer.new_layout(source).unwrap();
        let series: Vec<_> =
            row.iter().map(|(labels, _)| writer.resolve(labels).unwrap()).collect();
        let values: Vec<f64> = row.iter().map(|&(_, value)| value).collect();
        writer.add_columns(layout, &series).unwrap();
        let at = Timestamp(at * 1000);
        writer.append(&Row { layout, at, values: &values, changed: None }).unwrap();
    }
    store.snapshot()
}

fn row(labels: &Labels, histogram: &Histogram) -> Vec<(Labels, f64)> {
    let mut row = Vec::new();
    parts(histogram, true, |part, value| row.push((part.labels(labels), value)));
    row
}

fn name(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "a")])
}

fn select(snapshot: &Snapshot, name: &str) -> Selection {
    let matcher = Matcher::new(MatchOp::Regex, "__name__", name).unwrap();
    snapshot.select(&[matcher], ALL).unwrap()
}

#[test]
fn what_is_stored_is_read() {
    let h = name("h");
    let mut second = row(&h, &exponential(5.0));
    second.push((Part::Start.labels(&h), 500.0));
    second.push((name("f"), 7.0));
    let stale = row(&h, &Histogram::stale());
    let rows =
        [row(&h, &exponential(4.0)), second, stale, row(&h, &custom()), vec![(h.clone(), 1.0)]];
    let snapshot = store(&rows);
    let found = select(&snapshot, ".*").series;
    let labels: Vec<_> = found.iter().map(|series| series.labels().clone()).collect();
    assert_eq!(labels, [name("f"), h]);
    assert!(!found[0].has_parts() && found[1].has_parts());
    let mut out = Histograms::default();
    found[1].read_parts(ALL, &mut out).unwrap();
    assert_eq!(out.times, [1, 2, 3, 4].map(|n| Timestamp(n * 1000)));
    assert_eq!(*out.values[0], exponential(4.0));
    assert_eq!(*out.values[1], exponential(5.0));
    assert!(out.values[2].is_stale());
    assert_eq!(*out.values[3], custom());
    let hints = out.values.iter().map(|value| value.hint).collect::<Vec<_>>();
    assert_eq!(hints, [Hint::Unknown, Hint::NotReset, Hint::Unknown, Hint::Unknown]);
    assert_eq!(out.integer, [true, true, false, true]);
    assert_eq!(out.start_at(Timestamp(2000)), Some(Timestamp(500)));
    assert_eq!(out.start_at(Timestamp(1000)), None);
    let late = TimeRange::new(Timestamp(1500), Timestamp(2500));
    found[1].read_parts(late, &mut out).unwrap();
    assert_eq!((out.times.len(), out.values[0].hint), (1, Hint::NotReset));
    let mut samples = crate::Samples::default();
    found[1].read(ALL, &mut samples).unwrap();
    assert_eq!(samples.times, [Timestamp(5000)]);
}

#[test]
fn numbers_between_begin_a_run() {
    let h = name("h");
    let rows = [row(&h, &exponential(4.0)), vec![(h.clone(), 1.0)], row(&h, &exponential(4.0))];
    let mut out = Histograms::default();
    select(&store(&rows), "h").series[0].read_parts(ALL, &mut out).unwrap();
    assert_eq!(out.values[1].hint, Hint::Unknown);
}

#[test]
fn nobody_sees_the_label() {
    let snapshot = store(&[row(&name("h"), &exponential(1.0))]);
    assert_eq!(snapshot.label_names(&[], ALL).unwrap(), ["__name__", "job"]);
    assert_eq!(snapshot.label_values("job", &[], ALL).unwrap(), ["a"]);
    assert!(snapshot.label_values(PART, &[], ALL).unwrap().is_empty());
    let with = |op, value| {
        let matchers = [Matcher::equal("job", "a"), Matcher::new(op, PART, value).unwrap()];
        snapshot.select(&matchers, ALL).unwrap().series.len()
    };
    assert_eq!(with(MatchOp::Equal, "sum"), 0);
    assert_eq!(with(MatchOp::Equal, ""), 1);
    assert_eq!(with(MatchOp::NotEqual, "sum"), 1);
}

#[test]
fn parts_have_names() {
    for part in [Part::Count, Part::Start, Part::Bound(7), Part::Positive(-3), Part::Negative(12)] {
        assert_eq!(Part::parse(&part.to_string()), Some(part));
    }
    for text in ["", "x", "p", "p1x", "n99999999999", "b-1", "\u{e9}"] {
        assert_eq!(Part::parse(text), None);
    }
    let mut ends = Vec::new();
    parts(&Histogram { sum: STALE, ..custom() }, false, |part, value| ends.push((part, value)));
    assert!(ends.iter().all(|&(_, value)| is_stale_bits(value)) && ends.len() == 2);
}

fn is_stale_bits(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}
