//! Series that die leave memory long before their window is sealed, and no reader notices.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use narthex_model::{Labels, Matcher, TimeRange, Timestamp};
use narthex_store::fs::{Fs, SimFs};
use narthex_store::testing::HandClock;
use narthex_store::{Options, Row, Samples, Snapshot, SourceRef, Store, Writer};

/// Rows of a layout before the next one, columns, and how many of those are new in the next.
const ROWS: i64 = 5;
const COLUMNS: i64 = 40;
const NEW: i64 = 20;

/// What each series has.
type Model = BTreeMap<String, Vec<(i64, f64)>>;

struct Churn {
    fs: SimFs,
    clock: Arc<HandClock>,
    store: Arc<Store>,
    writer: Writer,
    source: SourceRef,
    /// Layouts so far.
    turns: i64,
    model: Model,
    series_most: u64,
}

fn open(fs: &SimFs, clock: &Arc<HandClock>) -> (Arc<Store>, Writer) {
    let options = Options {
        window_ms: 50_000,
        merge_windows: 3,
        spill_columns_min: 10,
        chunk_file_bytes_min: 200,
        ..Options::default()
    };
    narthex_store::open(Arc::new(fs.clone()), Arc::clone(clock) as _, options).unwrap()
}

impl Churn {
    fn new(seed: u64) -> Self {
        let (fs, clock) = (SimFs::new(seed), Arc::new(HandClock::new(Timestamp(0))));
        let (store, mut writer) = open(&fs, &clock);
        let source = writer.new_source();
        let model = Model::new();
        Self { fs, clock, store, writer, source, turns: 0, model, series_most: 0 }
    }

    /// Some layouts, one after the other: of each some series come again in the next.
    fn go_on(&mut self, turns: i64) {
        for turn in self.turns..self.turns + turns {
            let layout = self.writer.new_layout(self.source).unwrap();
            let numbers = turn * NEW..turn * NEW + COLUMNS;
            let names: Vec<String> = numbers.map(|number| format!("m{number:05}")).collect();
            let labels = names.iter().map(|name| Labels::from_pairs([("__name__", name.as_str())]));
            let series: Vec<_> =
                labels.map(|labels| self.writer.resolve(&labels).unwrap()).collect();
            self.writer.add_columns(layout, &series).unwrap();
            for row in turn * ROWS..(turn + 1) * ROWS {
                let at = row * 1000;
                self.clock.set(Timestamp(at));
                let values: Vec<f64> = (0..COLUMNS)
                    .map(|column| f64::from(i32::try_from(row * column % 17).unwrap()))
                    .collect();
                let row = Row { layout, at: Timestamp(at), values: &values, changed: None };
                self.writer.append(&row).unwrap();
                for (name, &value) in names.iter().zip(&values) {
                    self.model.entry(name.clone()).or_default().push((at, value));
                }
            }
            self.writer.drop_layout(layout);
            self.store.sync().unwrap();
            self.store.upkeep().unwrap();
            self.series_most = self.series_most.max(self.store.stats().head_series);
        }
        self.turns += turns;
    }

    fn check(&self, what: &str) {
        assert_eq!(contents(&self.store.snapshot()), self.model, "{what}");
    }
}

fn contents(snapshot: &Snapshot) -> Model {
    let selection = snapshot.select(&[], TimeRange::ALL).unwrap();
    assert_eq!(selection.warnings, Vec::<String>::new());
    let mut samples = Samples::default();
    let mut all = Model::new();
    for series in selection.series {
        series.read(TimeRange::ALL, &mut samples).unwrap();
        let found = samples.times.iter().map(|at| at.0).zip(samples.values.iter().copied());
        all.insert(series.labels().get("__name__").unwrap().to_owned(), found.collect());
    }
    all
}

fn is_block(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, kind)| kind == "block")
}

fn spilled(fs: &SimFs) -> usize {
    fs.list("head").unwrap().iter().filter(|name| is_block(name)).count()
}

