#![expect(clippy::cast_precision_loss, reason = "the tests' numbers are small, or any will do")]

use proptest::prelude::*;

use narthex_model::{ABSENT, Labels, STALE};

use super::*;
use crate::fs::SimFs;
use crate::{Column, RowBuf};

/// All that a log holds, as its replay tells it.
#[derive(Debug, Default, PartialEq)]
struct Told {
    ids: NextIds,
    series: BTreeMap<u32, Labels>,
    layouts: BTreeMap<u32, (u32, Vec<u32>)>,
    rows: Vec<ToldRow>,
}

#[derive(Clone, Debug, PartialEq)]
struct ToldRow {
    seq: u64,
    layout: u32,
    at: i64,
    bits: Vec<u64>,
    changed: Vec<u32>,
}

impl ToldRow {
    fn new(row: &RowBuf) -> Self {
        Self {
            seq: row.seq.0,
            layout: row.layout.0,
            at: row.at.0,
            bits: row.values.iter().map(|value| value.to_bits()).collect(),
            changed: row.changed.iter().map(|column| column.0).collect(),
        }
    }
}

impl Replay for Told {
    fn ids(&mut self, ids: NextIds) {
        self.ids = ids;
    }

    fn series(&mut self, series: SeriesRef, labels: Labels) {
        let old = self.series.insert(series.get(), labels.clone());
        assert!(old.is_none_or(|old| old == labels));
    }

    fn layout(&mut self, layout: LayoutRef, source: SourceRef) {
        self.layouts.entry(layout.0).or_default().0 = source.0;
    }

    fn columns(&mut self, layout: LayoutRef, _: u32, series: &[SeriesRef]) {
        let columns = &mut self.layouts.get_mut(&layout.0).unwrap().1;
        columns.extend(series.iter().map(|series| series.get()));
    }

    fn drop_layout(&mut self, layout: LayoutRef) {
        self.layouts.remove(&layout.0);
    }

    fn row(&mut self, row: &RowBuf) {
        self.rows.push(ToldRow::new(row));
    }
}

/// A log with its definitions, as the head of the store keeps them.
struct Bench {
    fs: SimFs,
    wal: Wal,
    told: Told,
    last: BTreeMap<u32, Vec<u64>>,
}

fn labels(number: u32) -> Labels {
    let series = format!("series_{number}");
    Labels::from_pairs([("__name__", series.as_str()), ("job", "node"), ("mode", "idle")])
}

fn series(number: u32) -> SeriesRef {
    SeriesRef::new(number).unwrap()
}

fn open(fs: &SimFs, segment_bytes_max: u64) -> (Wal, Told) {
    let mut told = Told::default();
    let arc: Arc<dyn Fs> = Arc::new(fs.clone());
    let wal = Wal::open(arc, segment_bytes_max, RowSeq(0), &mut told).unwrap();
    (wal, told)
}

impl Bench {
    fn new(segment_bytes_max: u64) -> Self {
        Self::on(SimFs::new(1), segment_bytes_max)
    }

    fn on(fs: SimFs, segment_bytes_max: u64) -> Self {
        let (wal, told) = open(&fs, segment_bytes_max);
        let last = BTreeMap::new();
        Self { fs, wal, told, last }
    }

    fn columns(&mut self, layout: u32, count: u32) {
        let known = self.told.layouts.contains_key(&layout);
        if !known {
            self.wal.define().layout(LayoutRef(layout), SourceRef(layout + 100));
        }
        let entry = self.told.layouts.entry(layout).or_insert((layout + 100, Vec::new()));
        let start = u32::try_from(entry.1.len()).unwrap();
        let first = layout * 10_000 + start + 1;
        let new: Vec<u32> = (first..first + count).collect();
        for &number in &new {
            self.wal.define().series(series(number), labels(number).iter());
            self.told.series.insert(number, labels(number));
        }
        let refs: Vec<SeriesRef> = new.iter().map(|&number| series(number)).collect();
        self.wal.define().columns(LayoutRef(layout), start, &refs);
        entry.1.extend(new);
    }

