//! The head of a Prometheus that has ended, in good order or not: what its log and the head's
//! chunks hold, as Prometheus itself puts it together at its start.

use std::collections::HashMap;
use std::io::ErrorKind;

use narthex_model::{Hashing, Labels, TimeRange};
use narthex_prometheus_tsdb::index::ChunkMeta;
use narthex_prometheus_tsdb::record::{self, Visit};
use narthex_prometheus_tsdb::{Encoding, head_chunks, wal};
use narthex_store::Fs;
use narthex_store::fs::FileView;

use super::gather::{Gather, IN_MEMORY};
use super::part::Part;

/// The head.
#[derive(Debug)]
pub(super) struct Head {
    gather: Gather,
    files: Vec<(String, FileView)>,
    times: TimeRange,
    samples: u64,
}

/// Reads the head; `None` if there is none. In-order samples before `floor` are in blocks.
pub(super) fn open(
    fs: &dyn Fs,
    folder: &str,
    floor: i64,
    notes: &mut Vec<String>,
) -> Result<Option<Head>, String> {
    let (files, mapped) = map_chunks(fs, folder, floor, notes)?;
    let mut replay = Replay { mapped, floor, ..Replay::default() };
    let segments = segments(fs, folder)?;
    if segments.is_empty() {
        return Ok(None);
    }
    for (path, log) in segments {
        replay.late = log == Log::OutOfOrder;
        replay_segment(fs, &path, &mut replay)
            .unwrap_or_else(|error| notes.push(format!("{folder}/{path}: {error}")));
    }
    replay.note(notes);
    let mut gather = replay.gather;
    gather.finish();
    let (times, samples) = (gather.times(), gather.samples() + replay.mapped_samples);
    Ok((times.start <= times.end).then_some(Head { gather, files, times, samples }))
}

impl Head {
    /// A head that was gathered otherwise; `None` if there is no sample in it.
    pub(super) fn of(mut gather: Gather) -> Option<Self> {
        gather.finish();
        let (times, samples) = (gather.times(), gather.samples());
        (times.start <= times.end).then_some(Self { gather, files: Vec::new(), times, samples })
    }
}

impl Part for Head {
    fn times(&self) -> TimeRange {
        self.times
    }

    fn samples(&self) -> u64 {
        self.samples
    }

    fn handles(&self) -> Result<Vec<u64>, String> {
        Ok((0..self.gather.series().len() as u64).collect())
    }

    fn series(&self, handle: u64, chunks: &mut Vec<ChunkMeta>) -> Result<Labels, String> {
        chunks.clear();
        let position = usize::try_from(handle).unwrap_or(usize::MAX);
        let series = self.gather.series().get(position).ok_or("no such series")?;
        chunks.extend_from_slice(&series.chunks);
        Ok(series.labels.clone())
    }

    fn chunk(&self, reference: u64) -> Result<(Encoding, &[u8]), String> {
        if reference & IN_MEMORY != 0 {
            return self.gather.chunk(reference);
        }
        let (file, offset) = narthex_prometheus_tsdb::chunks::place(reference);
        let (name, bytes) = self.files.get(file).ok_or("no such file of head chunks")?;
        match head_chunks::chunk_at(bytes, offset) {
            Ok(Some((chunk, _))) => Ok((chunk.encoding, chunk.data)),
            Ok(None) => Err(format!("{name}: no chunk at byte {offset}")),
            Err(error) => Err(format!("{name}: {error}")),
        }
    }

    fn deleted(&self, handle: u64) -> &[(i64, i64)] {
        let position = usize::try_from(handle).unwrap_or(usize::MAX);
        self.gather.series().get(position).map_or(&[], |series| &series.deleted)
    }
}

/// Chunks of the head by the series' reference; with whether they came out of order, and how many
/// samples they hold.
type Mapped = HashMap<u64, Vec<(ChunkMeta, bool, u16)>, Hashing>;

fn map_chunks(
    fs: &dyn Fs,
    folder: &str,
    floor: i64,
    notes: &mut Vec<String>,
) -> Result<(Vec<(String, FileView)>, Mapped), String> {
    let (mut files, mut mapped) = (Vec::new(), Mapped::default());
    for name in numbered(fs, "chunks_head")? {
        let path = format!("chunks_head/{name}");
        let bytes = fs.map(&path).map_err(|e| format!("{folder}/{path}: {e}\n"))?;
        let file = files.len() as u64;
        let walked = head_chunks::walk(&bytes, |place, chunk| {
            if chunk.out_of_order || chunk.times.1 >= floor {
                let meta = ChunkMeta { reference: file << 32 | place, times: chunk.times };
                let count = narthex_prometheus_tsdb::xor::count(chunk.data).unwrap_or(0);
                let list = mapped.entry(chunk.series).or_default();
                list.push((meta, chunk.out_of_order, count));
            }
        });
        if let Err(error) = walked {
            notes.push(format!("{folder}/{path}: {error}"));
        }
        files.push((path, bytes));
    }
    Ok((files, mapped))
}

