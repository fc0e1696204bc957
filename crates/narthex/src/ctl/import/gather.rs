//! Samples that come one by one, kept in memory as compressed chunks.

use std::collections::HashMap;

use narthex_model::{Hashing, Labels, TimeRange, Timestamp};
use narthex_prometheus_tsdb::index::ChunkMeta;
use narthex_prometheus_tsdb::{Encoding, xor};

/// Set in the references of chunks that are in memory.
pub(super) const IN_MEMORY: u64 = 1 << 63;

/// Memory of a series beside its labels and samples, its open chunk included, in bytes.
const SERIES_BYTES: usize = size_of::<Gathered>() + 512;
/// Memory of a chunk beside its bytes.
const CHUNK_BYTES: usize = size_of::<ChunkMeta>() + 32;

/// Series with their samples.
#[derive(Debug, Default)]
pub(super) struct Gather {
    by_labels: HashMap<Labels, usize, Hashing>,
    series: Vec<Gathered>,
    memory: Vec<Box<[u8]>>,
    bytes: usize,
    samples: u64,
}

/// One series.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) labels: Labels,
    pub(super) chunks: Vec<ChunkMeta>,
    pub(super) deleted: Vec<(i64, i64)>,
    open: xor::Appender,
    open_start: i64,
    /// The time of the last sample that came in order.
    last: Option<i64>,
    late: Vec<(i64, f64)>,
}

impl Gather {
    /// The position of the series with these labels.
    pub(super) fn find(&mut self, labels: &Labels) -> usize {
        if let Some(&position) = self.by_labels.get(labels) {
            return position;
        }
        let position = self.series.len();
        self.by_labels.insert(labels.clone(), position);
        self.series.push(Gathered {
            labels: labels.clone(),
            chunks: Vec::new(),
            deleted: Vec::new(),
            open: xor::Appender::default(),
            open_start: 0,
            last: None,
            late: Vec::new(),
        });
        self.bytes += labels.heap_bytes() + SERIES_BYTES;
        position
    }

    /// All series.
    pub(super) fn series(&self) -> &[Gathered] {
        &self.series
    }

    /// A series, to be changed.
    pub(super) fn get_mut(&mut self, position: usize) -> Option<&mut Gathered> {
        self.series.get_mut(position)
    }

    /// About how many bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Samples taken.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Adds a sample that is later than all before it of its series; others are not taken.
    pub(super) fn push(&mut self, position: usize, at: i64, value: f64) -> bool {
        let Some(series) = self.series.get_mut(position) else { return false };
        if series.last.is_some_and(|last| at <= last) {
            return false;
        }
        if series.open.len() >= xor::SAMPLES_BEST {
            let chunk = series.cut();
            self.bytes += chunk.len() + CHUNK_BYTES;
            series.keep(chunk, &mut self.memory);
        }
        if series.open.is_empty() {
            series.open_start = at;
        }
        series.open.push(at, value);
        series.last = Some(at);
        self.samples += 1;
        true
    }

    /// Adds a sample of any time; of several at one time the first stays.
    pub(super) fn push_late(&mut self, position: usize, at: i64, value: f64) {
        if let Some(series) = self.series.get_mut(position) {
            series.late.push((at, value));
            self.bytes += size_of::<(i64, f64)>();
            self.samples += 1;
        }
    }

    /// Cuts what is open, so that all samples are in chunks.
    pub(super) fn finish(&mut self) {
        for series in &mut self.series {
            if !series.open.is_empty() {
                let chunk = series.cut();
                series.keep(chunk, &mut self.memory);
            }
            let mut late = std::mem::take(&mut series.late);
            late.sort_by_key(|&(at, _)| at);
            late.dedup_by_key(|&mut (at, _)| at);
            for samples in late.chunks(xor::SAMPLES_BEST.into()) {
                for &(at, value) in samples {
                    series.open.push(at, value);
                }
                let times = (samples.first(), samples.last());
                let (Some(&(start, _)), Some(&(end, _))) = times else { continue };
                let reference = IN_MEMORY | self.memory.len() as u64;
                series.chunks.push(ChunkMeta { reference, times: (start, end) });
                self.memory.push(series.open.finish().into());
            }
        }
    }

    /// A chunk in memory.
    pub(super) fn chunk(&self, reference: u64) -> Result<(Encoding, &[u8]), String> {
        let index = usize::try_from(reference & !IN_MEMORY).unwrap_or(usize::MAX);
        let found = self.memory.get(index).ok_or("no such chunk")?;
        Ok((Encoding::Xor, found))
    }

    /// The times of the first and last sample; an empty range if there is none.
    pub(super) fn times(&self) -> TimeRange {
        let chunks = || self.series.iter().flat_map(|series| &series.chunks);
        let start = chunks().map(|chunk| chunk.times.0).min().unwrap_or(i64::MAX);
        let end = chunks().map(|chunk| chunk.times.1).max().unwrap_or(i64::MIN);
        TimeRange::new(Timestamp(start), Timestamp(end))
    }
}

impl Gathered {
    /// No in-order sample up to `at` is taken any more.
    pub(super) fn pass(&mut self, at: i64) {
        self.last = self.last.max(Some(at));
    }

    /// Forgets what came late so far.
    pub(super) fn forget_late(&mut self) {
        self.late.clear();
    }

    fn cut(&mut self) -> Box<[u8]> {
        let times = (self.open_start, self.open.last_at());
        self.chunks.push(ChunkMeta { reference: 0, times });
        self.open.finish().into()
    }

    fn keep(&mut self, chunk: Box<[u8]>, memory: &mut Vec<Box<[u8]>>) {
        if let Some(meta) = self.chunks.last_mut() {
            meta.reference = IN_MEMORY | memory.len() as u64;
        }
        memory.push(chunk);
    }
}
