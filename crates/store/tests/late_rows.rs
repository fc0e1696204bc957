//! Rows may come out of order within a window, for any series, also where blocks have the time
//! already: they are read as if they had come in order, and the first sample at an instant wins.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use narthex_model::{ABSENT, Labels, TimeRange, Timestamp};
use narthex_store::fs::{Fs, SimFs};
use narthex_store::testing::HandClock;
use narthex_store::{
    Error, LayoutRef, Options, Row, RowBuf, RowSeq, Samples, SeriesRef, Store, Writer,
};

const WINDOW_MS: i64 = 10_000;

struct Bench {
    fs: SimFs,
    clock: Arc<HandClock>,
    store: Arc<Store>,
    writer: Writer,
    layout: LayoutRef,
    series: Vec<SeriesRef>,
}

type Model = BTreeMap<(String, i64), f64>;

impl Bench {
    fn on(fs: SimFs, late_ms: u64) -> Self {
        let clock = Arc::new(HandClock::new(Timestamp(0)));
        let options = Options {
            window_ms: WINDOW_MS,
            merge_windows: 3,
            wal_segment_bytes_max: 4000,
            ..Options::default()
        };
        let (store, mut writer) =
            narthex_store::open(Arc::new(fs.clone()), Arc::clone(&clock) as _, options).unwrap();
        store.set_out_of_order_window(Duration::from_millis(late_ms));
        let source = writer.new_source();
        let layout = writer.new_layout(source).unwrap();
        let series: Vec<_> = ["a", "b", "c"]
            .map(|name| writer.resolve(&Labels::from_pairs([("__name__", name)])).unwrap())
            .into();
        writer.add_columns(layout, &series).unwrap();
        Self { fs, clock, store, writer, layout, series }
    }

    fn append(&mut self, at: i64, values: [f64; 3]) -> Result<RowSeq, Error> {
        let row = Row { layout: self.layout, at: Timestamp(at), values: &values, changed: None };
        self.writer.append(&row)
    }

    /// Rows in order every half second.
    fn rows(&mut self, from: i64, to: i64, model: &mut Model) {
        for at in (from..to).step_by(500) {
            self.clock.set(Timestamp(at));
            let value = Timestamp(at).seconds();
            self.append(at, [value, -value, 1.0]).unwrap();
            for (name, value) in [("a", value), ("b", -value), ("c", 1.0)] {
                model.insert((name.to_owned(), at), value);
            }
        }
    }

    fn late(&mut self, at: i64, values: [f64; 3], model: &mut Model) {
        self.append(at, values).unwrap();
        for (name, value) in ["a", "b", "c"].into_iter().zip(values) {
            if value.to_bits() != ABSENT.to_bits() {
                model.entry((name.to_owned(), at)).or_insert(value);
            }
        }
    }

    fn upkeep(&self) {
        for _ in 0..20 {
            self.store.upkeep().unwrap();
        }
    }

    fn restarted(self) -> Self {
        let Self { fs, store, writer, .. } = self;
        drop((store, writer));
        Self::on(fs, 40_000)
    }
}

fn read(store: &Store) -> Model {
    let selection = store.snapshot().select(&[], TimeRange::ALL).unwrap();
    assert_eq!(selection.warnings, Vec::<String>::new());
    let (mut samples, mut model) = (Samples::default(), Model::new());
    for series in &selection.series {
        series.read(TimeRange::ALL, &mut samples).unwrap();
        assert!(samples.times.is_sorted_by(|a, b| a < b), "{:?}", samples.times);
        let name = series.labels().get("__name__").unwrap();
        for (at, &value) in samples.times.iter().zip(&samples.values) {
            model.insert((name.to_owned(), at.0), value);
        }
    }
    model
}

#[test]
fn late_rows_are_read_in_order_through_seals_merges_and_restarts() {
    let mut model = Model::new();
    let mut bench = Bench::on(SimFs::new(5), 40_000);
    bench.rows(0, 36_000, &mut model);
    bench.upkeep();
    let before = bench.store.stats();
    assert!(before.seals >= 2, "{before:?}");
    // Into the open window, into sealed ones, between two samples and onto one.
    let late = [(35_250, 1.0), (12_345, 2.0), (3_001, 3.0), (12_000, 4.0), (12_344, 5.0)];
    for (at, value) in late {
        bench.late(at, [value, ABSENT, value], &mut model);
    }
    // Again, with another value: the first stays.
    bench.late(3_001, [77.0, 7.0, 77.0], &mut model);
    assert_eq!(read(&bench.store), model);
    let early = bench.store.snapshot();
    let mut bench = bench_after_restart(bench, &model);
    bench.rows(36_000, 60_000, &mut model);
    bench.upkeep();
    bench.late(21_111, [8.0, 8.0, ABSENT], &mut model);
    assert_eq!(read(&bench.store), model);
    bench.rows(60_000, 70_000, &mut model);
    bench.upkeep();
    let stats = bench.store.stats();
    assert!(stats.late_seals >= 2, "{stats:?}");
    assert_eq!(read(&bench.store), model);
    let names = bench.fs.list("blocks").unwrap();
    assert!(names.iter().any(|name| name.ends_with("-late.block")), "{names:?}");
    let mut bench = bench_after_restart(bench, &model);
    bench.rows(70_000, 200_000, &mut model);
    bench.upkeep();
    let names = bench.fs.list("blocks").unwrap();
    let late = names.iter().filter(|name| name.ends_with("-late.block")).count();
    assert_eq!(late, 0, "merged with the others: {names:?}");
    assert_eq!(read(&bench.store), model);
    bench_after_restart(bench, &model);
    drop(early);
}

