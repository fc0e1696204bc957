//! Upkeep seals, merges, forgets and shortens, and no reader notices.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;
use std::time::Duration;

use narthex_model::{Labels, Matcher, TimeRange, Timestamp};
use narthex_store::fs::{Fs, SimFs};
use narthex_store::testing::HandClock;
use narthex_store::{
    Error, LayoutRef, Options, Retention, Row, RowSeq, Samples, Snapshot, Store, Writer,
};

const WINDOW_MS: i64 = 10_000;

struct Bench {
    fs: SimFs,
    clock: Arc<HandClock>,
    store: Arc<Store>,
    writer: Writer,
    layout: LayoutRef,
}

impl Bench {
    fn new(options: Options) -> Self {
        Self::on(SimFs::new(7), options)
    }

    fn on(fs: SimFs, mut options: Options) -> Self {
        options.window_ms = WINDOW_MS;
        options.merge_windows = 3;
        let clock = Arc::new(HandClock::new(Timestamp(0)));
        let (store, mut writer) =
            narthex_store::open(Arc::new(fs.clone()), Arc::clone(&clock) as _, options).unwrap();
        let layout = layout(&mut writer, "up");
        Self { fs, clock, store, writer, layout }
    }

    fn rows(&mut self, from: i64, to: i64) {
        for at in (from..to).step_by(500) {
            self.clock.set(Timestamp(at));
            let (layout, at) = (self.layout, Timestamp(at));
            let value = at.seconds();
            self.writer.append(&Row { layout, at, values: &[value], changed: None }).unwrap();
        }
    }

    fn upkeep(&self) {
        for _ in 0..20 {
            self.store.upkeep().unwrap();
        }
    }
}

fn layout(writer: &mut Writer, name: &str) -> LayoutRef {
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    let series = writer.resolve(&Labels::from_pairs([("__name__", name)])).unwrap();
    writer.add_columns(layout, &[series]).unwrap();
    layout
}

fn times(snapshot: &Snapshot, name: &str) -> (Vec<i64>, Vec<String>) {
    let matcher = Matcher::equal("__name__", name);
    let mut selection = snapshot.select(&[matcher], TimeRange::ALL).unwrap();
    let mut samples = Samples::default();
    let mut warnings = std::mem::take(&mut selection.warnings);
    if let Some(series) = selection.series.first() {
        series.read(TimeRange::ALL, &mut samples).unwrap();
        warnings.append(&mut samples.warnings);
    }
    (samples.times.iter().map(|at| at.0).collect(), warnings)
}

fn every_half_second(from: i64, to: i64) -> (Vec<i64>, Vec<String>) {
    ((from..to).step_by(500).collect(), Vec::new())
}

#[test]
fn a_snapshot_outlives_seals_merges_and_retention() {
    let mut bench = Bench::new(Options::default());
    bench.rows(0, 14_000);
    let early = bench.store.snapshot();
    bench.rows(14_000, 50_000);
    bench.upkeep();
    assert!(bench.store.stats().seals >= 3);
    let middle = bench.store.snapshot();
    bench.rows(50_000, 200_000);
    bench.upkeep();
    bench.store.set_retention(Retention { age: Some(Duration::from_secs(20)), bytes: None });
    bench.upkeep();
    let stats = bench.store.stats();
    assert!(stats.merges > 0 && stats.blocks_removed_by_age > 0, "{stats:?}");
    assert_eq!(times(&early, "up"), every_half_second(0, 14_000));
    assert_eq!(times(&middle, "up"), every_half_second(0, 50_000));
    drop((early, middle));
    bench.upkeep();
    let (now, _) = times(&bench.store.snapshot(), "up");
    assert_eq!(now[0], 90_000, "the oldest block kept is the one merged last");
    let head = bench.store.stats().head_range.unwrap();
    assert!(head.start.0 >= 180_000, "{head:?}");
}

#[test]
fn a_damaged_block_is_mended() {
    let mut bench = Bench::new(Options::default());
    bench.rows(0, 25_000);
    bench.upkeep();
    let path = "blocks/00000001.block";
    let whole = bench.fs.read(path).unwrap();
    let whole_of = |bench: &Bench| times(&bench.store.snapshot(), "up");
    let want = whole_of(&bench);
    // The name `__name__` among the symbols, the header, the last footer, the parity.
    let symbols = whole.windows(8).position(|bytes| bytes == b"__name__").unwrap();
    let parity = whole.windows(8).rposition(|bytes| bytes == b"__name__").unwrap();
    for at in [symbols, 3, whole.len() - 100, parity] {
        let fs = bench.fs.kill();
        fs.flip(path, at as u64, 0x20);
        let damaged = Bench::on(fs, Options::default());
        assert_eq!(whole_of(&damaged), want, "byte {at}");
        for minute in 0..20_000 {
            damaged.clock.set(Timestamp(100_000 + minute * 60_000));
            damaged.store.upkeep().unwrap();
            if damaged.store.stats().blocks_mended > 0 {
                break;
            }
        }
        assert_eq!(damaged.store.stats().blocks_mended, 1, "byte {at}");
        assert_eq!(damaged.fs.read(path).unwrap(), whole, "byte {at}");
        assert_eq!(whole_of(&damaged), want, "byte {at}");
        // It is found whole after a loss of power as well.
        assert_eq!(damaged.fs.crash().read(path).unwrap(), whole, "byte {at}");
    }
}

