//! Whatever is appended is read back, as a plain map would give it.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::BTreeMap;

use narthex_model::{ABSENT, Labels, MatchOp, Matcher, STALE, TimeRange, Timestamp, is_absent};
use narthex_store::{
    Column, Error, LayoutRef, Reader, Row, Samples, Selection, SeriesRef, Store, Writer, testing,
};
use proptest::prelude::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn read(store: &Store, matchers: &[Matcher], range: TimeRange) -> Vec<(Labels, Vec<(i64, u64)>)> {
    let selection = store.snapshot().select(matchers, range).unwrap();
    assert_eq!(selection.warnings, Vec::<String>::new());
    let mut samples = Samples::default();
    let mut out = Vec::new();
    for series in &selection.series {
        series.read(range, &mut samples).unwrap();
        assert_eq!(samples.warnings, Vec::<String>::new());
        let values = samples.values.iter().map(|value| value.to_bits());
        out.push((
            series.labels().clone(),
            samples.times.iter().map(|at| at.0).zip(values).collect(),
        ));
    }
    assert_eq!(read_together(&selection, range), out);
    out
}

/// The same by a reader, which takes rows as a whole after a few columns.
fn read_together(selection: &Selection, range: TimeRange) -> Vec<(Labels, Vec<(i64, u64)>)> {
    let mut reader = Reader::new(range);
    let mut samples = Samples::default();
    let mut out = Vec::new();
    for _ in 0..5 {
        out.clear();
        for series in &selection.series {
            reader.read(series, &mut samples).unwrap();
            let times = samples.times.iter().map(|at| at.0);
            let found = times.zip(samples.values.iter().map(|value| value.to_bits())).collect();
            out.push((series.labels().clone(), found));
        }
    }
    out
}

fn layout_of(writer: &mut Writer, series: &[SeriesRef]) -> LayoutRef {
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    writer.add_columns(layout, series).unwrap();
    layout
}

fn append(writer: &mut Writer, layout: LayoutRef, at: i64, values: &[f64]) -> Result<(), Error> {
    writer.append(&Row { layout, at: Timestamp(at), values, changed: None }).map(drop)
}

#[test]
fn refuses_what_does_not_fit_and_counts_it() {
    let (store, mut writer) = testing::memory_store();
    let up = writer.resolve(&labels(&[("__name__", "up")])).unwrap();
    assert_eq!(writer.resolve(&labels(&[("__name__", "up")])).unwrap(), up);
    let layout = layout_of(&mut writer, &[up]);
    append(&mut writer, layout, 1000, &[1.0]).unwrap();
    assert!(matches!(append(&mut writer, layout, 1000, &[1.0]), Err(Error::Duplicate { .. })));
    assert!(matches!(append(&mut writer, layout, 999, &[1.0]), Err(Error::OutOfOrder { .. })));
    assert!(matches!(append(&mut writer, layout, 2000, &[]), Err(Error::RowWidth { .. })));
    let unknown = SeriesRef::new(77).unwrap();
    assert!(matches!(
        writer.add_columns(layout, &[unknown]),
        Err(Error::UnknownSeries(series)) if series == unknown
    ));
    append(&mut writer, layout, 2000, &[STALE]).unwrap();
    writer.drop_layout(layout);
    assert!(matches!(append(&mut writer, layout, 3000, &[1.0]), Err(Error::UnknownLayout(_))));
    let stats = store.stats();
    assert_eq!(stats.samples_duplicate, 1);
    assert_eq!(stats.samples_out_of_order, 1);
    assert_eq!((stats.rows_appended, stats.samples_appended), (2, 2));
    assert_eq!(stats.head_series, 1);
    store.close().unwrap();
    assert!(matches!(writer.new_layout(narthex_store::SourceRef(1)), Err(Error::Closed)));
}