    fn roll(&mut self) {
        let (series_of, layouts) = (&self.told.series, &self.told.layouts);
        let ids = NextIds { series: 9, source: 8, layout: 7 };
        self.told.ids = ids;
        self.wal
            .roll(ids, &mut |step, definitions| {
                for (&number, labels) in series_of {
                    definitions.series(series(number), labels.iter());
                }
                for (&layout, (source, columns)) in layouts {
                    definitions.layout(LayoutRef(layout), SourceRef(*source));
                    let refs: Vec<SeriesRef> = columns.iter().map(|&it| series(it)).collect();
                    definitions.columns(LayoutRef(layout), 0, &refs);
                }
                step == 0
            })
            .unwrap();
    }

    fn row(&mut self, layout: u32, at: i64, values: &[f64], hint: bool) -> Result<RowSeq, Error> {
        if self.wal.wants_roll() {
            self.roll();
        }
        let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
        let mut last = self.last.get(&layout).cloned().unwrap_or_default();
        last.resize(bits.len(), ABSENT.to_bits());
        let changed: Vec<Column> = (0..)
            .zip(bits.iter().zip(&last))
            .filter(|(_, (a, b))| a != b)
            .map(|(c, _)| Column(c))
            .collect();
        let row = Row {
            layout: LayoutRef(layout),
            at: Timestamp(at),
            values,
            changed: hint.then_some(&changed),
        };
        let seq = self.wal.log_row(&row)?;
        let changed = changed.iter().map(|column| column.0).collect();
        self.last.insert(layout, bits.clone());
        self.told.rows.push(ToldRow { seq: seq.0, layout, at, bits, changed });
        Ok(seq)
    }

    /// Rows of three layouts, in which some columns rise, some stand and some are odd.
    fn run(&mut self, rows: u32) {
        for layout in 0..3 {
            if !self.told.layouts.contains_key(&layout) {
                self.columns(layout, 3 + 8 * layout);
            }
        }
        for turn in 0..rows {
            let layout = turn % 3;
            if turn == rows / 2 {
                self.columns(1, 4);
            }
            let width = self.told.layouts[&layout].1.len();
            let values: Vec<f64> = (0..width).map(|column| value(column, turn)).collect();
            self.row(layout, i64::from(turn) * 1000, &values, turn % 2 == 0).unwrap();
        }
    }
}

fn value(column: usize, turn: u32) -> f64 {
    let t = f64::from(turn);
    match column % 8 {
        0 => t,
        1 => 12.5,
        2 => t * 0.01,
        3 if turn % 7 == 3 => ABSENT,
        4 if turn % 11 == 5 => STALE,
        5 => (t + 0.1).sqrt(),
        6 => f64::from_bits(0x7ff8_0000_0000_0000 | u64::from(turn)),
        7 => -0.0,
        _ => 1e9 + t,
    }
}

fn paths(fs: &SimFs) -> Vec<String> {
    fs.list(DIR).unwrap().iter().map(|name| format!("{DIR}/{name}")).collect()
}

fn read_all(handle: &WalHandle, after: RowSeq) -> (Vec<ToldRow>, u64) {
    let mut reader = handle.rows_after(after);
    let (mut row, mut rows) = (RowBuf::default(), Vec::new());
    while reader.next(&mut row).unwrap() {
        rows.push(ToldRow::new(&row));
    }
    (rows, reader.lost())
}

#[test]
fn what_was_logged_is_replayed_over_many_segments() {
    for segment_bytes in [1 << 20, 20_000] {
        let mut bench = Bench::new(segment_bytes);
        bench.run(700);
        bench.wal.close().unwrap();
        let (wal, told) = open(&bench.fs, segment_bytes);
        assert_eq!(told, bench.told);
        assert_eq!(wal.handle().last_seq(), RowSeq(700));
        assert_eq!(wal.handle().stats().corruptions, 0);
        assert_eq!(read_all(&wal.handle(), RowSeq(0)), (bench.told.rows, 0));
        assert_eq!(paths(&bench.fs).len() > 1, segment_bytes == 20_000);
    }
}

