//! How fast the columns of blocks are written and read: `columns [--recordings FOLDER]`.
//!
//! Each recording gives one chunk of a block window (480 rows). Times are the least of several
//! rounds, so that what else runs on the machine matters little.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program for developers that talks to its terminal and measures time"
)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Arg, Command};
use narthex_benches::{is_changing, sealed_window, window_columns};
use narthex_store::Samples;
use narthex_store::testing::{ColumnReader, Columns};

const ROUNDS: usize = 15;

fn main() -> Result<()> {
    let folder = Arg::new("recordings").long("recordings").value_name("FOLDER");
    let matches = Command::new("columns").arg(folder).try_get_matches()?;
    let folder = matches.get_one::<String>("recordings");
    let folder = folder.map_or_else(narthex_benches::recordings, PathBuf::from);
    let entries = std::fs::read_dir(&folder);
    let entries = entries.with_context(|| format!("reading {}", folder.display()))?;
    let mut paths = entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.to_string_lossy().ends_with(".rec.zst"));
    paths.sort();
    for path in &paths {
        chunk(path)?;
        block(path)?;
    }
    Ok(())
}

/// The least time of several rounds, in nanoseconds for each of `units`.
fn least(units: usize, mut work: impl FnMut()) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work();
        least = least.min(start.elapsed().as_nanos() as f64 / units.max(1) as f64);
    }
    least
}

fn chunk(path: &Path) -> Result<()> {
    let values = window_columns(path)?;
    let rows = values.first().map_or(0, Vec::len);
    let mut columns = Columns::default();
    let encode = least(rows * values.len(), || columns.encode(&values));
    let all: Vec<usize> = (0..values.len()).collect();
    let changing: Vec<usize> = all.iter().copied().filter(|&c| is_changing(&values[c])).collect();
    let (mut reader, mut out) = (ColumnReader::default(), Vec::new());
    let mut read = |wanted: &[usize]| {
        reader.forget();
        for &column in wanted {
            out.clear();
            reader.read(&columns, column, &mut out);
            black_box(&out);
        }
    };
    let decode = least(rows * all.len(), || read(&all));
    let decode_changing = least(rows * changing.len(), || read(&changing));
    let alone = |wanted: &[usize], read: &mut dyn FnMut(&[usize])| {
        let mut times: Vec<f64> = wanted.iter().map(|&c| least(1, || read(&[c]))).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0.0);
        format!("{:.0} ns median, {:.0} ns p95", at(50), at(95))
    };
    println!(
        "{}: {} columns ({} change) of {rows} rows, {:.3} B/sample",
        path.display(),
        all.len(),
        changing.len(),
        columns.bytes() as f64 / (rows * all.len()) as f64
    );
    println!("  encode {encode:.1} ns/sample");
    println!("  decode {decode:.2} ns/sample, {decode_changing:.2} where values change");
    println!("  one column alone: {}", alone(&all, &mut read));
    println!("  one that changes: {}", alone(&changing, &mut read));
    Ok(())
}

fn block(path: &Path) -> Result<()> {
    let (target, range) = sealed_window(path)?;
    let selection = target.store().snapshot().select(&[], range)?;
    let mut out = Samples::default();
    let mut samples = 0;
    for series in &selection.series {
        series.read(range, &mut out)?;
        samples += out.len();
    }
    let read = least(samples, || {
        for series in &selection.series {
            drop(series.read(range, &mut out));
            black_box(&out);
        }
    });
    println!("  series of a block: {read:.2} ns/sample");
    Ok(())
}