#[test]
fn a_snapshot_sees_nothing_that_came_later() {
    let (store, mut writer) = testing::memory_store();
    let up = writer.resolve(&labels(&[("__name__", "up")])).unwrap();
    let layout = layout_of(&mut writer, &[up]);
    for at in 1..=40 {
        append(&mut writer, layout, at, &[1.0]).unwrap();
    }
    let snapshot = store.snapshot();
    for at in 41..=100 {
        append(&mut writer, layout, at, &[1.0]).unwrap();
    }
    let selection = snapshot.select(&[], TimeRange::ALL).unwrap();
    let mut samples = Samples::default();
    selection.series[0].read(TimeRange::ALL, &mut samples).unwrap();
    assert_eq!(samples.len(), 40);
    assert_eq!(samples.times.last(), Some(&Timestamp(40)));
}

#[test]
fn columns_of_two_layouts_are_stitched_and_the_first_sample_wins() {
    let (store, mut writer) = testing::memory_store();
    let up = writer.resolve(&labels(&[("__name__", "up")])).unwrap();
    let one = layout_of(&mut writer, &[up]);
    let two = layout_of(&mut writer, &[up]);
    append(&mut writer, one, 10, &[1.0]).unwrap();
    append(&mut writer, two, 5, &[2.0]).unwrap();
    append(&mut writer, two, 10, &[3.0]).unwrap();
    append(&mut writer, two, 20, &[4.0]).unwrap();
    append(&mut writer, one, 20, &[5.0]).unwrap();
    append(&mut writer, one, 30, &[ABSENT]).unwrap();
    let bits = |value: f64| value.to_bits();
    assert_eq!(
        read(&store, &[], TimeRange::ALL),
        [(labels(&[("__name__", "up")]), vec![(5, bits(2.0)), (10, bits(1.0)), (20, bits(4.0))])]
    );
}

#[derive(Clone, Debug)]
enum Step {
    NewLayout,
    Columns(u8, Vec<u8>),
    Row(u8, u16, u64),
    Drop(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::NewLayout),
        2 => (any::<u8>(), prop::collection::vec(0u8..24, 1..6)).prop_map(|(l, c)| Step::Columns(l, c)),
        40 => (any::<u8>(), 1u16..9000, any::<u64>()).prop_map(|(l, t, v)| Step::Row(l, t, v)),
        1 => any::<u8>().prop_map(Step::Drop),
    ]
}

fn series_labels(number: u8) -> Labels {
    let (name, job) = (format!("m{}", number % 5), format!("j{}", number / 5));
    Labels::from_pairs([("__name__", name.as_str()), ("job", job.as_str())])
}

/// A value with holes, repeats and odd ones among them.
fn value(random: u64) -> f64 {
    match random % 8 {
        0 => ABSENT,
        1 => STALE,
        2 => f64::INFINITY,
        3 | 4 => 7.0,
        5 => f64::from_bits(random),
        _ => f64::from(u32::try_from(random >> 40).unwrap()) / 100.0,
    }
}

type Model = BTreeMap<Labels, BTreeMap<i64, u64>>;