#[test]
fn a_flipped_byte_costs_one_row_at_most() {
    let mut bench = Bench::new(1 << 20);
    bench.run(60);
    bench.wal.close().unwrap();
    let path = paths(&bench.fs).remove(0);
    let len = bench.fs.file_len(&path).unwrap();
    for offset in 0..len {
        bench.fs.flip(&path, offset, 0x41);
        let (wal, told) = open(&bench.fs.kill(), 1 << 20);
        let stats = wal.handle().stats();
        assert_eq!((&told.series, &told.layouts), (&bench.told.series, &bench.told.layouts));
        let lost = bench.told.rows.len() - told.rows.len();
        assert!(lost <= 1, "byte {offset}: {lost} rows lost");
        let known: BTreeMap<u64, &ToldRow> =
            bench.told.rows.iter().map(|row| (row.seq, row)).collect();
        assert!(told.rows.iter().all(|row| known[&row.seq].bits == row.bits), "byte {offset}");
        assert!(told.rows.is_sorted_by_key(|row| row.seq));
        // The very last record is an end that may be torn as well.
        let at_end = told.rows.len() == 60 && stats.corruptions == 0;
        assert!(at_end || stats.corruptions == 1, "byte {offset}: {stats:?}");
        let (rows, _) = read_all(&wal.handle(), RowSeq(0));
        assert_eq!(rows, told.rows, "byte {offset}");
        bench.fs.flip(&path, offset, 0x41);
    }
}

#[test]
fn a_zeroed_sector_costs_the_rows_in_it() {
    let mut bench = Bench::new(1 << 20);
    bench.run(60);
    bench.wal.close().unwrap();
    let path = paths(&bench.fs).remove(0);
    let bytes = bench.fs.read(&path).unwrap();
    for sector in 0..bytes.len().div_ceil(512) {
        let mut damaged = bytes.clone();
        let end = damaged.len().min(sector * 512 + 512);
        damaged[sector * 512..end].fill(0);
        let fs = bench.fs.kill();
        fs.plant(&path, &damaged);
        let (_, told) = open(&fs, 1 << 20);
        assert_eq!((&told.series, &told.layouts), (&bench.told.series, &bench.told.layouts));
        // No row of this log is shorter than 35 bytes.
        assert!(told.rows.len() + 512 / 35 + 1 >= 60, "sector {sector}: {}", told.rows.len());
    }
}

#[test]
fn a_log_cut_anywhere_keeps_what_stands_before_the_cut() {
    let mut bench = Bench::new(1 << 20);
    bench.run(40);
    let path = paths(&bench.fs).remove(0);
    let bytes = bench.fs.read(&path).unwrap();
    let mut rows_before = 0;
    for len in 0..=bytes.len() {
        let fs = bench.fs.kill();
        fs.plant(&path, &bytes[..len]);
        let (mut wal, told) = open(&fs, 1 << 20);
        assert!(told.rows.len() >= rows_before);
        rows_before = told.rows.len();
        assert_eq!(told.rows, bench.told.rows[..rows_before]);
        assert_eq!(wal.handle().stats().corruptions, 0);
        wal.roll(NextIds::default(), &mut |_, _| false).unwrap();
        assert!(wal.seq_next > RowSeq(40) || rows_before == 0);
    }
    assert_eq!(rows_before, 40);
}

#[test]
fn places_are_not_used_again_after_a_crash() {
    for seed in 0..60 {
        let mut bench = Bench::on(SimFs::new(seed), 4_000);
        bench.run(20);
        bench.wal.handle().sync().unwrap();
        let synced = bench.told.rows.len();
        bench.run(25);
        let last = bench.told.rows.last().unwrap().seq;
        let (wal, told) = open(&bench.fs.crash(), 4_000);
        assert!(told.rows.len() >= synced, "seed {seed}");
        assert_eq!(told.rows[..synced], bench.told.rows[..synced], "seed {seed}");
        assert!(wal.seq_next > RowSeq(last), "seed {seed}");
        // Going on from there works, and nobody misses the places that were left out.
        let mut next = Bench::on(bench.fs.crash(), 4_000);
        next.told.rows.clear();
        next.run(10);
        let handle = next.wal.handle();
        assert_eq!(read_all(&handle, RowSeq(last)).0.len(), 10, "seed {seed}");
        assert_eq!(read_all(&handle, RowSeq(last)).1, 0, "seed {seed}");
    }
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let mut bench = Bench::new(1 << 20);
    bench.run(30);
    for turn in 30..200u32 {
        let values = [f64::from(turn), 1.5, f64::from(turn) / 8.0];
        if turn % 3 == 0 {
            if turn % 2 == 0 {
                bench.fs.fail_at(bench.fs.calls() + 1);
            } else {
                bench.fs.limit_space(Some(bench.fs.used() + u64::from(turn % 20)));
            }
            bench.columns(2, 1);
            assert!(bench.row(0, i64::from(turn) * 1000, &values, true).is_err());
            bench.fs.heal();
        } else {
            bench.row(0, i64::from(turn) * 1000, &values, true).unwrap();
        }
    }
    let known = read_all(&bench.wal.handle(), RowSeq(0));
    assert_eq!(known, (bench.told.rows.clone(), 0));
    let (_, told) = open(&bench.fs.kill(), 1 << 20);
    assert_eq!(told, bench.told);
}

