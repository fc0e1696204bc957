//! Every entry takes its corpus and mutations of it. `NARTHEX_FUZZ_RUNS` sets how many mutations
//! there are for each entry.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reads files and may panic"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use narthex_fuzz::{ENTRIES, Mutator};
use narthex_model::{Labels, Timestamp};
use narthex_store::fs::{Fs, SimFs};
use narthex_store::testing::HandClock;
use narthex_store::{Options, Row};

const RUNS: u64 = 300;
const INPUT_BYTES_MAX: usize = 10_000;
const TIME_MAX: Duration = Duration::from_secs(2);

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name)
}

#[test]
fn no_input_breaks_a_reader() {
    let runs = std::env::var("NARTHEX_FUZZ_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    for (name, entry) in ENTRIES {
        let mut inputs: Vec<(PathBuf, Vec<u8>)> = std::fs::read_dir(corpus(name))
            .unwrap_or_else(|error| panic!("corpus of {name}: {error}"))
            .map(|file| file.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for (path, bytes) in &inputs {
            println!("{}", path.display());
            entry(bytes);
        }
        let mut mutator = Mutator::new(1);
        for run in 0..runs {
            let pick = |n: u64| &inputs[usize::try_from(n).unwrap() % inputs.len()].1;
            let mut bytes = mutator.mutate(pick(run), pick(run / 7 + 1));
            bytes.truncate(INPUT_BYTES_MAX);
            let began = Instant::now();
            let outcome = std::panic::catch_unwind(|| entry(&bytes));
            let took = began.elapsed();
            if outcome.is_err() || took > TIME_MAX {
                let found = std::env::temp_dir().join(format!("narthex-fuzz-{name}-{run}"));
                std::fs::write(&found, &bytes).unwrap();
                panic!("{name}, run {run}, {took:?}: see {}", found.display());
            }
        }
    }
}

/// Writes the seeds that are made by the store itself, after a change of its format.
#[test]
#[ignore = "writes to the corpus"]
fn renew_seeds() {
    let fs = SimFs::new(1);
    let clock = Arc::new(HandClock::new(Timestamp(0)));
    let options = Options { window_ms: 10_000, ..Options::default() };
    let (store, mut writer) =
        narthex_store::open(Arc::new(fs.clone()), Arc::clone(&clock) as _, options).unwrap();
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    let series: Vec<_> = ["up", "a_total", "b"]
        .map(|name| {
            writer.resolve(&Labels::from_pairs([("__name__", name), ("job", "j")])).unwrap()
        })
        .to_vec();
    writer.add_columns(layout, &series).unwrap();
    for at in (0..40_000i32).step_by(700) {
        clock.set(Timestamp(at.into()));
        let values = [1.0, f64::from(at) / 8.0, f64::from(at % 9)];
        let at = Timestamp(at.into());
        writer.append(&Row { layout, at, values: &values, changed: None }).unwrap();
    }
    let save = |name: &str, path: &str| {
        std::fs::create_dir_all(corpus(name)).unwrap();
        std::fs::write(corpus(name).join("store"), fs.read(path).unwrap()).unwrap();
    };
    store.save_cursor("remote/0", store.last_seq()).unwrap();
    save("wal", "wal/0000000001.wal");
    save("cursors", "cursors.0");
    store.upkeep().unwrap();
    save("block", "blocks/00000001.block");
}