/// Which log a segment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    InOrder,
    OutOfOrder,
}

/// The segments in the order in which they are to be read: the last checkpoint, what follows it,
/// and the log of what came out of order.
fn segments(fs: &dyn Fs, folder: &str) -> Result<Vec<(String, Log)>, String> {
    let names = match fs.list("wal") {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{folder}/wal: {error}\n")),
    };
    let checkpoints = names.iter().filter_map(|name| {
        let number = name.strip_prefix("checkpoint.")?.parse::<u64>().ok()?;
        Some((number, name))
    });
    let mut segments = Vec::new();
    let mut first = 0;
    if let Some((number, name)) = checkpoints.max() {
        let path = format!("wal/{name}");
        for segment in numbered(fs, &path)? {
            segments.push((format!("{path}/{segment}"), Log::InOrder));
        }
        first = number + 1;
    }
    for segment in numbered(fs, "wal")? {
        if segment.parse::<u64>().is_ok_and(|number| number >= first) {
            segments.push((format!("wal/{segment}"), Log::InOrder));
        }
    }
    for segment in numbered(fs, "wbl")? {
        segments.push((format!("wbl/{segment}"), Log::OutOfOrder));
    }
    Ok(segments)
}

/// The files of a folder that are named by a number, in order; none if there is no such folder.
fn numbered(fs: &dyn Fs, folder: &str) -> Result<Vec<String>, String> {
    let names = match fs.list(folder) {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{folder}: {error}\n")),
    };
    let mut numbers: Vec<(u64, String)> =
        names.into_iter().filter_map(|name| Some((name.parse().ok()?, name))).collect();
    numbers.sort();
    Ok(numbers.into_iter().map(|(_, name)| name).collect())
}

/// Reads a segment page by page, as far as it is whole.
fn replay_segment(fs: &dyn Fs, path: &str, replay: &mut Replay) -> Result<(), String> {
    let file = fs.open(path).map_err(|e| e.to_string())?;
    let mut pages = wal::Pages::default();
    let mut page = vec![0; wal::PAGE_BYTES];
    let mut offset = 0;
    loop {
        let read = file.read_at(offset, &mut page).map_err(|e| e.to_string())?;
        offset += read as u64;
        let bytes = page.get(..read).unwrap_or_default();
        let mut bad = None;
        let mut visit = |record: &[u8]| {
            if let Err(error) = record::decode(record, replay) {
                bad.get_or_insert(error);
            }
        };
        pages.page(bytes, &mut visit).map_err(|e| format!("{e}; what follows is left out"))?;
        if let Some(error) = bad {
            return Err(format!("a record before byte {offset}: {error}"));
        }
        if read < page.len() {
            return Ok(());
        }
    }
}

/// Takes the records.
#[derive(Debug, Default)]
struct Replay {
    gather: Gather,
    by_reference: HashMap<u64, usize, Hashing>,
    mapped: Mapped,
    mapped_samples: u64,
    floor: i64,
    /// The records come from the log of what came out of order.
    late: bool,
    unknown: u64,
    passed_over: HashMap<&'static str, u64>,
}

impl Replay {
    fn note(&self, notes: &mut Vec<String>) {
        if self.unknown > 0 {
            notes.push(format!(
                "{} samples of the log are left out: nothing says of which series",
                self.unknown
            ));
        }
        for (what, count) in &self.passed_over {
            notes.push(format!("{count} records of the log are left out: {what}"));
        }
    }
}

impl Visit for Replay {
    fn series(&mut self, series: u64, labels: Labels) {
        let position = self.gather.find(&labels);
        self.by_reference.insert(series, position);
        let Some(found) = self.gather.get_mut(position) else { return };
        for (meta, out_of_order, count) in self.mapped.remove(&series).unwrap_or_default() {
            found.chunks.push(meta);
            self.mapped_samples += u64::from(count);
            if !out_of_order {
                // The log has these samples, too.
                found.pass(meta.times.1);
            }
        }
    }

    fn sample(&mut self, series: u64, at: i64, value: f64) {
        match self.by_reference.get(&series) {
            Some(&position) if self.late => self.gather.push_late(position, at, value),
            Some(&position) if at >= self.floor => {
                self.gather.push(position, at, value);
            }
            Some(_) => {}
            None => self.unknown += 1,
        }
    }

    fn tombstone(&mut self, series: u64, start: i64, end: i64) {
        let position = self.by_reference.get(&series).copied();
        if let Some(found) = position.and_then(|position| self.gather.get_mut(position)) {
            found.deleted.push((start, end));
        }
    }

    fn marker(&mut self, series: u64) {
        let position = self.by_reference.get(&series).copied();
        if let Some(found) = position.and_then(|position| self.gather.get_mut(position)) {
            found.forget_late();
        }
    }

    fn passed_over(&mut self, what: &'static str) {
        *self.passed_over.entry(what).or_default() += 1;
    }
}