#[test]
fn every_failing_call_is_survived() {
    let calls = {
        let mut bench = Bench::new(1_500);
        bench.run(30);
        bench.wal.close().unwrap();
        bench.fs.calls()
    };
    for call in 4..calls {
        let mut bench = Bench::new(1_500);
        bench.fs.fail_at(call);
        let (mut failed, mut turn) = (0, 0);
        bench.columns(0, 5);
        while bench.told.rows.len() < 30 {
            turn += 1;
            let values: Vec<f64> = (0..5).map(|column| value(column, turn)).collect();
            if bench.wal.wants_roll() {
                let told = &bench.told;
                let defined = bench.wal.roll(NextIds::default(), &mut |step, definitions| {
                    for (&number, labels) in &told.series {
                        definitions.series(series(number), labels.iter());
                    }
                    for (&layout, (source, columns)) in &told.layouts {
                        definitions.layout(LayoutRef(layout), SourceRef(*source));
                        let refs: Vec<SeriesRef> = columns.iter().map(|&it| series(it)).collect();
                        definitions.columns(LayoutRef(layout), 0, &refs);
                    }
                    step == 0
                });
                failed += u32::from(defined.is_err());
                if defined.is_err() {
                    continue;
                }
            }
            failed += u32::from(bench.row(0, i64::from(turn), &values, false).is_err());
        }
        assert!(failed <= 1, "call {call}");
        let (wal, told) = open(&bench.fs.kill(), 1_500);
        assert_eq!(told.rows.len(), 30, "call {call}");
        assert_eq!(wal.handle().stats().corruptions, 0, "call {call}");
    }
}

/// Runs until `calls` calls were made, with a sync after every tenth row; returns how many rows
/// were appended, and how many of them a sync has covered.
fn run_until_stopped(fs: &SimFs) -> Option<(Vec<ToldRow>, usize)> {
    let mut told = Told::default();
    let arc: Arc<dyn Fs> = Arc::new(fs.clone());
    let Ok(wal) = Wal::open(arc, 1_500, RowSeq(0), &mut told) else {
        return None;
    };
    let mut bench = Bench { fs: fs.clone(), wal, told: Told::default(), last: BTreeMap::new() };
    bench.columns(0, 5);
    let mut synced = 0;
    for turn in 0..40 {
        if bench.wal.wants_roll() {
            let refs: Vec<SeriesRef> = (1..=5).map(series).collect();
            let begun = bench.wal.roll(NextIds::default(), &mut |step, definitions| {
                for &it in &refs {
                    definitions.series(it, labels(it.get()).iter());
                }
                definitions.layout(LayoutRef(0), SourceRef(100));
                definitions.columns(LayoutRef(0), 0, &refs);
                step == 0
            });
            if begun.is_err() {
                break;
            }
        }
        let values: Vec<f64> = (0..5).map(|column| value(column, turn)).collect();
        if bench.row(0, i64::from(turn), &values, false).is_err() {
            break;
        }
        if turn % 10 == 9 && bench.wal.handle().sync().is_ok() {
            synced = bench.told.rows.len();
        }
    }
    Some((bench.told.rows, synced))
}

#[test]
fn stopped_at_any_call_the_log_keeps_what_it_promised() {
    let fs = SimFs::new(9);
    run_until_stopped(&fs).unwrap();
    for call in 1..=fs.calls() {
        let fs = SimFs::new(call);
        fs.stop_at(call);
        let Some((rows, synced)) = run_until_stopped(&fs) else {
            continue;
        };
        let last = rows.last().map_or(0, |row| row.seq);
        // The process dies: all that was appended is there. The power goes: all that was synced.
        for (after, kept) in [(fs.kill(), rows.len()), (fs.crash(), synced)] {
            let (_, told) = open(&after, 1_500);
            assert!(told.rows.len() >= kept, "call {call}: {} of {kept}", told.rows.len());
            assert!(told.rows.len() <= rows.len() + 1, "call {call}");
            let wrong = told.rows.iter().zip(&rows).take(kept).any(|(a, b)| a != b);
            assert!(!wrong, "call {call}");
            // And once more, stopped in the middle of the recovery.
            let again = after.kill();
            again.stop_at(call % 7 + 1);
            let _ = run_until_stopped(&again);
            let (wal, told) = open(&again.kill(), 1_500);
            assert!(told.rows.len() >= kept, "call {call}");
            assert!(wal.seq_next > RowSeq(last), "call {call}");
        }
    }
}