#[test]
fn late_rows_are_refused_once_their_window_is_sealed() {
    let mut bench = Bench::new(Options::default());
    bench.rows(0, 15_500);
    let late = layout(&mut bench.writer, "late");
    let row = |at| Row { layout: late, at: Timestamp(at), values: &[1.0], changed: None };
    bench.writer.append(&row(100)).unwrap();
    bench.upkeep();
    assert!(matches!(
        bench.writer.append(&row(9_999)),
        Err(Error::TooOld { oldest: Timestamp(10_000), .. })
    ));
    bench.writer.append(&row(10_000)).unwrap();
    assert!(matches!(bench.writer.append(&row(15_000 + 600_001)), Err(Error::TooFarAhead { .. })));
    assert_eq!(times(&bench.store.snapshot(), "late").0, [100, 10_000]);
    let stats = bench.store.stats();
    assert_eq!((stats.samples_out_of_bounds, stats.samples_too_far_ahead), (1, 1));
}

#[test]
fn a_row_ahead_of_the_clock_does_not_end_the_present_window() {
    let mut bench = Bench::new(Options { ahead_ms_max: 1000, ..Options::default() });
    bench.rows(0, 5000);
    let ahead = layout(&mut bench.writer, "ahead");
    bench.clock.set(Timestamp(1_000_000));
    let row = Row { layout: ahead, at: Timestamp(1_000_000), values: &[1.0], changed: None };
    bench.writer.append(&row).unwrap();
    bench.clock.set(Timestamp(5000));
    bench.upkeep();
    bench.rows(5000, 9000);
    assert_eq!(times(&bench.store.snapshot(), "up"), every_half_second(0, 9000));
}

#[test]
fn a_failed_seal_is_tried_again() {
    let mut bench = Bench::new(Options::default());
    bench.rows(0, 16_000);
    let used = bench.fs.used();
    bench.fs.limit_space(Some(used + 100));
    assert!(bench.store.upkeep().is_err());
    assert_eq!(bench.store.stats().seals_failed, 1);
    assert_eq!(times(&bench.store.snapshot(), "up"), every_half_second(0, 16_000));
    bench.fs.limit_space(None);
    bench.rows(16_000, 18_000);
    bench.upkeep();
    assert_eq!(bench.store.stats().seals, 1);
    assert_eq!(bench.fs.list("blocks").unwrap().len(), 1);
    assert_eq!(times(&bench.store.snapshot(), "up"), every_half_second(0, 18_000));
}

#[test]
fn the_size_limit_removes_the_oldest_blocks() {
    let mut bench = Bench::new(Options::default());
    bench.rows(0, 300_000);
    bench.upkeep();
    let stats = bench.store.stats();
    let limit = stats.block_bytes / 2 + stats.wal.bytes;
    bench.store.set_retention(Retention { age: None, bytes: Some(limit) });
    bench.upkeep();
    let stats = bench.store.stats();
    assert!(stats.blocks_removed_by_size > 0);
    assert!(stats.block_bytes + stats.wal.bytes <= limit);
    let (times, warnings) = times(&bench.store.snapshot(), "up");
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(times.last(), Some(&299_500));
    assert_eq!(stats.lowest.unwrap().0, times[0]);
}

#[test]
fn series_that_stand_nowhere_leave_the_head_and_come_back_under_another_number() {
    let mut bench = Bench::new(Options::default());
    let gone = layout(&mut bench.writer, "gone");
    let row = Row { layout: gone, at: Timestamp(10), values: &[1.0], changed: None };
    bench.writer.append(&row).unwrap();
    bench.writer.drop_layout(gone);
    bench.rows(0, 16_000);
    bench.upkeep();
    for window in 1..6 {
        bench.rows(6000 + window * 10_000, 16_000 + window * 10_000);
        bench.upkeep();
    }
    let stats = bench.store.stats();
    assert_eq!((stats.head_series, stats.series_removed), (1, 1));
    let back = layout(&mut bench.writer, "gone");
    let row = Row { layout: back, at: Timestamp(66_000), values: &[2.0], changed: None };
    bench.writer.append(&row).unwrap();
    assert_eq!(times(&bench.store.snapshot(), "gone").0, [10, 66_000]);
}

