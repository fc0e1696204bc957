//! Recorded bodies through the scrape cycle into a store on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use narthex_benches::{INTERVAL_SECONDS, StandingClock, cycle};
use narthex_expo::Format;
use narthex_model::{Labels, STALE, TimeRange, Timestamp};
use narthex_scrape::cycle::{Body, Cycle};
use narthex_store::fs::DiskFs;
use narthex_store::{Block, BlockSizes, Fs, Options, Samples, Store, Writer};
use narthex_testkit::recording;
use parking_lot::Mutex;

/// The first row: a multiple of the 18 h that merged blocks may cover.
const START_MS: i64 = 26_236 * 18 * 3_600_000;
const WINDOW_MS: i64 = 2 * 3_600_000;

/// What became of recordings in a store.
pub(crate) struct Stored {
    store: Arc<Store>,
    pub(crate) sizes: BlockSizes,
    pub(crate) samples: u64,
    pub(crate) series: usize,
    pub(crate) blocks: usize,
    _folder: tempfile::TempDir,
}

/// A target, and what it answers.
struct Target {
    cycle: Cycle,
    bodies: Vec<Vec<u8>>,
    /// How far behind the others it is scraped.
    offset_ms: i64,
}

impl Stored {
    /// Scrapes the bodies of all recordings, one target each, and waits until everything is
    /// sealed and merged.
    pub(crate) fn new(recordings: &[PathBuf], every: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let clock = Arc::new(StandingClock::default());
        let fs = Arc::new(DiskFs::new(folder.path())?);
        let (store, writer) = narthex_store::open(fs.clone(), clock.clone(), Options::default())?;
        let writer = Mutex::new(writer);
        let mut targets = targets(recordings, every)?;
        let rows = targets.iter().map(|target| target.bodies.len()).max().unwrap_or(0);
        let interval_ms = i64::try_from(INTERVAL_SECONDS * 1000)?;
        let mut at = START_MS;
        let mut seed = 1;
        for row in 0..rows {
            for target in &mut targets {
                clock.set(at + target.offset_ms);
                target.scrape(row, &writer, at + target.offset_ms, &mut seed)?;
            }
            if row % 40 == 0 {
                store.upkeep()?;
            }
            at += interval_ms;
        }
        settle(&store, &clock, &mut writer.into_inner(), at)?;
        let mut stored = Self {
            store,
            sizes: BlockSizes::default(),
            samples: 0,
            series: 0,
            blocks: 0,
            _folder: folder,
        };
        stored.measure(&*fs)?;
        Ok(stored)
    }

    fn measure(&mut self, fs: &dyn Fs) -> Result<()> {
        for file in fs.list("blocks")? {
            let name = format!("blocks/{file}");
            let block = Block::open(&name, fs.map(&name)?)?;
            let meta = block.meta();
            if meta.times.start.0 >= START_MS + 6 * 24 * 3_600_000 {
                continue;
            }
            let sizes = block.sizes()?;
            anyhow::ensure!(sizes.total() == meta.bytes, "{name}: parts and file differ");
            self.sizes.add(&sizes);
            self.samples += meta.samples;
            self.blocks += 1;
        }
        self.series = self.samples()?.len();
        Ok(())
    }

    /// Everything that the store gives back, but for staleness markers.
    pub(crate) fn samples(&self) -> Result<Contents> {
        let end = Timestamp(START_MS + 6 * 24 * 3_600_000 - 1);
        let selection = self.store.snapshot().select(&[], TimeRange::new(Timestamp(0), end))?;
        let mut contents = Contents::default();
        for series in &selection.series {
            let mut samples = Samples::default();
            series.read(TimeRange::new(Timestamp(0), end), &mut samples)?;
            let pairs = samples.times.iter().zip(&samples.values);
            let kept = pairs.filter(|(_, value)| value.to_bits() != STALE.to_bits());
            let samples: Vec<(i64, f64)> = kept.map(|(at, value)| (at.0, *value)).collect();
            if !samples.is_empty() {
                contents.0.push((series.labels().clone(), samples));
            }
        }
        Ok(contents)
    }
}

/// Series with their samples.
#[derive(Debug, Default)]
pub(crate) struct Contents(pub(crate) Vec<(Labels, Vec<(i64, f64)>)>);

impl Contents {
    /// How many series.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many samples that are numbers.
    pub(crate) fn count_numbers(&self) -> u64 {
        let all = self.0.iter().flat_map(|(_, samples)| samples);
        all.filter(|(_, value)| !value.is_nan()).count() as u64
    }

    /// How many samples.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|(_, samples)| samples.len() as u64).sum()
    }
}

impl Target {
    fn scrape(
        &mut self,
        row: usize,
        writer: &Mutex<Writer>,
        at: i64,
        seed: &mut u64,
    ) -> Result<()> {
        let Some(body) = self.bodies.get(row) else { return Ok(()) };
        // A duration as they are met: some milliseconds, no two alike.
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let took = Duration::from_nanos(5_000_000 + (*seed >> 33) % 4_000_000);
        let fetched =
            Ok(Body { bytes: body, format: Format::Text, translated: None, exemplars: &[] });
        let outcome = self.cycle.absorb(writer, fetched, Timestamp(at), || took)?;
        match outcome.error {
            Some(error) => bail!("row {row}: {error}"),
            None => Ok(()),
        }
    }
}

fn targets(recordings: &[PathBuf], every: usize) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for (number, path) in recordings.iter().enumerate() {
        let frames = recording::read(path);
        let frames = frames.with_context(|| format!("reading {}", path.display()))?;
        let bodies = frames.into_iter().step_by(every).map(|frame| frame.body).collect();
        let job = job(path);
        let cycle = cycle(&job, &format!("{job}.example:{}", 9100 + number))?;
        targets.push(Target { cycle, bodies, offset_ms: 1_371 * i64::try_from(number)? });
    }
    Ok(targets)
}

fn job(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or("job").to_owned()
}

/// Lets time pass until everything is in blocks and these are merged. Time passes for a store with
/// its rows, so one series goes on for some days: it is not measured.
fn settle(store: &Store, clock: &StandingClock, writer: &mut Writer, from: i64) -> Result<()> {
    let source = writer.new_source();
    let layout = writer.new_layout(source)?;
    let series = writer.resolve(&Labels::from_pairs([("__name__", "later")]))?;
    writer.add_columns(layout, &[series])?;
    let later = START_MS + 6 * 24 * 3_600_000;
    for step in 0..24 {
        let at = later.max(from) + step * WINDOW_MS / 2;
        clock.set(at);
        let row = narthex_store::Row { layout, at: Timestamp(at), values: &[1.0], changed: None };
        writer.append(&row)?;
        store.upkeep()?;
    }
    for _ in 0..40 {
        store.upkeep()?;
    }
    Ok(())
}