fn run(steps: &[Step], writer: &mut Writer) -> Model {
    let mut model = Model::new();
    let mut layouts: Vec<(LayoutRef, Vec<u8>, i64)> = Vec::new();
    for step in steps {
        match step {
            Step::NewLayout => layouts.push((layout_of(writer, &[]), Vec::new(), 0)),
            Step::Columns(layout, columns) if !layouts.is_empty() => {
                let count = layouts.len();
                let (layout, have, _) = &mut layouts[usize::from(*layout) % count];
                for &column in columns {
                    if !have.contains(&column) {
                        let series = writer.resolve(&series_labels(column)).unwrap();
                        writer.add_columns(*layout, &[series]).unwrap();
                        have.push(column);
                    }
                }
            }
            Step::Row(layout, step, random) if !layouts.is_empty() => {
                let count = layouts.len();
                let (layout, columns, last) = &mut layouts[usize::from(*layout) % count];
                *last += i64::from(*step);
                let random = |c: usize| random.rotate_left(u32::try_from(c).unwrap() * 7);
                let values: Vec<f64> = (0..columns.len()).map(|c| value(random(c))).collect();
                append(writer, *layout, *last, &values).unwrap();
                for (&column, &value) in columns.iter().zip(&values) {
                    if !is_absent(value) {
                        let series = model.entry(series_labels(column)).or_default();
                        series.entry(*last).or_insert(value.to_bits());
                    }
                }
            }
            Step::Drop(layout) if !layouts.is_empty() => {
                let (layout, ..) = layouts.remove(usize::from(*layout) % layouts.len());
                writer.drop_layout(layout);
            }
            _ => {}
        }
    }
    model
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let op = prop::sample::select(vec![
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ]);
    let name = prop::sample::select(vec!["__name__", "job", "none"]);
    let value =
        prop::sample::select(vec!["m1", "m2", "j0", "j3", "", "m[0-3]", "j.*", "m1|j1", ".+"]);
    let matcher =
        (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap());
    prop::collection::vec(matcher, 0..4)
}

fn expected(
    model: &Model,
    matchers: &[Matcher],
    range: TimeRange,
) -> Vec<(Labels, Vec<(i64, u64)>)> {
    let chosen =
        model.iter().filter(|(labels, _)| matchers.iter().all(|m| m.matches_labels(labels)));
    let samples = chosen.map(|(labels, samples)| {
        let inside = samples.iter().filter(|&(&at, _)| range.contains(Timestamp(at)));
        (labels.clone(), inside.map(|(&at, &value)| (at, value)).collect::<Vec<_>>())
    });
    samples.filter(|(_, samples)| !samples.is_empty()).collect()
}

proptest! {
    #[test]
    fn as_a_plain_map_does(
        steps in prop::collection::vec(step(), 0..400),
        matchers in matchers(),
        (from, length) in (0i64..200_000, 0i64..200_000),
    ) {
        let (store, mut writer) = testing::memory_store();
        let model = run(&steps, &mut writer);
        for range in [TimeRange::ALL, TimeRange::new(Timestamp(from), Timestamp(from + length))] {
            let mut found = read(&store, &matchers, range);
            // A series may be offered that has no sample in the range, for chunks are looked at.
            found.retain(|(_, samples)| !samples.is_empty());
            prop_assert_eq!(found, expected(&model, &matchers, range));
        }
        let snapshot = store.snapshot();
        let names = snapshot.label_names(&matchers, TimeRange::ALL).unwrap();
        let values = snapshot.label_values("job", &matchers, TimeRange::ALL).unwrap();
        let all = expected(&model, &matchers, TimeRange::ALL);
        let mut jobs: Vec<_> = all.iter().filter_map(|(l, _)| l.get("job")).collect();
        jobs.sort_unstable();
        jobs.dedup();
        prop_assert_eq!(values, jobs);
        prop_assert_eq!(names.is_empty(), all.is_empty());
    }
}

#[test]
fn changed_columns_are_a_hint() {
    let (store, mut writer) = testing::memory_store();
    let a = writer.resolve(&labels(&[("__name__", "a")])).unwrap();
    let b = writer.resolve(&labels(&[("__name__", "b")])).unwrap();
    let layout = layout_of(&mut writer, &[a, b]);
    let row = |at, values, changed| Row { layout, at: Timestamp(at), values, changed };
    writer.append(&row(1, &[1.0, 2.0], None)).unwrap();
    writer.append(&row(2, &[1.0, 3.0], Some(&[Column(1)]))).unwrap();
    let matcher = Matcher::equal("__name__", "b");
    let found = read(&store, &[matcher], TimeRange::ALL);
    assert_eq!(found[0].1, [(1, 2f64.to_bits()), (2, 3f64.to_bits())]);
}