#[test]
fn writer_reader_and_upkeep_run_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let fs: Arc<dyn Fs> = Arc::new(crate::fs::DiskFs::new(dir.path()).unwrap());
    let wal = Wal::open(fs, 20_000, RowSeq(0), &mut Told::default()).unwrap();
    let handle = wal.handle();
    let mut reader = handle.rows_after(RowSeq(0));
    let last = BTreeMap::new();
    let mut bench = Bench { fs: SimFs::new(1), wal, told: Told::default(), last };
    std::thread::scope(|scope| {
        scope.spawn(|| bench.run(3000));
        let reading = scope.spawn(move || {
            let (mut row, mut seen) = (RowBuf::default(), 0);
            while seen + reader.lost() < 3000 {
                if reader.next(&mut row).unwrap() {
                    assert_eq!(row.seq, RowSeq(seen + reader.lost() + 1));
                    seen += 1;
                } else {
                    std::thread::yield_now();
                }
            }
            seen
        });
        while !reading.is_finished() {
            handle.sync().unwrap();
            let done = handle.last_seq();
            handle.truncate_before(RowSeq(done.0.saturating_sub(300)), None, 0).unwrap();
        }
        assert!(reading.join().unwrap() > 0);
    });
    assert!(handle.stats().segments_removed > 0);
}

#[test]
fn a_segment_can_be_looked_at_alone() {
    let mut bench = Bench::new(1 << 20);
    bench.run(30);
    bench.wal.close().unwrap();
    let bytes = bench.fs.read("wal/0000000001.wal").unwrap();
    let mut rows = Vec::new();
    let seen = inspect(1, &bytes, &mut |row| rows.push(ToldRow::new(row)));
    assert_eq!(rows, bench.told.rows);
    assert_eq!((seen.rows, seen.damaged, seen.torn_bytes, seen.ended), (30, 0, 0, true));
    let cut = inspect(1, &bytes[..bytes.len() - 1], &mut |_| {});
    assert_eq!((cut.rows, cut.torn_bytes, cut.ended), (30, 23, false));
    assert_eq!(inspect(2, &bytes, &mut |_| {}).records, 0);
}

#[test]
fn a_reader_follows_the_writer_and_starts_anywhere() {
    let mut bench = Bench::new(6_000);
    bench.columns(0, 5);
    let mut reader = bench.wal.handle().rows_after(RowSeq(0));
    let mut row = RowBuf::default();
    assert!(!reader.next(&mut row).unwrap());
    for turn in 0..300u32 {
        let values: Vec<f64> = (0..5).map(|column| value(column, turn)).collect();
        bench.row(0, i64::from(turn), &values, true).unwrap();
        if turn % 5 == 4 {
            for _ in 0..5 {
                assert!(reader.next(&mut row).unwrap());
            }
            assert!(!reader.next(&mut row).unwrap());
            assert_eq!(&ToldRow::new(&row), bench.told.rows.last().unwrap());
        }
    }
    for after in [1, 17, 150, 299, 300] {
        let (rows, lost) = read_all(&bench.wal.handle(), RowSeq(after));
        let start = usize::try_from(after).unwrap();
        assert_eq!(rows.len(), 300 - start);
        let same = rows.iter().zip(&bench.told.rows[start..]).all(|(a, b)| a.bits == b.bits);
        assert!(same && lost == 0);
    }
}

