//! Every byte of every file of a small store is changed, one at a time. Nothing wrong is ever
//! answered, the store always opens, and what is missing is reported and small.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use narthex_model::{Labels, Matcher, TimeRange, Timestamp, is_absent};
use narthex_store::fs::{Fs, SimFs};
use narthex_store::testing::HandClock;
use narthex_store::{RowBuf, RowSeq, Samples, Snapshot, Store};

use crate::history::{Model, Run, WINDOW_MS, history, labels, open};

/// Columns whose values one damaged byte may take away: those of one chunk.
const SERIES_LOST_MAX: usize = 20;

/// A store with blocks, log and cursors, closed in good order, and what it holds.
struct Small {
    fs: SimFs,
    model: Model,
    rows: BTreeMap<RowSeq, RowBuf>,
}

fn small() -> Small {
    let fs = SimFs::new(11);
    let clock = Arc::new(HandClock::new(Timestamp(0)));
    let mut run = Run::default();
    {
        let (store, mut writer) = open(&fs, &clock).unwrap();
        run.act(&history(11, 4), &store, &mut writer, &clock);
        assert!(!run.failed);
        store.save_cursor("r", store.last_seq()).unwrap();
        store.save_cursor("r", store.last_seq()).unwrap();
        store.sync().unwrap();
        assert!(store.stats().blocks > 0 && store.stats().wal.bytes > 0);
    }
    let (store, _writer) = open(&fs.kill(), &clock).unwrap();
    let rows = rows(&store);
    Small { fs, model: run.visible, rows }
}

fn rows(store: &Store) -> BTreeMap<RowSeq, RowBuf> {
    let mut reader = store.rows_after(RowSeq(0)).unwrap();
    let mut found = BTreeMap::new();
    let mut row = RowBuf::default();
    while reader.next(&mut row).unwrap() {
        found.insert(row.seq, row.clone());
    }
    found
}

/// What a reader finds, and whether it was told that something is missing.
fn read(snapshot: &Snapshot, matchers: &[Matcher]) -> (Model, bool) {
    let selection = snapshot.select(matchers, TimeRange::ALL).unwrap();
    let mut told = !selection.warnings.is_empty();
    let mut samples = Samples::default();
    let mut model = Model::new();
    for series in &selection.series {
        series.read(TimeRange::ALL, &mut samples).unwrap();
        told |= !samples.warnings.is_empty();
        for (at, value) in samples.times.iter().zip(&samples.values) {
            model.insert((series.labels().clone(), at.0), value.to_bits());
        }
    }
    (model, told)
}

fn number_of(labels: &Labels) -> u64 {
    labels.get("n").unwrap().parse().unwrap()
}

/// Opens the damaged store and compares.
fn look(what: &str, small: &Small, fs: &SimFs) {
    let clock = Arc::new(HandClock::new(Timestamp(1_000_000)));
    let (store, _writer) = open(fs, &clock).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (found, mut told) = read(&store.snapshot(), &[]);
    let stats = store.stats();
    told |= stats.blocks_damaged > 0 || stats.wal.corruptions > 0 || stats.block_faults > 0;
    for (key, value) in &found {
        assert_eq!(small.model.get(key), Some(value), "{what}: {key:?} is wrong");
    }
    let lost: Vec<_> = small.model.keys().filter(|key| !found.contains_key(key)).collect();
    assert!(lost.is_empty() || told, "{what}: lost in silence: {lost:?}");
    let series: BTreeSet<&Labels> = lost.iter().map(|(labels, _)| labels).collect();
    let times: BTreeSet<i64> = lost.iter().map(|&&(_, at)| at).collect();
    // One record is one row; one chunk is of one layout, whose series no other has, and of one
    // window.
    let slots: BTreeSet<u64> = series.iter().map(|labels| number_of(labels) / 20).collect();
    let windows: BTreeSet<i64> = times.iter().map(|at| at.div_euclid(WINDOW_MS)).collect();
    let is_chunk = series.len() <= SERIES_LOST_MAX && slots.len() <= 1 && windows.len() <= 1;
    assert!(times.len() <= 1 || is_chunk, "{what}: lost {lost:?}");
    // The index finds what is there, by whatever way.
    for number in 0..60 {
        let labels = labels(number);
        let matcher = Matcher::equal("n", &number.to_string());
        let (by_matcher, told) = read(&store.snapshot(), &[matcher]);
        let whole: Model =
            found.iter().filter(|((l, _), _)| *l == labels).map(|(k, v)| (k.clone(), *v)).collect();
        assert!(by_matcher == whole || told, "{what}: {labels} by matcher");
        for (key, value) in &by_matcher {
            assert_eq!(small.model.get(key), Some(value), "{what}: {key:?} is wrong");
        }
    }
    for (seq, row) in rows(&store) {
        let true_row = small.rows.get(&seq).unwrap_or_else(|| panic!("{what}: {seq} is new"));
        assert_eq!((row.layout, row.at), (true_row.layout, true_row.at), "{what}: {seq}");
        for (value, true_value) in row.values.iter().zip(&true_row.values) {
            let equal = value.to_bits() == true_value.to_bits();
            assert!(equal || (told && is_absent(*value)), "{what}: {seq}: {value}");
        }
    }
    assert!(store.cursor("r").is_none_or(|seq| seq <= store.last_seq()), "{what}: cursor");
}

fn files(fs: &SimFs) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        for name in fs.list(&dir).unwrap() {
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            match fs.file_len(&path) {
                Ok(len) => found.push((path, len)),
                Err(_) => dirs.push(path),
            }
        }
    }
    found.sort();
    found
}

/// Changes each `step`th byte of each file, starting at a byte that depends on the file.
fn flip_bytes(step: usize, masks: &[u8]) -> usize {
    let small = small();
    let mut jobs = Vec::new();
    for (number, (path, len)) in files(&small.fs).into_iter().enumerate() {
        for offset in (0..len).skip(number % step).step_by(step) {
            jobs.extend(masks.iter().map(|&mask| (path.clone(), offset, mask)));
        }
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in jobs.chunks(jobs.len().div_ceil(threads)) {
            let small = &small;
            scope.spawn(move || {
                for (path, offset, mask) in part {
                    let fs = small.fs.kill();
                    fs.flip(path, *offset, *mask);
                    look(&format!("{path} at {offset}, mask {mask:02x}"), small, &fs);
                }
            });
        }
    });
    jobs.len()
}

#[test]
fn one_changed_byte_is_never_answered() {
    assert!(flip_bytes(31, &[0x10]) > 100);
}

#[test]
#[ignore = "every byte, a few minutes in release"]
fn no_changed_byte_is_ever_answered() {
    let count = flip_bytes(1, &[0x01, 0x80, 0xff]);
    assert!(count > 10_000, "{count}");
}