#[test]
fn a_restart_goes_on_where_the_store_was() {
    let mut bench = Bench::new(Options::default());
    bench.rows(0, 47_000);
    bench.upkeep();
    bench.store.save_cursor("there", RowSeq(80)).unwrap();
    let last = bench.store.last_seq();
    let before = bench.store.stats();
    let Bench { fs, store, writer, .. } = bench;
    store.close().unwrap();
    drop((store, writer));
    let mut bench = Bench::on(fs, Options::default());
    let after = bench.store.stats();
    assert_eq!(after.head_range, before.head_range);
    assert_eq!((after.blocks, after.block_bytes), (before.blocks, before.block_bytes));
    assert_eq!(bench.store.last_seq(), last);
    assert_eq!(bench.store.cursor("there"), Some(RowSeq(80)));
    assert_eq!(times(&bench.store.snapshot(), "up"), every_half_second(0, 47_000));
    bench.rows(47_000, 60_000);
    assert_eq!(times(&bench.store.snapshot(), "up"), every_half_second(0, 60_000));
    let cardinality = bench.store.cardinality(10);
    assert_eq!(cardinality.series_by_metric, [("up".to_owned(), 1)]);
    assert_eq!(cardinality.series, 1);
}

#[test]
fn two_stores_do_not_share_a_directory() {
    let bench = Bench::new(Options::default());
    let clock = Arc::clone(&bench.clock);
    let again = narthex_store::open(Arc::new(bench.fs.clone()), clock as _, Options::default());
    assert!(matches!(again, Err(Error::Locked(_))));
}

#[test]
fn any_damaged_byte_of_a_block_is_noticed_and_never_served() {
    let mut bench = Bench::new(Options::default());
    bench.rows(0, 36_000);
    // Segments of the log that could make up for a block are out of the way.
    for _ in 0..3 {
        bench.store.upkeep().unwrap();
    }
    let Bench { fs, store, writer, .. } = bench;
    drop((store, writer));
    let name = fs.list("blocks").unwrap().remove(0);
    let path = format!("blocks/{name}");
    let length = fs.file_len(&path).unwrap();
    let whole = every_half_second(0, 36_000).0;
    for offset in (0..length).step_by(7) {
        let fs = fs.kill();
        fs.flip(&path, offset, 1 << (offset % 8));
        let bench = Bench::on(fs.clone(), Options::default());
        let (found, warnings) = times(&bench.store.snapshot(), "up");
        let is_subset = found.iter().all(|at| whole.binary_search(at).is_ok());
        assert!(is_subset && found.is_sorted_by(|a, b| a < b), "byte {offset}: {found:?}");
        if found != whole {
            let set_aside = bench.store.stats().blocks_damaged == 1;
            assert!(set_aside || !warnings.is_empty(), "byte {offset}: lost in silence");
            assert_eq!(fs.list("blocks").unwrap().iter().any(|n| n.contains(".bad")), set_aside);
        }
    }
}

#[test]
fn columns_of_a_dropped_layout_stay_known_while_a_cursor_needs_them() {
    let mut bench = Bench::new(Options { wal_segment_bytes_max: 1000, ..Options::default() });
    bench.store.save_cursor("slow", RowSeq(0)).unwrap();
    let gone = layout(&mut bench.writer, "gone");
    let row = Row { layout: gone, at: Timestamp(10), values: &[1.0], changed: None };
    bench.writer.append(&row).unwrap();
    bench.writer.drop_layout(gone);
    for window in 0..8 {
        bench.rows(window * 10_000, 10_000 + window * 10_000);
        bench.upkeep();
    }
    let check = |store: &Store| {
        let mut rows = store.rows_after(store.cursor("slow").unwrap()).unwrap();
        let mut row = narthex_store::RowBuf::default();
        let mut count = 0;
        while rows.next(&mut row).unwrap() {
            let columns = store.layout(row.layout).unwrap();
            assert_eq!(columns.len(), row.values.len());
            assert!(columns.iter().all(|&series| store.labels(series).is_some()));
            count += 1;
        }
        assert_eq!((count, rows.lost()), (161, 0));
    };
    check(&bench.store);
    let Bench { fs, store, writer, .. } = bench;
    drop((store, writer));
    let mut bench = Bench::on(fs, Options { wal_segment_bytes_max: 1000, ..Options::default() });
    check(&bench.store);
    bench.store.save_cursor("slow", bench.store.last_seq()).unwrap();
    for window in 8..16 {
        bench.rows(window * 10_000, 10_000 + window * 10_000);
        bench.upkeep();
    }
    assert!(bench.store.layout(gone).is_none());
    assert_eq!(bench.store.stats().head_series, 1);
}
