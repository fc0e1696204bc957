//! Rows of open windows leave memory for chunk files; whatever happens to these, nothing is lost.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use narthex_model::{ABSENT, Labels, TimeRange, Timestamp};
use narthex_store::fs::{FileView, Fs, SimFs};
use narthex_store::testing::HandClock;
use narthex_store::{Options, Row, Samples, Store, Writer, inspect_chunks};

const ROWS: i64 = 300;
const COLUMNS: usize = 20;

fn open(fs: &SimFs) -> (Arc<Store>, Writer) {
    let clock = Arc::new(HandClock::new(Timestamp(ROWS * 1000)));
    let options = Options { chunk_file_bytes_min: 1, ..Options::default() };
    narthex_store::open(Arc::new(fs.clone()), clock, options).unwrap()
}

fn value(row: i64, column: usize) -> f64 {
    match (row + i64::try_from(column).unwrap()) % 7 {
        _ if column < 10 => 3.5,
        0 => ABSENT,
        n => f64::from(i32::try_from(row * n).unwrap()) / 10.0,
    }
}

fn fill(fs: &SimFs) {
    let (store, mut writer) = open(fs);
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    let names: Vec<String> = (0..COLUMNS).map(|column| format!("m{column:02}")).collect();
    let labels = names.iter().map(|name| Labels::from_pairs([("__name__", name.as_str())]));
    let series: Vec<_> = labels.map(|labels| writer.resolve(&labels).unwrap()).collect();
    writer.add_columns(layout, &series).unwrap();
    for row in 0..ROWS {
        let values: Vec<f64> = (0..COLUMNS).map(|column| value(row, column)).collect();
        let at = Timestamp(row * 1000);
        writer.append(&Row { layout, at, values: &values, changed: None }).unwrap();
        if row % 50 == 0 {
            store.sync().unwrap();
            store.upkeep().unwrap();
        }
    }
    store.sync().unwrap();
    let before = store.stats().head_chunk_bytes;
    store.upkeep().unwrap();
    assert!(store.stats().head_chunk_bytes < before, "memory was freed");
    check(&store, "while it runs");
}

fn check(store: &Store, what: &str) {
    let selection = store.snapshot().select(&[], TimeRange::ALL).unwrap();
    assert_eq!(selection.series.len(), COLUMNS, "{what}");
    let mut samples = Samples::default();
    for (column, series) in selection.series.iter().enumerate() {
        series.read(TimeRange::ALL, &mut samples).unwrap();
        assert_eq!(samples.warnings, Vec::<String>::new(), "{what}");
        let found: Vec<_> = samples.times.iter().map(|at| at.0).zip(&samples.values).collect();
        let wanted = (0..ROWS).map(|row| (row * 1000, value(row, column)));
        let wanted: Vec<_> =
            wanted.filter(|(_, value)| value.to_bits() != ABSENT.to_bits()).collect();
        assert!(found.iter().map(|&(at, value)| (at, *value)).eq(wanted), "{what}: {column}");
    }
}

fn files(fs: &SimFs) -> Vec<String> {
    fs.list("head").unwrap().iter().map(|name| format!("head/{name}")).collect()
}

#[test]
fn rows_come_back_from_files_and_log() {
    let fs = SimFs::new(1);
    fill(&fs);
    let count = files(&fs).len();
    assert!(count > 1);
    let killed = fs.kill();
    let (store, writer) = open(&killed);
    check(&store, "after a restart");
    // What ended with the process goes to a file as well.
    store.sync().unwrap();
    store.upkeep().unwrap();
    assert_eq!(files(&killed).len(), count + 1);
    check(&store, "with all rows in files");
    drop((store, writer));
    check(&open(&killed.kill()).0, "after another restart");
}

#[test]
fn chunk_files_can_be_looked_at_alone() {
    let fs = SimFs::new(1);
    fill(&fs);
    let look = |number: u64, bytes: Vec<u8>| {
        let (mut rows, mut damaged) = (0, false);
        inspect_chunks(number, &FileView::owned(bytes), &mut |_, entry| {
            rows += entry.map_or(0, |entry| entry.rows);
            damaged |= entry.is_none_or(|entry| entry.damaged_groups > 0);
        });
        (rows, damaged)
    };
    let mut rows = 0;
    for (number, path) in (1..).zip(files(&fs)) {
        let bytes = fs.read(&path).unwrap();
        let whole = look(number, bytes.clone());
        assert!(!whole.1 && whole.0 > 0, "{path}");
        rows += whole.0;
        for offset in (0..bytes.len()).step_by(5) {
            let mut damaged = bytes.clone();
            damaged[offset] ^= 0x41;
            assert!(look(number, damaged).1, "{path} at {offset}");
        }
    }
    assert!(rows > 200, "{rows}");
}

#[test]
fn any_damage_is_made_good_from_the_log() {
    let fs = SimFs::new(1);
    fill(&fs);
    for path in files(&fs) {
        for offset in (0..fs.file_len(&path).unwrap()).step_by(7) {
            let damaged = fs.kill();
            damaged.flip(&path, offset, 0x41);
            let (store, _writer) = open(&damaged);
            check(&store, &format!("{path} at {offset}"));
            // The next start sees the old chunk and the new one.
            store.sync().unwrap();
            store.upkeep().unwrap();
            check(&open(&damaged.kill()).0, &format!("{path} at {offset}, once more"));
        }
        let gone = fs.kill();
        gone.remove(&path).unwrap();
        check(&open(&gone).0, &path);
    }
}

#[test]
fn a_full_disk_leaves_the_rows_in_memory() {
    let fs = SimFs::new(1);
    fill(&fs);
    let fs = fs.kill();
    let count = files(&fs).len();
    let (store, _writer) = open(&fs);
    store.sync().unwrap();
    fs.limit_space(Some(fs.used()));
    store.upkeep().unwrap();
    check(&store, "with a full disk");
    fs.limit_space(None);
    store.upkeep().unwrap();
    check(&store, "with room again");
    assert_eq!(files(&fs).len(), count + 1);
}

#[test]
fn a_log_that_is_gone_takes_the_files_along() {
    let fs = SimFs::new(1);
    fill(&fs);
    let bare = fs.kill();
    for name in bare.list("wal").unwrap() {
        bare.remove(&format!("wal/{name}")).unwrap();
    }
    let (store, _writer) = open(&bare);
    assert!(store.snapshot().select(&[], TimeRange::ALL).unwrap().series.is_empty());
    assert_eq!(files(&bare), Vec::<String>::new());
}
