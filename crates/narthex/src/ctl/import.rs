//! `narthex ctl import`: samples from elsewhere into a data directory.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use narthex_model::{TimeRange, Timestamp};
use narthex_store::fs::DiskFs;
use narthex_store::{Error, Import, Options};

use super::args::Args;
use super::progress::Progress;
use super::{Outcome, say};
use crate::clock::SystemClock;

mod fill;
mod gather;
mod head;
mod openmetrics;
mod part;
mod prometheus;
mod rows;
mod spill;

use fill::Targets;
use part::{LeftOut, Part};

const FLAGS: [&str; 3] = ["storage.tsdb.path", "min-time", "max-time"];

/// Runs `import KIND ...`.
pub(super) fn run(words: &[&str], out: &mut dyn Write, notes: &mut dyn Write) -> Outcome {
    let args = Args::parse(words, &FLAGS)?;
    match args.words.as_slice() {
        ["prometheus", folder] => {
            let source = prometheus::open(folder)?;
            for note in &source.notes {
                say(notes, &format!("note: {note}\n"))?;
            }
            let place = std::fs::canonicalize(folder).map_err(|e| format!("{folder}: {e}\n"))?;
            let origin = format!("prometheus {}", place.display());
            import(&source.parts, &origin, &args, (out, notes))
        }
        ["openmetrics", files @ ..] if !files.is_empty() => {
            let spill = spill::Spill::new(args.data_dir())?;
            let mut progress = Progress::new(notes, "read", 0);
            let source =
                openmetrics::read(files, &spill.fs, openmetrics::GATHER_BYTES_MAX, &mut progress)?;
            progress.finish();
            import(&source.parts, &source.origin, &args, (out, notes))
        }
        _ => Err(super::HELP.to_owned()),
    }
}

/// Imports all that `parts` have, and that was not imported from `origin` before.
fn import(
    parts: &[Box<dyn Part>],
    origin: &str,
    args: &Args<'_>,
    (out, notes): (&mut dyn Write, &mut dyn Write),
) -> Outcome {
    let folder = args.data_dir();
    let mut import = open(folder, origin)?;
    let windows = plan(parts, &import, args.range()?, folder)?;
    let mut left_out = LeftOut::default();
    let targets = Targets::new(parts, &mut left_out);
    let total = parts.iter().map(|part| part.samples()).sum();
    let mut progress = Progress::new(notes, "imported", total);
    let (mut blocks, mut bytes, mut samples) = (0, 0, 0);
    for window in windows {
        let mut block = import.block(window).map_err(|e| failed(folder, &e))?;
        fill::fill(parts, &targets, window, &mut block, (&mut left_out, &mut progress))?;
        if let Some(meta) = block.finish().map_err(|e| failed(folder, &e))? {
            blocks += 1;
            bytes += meta.bytes;
            samples += meta.samples;
        }
    }
    progress.finish();
    import.finish().map_err(|e| failed(folder, &e))?;
    if left_out.histograms > 0 {
        let count = left_out.histograms;
        progress.say(&format!("note: {count} native histograms are left out: not supported yet"));
    }
    say(out, &format!("imported {samples} samples as {blocks} blocks of {bytes} bytes\n"))?;
    match left_out.first {
        Some(first) => Err(format!(
            "{} damaged series or chunks are left out, first: {first}\n",
            left_out.damaged
        )),
        None => Ok(()),
    }
}

fn open(folder: &str, origin: &str) -> Result<Import, String> {
    let fs = DiskFs::new(Path::new(folder)).map_err(|e| format!("{folder}: {e}\n"))?;
    let opened = narthex_store::open(
        Arc::new(fs),
        Arc::new(SystemClock::new()),
        // Whatever the server's limits are, nothing is removed here.
        Options::default(),
    );
    let (_, writer) = opened.map_err(|e| failed(folder, &e))?;
    Import::begin(writer, origin).map_err(|e| failed(folder, &e))
}

/// The windows to import, in order of time.
fn plan(
    parts: &[Box<dyn Part>],
    import: &Import,
    wanted: TimeRange,
    folder: &str,
) -> Result<Vec<TimeRange>, String> {
    let times = || parts.iter().map(|part| part.times());
    let start = times().map(|times| times.start).min().unwrap_or(Timestamp(0)).max(wanted.start);
    let end = times().map(|times| times.end).max().unwrap_or(Timestamp(-1)).min(wanted.end);
    let span = import.span_ms();
    let mut windows = Vec::new();
    let mut from = start.0;
    while from <= end.0 {
        let next = from.div_euclid(span).saturating_add(1).saturating_mul(span);
        let covered = import.done().iter().find(|done| done.contains(Timestamp(from)));
        if let Some(done) = covered {
            from = done.end.0.saturating_add(1);
            continue;
        }
        let ahead = import.done().iter().map(|done| done.start.0).filter(|&at| at > from).min();
        let to = end.0.min(next - 1).min(ahead.map_or(i64::MAX, |at| at - 1));
        let window = TimeRange::new(Timestamp(from), Timestamp(to));
        if times().any(|times| times.overlaps(window)) {
            windows.push(window);
        }
        from = to.saturating_add(1);
    }
    for &window in &windows {
        if let Some(own) = import.obstacle(window) {
            let show = crate::clock::rfc3339;
            return Err(format!(
                "{folder} has samples of its own from {} to {}, which those to be imported ({} to \
                 {}) would overlap. Nothing was imported; choose what is before or after them with \
                 --max-time or --min-time\n",
                show(own.start),
                show(own.end),
                show(start),
                show(end),
            ));
        }
    }
    Ok(windows)
}

fn failed(folder: &str, error: &Error) -> String {
    match error {
        Error::Locked(_) => format!("{folder} is in use: stop the narthex that writes to it\n"),
        error => format!("{folder}: {error}\n"),
    }
}

#[cfg(test)]
mod tests;
