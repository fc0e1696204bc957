//! Files of the data directory: a store opens on them, answers, and goes on.

use std::sync::Arc;

use narthex_model::{Labels, Matcher, TimeRange, Timestamp};
use narthex_store::fs::SimFs;
use narthex_store::testing::HandClock;
use narthex_store::{Options, Row, RowBuf, RowSeq, Samples, Store, Writer};

/// A segment of the write-ahead log.
pub(crate) fn wal(bytes: &[u8]) {
    narthex_store::inspect(1, bytes, &mut |_| {});
    open_and_use("wal/0000000001.wal", bytes);
}

/// A block.
pub(crate) fn block(bytes: &[u8]) {
    open_and_use("blocks/00000001.block", bytes);
}

/// The places of the consumers.
pub(crate) fn cursors(bytes: &[u8]) {
    open_and_use("cursors.0", bytes);
}

fn open_and_use(path: &str, bytes: &[u8]) {
    let fs = SimFs::new(1);
    let clock = Arc::new(HandClock::new(Timestamp::MAX));
    let open = |fs: &SimFs| {
        narthex_store::open(Arc::new(fs.clone()), Arc::clone(&clock) as _, Options::default())
    };
    // Once without the file, so that the folders are there.
    drop(open(&fs).expect("an empty directory opens"));
    fs.plant(path, bytes);
    let fs = fs.kill();
    let (store, mut writer) = open(&fs).expect("damage never keeps the store from opening");
    read(&store, &[]);
    read(&store, &[Matcher::equal("__name__", "up")]);
    let snapshot = store.snapshot();
    for name in snapshot.label_names(&[], TimeRange::ALL).unwrap_or_default() {
        // What cannot be read is an error, never a panic.
        drop(snapshot.label_values(&name, &[], TimeRange::ALL));
    }
    if let Ok(mut rows) = store.rows_after(RowSeq(0)) {
        let mut row = RowBuf::default();
        while matches!(rows.next(&mut row), Ok(true)) {}
    }
    append(&mut writer);
    drop(store.sync());
    drop(store.upkeep());
}

fn read(store: &Store, matchers: &[Matcher]) {
    let Ok(selection) = store.snapshot().select(matchers, TimeRange::ALL) else { return };
    let mut samples = Samples::default();
    for series in &selection.series {
        if series.read(TimeRange::ALL, &mut samples).is_ok() {
            assert_eq!(samples.times.len(), samples.values.len());
            assert!(samples.times.is_sorted_by(|a, b| a < b), "times out of order");
        }
    }
}

/// The store still takes rows, whatever was found. Numbers may be used up, times far ahead.
fn append(writer: &mut Writer) {
    let source = writer.new_source();
    let Ok(layout) = writer.new_layout(source) else { return };
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "fuzz")]);
    let Ok(series) = writer.resolve(&labels) else { return };
    if writer.add_columns(layout, &[series]).is_ok() {
        let row = Row { layout, at: Timestamp(1_700_000_000_000), values: &[1.0], changed: None };
        drop(writer.append(&row));
    }
}
