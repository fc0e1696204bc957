//! Anonymous memory per active series: `head-memory RECORDINGS [SERIES [ROWS]]` appends ROWS rows
//! (480) at 15 s of SERIES series (100,000) to a store on disk, as many targets with the recorded
//! values would, and prints what the process has after each step.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use narthex_benches::rows::{Rows, SavedRows};
use narthex_benches::{StandingClock, memory};
use narthex_model::Timestamp;
use narthex_store::fs::DiskFs;
use narthex_store::{Column, LayoutRef, Options, Row, Store, Writer};

/// Samples between two rounds of upkeep: ten seconds' worth at 15 s.
const UPKEEP_EVERY: usize = 66_000;

/// The recordings that targets have in turn.
const NAMES: [&str; 2] = ["node", "vm"];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = args.first().context("usage: head-memory RECORDINGS [SERIES [ROWS]]")?;
    let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
    let (series, rows): (usize, usize) = (number(1, 100_000)?, number(2, 480)?);
    if folder != "--from" {
        // Another process measures, which never had the recordings in memory.
        let saved = tempfile::tempdir()?;
        for name in NAMES {
            let recorded = Rows::recorded(&Path::new(folder).join(format!("{name}.rec.zst")))?;
            recorded.without_rare().resampled(15, rows + 200).save(&saved.path().join(name))?;
        }
        let mut measure = Command::new(std::env::current_exe()?);
        measure.args(["--from", &series.to_string(), &rows.to_string()]).arg(saved.path());
        ensure!(measure.status()?.success(), "the measurement failed");
        return Ok(());
    }
    measure(Path::new(args.get(3).context("a folder")?), series, rows)
}

fn measure(saved: &Path, series: usize, rows: usize) -> Result<()> {
    let recordings = NAMES.map(|name| SavedRows::open(&saved.join(name)));
    let [node, vm] = recordings;
    let recordings = [node?, vm?];
    let start = Timestamp(1_700_000_000_000 / 7_200_000 * 7_200_000);
    let data = tempfile::tempdir()?;
    let clock = Arc::new(StandingClock::default());
    clock.set(start.0);
    let fs = Arc::new(DiskFs::new(data.path())?);
    let (store, mut writer) = narthex_store::open(fs, clock.clone(), Options::default())?;
    let base = memory::anonymous()?;
    let mut targets = Vec::new();
    let mut done = 0;
    while done < series {
        let rows = &recordings[targets.len() % 2];
        targets.push(Target::new(rows, targets.len(), &mut writer)?);
        done += rows.width;
    }
    let mut meter = Meter { base, last: base, series: done };
    meter.tell("series and layouts", &store)?;
    for row in 0..rows {
        let mut samples = 0;
        for (index, target) in targets.iter_mut().enumerate() {
            let late = i64::try_from(index * 15_000 / done.max(1))?;
            let at = start.plus_millis(i64::try_from(row)? * 15_000 + late);
            clock.set(at.0);
            target.append(row, at, &mut writer)?;
            samples += target.rows.width;
            if samples >= UPKEEP_EVERY {
                samples = 0;
                store.sync()?;
                store.upkeep()?;
            }
        }
        if [1, 8, 15, 16, 17, 32, 64, 112, 120, 128, 240, 360, rows].contains(&(row + 1)) {
            meter.tell(&format!("{} rows", row + 1), &store)?;
        }
    }
    Ok(())
}

/// One target's layout, with recorded values.
struct Target<'a> {
    rows: &'a SavedRows,
    layout: LayoutRef,
    first: usize,
}

impl<'a> Target<'a> {
    fn new(rows: &'a SavedRows, number: usize, writer: &mut Writer) -> Result<Self> {
        let source = writer.new_source();
        let layout = writer.new_layout(source)?;
        let mut series = Vec::with_capacity(rows.width);
        rows.labels("bench", &format!("node-{number}.example:9100"), |labels| {
            series.push(writer.resolve(&labels)?);
            Ok(())
        })?;
        writer.add_columns(layout, &series)?;
        Ok(Self { rows, layout, first: number * 7 % 200 })
    }

    fn append(&self, row: usize, at: Timestamp, writer: &mut Writer) -> Result<()> {
        let (mut values, mut before) = (Vec::new(), Vec::new());
        self.rows.read(row + self.first, &mut values)?;
        let changed: Option<Vec<Column>> = if row > 0 {
            self.rows.read(row - 1 + self.first, &mut before)?;
            let pairs = (0..).zip(values.iter().zip(&before));
            let differ = pairs.filter(|(_, (a, b))| a.to_bits() != b.to_bits());
            Some(differ.map(|(at, _)| Column(at)).collect())
        } else {
            None
        };
        let row = Row { layout: self.layout, at, values: &values, changed: changed.as_deref() };
        writer.append(&row)?;
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
