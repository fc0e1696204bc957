//! While rows come and blocks change, every snapshot shows whole rows, and all of them up to one.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use narthex_model::{Labels, TimeRange, Timestamp};
use narthex_store::fs::SimFs;
use narthex_store::testing::HandClock;
use narthex_store::{Options, Retention, Row, Samples, Store};

const WINDOW_MS: i64 = 2000;
const COLUMNS: usize = 5;
const LAYOUTS: usize = 3;

/// Looks at one snapshot: the rows of all layouts are numbered through, one value a row.
fn look(store: &Store, samples: &mut Samples) -> usize {
    let snapshot = store.snapshot();
    let selection = snapshot.select(&[], TimeRange::ALL).unwrap();
    let mut rows = Vec::new();
    for (index, series) in selection.series.iter().enumerate() {
        series.read(TimeRange::ALL, samples).unwrap();
        assert_eq!(samples.warnings, Vec::<String>::new());
        let numbers: Vec<i64> = samples.times.iter().map(|at| at.0).collect();
        assert!(
            numbers
                .iter()
                .zip(&samples.values)
                .all(|(&at, value)| value.to_bits() == at.cast_unsigned())
        );
        if index % COLUMNS == 0 {
            rows.push(numbers);
        } else {
            assert_eq!(rows.last(), Some(&numbers), "a row that is not whole");
        }
    }
    let mut all: Vec<i64> = rows.concat();
    all.sort_unstable();
    let expected: Vec<i64> = (1..=i64::try_from(all.len()).unwrap()).collect();
    assert_eq!(all, expected, "rows are missing");
    all.len()
}

#[test]
fn readers_see_whole_rows() {
    let options = Options {
        window_ms: WINDOW_MS,
        wal_segment_bytes_max: 10_000,
        retention: Retention::default(),
        ..Options::default()
    };
    let clock = Arc::new(HandClock::new(Timestamp::MAX));
    let (store, mut writer) = narthex_store::open(Arc::new(SimFs::new(1)), clock, options).unwrap();
    let mut layouts = Vec::new();
    for layout in 0..LAYOUTS {
        let source = writer.new_source();
        let series: Vec<_> = (0..COLUMNS)
            .map(|column| {
                let name = format!("l{layout}c{column}");
                writer.resolve(&Labels::from_pairs([("__name__", name.as_str())])).unwrap()
            })
            .collect();
        let layout = writer.new_layout(source).unwrap();
        writer.add_columns(layout, &series).unwrap();
        layouts.push(layout);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut samples, mut last) = (Samples::default(), 0);
                while !stop.load(Ordering::Relaxed) {
                    let seen = look(&store, &mut samples);
                    assert!(seen >= last);
                    last = seen;
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                store.upkeep().unwrap();
                store.sync().unwrap();
            }
        });
        for at in 1..=20_000i64 {
            let layout = layouts[usize::try_from(at / 7).unwrap() % LAYOUTS];
            let values = [f64::from_bits(at.cast_unsigned()); COLUMNS];
            let row = Row { layout, at: Timestamp(at), values: &values, changed: None };
            // A window is sealed half a window after its end, so no row can be late.
            writer.append(&row).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(look(&store, &mut Samples::default()), 20_000);
    let stats = store.stats();
    assert!(stats.seals > 0, "{stats:?}");
}
