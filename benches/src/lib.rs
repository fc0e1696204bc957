//! What the benchmarks share: recorded bodies and a target whose scrapes go into a store.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use narthex_config::Config;
use narthex_expo::Format;
use narthex_model::{ABSENT, Clock, Labels, TimeRange, Timestamp};
use narthex_scrape::cycle::{Body, Cycle};
use narthex_store::fs::DiskFs;
use narthex_store::{Options, RowBuf, RowSeq, Store, Writer};
use narthex_testkit::recording;
use parking_lot::Mutex;

pub mod fleet;
pub mod memory;
pub mod rows;

/// Seconds between the scrapes that are replayed, as most targets are asked.
pub const INTERVAL_SECONDS: usize = 15;

/// The bodies of a recording, [`INTERVAL_SECONDS`] apart.
///
/// # Errors
/// When it cannot be read.
pub fn bodies(path: &Path) -> Result<Vec<Vec<u8>>> {
    let frames = recording::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(frames.into_iter().step_by(INTERVAL_SECONDS).map(|frame| frame.body).collect())
}

/// The columns of a whole block window, from a recording whose bodies are read as
/// [`INTERVAL_SECONDS`] apart whatever lies between them.
///
/// # Errors
/// When it cannot be read.
pub fn window_columns(path: &Path) -> Result<Vec<Vec<f64>>> {
    let (target, rows) = scraped_window(path)?;
    let mut reader = target.store().rows_after(RowSeq::default())?;
    let (mut row, mut columns) = (RowBuf::default(), Vec::<Vec<f64>>::new());
    for number in 0..rows {
        ensure!(reader.next(&mut row)?, "a row is missing");
        if columns.len() < row.values.len() {
            columns.resize_with(row.values.len(), || vec![ABSENT; number]);
        }
        for (column, &value) in columns.iter_mut().zip(&row.values) {
            column.push(value);
        }
        for column in &mut columns {
            column.resize(number + 1, ABSENT);
        }
    }
    Ok(columns)
}

/// Whether a column's values differ from each other.
pub fn is_changing(values: &[f64]) -> bool {
    values.windows(2).any(|pair| pair[0].to_bits() != pair[1].to_bits())
}

/// A target whose scrapes of a whole window are sealed in a block, and the times of these.
///
/// # Errors
/// When the recording cannot be read or the store fails.
pub fn sealed_window(path: &Path) -> Result<(Target, TimeRange)> {
    let (mut target, _) = scraped_window(path)?;
    let range = TimeRange::new(Timestamp(0), target.now());
    let last = recording::read(path)?.pop().context("a body")?.body;
    for _ in 0..WINDOW_SCRAPES {
        target.absorb(&last)?;
    }
    while target.store().stats().blocks == 0 {
        ensure!(target.store().upkeep()?.sealed > 0, "the window is not sealed");
    }
    Ok((target, range))
}

/// Scrapes of a block window.
pub const WINDOW_SCRAPES: usize = 2 * 3600 / INTERVAL_SECONDS;

/// A target that begins with a window and has filled it, and how many rows that were.
fn scraped_window(path: &Path) -> Result<(Target, usize)> {
    let frames = recording::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mut target = Target::at_window_start("localhost:9100")?;
    let rows = frames.len().min(WINDOW_SCRAPES);
    frames.iter().take(rows).try_for_each(|frame| target.absorb(&frame.body).map(drop))?;
    Ok((target, rows))
}

/// The folder with `node.rec.zst` and `vm.rec.zst`: `NARTHEX_RECORDINGS`, or beside the project.
pub fn recordings() -> PathBuf {
    match std::env::var_os("NARTHEX_RECORDINGS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/recordings"),
    }
}

/// A clock that stands where it was put: at the time of the scrape that is replayed.
#[derive(Debug, Default)]
pub struct StandingClock(Mutex<i64>);

impl StandingClock {
    /// Puts it to `now_ms`, milliseconds since 1970.
    pub fn set(&self, now_ms: i64) {
        *self.0.lock() = now_ms;
    }
}

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp(*self.0.lock())
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// One target and the store behind it, in a folder of its own.
#[derive(Debug)]
pub struct Target {
    store: Arc<Store>,
    writer: Mutex<Writer>,
    cycle: Cycle,
    clock: Arc<StandingClock>,
    at: Timestamp,
    interval_ms: i64,
    _folder: tempfile::TempDir,
}

impl Target {
    /// An empty store on disk and a target that was never scraped.
    ///
    /// # Errors
    /// When the folder or the store cannot be made.
    pub fn new(instance: &str) -> Result<Self> {
        Self::starting(instance, Timestamp(1_700_000_000_000))
    }

    /// As [`Target::new`], with the first scrape at the first moment of a block window.
    fn at_window_start(instance: &str) -> Result<Self> {
        let window_ms = i64::try_from(WINDOW_SCRAPES * INTERVAL_SECONDS * 1000)?;
        let start = 1_700_000_000_000 / window_ms * window_ms;
        let before = Timestamp(start - i64::try_from(INTERVAL_SECONDS * 1000)?);
        Self::starting(instance, before)
    }

    fn starting(instance: &str, start: Timestamp) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let clock = Arc::new(StandingClock(Mutex::new(start.0)));
        let fs = Arc::new(DiskFs::new(folder.path())?);
        let (store, writer) = narthex_store::open(fs, clock.clone(), Options::default())?;
        let cycle = cycle("node", instance)?;
        let writer = Mutex::new(writer);
        let interval_ms = i64::try_from(INTERVAL_SECONDS * 1000)?;
        Ok(Self { store, writer, cycle, clock, at: start, interval_ms, _folder: folder })
    }

    /// Scrapes so often from now on.
    pub fn set_interval(&mut self, interval_ms: i64) {
        self.interval_ms = interval_ms;
    }

    /// Absorbs one body, an interval after the one before. Returns how many samples were stored,
    /// the five of the report included.
    ///
    /// # Errors
    /// When the body cannot be read or the store fails.
    pub fn absorb(&mut self, body: &[u8]) -> Result<u64> {
        self.at = self.at.plus_millis(self.interval_ms);
        self.clock.set(self.at.0);
        let fetched =
            Ok(Body { bytes: body, format: Format::Text, translated: None, exemplars: &[] });
        let outcome =
            self.cycle.absorb(&self.writer, fetched, self.at, || Duration::from_millis(7))?;
        match outcome.error {
            Some(error) => Err(error.into()),
            None => Ok(u64::from(outcome.scraped) + 5),
        }
    }

    /// Scrapes another target from now on, into the same store.
    ///
    /// # Errors
    /// Never, unless the configuration in this file is wrong.
    pub fn replace(&mut self, instance: &str) -> Result<()> {
        self.cycle = cycle("node", instance)?;
        Ok(())
    }

    /// The time of the last scrape.
    pub fn now(&self) -> Timestamp {
        self.at
    }

    /// The store behind the target.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

/// A target of a job that was never scraped.
///
/// # Errors
/// When the name of the job is none.
pub fn cycle(job: &str, instance: &str) -> Result<Cycle> {
    let text = format!("scrape_configs: [{{job_name: '{job}'}}]");
    let config = Config::parse(&text, "bench.yml")?;
    let config = config.scrape_configs.into_iter().next().context("the one job")?;
    let labels = Labels::from_pairs([("instance", instance), ("job", job)]);
    Ok(Cycle::new(Arc::new(config), labels, Duration::from_secs(10)))
}
