//! Anonymous memory per active series: `head-memory RECORDINGS [SERIES [ROWS [scrape]]]` appends
//! ROWS rows (480) at 15 s of SERIES series (100,000) to a store on disk, as many targets with the
//! recorded values would, and prints what the process has after each step. With `scrape` it reads
//! the recorded bodies, so that what a target keeps between scrapes counts as well.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use narthex_benches::fleet::{Fleet, WIDTH_MAX};
use narthex_benches::{StandingClock, bodies, cycle, memory};
use narthex_expo::Format;
use narthex_model::Timestamp;
use narthex_scrape::cycle::{Body, Cycle};
use narthex_store::fs::DiskFs;
use narthex_store::{Options, Store, Writer};
use parking_lot::Mutex;

/// Samples between two rounds of upkeep: ten seconds' worth at 15 s.
const UPKEEP_EVERY: usize = 66_000;

const INTERVAL_MS: i64 = 15_000;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: head-memory RECORDINGS [SERIES [ROWS [scrape]]]";
    let folder = args.first().context(usage)?;
    let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
    let (series, rows): (usize, usize) = (number(1, 100_000)?, number(2, 480)?);
    let what = args.get(3).map_or("append", String::as_str);
    if folder != "--from" {
        // Another process measures, which never had the recordings in memory.
        let saved = tempfile::tempdir()?;
        if what == "scrape" {
            save_bodies(Path::new(folder), saved.path())?;
        } else {
            Fleet::save(Path::new(folder), saved.path(), 15, rows + 200)?;
        }
        let mut measure = Command::new(std::env::current_exe()?);
        measure.args(["--from", &series.to_string(), &rows.to_string(), what]).arg(saved.path());
        ensure!(measure.status()?.success(), "the measurement failed");
        return Ok(());
    }
    let saved = Path::new(args.get(4).context("a folder")?);
    let data = tempfile::tempdir()?;
    let clock = Arc::new(StandingClock::default());
    let start = Timestamp(1_700_000_000_000 / 7_200_000 * 7_200_000);
    clock.set(start.0);
    let fs = Arc::new(DiskFs::new(data.path())?);
    let (store, writer) = narthex_store::open(fs, clock.clone(), Options::default())?;
    let base = memory::anonymous()?;
    let mut bench =
        Bench { store, clock, start, meter: Meter { base, last: base, series }, samples: 0 };
    match what {
        "scrape" => bench.scrape(saved, writer, rows),
        _ => bench.append(saved, writer, rows),
    }
}

struct Bench {
    store: Arc<Store>,
    clock: Arc<StandingClock>,
    start: Timestamp,
    meter: Meter,
    samples: usize,
}

impl Bench {
    fn append(&mut self, saved: &Path, mut writer: Writer, rows: usize) -> Result<()> {
        let mut fleet = Fleet::open(saved, INTERVAL_MS)?;
        let mut done = 0;
        while done < self.meter.series {
            done += fleet.add(WIDTH_MAX, &mut writer)?;
        }
        self.meter.series = done;
        self.meter.tell("series and layouts", &self.store)?;
        for row in 0..rows {
            for target in 0..fleet.len() {
                let at = self.turn(row, fleet.late(target))?;
                let samples = fleet.append(target, row, at, &mut writer)?;
                self.keep(samples)?;
            }
            self.tell(row, rows)?;
        }
        Ok(())
    }

    fn scrape(&mut self, saved: &Path, writer: Writer, rows: usize) -> Result<()> {
        let writer = Mutex::new(writer);
        let recordings = [SavedBodies::open(saved, "node")?, SavedBodies::open(saved, "vm")?];
        let mut targets: Vec<Cycle> = Vec::new();
        let (mut body, mut done) = (Vec::new(), 0);
        for row in 0..rows {
            for target in 0.. {
                let is_new = target == targets.len();
                if is_new && (row > 0 || done >= self.meter.series) {
                    break;
                }
                if is_new {
                    targets.push(cycle("bench", &format!("node-{target}.example:9100"))?);
                }
                recordings[target % 2].read(row + target * 7, &mut body)?;
                let late = i64::try_from(target % 120)? * INTERVAL_MS / 120;
                let at = self.turn(row, late)?;
                let fetched = Ok(Body {
                    bytes: &body,
                    format: Format::Text,
                    translated: None,
                    exemplars: &[],
                });
                let elapsed = || Duration::from_millis(7);
                let outcome = targets[target].absorb(&writer, fetched, at, elapsed)?;
                if is_new {
                    done += usize::try_from(outcome.scraped)? + 5;
                }
                self.keep(usize::try_from(outcome.scraped)?)?;
            }
            if row == 0 {
                self.meter.series = done;
            }
            self.tell(row, rows)?;
        }
        Ok(())
    }

    fn turn(&self, row: usize, late: i64) -> Result<Timestamp> {
        let at = self.start.plus_millis(i64::try_from(row)? * INTERVAL_MS + late);
        self.clock.set(at.0);
        Ok(at)
    }

    fn keep(&mut self, samples: usize) -> Result<()> {
        self.samples += samples;
        if self.samples >= UPKEEP_EVERY {
            self.samples = 0;
            self.store.sync()?;
            self.store.upkeep()?;
        }
        Ok(())
    }

    fn tell(&mut self, row: usize, rows: usize) -> Result<()> {
        if [1, 15, 16, 32, 56, 64, 120, 240, 360, rows].contains(&(row + 1)) {
            self.meter.tell(&format!("{} rows", row + 1), &self.store)?;
        }
        Ok(())
    }
}

/// Bodies in a file, each behind its length.
struct SavedBodies {
    file: File,
    starts: Vec<(u64, usize)>,
}

fn save_bodies(folder: &Path, saved: &Path) -> Result<()> {
    for name in ["node", "vm"] {
        let mut all = Vec::new();
        for body in bodies(&folder.join(format!("{name}.rec.zst")))? {
            all.extend_from_slice(&u64::try_from(body.len())?.to_le_bytes());
            all.extend_from_slice(&body);
        }
        std::fs::write(saved.join(name), all)?;
    }
    Ok(())
}

impl SavedBodies {
    fn open(saved: &Path, name: &str) -> Result<Self> {
        let file = File::open(saved.join(name))?;
        let (mut starts, mut at) = (Vec::new(), 0);
        while at < file.metadata()?.len() {
            let mut length = [0; 8];
            file.read_exact_at(&mut length, at)?;
            let length = u64::from_le_bytes(length);
            starts.push((at + 8, usize::try_from(length)?));
            at += 8 + length;
        }
        Ok(Self { file, starts })
    }

    fn read(&self, number: usize, body: &mut Vec<u8>) -> Result<()> {
        let (start, length) = self.starts[number % self.starts.len()];
        body.resize(length, 0);
        self.file.read_exact_at(body, start)?;
        Ok(())
    }
}

struct Meter {
    base: u64,
    last: u64,
    series: usize,
}

impl Meter {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn tell(&mut self, what: &str, store: &Store) -> Result<()> {
        let now = memory::anonymous()?;
        let per = |bytes: u64| bytes as f64 / self.series as f64;
        println!(
            "{what:20} {:7.1} MB, {:6.1} B per series ({:+7.1}), {:6.1} B of them rows",
            now as f64 / 1e6,
            per(now - self.base),
            per(now) - per(self.last),
            per(store.stats().head_chunk_bytes),
        );
        self.last = now;
        Ok(())
    }
}
