//! A random history is stopped at every single call to the file system. What was synced is there
//! after the power went, what was visible is there after the process died, and nothing else is.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use narthex_model::Timestamp;
use narthex_store::fs::SimFs;
use narthex_store::testing::HandClock;

use crate::history::{Action, Model, Run, check, check_rows, history, open, read_all, shifted};

/// Opens what is left, looks at it, and lives on for two windows.
fn reopen(what: &str, fs: &SimFs, must: &Model, run: &Run, seed: u64) {
    let clock = Arc::new(HandClock::new(Timestamp(1_000_000)));
    let (store, mut writer) = open(fs, &clock).unwrap_or_else(|e| panic!("{what}: {e}"));
    check(what, &read_all(&store), must, &run.tried);
    check_rows(&store);
    assert!(store.stats().blocks_damaged == 0, "{what}: damaged blocks");
    let before = read_all(&store);
    let mut after = Run { tried: before.clone(), visible: before, ..Run::default() };
    after.last_seq = store.last_seq();
    let later: Vec<Action> = shifted(history(seed ^ 1, 1), 500_000).collect();
    after.act(&later, &store, &mut writer, &clock);
    assert!(!after.failed, "{what}: nothing fails any more");
    for _ in 0..8 {
        store.upkeep().unwrap();
    }
    check(what, &read_all(&store), &after.visible, &after.visible);
}

fn crash_at_calls(seed: u64, windows: i64, step: usize) {
    let actions = history(seed, windows);
    let run_until = |stop: Option<u64>| {
        let fs = SimFs::new(seed);
        if let Some(stop) = stop {
            fs.stop_at(stop);
        }
        let clock = Arc::new(HandClock::new(Timestamp(0)));
        let mut run = Run::default();
        if let Ok((store, mut writer)) = open(&fs, &clock) {
            run.act(&actions, &store, &mut writer, &clock);
            if stop.is_none() {
                assert!(!run.failed);
                let stats = store.stats();
                assert!(stats.seals > 2 && stats.merges > 0, "{stats:?}");
                assert!(stats.wal.segments_removed > 0, "{stats:?}");
                check("uninterrupted", &read_all(&store), &run.visible, &run.visible);
            }
        }
        (fs, run)
    };
    let (fs, _) = run_until(None);
    let calls = fs.calls();
    for stop in (1..=calls).step_by(step) {
        let (fs, run) = run_until(Some(stop));
        let (crashed, killed) = (fs.crash(), fs.kill());
        reopen(&format!("seed {seed}, killed at {stop}"), &killed, &run.visible, &run, seed);
        // The next start is cut short as well, somewhere.
        let again = crashed.clone();
        again.stop_at(1 + stop % 23);
        drop(open(&again, &Arc::new(HandClock::new(Timestamp(1_000_000)))));
        let twice = again.crash();
        let what = format!("seed {seed}, power lost at {stop}");
        reopen(&what, &twice, &run.durable, &run, seed);
    }
}

#[test]
fn nothing_is_lost_or_made_up() {
    crash_at_calls(1, 5, 1);
    crash_at_calls(2, 11, 29);
}

#[test]
#[ignore = "takes minutes; run before a release"]
fn nothing_is_lost_or_made_up_in_many_histories() {
    let seeds = AtomicU64::new(100);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(|| {
                while let seed = seeds.fetch_add(1, Ordering::Relaxed)
                    && seed < 160
                {
                    crash_at_calls(seed, 5, 1);
                    println!("seed {seed} is done");
                }
            });
        }
    });
}

#[test]
fn a_failing_call_is_survived_without_a_restart() {
    let actions = history(3, 5);
    let clean = SimFs::new(3);
    let clock = Arc::new(HandClock::new(Timestamp(0)));
    let (store, mut writer) = open(&clean, &clock).unwrap();
    Run::default().act(&actions, &store, &mut writer, &clock);
    for fail in 1..clean.calls() {
        let fs = SimFs::new(3);
        let clock = Arc::new(HandClock::new(Timestamp(0)));
        fs.fail_at(fail);
        let Ok((store, mut writer)) = open(&fs, &clock) else { continue };
        let mut run = Run::default();
        let mut failures = 0;
        for action in &actions {
            let slot_known = match action {
                Action::Row(slot, ..) | Action::Columns(slot, _) => run.slots.contains_key(slot),
                _ => true,
            };
            if !slot_known {
                continue;
            }
            // After a failed sync others may fail, until a row comes.
            let result = run.step(action, &store, &mut writer, &clock);
            failures += u64::from(result.is_err() && !matches!(action, Action::Sync));
        }
        assert!(failures <= 1, "{failures} failures after call {fail} failed");
        for _ in 0..8 {
            store.upkeep().unwrap();
        }
        let what = format!("call {fail} failed");
        check(&what, &read_all(&store), &run.visible, &run.visible);
        // The next row takes along what a failed sync left in doubt.
        let last = Action::Row(0, 1_000_000, 7);
        if run.slots.contains_key(&0) {
            run.step(&last, &store, &mut writer, &clock).unwrap();
        }
        store.sync().unwrap();
        drop((store, writer));
        let (store, _writer) = open(&fs.crash(), &clock).unwrap();
        check(&what, &read_all(&store), &run.visible, &run.tried);
    }
}
