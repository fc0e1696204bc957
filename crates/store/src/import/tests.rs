use std::sync::Arc;

use narthex_model::{Labels, Matcher, TimeRange, Timestamp};

use super::Import;
use crate::fs::SimFs;
use crate::testing::HandClock;
use crate::{Error, Options, Row, Samples, Store, Writer};

const SPAN: i64 = 9 * 1000;

fn open(fs: &SimFs, now: i64) -> Result<(Arc<Store>, Writer), Error> {
    let options = Options { window_ms: 1000, ..Options::default() };
    crate::open(Arc::new(fs.clone()), Arc::new(HandClock::new(Timestamp(now))), options)
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "j")])
}

/// Imports what is missing of three windows, the last of which ends where its samples do.
fn import(fs: &SimFs) -> Result<usize, Error> {
    let (_store, writer) = open(fs, 100_000)?;
    let mut import = Import::begin(writer, "the origin")?;
    assert_eq!(import.span_ms(), SPAN);
    let mut written = 0;
    for (start, end) in [(0, SPAN - 1), (SPAN, 2 * SPAN - 1), (2 * SPAN, 2 * SPAN + 600)] {
        let window = TimeRange::new(Timestamp(start), Timestamp(end));
        if import.done().contains(&window) {
            continue;
        }
        let mut block = import.block(window)?;
        let columns = [block.series(&labels("a"))?, block.series(&labels("b"))?];
        let layout = block.layout()?;
        let times: Vec<Timestamp> = (start..=end).step_by(200).map(Timestamp).collect();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let values: Vec<f64> = times.iter().map(|at| at.0 as f64).collect();
        block.chunk(layout, &columns, &times)?;
        block.column(&values)?;
        block.column(&vec![narthex_model::STALE; times.len()])?;
        block.finish()?;
        written += 1;
    }
    import.finish()?;
    Ok(written)
}

fn read(store: &Store, name: &str) -> Vec<(i64, u64)> {
    let selection =
        store.snapshot().select(&[Matcher::equal("__name__", name)], TimeRange::ALL).unwrap();
    assert_eq!(selection.warnings, Vec::<String>::new());
    let mut samples = Samples::default();
    assert!(selection.series.len() <= 1, "{name} stands twice");
    for series in &selection.series {
        series.read(TimeRange::ALL, &mut samples).unwrap();
    }
    samples.times.iter().zip(&samples.values).map(|(at, v)| (at.0, v.to_bits())).collect()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn expected() -> Vec<(i64, u64)> {
    (0..=2 * SPAN + 600).step_by(200).map(|at| (at, (at as f64).to_bits())).collect()
}

#[test]
fn what_is_imported_is_read_and_life_goes_on_behind_it() {
    let fs = SimFs::new(1);
    // The store has rows of its own, in the same window as the last imported ones.
    let (store, mut writer) = open(&fs, 100_000).unwrap();
    let own = writer.resolve(&labels("a")).unwrap();
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    writer.add_columns(layout, &[own]).unwrap();
    let row = |at, values| Row { layout, at: Timestamp(at), values, changed: None };
    let last_seq = writer.append(&row(2 * SPAN + 700, &[0.5])).unwrap();
    store.sync().unwrap();
    drop((store, writer));
    assert_eq!(import(&fs).unwrap(), 3);
    assert_eq!(import(&fs).unwrap(), 0, "a second time there is nothing to do");
    let mut want = expected();
    want.push((2 * SPAN + 700, 0.5f64.to_bits()));
    let (store, writer) = open(&fs, 100_000).unwrap();
    assert_eq!(read(&store, "a"), want);
    assert_eq!(read(&store, "b").len(), want.len() - 1);
    // Nobody is sent what was imported.
    let mut rows = store.rows_after(crate::RowSeq(0)).unwrap();
    let mut row = crate::RowBuf::default();
    assert!(rows.next(&mut row).unwrap());
    assert_eq!(row.seq, last_seq);
    assert!(!rows.next(&mut row).unwrap());
    // Sealing and merging take the rows over, and a restart finds them.
    store.head.raise_max_time(Timestamp(60_000));
    for _ in 0..20 {
        store.upkeep().unwrap();
        assert_eq!(read(&store, "a"), want);
    }
    assert_eq!(store.stats().seals, 1);
    drop((store, rows, writer));
    let (store, _writer) = open(&fs, 100_000).unwrap();
    assert_eq!(read(&store, "a"), want);
}

#[test]
fn what_the_store_has_is_not_overwritten() {
    let fs = SimFs::new(1);
    import(&fs).unwrap();
    let (_store, writer) = open(&fs, 100_000).unwrap();
    let mut import = Import::begin(writer, "another origin").unwrap();
    let window = |start, end| TimeRange::new(Timestamp(start), Timestamp(end));
    assert_eq!(import.done(), []);
    assert!(matches!(import.block(window(100, 200)), Err(Error::Occupied(_))));
    assert!(import.block(window(2 * SPAN + 601, 3 * SPAN - 1)).is_ok());
}

#[test]
fn the_window_of_a_sealed_block_is_filled_up() {
    let fs = SimFs::new(1);
    let (store, mut writer) = open(&fs, 100_000).unwrap();
    let own = writer.resolve(&labels("a")).unwrap();
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    writer.add_columns(layout, &[own]).unwrap();
    let first = 2 * SPAN + 700;
    for at in (first..4 * SPAN).step_by(200) {
        let row = Row { layout, at: Timestamp(at), values: &[0.5], changed: None };
        writer.append(&row).unwrap();
    }
    for _ in 0..30 {
        store.upkeep().unwrap();
    }
    assert!(store.stats().seals > 10 && store.stats().merges > 0);
    drop((store, writer));
    assert_eq!(import(&fs).unwrap(), 3);
    let mut want = expected();
    want.extend((first..4 * SPAN).step_by(200).map(|at| (at, 0.5f64.to_bits())));
    for _ in 0..2 {
        let (store, _writer) = open(&fs, 100_000).unwrap();
        for _ in 0..5 {
            assert_eq!(read(&store, "a"), want);
            store.upkeep().unwrap();
        }
    }
}

#[test]
fn an_import_cut_off_anywhere_goes_on_without_loss_or_double() {
    let whole = {
        let fs = SimFs::new(7);
        let before = fs.calls();
        import(&fs).unwrap();
        fs.calls() - before
    };
    for seed in [3, 4] {
        for cut in 1..=whole {
            let fs = SimFs::new(seed);
            fs.stop_at(cut);
            let _ = import(&fs);
            let fs = fs.crash();
            import(&fs).unwrap();
            let (store, _writer) = open(&fs, 100_000).unwrap();
            assert_eq!(read(&store, "a"), expected(), "cut at call {cut} with seed {seed}");
            assert_eq!(store.stats().blocks, 3, "cut at call {cut}");
        }
    }
}
