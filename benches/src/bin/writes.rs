//! What a day writes: `writes RECORDINGS [HOURS [TARGETS [STRIDE]]]` lets the store live through
//! HOURS (24) of TARGETS targets (10) at 15 s on a clock of its own, and counts the bytes that
//! reach the file system and the calls that sync. STRIDE 15 has the recorded values with the
//! increments of 15 s, 1 those of a second.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use narthex_benches::StandingClock;
use narthex_benches::fleet::{Fleet, WIDTH_MAX};
use narthex_model::Timestamp;
use narthex_store::fs::{DiskFs, FileView, Fs, FsFile, FsLock, FsRead, FsSync};
use narthex_store::{Options, Store, Writer};
use parking_lot::Mutex;

const INTERVAL_MS: i64 = 15_000;
const SECOND_MS: i64 = 1000;
/// Seconds between two rounds of upkeep.
const UPKEEP_SECONDS: i64 = 10;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = args.first().context("usage: writes RECORDINGS [HOURS [TARGETS [STRIDE]]]")?;
    let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
    let (hours, targets, stride): (usize, usize, usize) =
        (number(1, 24)?, number(2, 10)?, number(3, 15)?);
    let data = tempfile::tempdir()?;
    let rows = hours * 240;
    Fleet::save(Path::new(folder), data.path(), stride, rows + 200)?;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let fs = Counting { disk: DiskFs::new(data.path().join("data"))?, tally: Arc::clone(&tally) };
    let clock = Arc::new(StandingClock::default());
    let start = 1_700_000_000_000 / 86_400_000 * 86_400_000;
    clock.set(start);
    let (store, mut writer) = narthex_store::open(Arc::new(fs), clock.clone(), Options::default())?;
    let mut fleet = Fleet::open(data.path(), INTERVAL_MS)?;
    for _ in 0..targets {
        fleet.add(WIDTH_MAX, &mut writer)?;
    }
    for hour in 0..hours {
        live(&mut fleet, hour * 240, (start, &clock), &store, &mut writer)?;
        if hour % 6 == 5 || hour + 1 == hours {
            tell(hour + 1, &store, &tally.lock());
        }
    }
    Ok(())
}

/// An hour, second by second.
fn live(
    fleet: &mut Fleet,
    first_row: usize,
    (start, clock): (i64, &StandingClock),
    store: &Store,
    writer: &mut Writer,
) -> Result<()> {
    for row in first_row..first_row + 240 {
        let turn = start + i64::try_from(row)? * INTERVAL_MS;
        let mut target = 0;
        for second in 0..INTERVAL_MS / SECOND_MS {
            while target < fleet.len() && fleet.late(target) < (second + 1) * SECOND_MS {
                let at = turn + fleet.late(target);
                clock.set(at);
                fleet.append(target, row, Timestamp(at), writer)?;
                target += 1;
            }
            store.sync()?;
            if (turn / SECOND_MS + second) % UPKEEP_SECONDS == 0 {
                clock.set(turn + second * SECOND_MS);
                store.upkeep()?;
            }
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn tell(hours: usize, store: &Store, tally: &Tally) {
    let stats = store.stats();
    let samples = stats.samples_appended as f64;
    let all: u64 = tally.written.values().sum();
    print!("{hours} h, {samples:.0} samples: {:.3} B written per sample:", all as f64 / samples);
    for (folder, bytes) in &tally.written {
        print!(" {folder} {:.3}", *bytes as f64 / samples);
    }
    let seconds = hours as f64 * 3600.0;
    println!(
        "; {:.3} syncs/s of files, {:.4} of folders; {} seals, {} merges, {:.3} B/sample in {} blocks",
        tally.syncs as f64 / seconds,
        tally.folder_syncs as f64 / seconds,
        stats.seals,
        stats.merges,
        stats.block_bytes as f64 / samples,
        stats.blocks,
    );
}

/// What was done.
#[derive(Debug, Default)]
struct Tally {
    /// Bytes by folder.
    written: BTreeMap<String, u64>,
    syncs: u64,
    folder_syncs: u64,
}

/// The disk, with a tally of what reaches it.
#[derive(Debug)]
struct Counting {
    disk: DiskFs,
    tally: Arc<Mutex<Tally>>,
}

impl Counting {
    fn file(&self, path: &str, file: Box<dyn FsFile>) -> Box<dyn FsFile> {
        let folder = path.split_once('/').map_or(path, |(folder, _)| folder).to_owned();
        Box::new(CountingFile { file, folder, tally: Arc::clone(&self.tally) })
    }
}

impl Fs for Counting {
    fn create(&self, path: &str) -> io::Result<Box<dyn FsFile>> {
        Ok(self.file(path, self.disk.create(path)?))
    }

    fn append(&self, path: &str) -> io::Result<Box<dyn FsFile>> {
        Ok(self.file(path, self.disk.append(path)?))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn FsRead>> {
        self.disk.open(path)
    }

    fn map(&self, path: &str) -> io::Result<FileView> {
        self.disk.map(path)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.link(from, to)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        self.tally.lock().folder_syncs += 1;
        Ok(())
    }

    fn file_len(&self, path: &str) -> io::Result<u64> {
        self.disk.file_len(path)
    }

    fn lock(&self) -> io::Result<Box<dyn FsLock>> {
        self.disk.lock()
    }
}

#[derive(Debug)]
struct CountingFile {
    file: Box<dyn FsFile>,
    folder: String,
    tally: Arc<Mutex<Tally>>,
}

impl FsFile for CountingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        *self.tally.lock().written.entry(self.folder.clone()).or_default() += bytes.len() as u64;
        self.file.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.tally.lock().syncs += 1;
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> u64 {
        self.file.len()
    }

    fn sync_handle(&self) -> io::Result<Arc<dyn FsSync>> {
        Ok(Arc::new(CountingSync(Arc::clone(&self.tally))))
    }
}

/// Counts a sync and leaves it: the figures are the same, and a day is over sooner.
#[derive(Debug)]
struct CountingSync(Arc<Mutex<Tally>>);

impl FsSync for CountingSync {
    fn sync(&self) -> io::Result<()> {
        self.0.lock().syncs += 1;
        Ok(())
    }
}
