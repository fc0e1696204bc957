//! `narthex ctl dump`, `verify` and `stat`: what stands in the files of a data directory, whether
//! it is whole, and what it takes. Files are looked at one by one, without opening the store, so
//! that it works beside a running server and on files that no store would open.

use std::fmt::{Display, Write as _};
use std::io::Write;
use std::path::{Path, PathBuf};

use narthex_model::number::GoFloat;
use narthex_model::{TimeRange, Timestamp, is_absent, is_stale};
use narthex_store::fs::{DiskFs, FileView};
use narthex_store::{
    Block, BlockEntry, BlockSizes, Fs, LogEntry, RowBuf, inspect_chunks, inspect_cursors,
    inspect_journal, inspect_log, inspect_tombstones,
};

use super::{Outcome, say};
use crate::clock::rfc3339;

/// Which of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Print what stands in it.
    Dump,
    /// Check every checksum.
    Verify,
    /// Print sizes and counts.
    Stat,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A segment of the log, with its number.
    Log(u64),
    Cursors,
    Tombstones,
    Journal,
    /// A chunk file, with its number.
    Chunks(u64),
    Block,
    /// Lines of text, each behind its checksum.
    Lines,
}

impl Kind {
    /// The kind of a file by its name and, where names are free, its folder's.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let numbered = |end: &str| name.strip_suffix(end).and_then(|number| number.parse().ok());
        let folder = path.parent().and_then(Path::file_name);
        if let Some(kind) = numbered(".wal").map(Self::Log) {
            return Some(kind);
        }
        if let Some(kind) = numbered(".chunks").map(Self::Chunks) {
            return Some(kind);
        }
        match name {
            "tombstones.0" | "tombstones.1" => Some(Self::Tombstones),
            _ if folder.is_some_and(|it| it == "journals") => Some(Self::Journal),
            "cursors.0" | "cursors.1" => Some(Self::Cursors),
            "imports" | "scrub" => Some(Self::Lines),
            _ => {
                let block = name.strip_suffix(".bad").unwrap_or(name).strip_suffix(".block");
                block.map(|_| Self::Block)
            }
        }
    }
}

/// Runs a command on files, and on all files of folders.
pub(super) fn run(command: Command, paths: &[&str], out: &mut dyn Write) -> Outcome {
    let mut files = Vec::new();
    for path in paths {
        let path = Path::new(path);
        if path.is_dir() { collect(path, &mut files)? } else { files.push(path.to_owned()) }
    }
    let mut look = Look { command, out, damaged: 0, totals: Totals::default() };
    for file in &files {
        look.file(file)?;
    }
    if command == Command::Stat {
        look.total(files.len())?;
    }
    match look.damaged {
        0 => Ok(()),
        count => Err(format!("{count} damaged places\n")),
    }
}

/// The files of a data directory, or of a folder in it, that are of a known kind.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}\n", folder.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    for path in entries {
        let known = Kind::of(&path).is_some();
        if path.is_dir() {
            collect(&path, files)?;
        } else if known {
            files.push(path);
        }
    }
    Ok(())
}

/// What all files take.
#[derive(Debug, Default)]
struct Totals {
    bytes: u64,
    log_bytes: u64,
    log_samples: u64,
    block_bytes: u64,
    block_samples: u64,
}

/// A command at work.
struct Look<'a> {
    command: Command,
    out: &'a mut dyn Write,
    damaged: u64,
    totals: Totals,
}

