//! OpenMetrics text with a time on every sample.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use narthex_expo::{Line, Lines};
use narthex_model::LabelsBuilder;
use narthex_store::fs::DiskFs;

use super::gather::Gather;
use super::head::Head;
use super::part::{LeftOut, Part};
use super::prometheus::Block;
use super::spill;
use crate::ctl::progress::Progress;

/// Memory for samples before they are put aside, in bytes.
pub(super) const GATHER_BYTES_MAX: usize = 96 << 20;

/// Longest line, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) parts: Vec<Box<dyn Part>>,
    /// Names the bytes that were read, whatever the files are called.
    pub(super) origin: String,
}

/// Reads all of `files`, one of which may be `-`, the standard input. What the memory does not
/// hold within `bytes_max` is put aside in the folder of `fs`.
pub(super) fn read(
    files: &[&str],
    fs: &DiskFs,
    bytes_max: usize,
    progress: &mut Progress<'_>,
) -> Result<Source, String> {
    let (mut text, mut parts) = (Text::default(), Vec::new());
    for file in files {
        let input: Box<dyn Read> = match *file {
            "-" => Box::new(std::io::stdin().lock()),
            file => Box::new(File::open(Path::new(file)).map_err(|e| format!("{file}: {e}\n"))?),
        };
        let mut input = BufReader::with_capacity(1 << 20, input);
        text.begin_file();
        while text.line(&mut input).map_err(|e| format!("{file}: {e}\n"))? {
            if text.gather.bytes() > bytes_max {
                parts.push(put_aside(&mut text.gather, fs)?);
            }
            progress.add(std::mem::take(&mut text.samples));
        }
    }
    let origin = format!("openmetrics: {} bytes, crc32c {:08x}", text.bytes, text.checksum);
    if parts.is_empty() {
        parts.extend(Head::of(text.gather).map(|part| Box::new(part) as Box<dyn Part>));
    } else if text.gather.samples() > 0 {
        parts.push(put_aside(&mut text.gather, fs)?);
    }
    if parts.is_empty() {
        return Err("there are no samples in it\n".to_owned());
    }
    Ok(Source { parts, origin })
}

/// Writes what was gathered to disk, as a block of Prometheus.
fn put_aside(gather: &mut Gather, fs: &DiskFs) -> Result<Box<dyn Part>, String> {
    let Some(head) = Head::of(std::mem::take(gather)) else {
        return Err("there are no samples in it\n".to_owned());
    };
    let mut left_out = LeftOut::default();
    let (name, meta) = spill::write(&head, fs, &mut left_out)?;
    if let Some(what) = left_out.first {
        return Err(format!("{what}\n"));
    }
    Ok(Box::new(Block::open(fs, spill::FOLDER, name, meta)?))
}

/// The text so far.
#[derive(Debug, Default)]
struct Text {
    gather: Gather,
    lines: Lines,
    labels: LabelsBuilder,
    buffer: Vec<u8>,
    number: u64,
    ended: bool,
    samples: u64,
    bytes: u64,
    checksum: u32,
}

impl Text {
    fn begin_file(&mut self) {
        (self.number, self.ended, self.lines) = (0, false, Lines::default());
    }

    /// Takes the next line; `false` at the end.
    fn line(&mut self, input: &mut impl BufRead) -> Result<bool, String> {
        self.buffer.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|e| e.to_string())?;
        if read == 0 {
            let missing = "it ends without # EOF: cut off, or not OpenMetrics";
            return if self.ended { Ok(false) } else { Err(missing.to_owned()) };
        }
        self.number += 1;
        self.bytes += read as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, &self.buffer);
        let number = self.number;
        let at_line = |what: &dyn std::fmt::Display| format!("line {number}: {what}");
        if self.ended {
            return Err(at_line(&"something behind # EOF"));
        }
        match self.lines.read(&self.buffer, &mut self.labels).map_err(|e| at_line(&e))? {
            Line::Meta => {}
            Line::End => self.ended = true,
            Line::Sample { at: None, .. } => {
                return Err(at_line(&"a sample without a timestamp"));
            }
            Line::Sample { value, at: Some(at) } => {
                let series = self.gather.find(&self.labels.build());
                if !self.gather.push(series, at, value) {
                    self.gather.push_late(series, at, value);
                }
                self.samples += 1;
            }
        }
        Ok(true)
    }
}
