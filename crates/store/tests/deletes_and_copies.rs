//! What was deleted is never seen again, and a copy of the store holds what the store held; a
//! crash at any call leaves the one state or the other.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use narthex_model::{Labels, Matcher, TimeRange, Timestamp};
use narthex_store::fs::{DiskFs, Fs, SimFs};
use narthex_store::testing::HandClock;
use narthex_store::{Error, LayoutRef, Options, Row, Samples, Store, Writer};

const WINDOW_MS: i64 = 10_000;

type Model = BTreeMap<(String, i64), u64>;

struct Bench {
    fs: Arc<dyn Fs>,
    clock: Arc<HandClock>,
    store: Arc<Store>,
    writer: Writer,
    layout: LayoutRef,
}

impl Bench {
    fn on(fs: Arc<dyn Fs>) -> Result<Self, Error> {
        let clock = Arc::new(HandClock::new(Timestamp(0)));
        let options = Options {
            window_ms: WINDOW_MS,
            merge_windows: 3,
            wal_segment_bytes_max: 4000,
            ..Options::default()
        };
        let (store, mut writer) =
            narthex_store::open(Arc::clone(&fs), Arc::clone(&clock) as _, options)?;
        store.set_out_of_order_window(Duration::from_secs(40));
        let source = writer.new_source();
        let layout = writer.new_layout(source)?;
        let mut series = Vec::new();
        for name in ["a", "b", "c"] {
            series.push(writer.resolve(&Labels::from_pairs([("__name__", name)]))?);
        }
        writer.add_columns(layout, &series)?;
        Ok(Self { fs, clock, store, writer, layout })
    }

    fn append(&mut self, at: i64) -> Result<(), Error> {
        self.clock.set(Timestamp(at.max(self.clock_now())));
        let value = Timestamp(at).seconds();
        let values = [value, -value, value * 0.5];
        let row = Row { layout: self.layout, at: Timestamp(at), values: &values, changed: None };
        self.writer.append(&row).map(drop)
    }

    fn clock_now(&self) -> i64 {
        narthex_model::Clock::now(&*self.clock).0
    }

    fn rows(&mut self, from: i64, to: i64) -> Result<(), Error> {
        (from..to).step_by(500).try_for_each(|at| self.append(at))
    }

    fn upkeep(&self) -> Result<(), Error> {
        (0..12).try_for_each(|_| self.store.upkeep().map(drop))
    }

    /// Blocks, some merged, an open window, late rows in memory and in a block.
    fn filled(fs: Arc<dyn Fs>) -> Result<Self, Error> {
        let mut bench = Self::on(fs)?;
        bench.rows(0, 46_000)?;
        bench.upkeep()?;
        bench.append(23_456)?;
        bench.append(30_001)?;
        bench.rows(46_000, 57_000)?;
        bench.upkeep()?;
        bench.append(31_002)?;
        bench.append(55_555)?;
        bench.store.sync()?;
        Ok(bench)
    }

    fn delete(&self, name: &str, start: i64, end: i64) -> Result<(), Error> {
        let range = TimeRange::new(Timestamp(start), Timestamp(end));
        self.store.delete_series(&[Matcher::equal("__name__", name)], range)
    }
}

fn read(store: &Store) -> Model {
    let selection = store.snapshot().select(&[], TimeRange::ALL).unwrap();
    assert_eq!(selection.warnings, Vec::<String>::new());
    let (mut samples, mut model) = (Samples::default(), Model::new());
    for series in &selection.series {
        series.read(TimeRange::ALL, &mut samples).unwrap();
        assert!(samples.times.is_sorted_by(|a, b| a < b));
        assert!(!samples.times.is_empty(), "{} has nothing left", series.labels());
        for (at, value) in samples.times.iter().zip(&samples.values) {
            let name = series.labels().get("__name__").unwrap().to_owned();
            model.insert((name, at.0), value.to_bits());
        }
    }
    model
}

fn without(model: &Model, name: &str, start: i64, end: i64) -> Model {
    let gone = |(n, at): &(String, i64)| n == name && (start..=end).contains(at);
    model.iter().filter(|(key, _)| !gone(key)).map(|(key, value)| (key.clone(), *value)).collect()
}