impl Look<'_> {
    fn file(&mut self, path: &Path) -> Outcome {
        let shown = path.display();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let kind = Kind::of(path).ok_or(format!(
            "{shown}: not a file of a data directory: its name is not one of theirs\n"
        ))?;
        // A folder of its own for each file, so that one file alone can be looked at.
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let fs =
            DiskFs::new(folder.unwrap_or(Path::new("."))).map_err(|e| format!("{shown}: {e}\n"))?;
        let len = fs.file_len(name).map_err(|e| format!("{shown}: {e}\n"))?;
        self.totals.bytes += len;
        if self.command == Command::Dump {
            say(self.out, &format!("# {shown}: {len} bytes\n"))?;
        }
        if kind == Kind::Block {
            let view = fs.map(name).map_err(|e| format!("{shown}: {e}\n"))?;
            return match Block::open(&shown.to_string(), view) {
                Ok(block) => self.block(path, &block),
                Err(error) => self.damage(&error),
            };
        }
        let bytes = fs.read(name).map_err(|e| format!("{shown}: {e}\n"))?;
        match kind {
            Kind::Log(number) => self.log(path, number, &bytes),
            Kind::Cursors => self.cursors(path, &bytes),
            Kind::Tombstones => self.tombstones(path, &bytes),
            Kind::Journal => self.journal(path, &bytes),
            Kind::Chunks(number) => self.chunks(path, number, bytes),
            _ => self.lines(path, &bytes),
        }
    }

    /// Tells of damage, which makes the command fail in the end.
    fn damage(&mut self, what: &dyn Display) -> Outcome {
        self.damaged += 1;
        say(self.out, &format!("{what}\n"))
    }

    /// Says that a file is whole, if that was the question.
    fn whole(&mut self, path: &Path, damaged_before: u64) -> Outcome {
        if self.command == Command::Verify && self.damaged == damaged_before {
            say(self.out, &format!("{}: good\n", path.display()))?;
        }
        Ok(())
    }

    fn log(&mut self, path: &Path, number: u64, bytes: &[u8]) -> Outcome {
        let before = self.damaged;
        let (command, mut result) = (self.command, Ok(()));
        let (out, damaged) = (&mut *self.out, &mut self.damaged);
        let seen = inspect_log(number, bytes, &mut |offset, entry| {
            let bad = matches!(entry, LogEntry::Damaged | LogEntry::Malformed | LogEntry::Torn(_));
            *damaged += u64::from(bad);
            if result.is_ok() && (bad || command == Command::Dump) {
                let place = if command == Command::Dump {
                    format!("{offset:>10}")
                } else {
                    format!("{}: damaged at byte {offset}", path.display())
                };
                result = say(out, &format!("{place} {}\n", log_entry(&entry)));
            }
        });
        result?;
        self.totals.log_bytes += bytes.len() as u64;
        self.totals.log_samples += seen.samples;
        if self.command == Command::Stat {
            let end = if seen.ended { "closed" } else { "not closed" };
            say(
                self.out,
                &format!(
                    "{}: log, {} bytes, {} records, {} rows, {} samples, {} B/sample, {end}\n",
                    path.display(),
                    bytes.len(),
                    seen.records,
                    seen.rows,
                    seen.samples,
                    per(bytes.len() as u64, seen.samples),
                ),
            )?;
        }
        self.whole(path, before)
    }

    fn block(&mut self, path: &Path, block: &Block) -> Outcome {
        let (before, meta) = (self.damaged, block.meta());
        self.totals.block_bytes += meta.bytes;
        self.totals.block_samples += meta.samples;
        match self.command {
            Command::Dump => {
                say(
                    self.out,
                    &format!("window {}\ntimes {}\n", range(meta.window), range(meta.times)),
                )?;
                say(
                    self.out,
                    &format!(
                        "rows {} to {}, {} samples, {} series, {} chunks\n",
                        meta.first_seq, meta.last_seq, meta.samples, meta.series, meta.chunks
                    ),
                )?;
                let (mut result, out, damaged) = (Ok(()), &mut *self.out, &mut self.damaged);
                block.entries(&mut |entry| {
                    *damaged += u64::from(matches!(entry, BlockEntry::Damaged(_)));
                    if result.is_ok() {
                        result = say(out, &format!("{}\n", block_entry(&entry)));
                    }
                });
                result
            }
            Command::Verify => {
                for fault in block.verify() {
                    self.damage(&fault)?;
                }
                self.whole(path, before)
            }
            Command::Stat => match block.sizes() {
                Ok(sizes) => say(self.out, &block_sizes(path, block, &sizes)),
                Err(error) => self.damage(&error),
            },
        }
    }

    fn cursors(&mut self, path: &Path, bytes: &[u8]) -> Outcome {
        let before = self.damaged;
        let Some((generation, places)) = inspect_cursors(bytes) else {
            let shown = path.display();
            return self
                .damage(&format!("{shown}: damaged at byte 0: the file's checksum is wrong"));
        };
        match self.command {
            Command::Dump => {
                say(self.out, &format!("generation {generation}\n"))?;
                for (name, seq) in places {
                    say(self.out, &format!("{name} is done with rows up to {seq}\n"))?;
                }
                Ok(())
            }
            Command::Verify => self.whole(path, before),
            Command::Stat => {
                let (shown, len, count) = (path.display(), bytes.len(), places.len());
                say(self.out, &format!("{shown}: cursors, {len} bytes, {count} cursors\n"))
            }
        }
    }

    fn tombstones(&mut self, path: &Path, bytes: &[u8]) -> Outcome {
        let (before, shown) = (self.damaged, path.display());
        let Some((generation, deleted)) = inspect_tombstones(bytes) else {
            return self
                .damage(&format!("{shown}: damaged at byte 0: the file's checksum is wrong"));
        };
        match self.command {
            Command::Dump => {
                say(self.out, &format!("generation {generation}\n"))?;
                for (series, times) in deleted {
                    say(self.out, &format!("series {series} is deleted {}\n", range(times)))?;
                }
                Ok(())
            }
            Command::Verify => self.whole(path, before),
            Command::Stat => {
                let (len, count) = (bytes.len(), deleted.len());
                say(self.out, &format!("{shown}: tombstones, {len} bytes, {count} entries\n"))
            }
        }
    }

    fn journal(&mut self, path: &Path, bytes: &[u8]) -> Outcome {
        let (before, shown) = (self.damaged, path.display());
        let (records, whole) = inspect_journal(bytes);
        if whole < bytes.len() {
            self.damage(&format!("{shown}: damaged at byte {whole}: no record from here on"))?;
        }
        match self.command {
            Command::Dump => {
                for record in records {
                    say(self.out, &format!("{}\n", record.escape_ascii()))?;
                }
                Ok(())
            }
            Command::Verify => self.whole(path, before),
            Command::Stat => {
                let (len, count) = (bytes.len(), records.len());
                say(self.out, &format!("{shown}: journal, {len} bytes, {count} records\n"))
            }
        }
    }

    fn chunks(&mut self, path: &Path, number: u64, bytes: Vec<u8>) -> Outcome {
        let (before, len, shown) = (self.damaged, bytes.len(), path.display());
        let (mut entries, mut rows) = (Vec::new(), 0);
        inspect_chunks(number, &FileView::owned(bytes), &mut |offset, entry| {
            rows += entry.map_or(0, |entry| entry.rows);
            entries.push((offset, entry));
        });
        let count = entries.len();
        for (offset, entry) in entries {
            match entry {
                None => self
                    .damage(&format!("{shown}: damaged at byte {offset}: no chunk from here on"))?,
                Some(entry) if entry.damaged_groups > 0 => {
                    let groups = entry.damaged_groups;
                    let what = format!("{groups} groups of columns in the chunk");
                    self.damage(&format!("{shown}: damaged at byte {offset}: {what}"))?;
                }
                Some(entry) if self.command == Command::Dump => {
                    let times = TimeRange::new(entry.first.0, entry.last.0);
                    let text = format!(
                        "{offset:>10} chunk of layout {}: {} rows {} to {} {}, {} columns\n",
                        entry.layout,
                        entry.rows,
                        entry.first.1,
                        entry.last.1,
                        range(times),
                        entry.columns,
                    );
                    say(self.out, &text)?;
                }
                Some(_) => {}
            }
        }
        if self.command == Command::Stat {
            say(
                self.out,
                &format!("{shown}: chunk file, {len} bytes, {count} chunks, {rows} rows\n"),
            )?;
        }
        self.whole(path, before)
    }

    fn lines(&mut self, path: &Path, bytes: &[u8]) -> Outcome {
        let (before, mut offset, mut count) = (self.damaged, 0, 0);
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            let good = text.trim_end().split_once(' ').is_some_and(|(sum, rest)| {
                u32::from_str_radix(sum, 16) == Ok(crc32c::crc32c(rest.as_bytes()))
            });
            if !good && !text.trim_end().is_empty() {
                let shown = path.display();
                self.damage(&format!("{shown}: damaged at byte {offset}: the line's checksum"))?;
            } else if self.command == Command::Dump {
                say(self.out, &text)?;
            }
            offset += line.len();
            count += 1;
        }
        if self.command == Command::Stat {
            let shown = path.display();
            say(self.out, &format!("{shown}: text, {offset} bytes, {count} lines\n"))?;
        }
        self.whole(path, before)
    }

    fn total(&mut self, files: usize) -> Outcome {
        let all = &self.totals;
        let text = format!(
            "{files} files, {} bytes; blocks {} B/sample, log {} B/sample\n",
            all.bytes,
            per(all.block_bytes, all.block_samples),
            per(all.log_bytes, all.log_samples),
        );
        say(self.out, &text)
    }
}

