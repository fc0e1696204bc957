//! Does one of the program's expensive things a given number of times, for counting instructions:
//! `hotpath WHAT RECORDING TIMES` prints how many units (samples, series, points) that were. The
//! difference between two counts leaves the start-up out.
//!
//! - `scrape`: bodies of one target, one after another: samples
//! - `series`: the first body of that many targets: series
//! - `window`: scrapes of a whole block window, then its sealing: samples
//! - `read`: the rows of 640 bodies read back: samples
//! - `forward`: the same, and made into requests of remote write: samples
//! - `wire`: one such turn: bytes of the requests, for 1000 samples
//! - `encode`: the columns of a window's chunk: samples
//! - `decode`: these columns read back, one after the other: samples
//! - `changing`: those of them that are not constant: samples
//! - `block`: all series of a sealed window, as a query reads them: samples
//! - `query`: a range query of `rate` over the CPU counters of the target: points of the answer
#![expect(clippy::print_stdout, reason = "a program that tells a script a number")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use narthex_benches::{
    StandingClock, Target, WINDOW_SCRAPES, bodies, is_changing, sealed_window, window_columns,
};
use narthex_model::{Labels, Timestamp};
use narthex_promql::{Options, Value};
use narthex_remote::{Requests, Version};
use narthex_store::testing::{ColumnReader, Columns};
use narthex_store::{RowBuf, RowSeq, Samples};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, path, times] = args.as_slice() else {
        bail!("usage: hotpath WHAT RECORDING TIMES");
    };
    let bodies = bodies(Path::new(path))?;
    let times: usize = times.parse().context("how many times?")?;
    let units = match what.as_str() {
        "scrape" => scrape(&bodies, times),
        "series" => series(&bodies, times),
        "window" => window(&bodies, times),
        "read" => read(&bodies, times),
        "forward" => forward(&bodies, times).map(|(samples, _)| samples),
        "wire" => forward(&bodies, times).map(|(samples, bytes)| bytes * 1000 / samples),
        "encode" => encode(Path::new(path), times),
        "decode" => decode(Path::new(path), times, |_| true),
        "changing" => decode(Path::new(path), times, is_changing),
        "block" => block(Path::new(path), times),
        "query" => query(&bodies, times),
        _ => bail!("{what} is not known"),
    };
    println!("{}", units?);
    Ok(())
}

fn scrape(bodies: &[Vec<u8>], times: usize) -> Result<u64> {
    ensure!(times <= bodies.len(), "the recording has {} bodies", bodies.len());
    let mut target = Target::new("localhost:9100")?;
    bodies.iter().take(times).try_fold(0, |samples, body| Ok(samples + target.absorb(body)?))
}

fn series(bodies: &[Vec<u8>], times: usize) -> Result<u64> {
    let body = bodies.first().context("a body")?;
    let mut target = Target::new("localhost:9100")?;
    let mut series = target.absorb(body)?;
    for at in 0..times {
        target.replace(&format!("localhost:{at}"))?;
        series += target.absorb(body)?;
    }
    Ok(series)
}

fn window(bodies: &[Vec<u8>], times: usize) -> Result<u64> {
    let mut target = Target::new("localhost:9100")?;
    let mut samples = 0;
    // A window is sealed when half of the next one has passed.
    let scrapes = WINDOW_SCRAPES * times + WINDOW_SCRAPES * 3 / 4;
    for (at, body) in bodies.iter().cycle().take(scrapes).enumerate() {
        samples += target.absorb(body)?;
        if at % (WINDOW_SCRAPES / 4) == 0 {
            target.store().upkeep()?;
        }
    }
    Ok(samples)
}

/// Bodies whose rows are forwarded again and again.
const FORWARDED: usize = 640;

fn read(bodies: &[Vec<u8>], times: usize) -> Result<u64> {
    let mut target = Target::new("localhost:9100")?;
    for body in bodies.iter().cycle().take(FORWARDED) {
        target.absorb(body)?;
    }
    let (mut row, mut samples) = (RowBuf::default(), 0);
    for _ in 0..times {
        let mut rows = target.store().rows_after(RowSeq(0))?;
        while rows.next(&mut row)? {
            samples += row.values.len() as u64;
        }
    }
    Ok(samples)
}

fn forward(bodies: &[Vec<u8>], times: usize) -> Result<(u64, u64)> {
    let mut target = Target::new("localhost:9100")?;
    for body in bodies.iter().cycle().take(FORWARDED) {
        target.absorb(body)?;
    }
    let clock = Arc::new(StandingClock::default());
    let store = Arc::clone(target.store());
    let (none, version) = (Labels::empty(), Version::V1);
    let mut requests = Requests::new(version, store, clock, none, Vec::new(), 20_000);
    let (mut samples, mut bytes) = (0, 0);
    for _ in 0..times {
        requests.rewind();
        while let Some((body, count)) = requests.next_body() {
            samples += count as u64;
            bytes += body.len() as u64;
        }
    }
    Ok((samples, bytes))
}

fn encode(path: &Path, times: usize) -> Result<u64> {
    let values = window_columns(path)?;
    let mut columns = Columns::default();
    let rows = values.first().map_or(0, Vec::len);
    (0..times).for_each(|_| columns.encode(&values));
    Ok((times * rows * columns.len()) as u64)
}

fn decode(path: &Path, times: usize, wanted: impl Fn(&[f64]) -> bool) -> Result<u64> {
    let values = window_columns(path)?;
    let mut columns = Columns::default();
    columns.encode(&values);
    let wanted: Vec<usize> = (0..values.len()).filter(|&c| wanted(&values[c])).collect();
    let (mut reader, mut out, mut samples) = (ColumnReader::default(), Vec::new(), 0);
    for _ in 0..times {
        reader.forget();
        for &column in &wanted {
            out.clear();
            reader.read(&columns, column, &mut out);
            samples += out.len() as u64;
        }
    }
    Ok(samples)
}

fn block(path: &Path, times: usize) -> Result<u64> {
    let (target, range) = sealed_window(path)?;
    let selection = target.store().snapshot().select(&[], range)?;
    let (mut out, mut count) = (Samples::default(), 0);
    for _ in 0..times {
        for series in &selection.series {
            series.read(range, &mut out)?;
            count += out.len() as u64;
        }
    }
    Ok(count)
}

fn query(bodies: &[Vec<u8>], times: usize) -> Result<u64> {
    let mut target = Target::new("localhost:9100")?;
    let first = target.now();
    for body in bodies.iter().cycle().take(WINDOW_SCRAPES / 2) {
        target.absorb(body)?;
    }
    let plan = narthex_promql::parse("rate(node_cpu_seconds_total[5m])")?;
    let step = Duration::from_secs(15);
    let start = Timestamp(first.0 + 600_000);
    let mut points = 0;
    for _ in 0..times {
        let snapshot = target.store().snapshot();
        let options = Options::default();
        let output = narthex_promql::range(&plan, &snapshot, start, target.now(), step, &options)?;
        if let Value::Matrix(series) = output.value {
            points += series.iter().map(|series| series.values.len() as u64).sum::<u64>();
        }
    }
    Ok(points)
}