#[test]
fn shortening_keeps_what_a_cursor_waits_for_within_the_budget() {
    let mut bench = Bench::new(6_000);
    bench.run(2000);
    let (all, cursor) = (RowSeq(2001), RowSeq(1200));
    let handle = bench.wal.handle();
    assert!(handle.stats().segments > 4);
    assert_eq!(handle.truncate_before(RowSeq(1), None, 0).unwrap(), 0);
    assert_eq!(handle.truncate_before(all, Some(RowSeq(0)), u64::MAX).unwrap(), 0);
    let mut reader = handle.rows_after(RowSeq(0));
    let mut row = RowBuf::default();
    assert!(reader.next(&mut row).unwrap());
    let holding = handle.rows_after(cursor).segment_next_for_tests();
    let removed = handle.truncate_before(all, Some(cursor), u64::MAX).unwrap();
    assert_eq!(u64::from(removed), holding - 1);
    assert_eq!(read_all(&handle, cursor).1, 0);
    assert_eq!(handle.stats().rows_lost, 0);
    assert!(handle.truncate_before(all, Some(cursor), 0).unwrap() > 0);
    assert_eq!(handle.stats().segments, 1);
    let (rows, lost) = read_all(&handle, cursor);
    assert!(lost > 0);
    assert_eq!(rows.len() as u64 + lost, 800);
    // Who was reading a segment that went reads it to its end, and misses the ones between.
    let mut seen = 1;
    while reader.next(&mut row).unwrap() {
        seen += 1;
    }
    assert_eq!(seen + reader.lost(), 2000);
    assert_eq!(row.seq, RowSeq(2000));
    bench.wal.close().unwrap();
    let (wal, told) = open(&bench.fs, 6_000);
    assert_eq!(told.layouts, bench.told.layouts);
    assert_eq!(told.rows, rows);
    let told_last = &bench.told.rows[2000 - rows.len()..];
    assert!(rows.iter().zip(told_last).all(|(a, b)| (a.seq, &a.bits) == (b.seq, &b.bits)));
    assert_eq!(wal.handle().last_seq(), RowSeq(2000));
}

#[test]
fn a_failed_sync_starts_a_new_segment() {
    let mut bench = Bench::new(1 << 20);
    bench.run(10);
    let handle = bench.wal.handle();
    bench.fs.fail_at(bench.fs.calls() + 1);
    assert!(handle.sync().is_err());
    assert!(bench.wal.wants_roll());
    bench.run(10);
    assert_eq!(handle.stats().segments, 2);
    handle.sync().unwrap();
    let calls = bench.fs.calls();
    handle.sync().unwrap();
    assert_eq!(bench.fs.calls(), calls, "nothing to sync, nothing done");
}

#[test]
fn what_a_failed_sync_lost_is_written_again() {
    for seed in 0..20 {
        let mut bench = Bench::on(SimFs::new(seed), 1 << 20);
        bench.run(10);
        let handle = bench.wal.handle();
        handle.sync().unwrap();
        bench.run(50);
        let mut reader = handle.rows_after(RowSeq(0));
        let mut row = RowBuf::default();
        (0..40).for_each(|_| assert!(reader.next(&mut row).unwrap()));
        bench.fs.fail_at(bench.fs.calls() + 1);
        assert!(handle.sync().is_err());
        bench.run(20);
        handle.sync().unwrap();
        // Whoever reads on sees every row once.
        (40..80).for_each(|_| assert!(reader.next(&mut row).unwrap()));
        assert!(!reader.next(&mut row).unwrap());
        assert_eq!((row.seq, reader.lost()), (RowSeq(80), 0));
        let (wal, told) = open(&bench.fs.crash(), 1 << 20);
        let bits = |rows: &[ToldRow]| -> Vec<(u64, Vec<u64>)> {
            rows.iter().map(|row| (row.seq, row.bits.clone())).collect()
        };
        assert_eq!(bits(&told.rows), bits(&bench.told.rows), "seed {seed}");
        assert_eq!(wal.handle().stats().rows_lost, 0);
    }
}