fn log_entry(entry: &LogEntry<'_>) -> String {
    match entry {
        LogEntry::Head(series, source, layout) => {
            format!("head: next series {series}, source {source}, layout {layout}")
        }
        LogEntry::Series(series, labels) => format!("series {series} {labels}"),
        LogEntry::Layout(layout, source) => format!("layout {layout} of source {}", source.0),
        LogEntry::Columns(layout, series) => {
            let names: Vec<String> = series.iter().map(ToString::to_string).collect();
            format!("layout {layout} has columns {}", names.join(" "))
        }
        LogEntry::Drop(layout) => format!("layout {layout} ends"),
        LogEntry::Row(row) => log_row(row),
        LogEntry::End(seq) => format!("end; the next row is {seq}"),
        LogEntry::Damaged => "damaged: no record here".to_owned(),
        LogEntry::Malformed => "damaged: a record that makes no sense".to_owned(),
        LogEntry::Torn(bytes) => {
            format!("torn or damaged: no record in the last {bytes} bytes")
        }
    }
}

fn log_row(row: &RowBuf) -> String {
    let mut text = format!("row {} of layout {} at {}:", row.seq, row.layout, rfc3339(row.at));
    for &value in &row.values {
        text.push(' ');
        match value {
            value if is_absent(value) => text.push('-'),
            value if is_stale(value) => text.push_str("stale"),
            value => text.push_str(&GoFloat(value).to_string()),
        }
    }
    text
}

