//! `narthex ctl export`: blocks that Prometheus, promtool and Thanos open.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use narthex_model::{Clock, Labels, Matcher, TimeRange, Timestamp};
use narthex_prometheus_tsdb::ulid;
use narthex_store::fs::{DiskFs, UntouchedFs};
use narthex_store::{Error, Fs as _, Options, Samples, Series, Snapshot, Store};

use super::args::Args;
use super::progress::Progress;
use super::{Outcome, say};
use crate::clock::SystemClock;
use crate::engine;

pub(super) mod block;

const FLAGS: [&str; 4] = ["storage.tsdb.path", "min-time", "max-time", "match"];

/// What a block of Prometheus covers, in milliseconds; blocks begin at whole multiples.
const WINDOW_MS: i64 = 2 * 3_600_000;

/// Runs `export KIND ...`.
pub(super) fn run(words: &[&str], out: &mut dyn Write, notes: &mut dyn Write) -> Outcome {
    let args = Args::parse(words, &FLAGS)?;
    match args.words.as_slice() {
        ["prometheus-blocks", folder] => export(folder, &args, (out, notes)),
        _ => Err(super::HELP.to_owned()),
    }
}

fn export(
    folder: &str,
    args: &Args<'_>,
    (out, notes): (&mut dyn Write, &mut dyn Write),
) -> Outcome {
    let sets = engine::selectors(args.all("match")).map_err(|e| format!("--match: {e}\n"))?;
    let wanted = args.range()?;
    let store = open(args.data_dir())?;
    let target = DiskFs::new(folder).map_err(|e| format!("{folder}: {e}\n"))?;
    // promtool looks for a log, which may be empty.
    target.create_dir("wal").map_err(|e| format!("{folder}/wal: {e}\n"))?;
    let times = store.times().unwrap_or(TimeRange::new(Timestamp(0), Timestamp(-1)));
    let (start, end) = (times.start.max(wanted.start), times.end.min(wanted.end));
    let mut export = Export {
        snapshot: store.snapshot(),
        sets,
        clock: SystemClock::new(),
        random: RandomState::new(),
        progress: Progress::new(notes, "exported", store.samples()),
        with_parts: 0,
    };
    let (mut blocks, mut samples) = (0, 0);
    let mut from = start.0;
    while from <= end.0 {
        let next = from.div_euclid(WINDOW_MS).saturating_add(1).saturating_mul(WINDOW_MS);
        let window = TimeRange::new(Timestamp(from), end.min(Timestamp(next - 1)));
        let written = export.window(window, &target).map_err(|e| format!("{folder}: {e}\n"))?;
        blocks += u64::from(written > 0);
        samples += written;
        from = next;
    }
    export.progress.finish();
    if export.with_parts > 0 {
        let count = export.with_parts;
        export.progress.say(&format!(
            "note: of {count} series the native histograms and start times are left out: not \
             supported yet"
        ));
    }
    say(out, &format!("exported {samples} samples as {blocks} blocks\n"))
}

/// Opens a store without changing it.
pub(super) fn open(folder: &str) -> Result<Arc<Store>, String> {
    if !Path::new(folder).is_dir() {
        return Err(format!("{folder} is not a folder\n"));
    }
    let fs = DiskFs::new(folder).map_err(|e| format!("{folder}: {e}\n"))?;
    let fs = Arc::new(UntouchedFs::new(Arc::new(fs)));
    match narthex_store::open(fs, Arc::new(SystemClock::new()), Options::default()) {
        Ok((store, _)) => Ok(store),
        Err(Error::Locked(_)) => Err(format!(
            "{folder} is in use: stop the narthex that writes to it, or work on a snapshot\n"
        )),
        Err(error) => Err(format!("{folder}: {error}\n")),
    }
}

/// What stays the same from block to block.
#[derive(Debug)]
struct Export<'a> {
    snapshot: Snapshot,
    /// A series is wanted that satisfies one of these; all, if there are none.
    sets: Vec<Vec<Matcher>>,
    clock: SystemClock,
    random: RandomState,
    progress: Progress<'a>,
    /// Series of blocks that have more than numbers.
    with_parts: u64,
}

impl Export<'_> {
    /// Writes the block of a window; gives the samples in it. Without samples there is no block.
    fn window(&mut self, window: TimeRange, target: &DiskFs) -> Result<u64, String> {
        let series = self.series(window)?;
        if series.is_empty() {
            return Ok(0);
        }
        let noise = |salt: u64| u128::from(self.random.hash_one((salt, window.start.0)));
        let name = ulid::ulid(self.clock.now().0, noise(1) << 64 | noise(2));
        let mut block = block::Writer::new(target, &name)?;
        let mut samples = Samples::default();
        for (labels, series) in series {
            series.read(window, &mut samples).map_err(|e| e.to_string())?;
            for warning in &samples.warnings {
                self.progress.say(&format!("note: {warning}"));
            }
            self.with_parts += u64::from(series.has_parts());
            block.series(labels, &samples)?;
            self.progress.add(samples.len() as u64);
        }
        block.finish()
    }

    /// The series that are wanted, in the order of their labels.
    fn series(&mut self, window: TimeRange) -> Result<BTreeMap<Labels, Series>, String> {
        let all = [Vec::new()];
        let sets = if self.sets.is_empty() { &all[..] } else { &self.sets };
        let mut found = BTreeMap::new();
        for set in sets {
            let selection = self.snapshot.select(set, window).map_err(|e| e.to_string())?;
            for warning in &selection.warnings {
                self.progress.say(&format!("note: {warning}"));
            }
            found.extend(selection.series.into_iter().map(|s| (s.labels().clone(), s)));
        }
        Ok(found)
    }
}
