//! Who follows the rows may be ten days behind: what the log no longer has comes out of blocks,
//! each row once, in order, with the same few bytes of memory.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use narthex_counting::{Counting, Peak};
use narthex_model::{ABSENT, Labels, Timestamp, is_absent};
use narthex_store::fs::SimFs;
use narthex_store::testing::HandClock;
use narthex_store::{
    LayoutRef, Options, Retention, Row, RowBuf, RowReader, RowSeq, SeriesRef, Store, Writer,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const SOURCES: i64 = 3;
const COLUMNS: i64 = 8;

struct Bench {
    fs: SimFs,
    clock: Arc<HandClock>,
    store: Arc<Store>,
    writer: Writer,
    layouts: Vec<(LayoutRef, Vec<SeriesRef>)>,
    rows: u64,
    samples: u64,
}

fn options() -> Options {
    Options { wal_segment_bytes_max: 16_000, wal_bytes_max: 0, ..Options::default() }
}

impl Bench {
    fn new() -> Self {
        Self::on(SimFs::new(3))
    }

    fn on(fs: SimFs) -> Self {
        let clock = Arc::new(HandClock::new(Timestamp(0)));
        let (store, writer) =
            narthex_store::open(Arc::new(fs.clone()), Arc::clone(&clock) as _, options()).unwrap();
        Self { fs, clock, store, writer, layouts: Vec::new(), rows: 0, samples: 0 }
    }

    /// A row a minute for each source. Every hour a column of a source dies and another comes;
    /// every half day a layout ends and a fresh one begins.
    fn run(&mut self, from: i64, to: i64) {
        for turn in from / MINUTE..to / MINUTE {
            for source in 0..SOURCES {
                let age = turn + source * 240;
                if self.layouts.len() <= usize::try_from(source).unwrap() || age % 720 == 0 {
                    self.begin_layout(source, turn);
                } else if age % 60 == 0 {
                    let series = self.series(source, turn / 60 + COLUMNS - 1);
                    let (layout, columns) = &mut self.layouts[usize::try_from(source).unwrap()];
                    if !columns.contains(&series) {
                        self.writer.add_columns(*layout, &[series]).unwrap();
                        columns.push(series);
                    }
                }
                self.row(source, turn);
            }
            if turn % 10 == 9 {
                self.store.upkeep().unwrap();
            }
        }
    }

    fn begin_layout(&mut self, number: i64, turn: i64) {
        let source = self.writer.new_source();
        let layout = self.writer.new_layout(source).unwrap();
        let alive = turn / 60..turn / 60 + COLUMNS;
        let columns: Vec<_> = alive.map(|name| self.series(number, name)).collect();
        self.writer.add_columns(layout, &columns).unwrap();
        let slot = usize::try_from(number).unwrap();
        if let Some(before) = self.layouts.get_mut(slot) {
            let (before, _) = std::mem::replace(before, (layout, columns));
            self.writer.drop_layout(before);
        } else {
            self.layouts.push((layout, columns));
        }
    }

    fn series(&mut self, source: i64, name: i64) -> SeriesRef {
        let (source, name) = (source.to_string(), name.to_string());
        let labels = Labels::from_pairs([("__name__", "m"), ("s", &source), ("n", &name)]);
        self.writer.resolve(&labels).unwrap()
    }

    fn row(&mut self, source: i64, turn: i64) {
        let (layout, columns) = &self.layouts[usize::try_from(source).unwrap()];
        let dead = columns.len() - usize::try_from(COLUMNS).unwrap();
        let values: Vec<f64> = (0..columns.len())
            .map(|column| if column < dead { ABSENT } else { value(source, turn, column) })
            .collect();
        // The phases of sources differ.
        let at = Timestamp(turn * MINUTE + source * 7_000);
        self.clock.set(at);
        let row = Row { layout: *layout, at, values: &values, changed: None };
        self.writer.append(&row).unwrap();
        self.rows += 1;
        self.samples += values.iter().filter(|&&value| !is_absent(value)).count() as u64;
    }
}

fn value(source: i64, turn: i64, column: usize) -> f64 {
    let mixed = (turn * 31 + source * 7 + i64::try_from(column).unwrap()) % 1000;
    f64::from(i32::try_from(mixed).unwrap()) / 8.0
}

/// What a reader met.
#[derive(Default)]
struct Met {
    rows: u64,
    samples: u64,
    last_seq: RowSeq,
    last: HashMap<SeriesRef, Timestamp>,
    labels: HashMap<SeriesRef, Labels>,
    layouts: BTreeMap<LayoutRef, Vec<f64>>,
}

impl Met {
    fn read(&mut self, reader: &mut RowReader, rows_max: u64) {
        let mut row = RowBuf::default();
        let mut left = rows_max;
        while left > 0 && reader.next(&mut row).unwrap() {
            self.take(reader, &row);
            left -= 1;
        }
    }

    fn take(&mut self, reader: &mut RowReader, row: &RowBuf) {
        assert!(row.seq > self.last_seq, "row {} after {}", row.seq, self.last_seq);
        self.last_seq = row.seq;
        self.rows += 1;
        let columns = reader.columns(row.layout).unwrap();
        assert!(columns.len() >= row.values.len());
        for (column, (&series, &value)) in columns.iter().zip(&row.values).enumerate() {
            if is_absent(value) {
                continue;
            }
            self.samples += 1;
            let before = self.last.insert(series, row.at);
            assert!(before.is_none_or(|before| before < row.at), "series out of order");
            let labels = self.labels.entry(series).or_insert_with(|| {
                reader.labels(series).unwrap_or_else(|| panic!("no labels of {series}"))
            });
            let source: i64 = labels.get("s").unwrap().parse().unwrap();
            let turn = row.at.0 / MINUTE;
            assert_eq!(value.to_bits(), self::value(source, turn, column).to_bits());
        }
        // What is not said to have changed is as it was.
        let before = self.layouts.entry(row.layout).or_default();
        before.resize(row.values.len(), ABSENT);
        for &column in &row.changed {
            before[column.index()] = row.values[column.index()];
        }
        let same = before.iter().zip(&row.values).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "a change was not told");
    }
}