fn bench_after_restart(bench: Bench, model: &Model) -> Bench {
    let bench = bench.restarted();
    assert_eq!(&read(&bench.store), model, "after a restart");
    bench
}

#[test]
fn a_snapshot_keeps_its_late_rows_while_they_are_sealed() {
    let mut model = Model::new();
    let mut bench = Bench::on(SimFs::new(5), 40_000);
    bench.rows(0, 36_000, &mut model);
    bench.upkeep();
    bench.late(5_555, [1.0, 2.0, 3.0], &mut model);
    let early = bench.store.snapshot();
    let then = model.clone();
    bench.rows(36_000, 60_000, &mut model);
    bench.upkeep();
    bench.late(6_666 + 20_000, [1.0, 2.0, 3.0], &mut model);
    bench.rows(60_000, 80_000, &mut model);
    bench.upkeep();
    assert!(bench.store.stats().late_seals >= 1);
    let selection = early.select(&[], TimeRange::ALL).unwrap();
    let mut samples = Samples::default();
    let mut seen = 0;
    for series in &selection.series {
        series.read(TimeRange::ALL, &mut samples).unwrap();
        seen += samples.times.len();
    }
    assert_eq!(seen, then.len());
    assert_eq!(read(&bench.store), model);
}

#[test]
fn what_is_refused_and_how_it_is_counted() {
    let mut bench = Bench::on(SimFs::new(5), 0);
    bench.rows(0, 36_000, &mut Model::new());
    bench.upkeep();
    let values = [1.0, ABSENT, 1.0];
    assert!(matches!(bench.append(35_200, values), Err(Error::OutOfOrder { .. })));
    let source = bench.writer.new_source();
    let fresh = bench.writer.new_layout(source).unwrap();
    bench.writer.add_columns(fresh, &bench.series).unwrap();
    let row = Row { layout: fresh, at: Timestamp(5_000), values: &values, changed: None };
    assert!(matches!(bench.writer.append(&row), Err(Error::TooOld { .. })));
    let stats = bench.store.stats();
    let counted = (stats.samples_out_of_order, stats.samples_out_of_bounds, stats.samples_too_old);
    assert_eq!(counted, (2, 2, 0));
    // The window can be opened while the store runs.
    bench.store.set_out_of_order_window(Duration::from_secs(20));
    bench.writer.append(&Row { at: Timestamp(20_001), ..row }).unwrap();
    bench.append(35_200, values).unwrap();
    let oldest = match bench.writer.append(&row) {
        Err(Error::TooOld { oldest, .. }) => oldest,
        other => panic!("{other:?}"),
    };
    assert_eq!(oldest, Timestamp(15_500));
    assert_eq!(bench.writer.oldest_accepted(), Timestamp(15_500));
    assert!(matches!(bench.append(35_500, values), Err(Error::Duplicate { .. })));
    let stats = bench.store.stats();
    assert_eq!((stats.samples_late, stats.samples_too_old, stats.samples_duplicate), (4, 2, 2));
}

#[test]
fn who_follows_the_rows_gets_the_late_ones_too() {
    let mut model = Model::new();
    let mut bench = Bench::on(SimFs::new(5), 40_000);
    bench.store.save_cursor("r", RowSeq(0)).unwrap();
    bench.rows(0, 36_000, &mut model);
    bench.upkeep();
    // Backwards, so that places and times rise against each other.
    for at in (3_001..30_000i32).step_by(777).rev().map(i64::from) {
        bench.late(at, [1.0, ABSENT, 3.0], &mut model);
    }
    bench.rows(36_000, 160_000, &mut model);
    bench.upkeep();
    let mut rows = bench.store.rows_after(RowSeq(0)).unwrap();
    let (mut row, mut seen, mut last) = (RowBuf::default(), Model::new(), RowSeq(0));
    while rows.next(&mut row).unwrap() {
        assert!(row.seq > last);
        last = row.seq;
        let columns = rows.columns(row.layout).unwrap();
        for (&series, &value) in columns.iter().zip(&row.values) {
            if value.to_bits() != ABSENT.to_bits() {
                let labels = rows.labels(series).unwrap();
                let name = labels.get("__name__").unwrap().to_owned();
                seen.entry((name, row.at.0)).or_insert(value);
            }
        }
    }
    assert_eq!(rows.lost(), 0);
    assert_eq!(seen, model);
}
