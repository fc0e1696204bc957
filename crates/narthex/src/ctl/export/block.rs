//! Writes one block in Prometheus' format.

use std::fmt::Display;

use narthex_model::Labels;
use narthex_prometheus_tsdb::index::{self, ChunkMeta};
use narthex_prometheus_tsdb::meta::{Compaction, Meta, Stats};
use narthex_prometheus_tsdb::tombstones::Tombstones;
use narthex_prometheus_tsdb::{Encoding, chunks, xor};
use narthex_store::fs::{DiskFs, FsFile};
use narthex_store::{Fs, Samples};

/// Bytes of chunks that are written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// A block in the making, in a folder of which Prometheus knows that it is not whole.
#[derive(Debug)]
pub(in crate::ctl) struct Writer<'a> {
    fs: &'a DiskFs,
    name: String,
    folder: String,
    chunks: chunks::Writer,
    file: Box<dyn FsFile>,
    appender: xor::Appender,
    series: Vec<(Labels, Vec<ChunkMeta>)>,
    samples: u64,
    times: Option<(i64, i64)>,
}

impl<'a> Writer<'a> {
    /// Begins the block `name`.
    pub(in crate::ctl) fn new(fs: &'a DiskFs, name: &str) -> Result<Self, String> {
        let folder = format!("{name}.tmp-for-creation");
        let chunks = format!("{folder}/chunks");
        fs.create_dir(&chunks).map_err(|e| failed(&chunks, &e))?;
        let file = segment(fs, &folder, 0)?;
        Ok(Self {
            fs,
            name: name.to_owned(),
            folder,
            chunks: chunks::Writer::default(),
            file,
            appender: xor::Appender::default(),
            series: Vec::new(),
            samples: 0,
            times: None,
        })
    }

    /// Adds a series with its samples in the block's window; in the order of labels.
    pub(in crate::ctl) fn series(
        &mut self,
        labels: Labels,
        samples: &Samples,
    ) -> Result<(), String> {
        let mut metas = Vec::new();
        let mut start = 0;
        for (at, &value) in samples.times.iter().zip(&samples.values) {
            if self.appender.is_empty() {
                start = at.0;
            }
            self.appender.push(at.0, value);
            if self.appender.len() == xor::SAMPLES_BEST {
                metas.push(self.cut(start)?);
            }
        }
        if !self.appender.is_empty() {
            metas.push(self.cut(start)?);
        }
        let (Some(first), Some(last)) = (metas.first(), metas.last()) else { return Ok(()) };
        let (low, high) = self.times.unwrap_or((i64::MAX, i64::MIN));
        self.times = Some((low.min(first.times.0), high.max(last.times.1)));
        self.samples += samples.len() as u64;
        self.series.push((labels, metas));
        Ok(())
    }

    fn cut(&mut self, start: i64) -> Result<ChunkMeta, String> {
        let times = (start, self.appender.last_at());
        let data = self.appender.finish();
        if self.chunks.is_full(data.len()) {
            self.flush()?;
            self.file.sync().map_err(|e| failed("chunks", &e))?;
            self.chunks.next_segment();
            self.file = segment(self.fs, &self.folder, self.chunks.segment())?;
        }
        let reference = self.chunks.push(Encoding::Xor, &data);
        if self.chunks.pending() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(ChunkMeta { reference, times })
    }

    fn flush(&mut self) -> Result<(), String> {
        self.file.write(&self.chunks.take()).map_err(|e| failed("chunks", &e))
    }

    /// Writes the rest and gives the block its name; gives the samples in it. Without samples
    /// there is no block.
    pub(in crate::ctl) fn finish(mut self) -> Result<u64, String> {
        let Some((start, end)) = self.times else {
            return Ok(0);
        };
        self.flush()?;
        self.file.sync().map_err(|e| failed("chunks", &e))?;
        let texts = self.series.iter().flat_map(|(labels, _)| labels.iter());
        let mut index = index::Writer::new(texts.flat_map(|(name, value)| [name, value]));
        let mut chunks = 0;
        for (labels, metas) in &self.series {
            index.series(labels, metas);
            chunks += metas.len() as u64;
        }
        self.write("index", &index.finish())?;
        self.write("tombstones", &Tombstones::default().to_bytes())?;
        let meta = Meta {
            ulid: self.name.clone(),
            min_time: start,
            // The head of a Prometheus that opens the block takes samples from here on.
            max_time: end.saturating_add(1),
            stats: Stats {
                num_samples: self.samples,
                num_series: self.series.len() as u64,
                num_chunks: chunks,
                ..Stats::default()
            },
            compaction: Compaction {
                level: 1,
                sources: vec![self.name.clone()],
                ..Compaction::default()
            },
            version: 1,
        };
        self.write("meta.json", meta.to_json().as_bytes())?;
        let place = || -> std::io::Result<()> {
            self.fs.sync_dir(&format!("{}/chunks", self.folder))?;
            self.fs.sync_dir(&self.folder)?;
            // ORDER: the name only when everything in it is durable.
            self.fs.rename(&self.folder, &self.name)?;
            self.fs.sync_dir("")
        };
        place().map_err(|e| failed(&self.name, &e))?;
        self.folder.clear();
        Ok(self.samples)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let path = format!("{}/{name}", self.folder);
        let write = || -> std::io::Result<()> {
            let mut file = self.fs.create(&path)?;
            file.write(bytes)?;
            file.sync()
        };
        write().map_err(|e| failed(&path, &e))
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if !self.folder.is_empty() {
            // What stays is known as unfinished by its name, and Prometheus removes it.
            let _ = std::fs::remove_dir_all(self.fs.root().join(&self.folder));
        }
    }
}

fn segment(fs: &DiskFs, folder: &str, number: u32) -> Result<Box<dyn FsFile>, String> {
    let path = format!("{folder}/chunks/{:06}", number + 1);
    fs.create(&path).map_err(|e| failed(&path, &e))
}

fn failed(path: &str, error: &dyn Display) -> String {
    format!("{path}: {error}")
}