fn sim(seed: u64) -> (SimFs, Arc<dyn Fs>) {
    let fs = SimFs::new(seed);
    (fs.clone(), Arc::new(fs))
}

#[test]
fn what_was_deleted_stays_deleted_and_leaves_the_disk() {
    let (sim, fs) = sim(1);
    let mut bench = Bench::filled(fs).unwrap();
    let all = read(&bench.store);
    bench.delete("a", 20_000, 48_000).unwrap();
    bench.delete("b", i64::MIN, i64::MAX).unwrap();
    let mut model = without(&without(&all, "a", 20_000, 48_000), "b", i64::MIN, i64::MAX);
    assert!(model.len() < all.len() - 100);
    assert_eq!(read(&bench.store), model);
    let restarted = Bench::on(Arc::new(sim.kill())).unwrap();
    assert_eq!(read(&restarted.store), model);
    // What comes later is not deleted, though the range had no end.
    bench.append(57_000).unwrap();
    for (name, factor) in [("a", 1.0), ("b", -1.0), ("c", 0.5)] {
        model.insert((name.to_owned(), 57_000), (57.0f64 * factor).to_bits());
    }
    assert_eq!(read(&bench.store), model);
    bench.store.clean_tombstones().unwrap();
    assert_eq!(read(&bench.store), model);
    let names = bench.store.snapshot();
    assert_eq!(names.label_values("__name__", &[], TimeRange::ALL).unwrap(), ["a", "b", "c"]);
    bench.rows(57_500, 90_000).unwrap();
    bench.upkeep().unwrap();
    bench.store.clean_tombstones().unwrap();
    let after = read(&bench.store);
    assert!(model.iter().all(|(key, value)| after.get(key) == Some(value)));
    assert!(!after.keys().any(|(name, at)| name == "b" && *at < 57_000));
    // Nothing is left to hide: the files are not needed any more.
    drop(bench);
    let bare = sim.kill();
    for file in ["tombstones.0", "tombstones.1"] {
        bare.remove(file).unwrap();
    }
    let bare = Bench::on(Arc::new(bare)).unwrap();
    assert_eq!(read(&bare.store), after);
}

#[test]
fn a_merge_leaves_out_what_was_deleted() {
    let (_, fs) = sim(2);
    let mut bench = Bench::filled(fs).unwrap();
    bench.delete("c", 0, 50_000).unwrap();
    let model = read(&bench.store);
    bench.rows(57_500, 130_000).unwrap();
    bench.upkeep().unwrap();
    assert!(bench.store.stats().merges > 0);
    let after = read(&bench.store);
    assert!(model.iter().all(|(key, value)| after.get(key) == Some(value)));
    assert!(!after.keys().any(|(name, at)| name == "c" && *at <= 50_000));
}

#[test]
fn a_crash_at_any_call_of_a_deletion_leaves_before_or_after() {
    let run = |stop: Option<u64>| {
        let (sim, fs) = sim(3);
        let bench = Bench::filled(fs).unwrap();
        let all = read(&bench.store);
        let calls = sim.calls();
        if let Some(stop) = stop {
            sim.stop_at(calls + stop);
        }
        let deleted = bench.delete("a", 5_000, 52_000);
        let after_delete = sim.calls() - calls;
        let cleaned = deleted.as_ref().is_ok_and(|()| bench.store.clean_tombstones().is_ok());
        (sim, all, deleted.is_ok(), cleaned, after_delete)
    };
    let (clean, all, _, done, _) = run(None);
    assert!(done);
    let after = without(&all, "a", 5_000, 52_000);
    let (_, _, _, _, first) = run(None);
    let total = clean.calls();
    let mut states = [0, 0];
    for stop in 1.. {
        let (sim, _, deleted, cleaned, _) = run(Some(stop));
        for (how, image) in [("killed", sim.kill()), ("power lost", sim.crash())] {
            // The next start is cut short, too.
            let twice = image.kill();
            twice.stop_at(1 + stop % 13);
            drop(Bench::on(Arc::new(twice.clone())));
            for fs in [image, twice.crash()] {
                let found = read(&Bench::on(Arc::new(fs)).unwrap().store);
                let is_after = found == after;
                states[usize::from(is_after)] += 1;
                assert!(is_after || found == all, "{how} at {stop}: neither before nor after");
                assert!(is_after || !deleted, "{how} at {stop}: deleted samples are back");
            }
        }
        if cleaned {
            break;
        }
        assert!(stop < total);
    }
    assert!(first > 2 && states[0] > 0 && states[1] > 0, "{first} {states:?}");
}