#[test]
fn dropped_layouts_stay_dropped() {
    let mut bench = Bench::new(1 << 20);
    bench.run(30);
    bench.wal.drop_layout(LayoutRef(1));
    bench.told.layouts.remove(&1);
    bench.roll();
    bench.row(0, 100_000, &[1.0, 2.0, 3.0], true).unwrap();
    bench.wal.drop_layout(LayoutRef(2));
    bench.told.layouts.remove(&2);
    bench.wal.close().unwrap();
    let (_, told) = open(&bench.fs, 1 << 20);
    assert_eq!(told, bench.told);
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1000i64..1000).prop_map(|it| it as f64),
        2 => (-100_000i64..100_000, 0..7i32).prop_map(|(m, e)| m as f64 / 10f64.powi(e)),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => prop_oneof![Just(ABSENT), Just(STALE), Just(-0.0), Just(f64::INFINITY)],
        1 => any::<i64>().prop_map(|it| it as f64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_rows_round_trip(
        rows in prop::collection::vec(prop::collection::vec(any_value(), 70), 1..60),
        keep in prop::collection::vec(prop::collection::vec(any::<bool>(), 70), 60),
        hint: bool,
        at in any::<i64>(),
    ) {
        let mut bench = Bench::new(1 << 20);
        bench.columns(0, 70);
        let mut values = vec![0.0; 70];
        for (index, (row, keep)) in (0..).zip(rows.iter().zip(&keep)) {
            for ((value, new), keep) in values.iter_mut().zip(row).zip(keep) {
                if !keep {
                    *value = *new;
                }
            }
            bench.row(0, at.wrapping_add(index), &values, hint).unwrap();
        }
        let (_, told) = open(&bench.fs.kill(), 1 << 20);
        prop_assert_eq!(told, bench.told);
    }

    #[test]
    fn any_bytes_are_replayed_without_a_panic(
        junk in prop::collection::vec(any::<u8>(), 0..600),
        at in 0usize..6000,
    ) {
        let mut bench = Bench::new(1 << 20);
        bench.run(20);
        let path = paths(&bench.fs).remove(0);
        let mut bytes = bench.fs.read(&path).unwrap();
        let at = at.min(bytes.len());
        bytes.splice(at..at, junk.iter().copied());
        bench.fs.plant(&path, &bytes);
        bench.fs.plant("wal/0000000009.wal", &junk);
        let (wal, _) = open(&bench.fs.kill(), 1 << 20);
        read_all(&wal.handle(), RowSeq(0));
    }

    #[test]
    fn any_payload_is_played_without_a_panic(
        kind in 1u8..9,
        flags in 0u8..8,
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bench = Bench::new(1 << 20);
        bench.run(20);
        let mut bytes = bench.fs.read("wal/0000000001.wal").unwrap();
        let (offset, start) = (bytes.len() as u64, bytes.len());
        bytes.extend([0; frame::HEADER_BYTES]);
        bytes.extend(&payload);
        let ordinal = bench.wal.current.as_ref().unwrap().ordinal;
        let place = frame::Place { segment: 1, offset };
        frame::seal(&mut bytes, start, Kind::Filler, flags, ordinal, place);
        bytes[start + 2] = kind;
        let sum = frame::sum(bytes[start..start + 12].first_chunk().unwrap(), &payload, place);
        bytes[start + 12..start + 16].copy_from_slice(&sum.to_le_bytes());
        bench.fs.plant("wal/0000000001.wal", &bytes);
        let (wal, told) = open(&bench.fs.kill(), 1 << 20);
        prop_assert!(told.rows.len() >= 20);
        read_all(&wal.handle(), RowSeq(0));
    }
}

/// Rows as an exporter gives them: 850 columns, of which `share` percent change by small numbers.
fn synthetic(rows: u32, share: u32) -> (u64, u64) {
    let mut bench = Bench::new(1 << 30);
    bench.columns(0, 850);
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut values: Vec<f64> = (0..850).map(|_| random(1_000_000) as f64).collect();
    bench.row(0, 0, &values, false).unwrap();
    let start = bench.wal.handle().bytes();
    let mut changed = Vec::new();
    for turn in 1..=rows {
        changed.clear();
        for (column, value) in (0..).zip(&mut values) {
            // Most of the columns that change are the same ones every time.
            let busy = column % 100 < share * 4 / 5;
            if busy || random(100) < u64::from(share / 5) {
                *value += random(60) as f64;
                changed.push(Column(column));
            }
        }
        let row = Row {
            layout: LayoutRef(0),
            at: Timestamp(i64::from(turn) * 15_000),
            values: &values,
            changed: Some(&changed),
        };
        bench.wal.log_row(&row).unwrap();
    }
    (bench.wal.handle().bytes() - start, u64::from(rows) * 850)
}

#[test]
fn a_sample_takes_few_bytes() {
    let (bytes, samples) = synthetic(500, 30);
    println!("{:.3} bytes per sample", bytes as f64 / samples as f64);
    assert!(bytes * 10 < samples * 12);
}