#[test]
fn dead_series_are_found_and_take_no_memory() {
    let mut churn = Churn::new(1);
    churn.go_on(9);
    assert!(spilled(&churn.fs) > 0);
    churn.check("in the first window");
    let early = (churn.store.snapshot(), churn.model.clone());
    churn.go_on(40);
    churn.check("after some windows");
    assert_eq!(contents(&early.0), early.1, "an early snapshot sees what it saw");
    drop(early);
    // What was sealed meanwhile stays for two more seals.
    churn.go_on(40);
    churn.series_most = 0;
    churn.go_on(40);
    churn.check("after more windows");
    assert!(churn.store.stats().seals > 3);
    // Not those of all windows that are open, of which each has 200 new ones.
    assert!(churn.series_most < 300, "{} series in memory at most", churn.series_most);
    assert!(spilled(&churn.fs) < 20, "{} files", spilled(&churn.fs));
}

#[test]
fn nothing_leans_on_what_was_spilled() {
    let mut churn = Churn::new(2);
    churn.go_on(33);
    for cut in [false, true] {
        let fs = if cut { churn.fs.crash() } else { churn.fs.clone() };
        for name in fs.list("head").unwrap() {
            if cut && is_block(&name) {
                fs.remove(&format!("head/{name}")).unwrap();
            }
        }
        let Churn { clock, turns, model, .. } = churn;
        drop((churn.store, churn.writer));
        let (store, mut writer) = open(&fs, &clock);
        assert_eq!(spilled(&fs), 0);
        let source = writer.new_source();
        churn = Churn { fs, clock, store, writer, source, turns, model, series_most: 0 };
        churn.check("after a start");
        churn.go_on(25);
        churn.check("a while after a start");
    }
}

#[test]
fn what_is_deleted_or_copied_was_spilled_before() {
    let mut churn = Churn::new(3);
    churn.go_on(9);
    assert!(spilled(&churn.fs) > 0);
    churn.store.copy_to("copy", false).unwrap();
    let gone = Matcher::equal("__name__", "m00003");
    churn.store.delete_series(&[gone], TimeRange::ALL).unwrap();
    churn.model.remove("m00003");
    churn.check("after the deletion");
    churn.go_on(20);
    churn.store.clean_tombstones().unwrap();
    churn.check("after cleaning");
    let copied = churn.fs.list("snapshots/copy/blocks").unwrap();
    assert!(!copied.is_empty());
}

#[test]
fn a_series_that_comes_back_is_laid_out_again() {
    let mut churn = Churn::new(4);
    let labels = Labels::from_pairs([("__name__", "m00000")]);
    churn.go_on(1);
    let first = churn.writer.resolve(&labels).unwrap();
    assert!(churn.writer.keep(first));
    churn.go_on(9);
    // Somebody wanted it, so it is still there.
    let layout = churn.writer.new_layout(churn.source).unwrap();
    churn.writer.add_columns(layout, &[first]).unwrap();
    churn.writer.drop_layout(layout);
    churn.go_on(9);
    assert!(!churn.writer.keep(first));
    assert_ne!(churn.writer.resolve(&labels).unwrap(), first);
}

#[test]
fn a_series_that_came_back_is_one_after_a_kill() {
    let mut churn = Churn::new(9);
    churn.go_on(1);
    churn.go_on(1);
    assert!(spilled(&churn.fs) > 0, "the first series left memory");
    let labels = Labels::from_pairs([("__name__", "m00000")]);
    let layout = churn.writer.new_layout(churn.source).unwrap();
    let series = churn.writer.resolve(&labels).unwrap();
    churn.writer.add_columns(layout, &[series]).unwrap();
    let at = Timestamp(churn.turns * ROWS * 1000);
    churn.writer.append(&Row { layout, at, values: &[7.0], changed: None }).unwrap();
    churn.model.entry("m00000".to_owned()).or_default().push((at.0, 7.0));
    churn.store.sync().unwrap();
    let Churn { fs, clock, store, writer, model, .. } = churn;
    // A process that is killed ends nothing.
    let copy = fs.kill();
    drop((store, writer));
    let (store, _writer) = open(&copy, &clock);
    let snapshot = store.snapshot();
    assert_eq!(contents(&snapshot), model);
    let name = Matcher::equal("__name__", "m00000");
    let found = snapshot.select_in_turn(&[name], TimeRange::ALL, 100).unwrap().series;
    assert_eq!(found.len(), 1);
    let mut samples = Samples::default();
    found[0].read(TimeRange::ALL, &mut samples).unwrap();
    assert_eq!(samples.values.len(), model["m00000"].len());
}