/// The files of a folder, as a file system of their own.
fn folder(fs: &SimFs, dir: &str) -> SimFs {
    let copy = SimFs::new(9);
    let mut dirs = vec![String::new()];
    while let Some(sub) = dirs.pop() {
        let path = [dir, &sub].join(if sub.is_empty() { "" } else { "/" });
        for name in fs.list(&path).unwrap() {
            let to = if sub.is_empty() { name.clone() } else { format!("{sub}/{name}") };
            if let Ok(bytes) = fs.read(&format!("{path}/{name}")) {
                let mut file = copy.create(&to).unwrap();
                file.write(&bytes).unwrap();
                file.sync().unwrap();
            } else {
                copy.create_dir(&to).unwrap();
                dirs.push(to);
            }
        }
    }
    copy
}

#[test]
fn a_copy_opens_and_holds_the_same() {
    let (sim, fs) = sim(4);
    let mut bench = Bench::filled(fs).unwrap();
    bench.delete("b", 0, 30_000).unwrap();
    let all = read(&bench.store);
    bench.store.copy_to("whole", false).unwrap();
    bench.store.copy_to("blocks", true).unwrap();
    assert!(bench.store.copy_to("whole", false).is_err(), "the name is taken");
    bench.rows(57_000, 90_000).unwrap();
    bench.delete("a", 0, 100_000).unwrap();
    bench.store.clean_tombstones().unwrap();
    bench.upkeep().unwrap();
    let mut whole = Bench::on(Arc::new(folder(&sim, "snapshots/whole"))).unwrap();
    assert_eq!(read(&whole.store), all);
    whole.rows(57_000, 80_000).unwrap();
    whole.upkeep().unwrap();
    let later = read(&whole.store);
    assert!(all.iter().all(|(key, value)| later.get(key) == Some(value)));
    assert_eq!(later.len(), all.len() + 3 * 46);
    let blocks = Bench::on(Arc::new(folder(&sim, "snapshots/blocks"))).unwrap();
    let found = read(&blocks.store);
    assert!(!found.is_empty() && found.len() < all.len());
    assert!(found.iter().all(|(key, value)| all.get(key) == Some(value)));
}

#[test]
fn a_crash_at_any_call_of_a_copy_leaves_none_or_all_of_it() {
    let mut copies = 0;
    for stop in 1.. {
        let (sim, fs) = sim(5);
        let bench = Bench::filled(fs).unwrap();
        let all = read(&bench.store);
        sim.stop_at(sim.calls() + stop);
        let done = bench.store.copy_to("x", false).is_ok();
        for image in [sim.kill(), sim.crash()] {
            let again = Bench::on(Arc::new(image.clone())).unwrap();
            assert_eq!(read(&again.store), all);
            let names = image.list("snapshots").unwrap_or_default();
            assert!(names.iter().all(|name| name == "x"), "{names:?}");
            if names.is_empty() {
                assert!(!done);
                continue;
            }
            copies += 1;
            let copy = Bench::on(Arc::new(folder(&image, "snapshots/x"))).unwrap();
            assert_eq!(read(&copy.store), all, "stopped at {stop}");
        }
        if done {
            break;
        }
    }
    assert!(copies >= 2);
}

#[test]
fn on_a_real_disk_a_copy_takes_links() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::filled(Arc::new(DiskFs::new(dir.path()).unwrap())).unwrap();
    let all = read(&bench.store);
    bench.store.copy_to("x", false).unwrap();
    let fs = DiskFs::new(dir.path().join("snapshots/x")).unwrap();
    let copy = Bench::on(Arc::new(fs)).unwrap();
    assert_eq!(read(&copy.store), all);
    assert!(bench.fs.list("snapshots").unwrap() == ["x"]);
}