fn block_entry(entry: &BlockEntry<'_>) -> String {
    match entry {
        BlockEntry::Chunk { offset, bytes, layout, source, times, rows, columns } => format!(
            "{offset:>10} chunk of {bytes} bytes: layout {layout} of source {}, {rows} rows {}, \
             columns {} to {}",
            source.0,
            range(*times),
            columns.0,
            columns.0 + columns.1,
        ),
        BlockEntry::Series { series, labels, places } => {
            let places: Vec<String> =
                places.iter().map(|(layout, column)| format!("{layout}:{column}")).collect();
            format!("series {series} {labels} in {}", places.join(" "))
        }
        BlockEntry::Damaged(error) => error.to_string(),
    }
}

fn block_sizes(path: &Path, block: &Block, sizes: &BlockSizes) -> String {
    let meta = block.meta();
    let parts = [
        ("values", sizes.values),
        ("times", sizes.times),
        ("places of rows", sizes.places),
        ("directory", sizes.directory),
        ("second heads", sizes.copies),
        ("checksums", sizes.checksums),
        ("symbols", sizes.symbols),
        ("series", sizes.series),
        ("layouts", sizes.layouts),
        ("postings", sizes.postings),
        ("footers", sizes.footers),
        ("padding", sizes.padding),
    ];
    let mut text = format!(
        "{}: block, {} bytes, {} samples, {} series, {} chunks, {} B/sample, {}\n",
        path.display(),
        meta.bytes,
        meta.samples,
        meta.series,
        meta.chunks,
        per(meta.bytes, meta.samples),
        range(meta.times),
    );
    for (name, bytes) in parts {
        let _ = writeln!(text, "  {name:<16}{bytes:>12}  {} B/sample", per(bytes, meta.samples));
    }
    text
}

fn range(range: TimeRange) -> String {
    let show = |at: Timestamp| rfc3339(at);
    format!("{} to {}", show(range.start), show(range.end))
}

/// Bytes per sample.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn per(bytes: u64, samples: u64) -> String {
    if samples == 0 { "-".to_owned() } else { format!("{:.3}", bytes as f64 / samples as f64) }
}

#[cfg(test)]
mod tests;