#[test]
fn ten_days_are_read_once_and_in_order_with_flat_memory() {
    let mut bench = Bench::new();
    bench.store.save_cursor("away", RowSeq(0)).unwrap();
    bench.run(0, 10 * DAY);
    let stats = bench.store.stats();
    assert!(stats.merges > 5 && stats.blocks > 10, "{stats:?}");
    assert!(stats.wal.bytes < stats.block_bytes / 2, "the log is short: {stats:?}");
    let mut reader = bench.store.rows_after(RowSeq(0)).unwrap();
    let mut met = Met::default();
    met.read(&mut reader, u64::MAX);
    assert_eq!((met.rows, met.samples, reader.lost()), (bench.rows, bench.samples, 0));
    assert_eq!(met.last_seq, bench.store.last_seq());
    assert_eq!(bench.store.stats().wal.rows_lost, 0);

    // The same way once more, without the model: how much memory is in use at most.
    let peak = |after: RowSeq, days: i64| {
        let mut reader = bench.store.rows_after(after).unwrap();
        let mut row = RowBuf::default();
        let peak = Peak::begin();
        for _ in 0..days * 1440 * SOURCES {
            assert!(reader.next(&mut row).unwrap());
        }
        peak.take()
    };
    let (one, nine) = (peak(RowSeq(0), 1), peak(RowSeq(0), 9));
    println!("memory of a reader: {one} bytes over a day, {nine} over nine");
    assert!(nine < one * 3 / 2, "{one} bytes over a day, {nine} over nine");
    assert!(nine < 2 << 20);
}

#[test]
fn a_reader_goes_on_over_merges_seals_and_a_restart() {
    let mut bench = Bench::new();
    bench.store.save_cursor("away", RowSeq(0)).unwrap();
    bench.run(0, DAY / 2);
    let mut reader = bench.store.rows_after(RowSeq(0)).unwrap();
    let mut met = Met::default();
    // A little at a time, while blocks are made and merged.
    for step in 1..=20 {
        met.read(&mut reader, 311);
        bench.run(DAY / 2 + (step - 1) * DAY / 10, DAY / 2 + step * DAY / 10);
    }
    assert!(bench.store.stats().merges > 1);
    let Bench { fs, store, writer, rows, samples, .. } = bench;
    drop((store, writer));
    assert!(met.rows < rows);
    let again = Bench::on(fs);
    let mut reader = again.store.rows_after(met.last_seq).unwrap();
    met.layouts.clear();
    met.read(&mut reader, u64::MAX);
    assert_eq!((met.rows, met.samples, reader.lost()), (rows, samples, 0));
}

#[test]
fn what_the_retention_takes_from_a_reader_is_counted() {
    let mut bench = Bench::new();
    bench.store.save_cursor("away", RowSeq(0)).unwrap();
    bench.run(0, DAY);
    let mut early = bench.store.rows_after(RowSeq(0)).unwrap();
    let mut met = Met::default();
    met.read(&mut early, 500);
    bench.store.save_cursor("away", met.last_seq).unwrap();
    let age = Duration::from_secs(86_400);
    bench.store.set_retention(Retention { age: Some(age), ..Retention::default() });
    bench.run(DAY, 4 * DAY);
    let lost = bench.store.stats().wal.rows_lost;
    assert!(lost > 1000, "{lost}");
    met.layouts.clear();
    met.read(&mut early, u64::MAX);
    assert_eq!(met.rows + early.lost(), bench.rows);
    // It still held the block that its last row came from.
    assert!(early.lost() > 1000 && early.lost() <= lost, "{} of {lost}", early.lost());
    let mut late = bench.store.rows_after(RowSeq(500)).unwrap();
    let mut again = Met::default();
    again.read(&mut late, u64::MAX);
    assert_eq!((again.rows + late.lost(), late.lost()), (bench.rows - 500, lost));
}
