//! A Prometheus data directory: its blocks, and its head out of the log and the head's chunks.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;

use narthex_model::{Labels, TimeRange, Timestamp};
use narthex_prometheus_tsdb::index::{ChunkMeta, Index};
use narthex_prometheus_tsdb::meta::Meta;
use narthex_prometheus_tsdb::tombstones::Tombstones;
use narthex_prometheus_tsdb::{Encoding, chunks, ulid};
use narthex_store::Fs;
use narthex_store::fs::{DiskFs, FileView, FsLock};

use super::head;
use super::part::Part;

/// All that a Prometheus would answer from.
#[derive(Debug)]
pub(super) struct Source {
    /// Blocks by time, then the head.
    pub(super) parts: Vec<Box<dyn Part>>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// Keeps a Prometheus from starting meanwhile.
    _lock: Option<Box<dyn FsLock>>,
}

/// Opens a data directory that no Prometheus uses.
pub(super) fn open(folder: &str) -> Result<Source, String> {
    if !Path::new(folder).is_dir() {
        return Err(format!("{folder} is not a folder\n"));
    }
    let fs = DiskFs::new(folder).map_err(|e| format!("{folder}: {e}\n"))?;
    let lock = lock(&fs, folder)?;
    let mut notes = Vec::new();
    let blocks = open_blocks(&fs, folder, &mut notes)?;
    // Of what came in order the head only has what no block has.
    let in_order = blocks.iter().filter(|block| !block.meta.is_out_of_order());
    let floor = in_order.map(|block| block.meta.max_time).max().unwrap_or(i64::MIN);
    let mut parts: Vec<Box<dyn Part>> = Vec::new();
    parts.extend(blocks.into_iter().map(|block| Box::new(block) as Box<dyn Part>));
    if let Some(head) = head::open(&fs, folder, floor, &mut notes)? {
        parts.push(Box::new(head));
    }
    if parts.is_empty() {
        return Err(format!("{folder} has neither blocks nor a log of Prometheus\n"));
    }
    Ok(Source { parts, notes, _lock: lock })
}

fn lock(fs: &DiskFs, folder: &str) -> Result<Option<Box<dyn FsLock>>, String> {
    if !fs.root().join("lock").exists() {
        return Ok(None);
    }
    match fs.lock() {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(format!(
            "{folder} is in use: stop the Prometheus that writes to it, or import a snapshot of it\n"
        )),
        // Without the right to write nobody else can be told; reading goes well.
        Err(_) => Ok(None),
    }
}

fn open_blocks(fs: &DiskFs, folder: &str, notes: &mut Vec<String>) -> Result<Vec<Block>, String> {
    let names = fs.list("").map_err(|e| format!("{folder}: {e}\n"))?;
    let mut metas = Vec::new();
    for name in names.into_iter().filter(|name| ulid::is_ulid(name)) {
        match fs.read(&format!("{name}/meta.json")) {
            Ok(bytes) => {
                let meta = Meta::parse(&bytes);
                metas.push((meta.map_err(|e| format!("{folder}/{name}: {e}\n"))?, name));
            }
            // Prometheus writes it last: without it the block is not whole.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                notes.push(format!("{folder}/{name} has no meta.json and is left out"));
            }
            Err(error) => return Err(format!("{folder}/{name}/meta.json: {error}\n")),
        }
    }
    // What was compacted into another block and not removed yet.
    let replaced: HashSet<String> = metas
        .iter()
        .flat_map(|(meta, _)| &meta.compaction.parents)
        .map(|parent| parent.ulid.clone())
        .collect();
    metas.retain(|(_, name)| !replaced.contains(name));
    metas.sort_by_key(|(meta, _)| (meta.min_time, meta.max_time));
    let open = |(meta, name)| Block::open(fs, folder, name, meta);
    metas.into_iter().map(open).collect()
}

/// A block. Its files are mapped.
#[derive(Debug)]
pub(super) struct Block {
    name: String,
    meta: Meta,
    index: Index<FileView>,
    segments: Vec<FileView>,
    deleted: Tombstones,
}

impl Block {
    /// Opens the block `name`; `folder` is only used in messages.
    pub(super) fn open(
        fs: &DiskFs,
        folder: &str,
        name: String,
        meta: Meta,
    ) -> Result<Self, String> {
        let at = |file: &str| format!("{name}/{file}");
        let failed = |file: &str, error: &dyn std::fmt::Display| {
            format!("{folder}/{name}/{file}: {error}\n")
        };
        let bytes = fs.map(&at("index")).map_err(|e| failed("index", &e))?;
        let index = Index::open(bytes).map_err(|e| failed("index", &e))?;
        let mut segments = Vec::new();
        for file in fs.list(&at("chunks")).map_err(|e| failed("chunks", &e))? {
            let file = format!("chunks/{file}");
            let segment = fs.map(&at(&file)).map_err(|e| failed(&file, &e))?;
            chunks::check_header(&segment).map_err(|e| failed(&file, &e))?;
            segments.push(segment);
        }
        let deleted = match fs.read(&at("tombstones")) {
            Ok(bytes) => Tombstones::parse(&bytes).map_err(|e| failed("tombstones", &e))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Tombstones::default(),
            Err(error) => return Err(failed("tombstones", &error)),
        };
        Ok(Self { name, meta, index, segments, deleted })
    }
}

impl Part for Block {
    fn times(&self) -> TimeRange {
        TimeRange::new(Timestamp(self.meta.min_time), Timestamp(self.meta.max_time - 1))
    }

    fn samples(&self) -> u64 {
        self.meta.stats.num_samples
    }

    fn handles(&self) -> Result<Vec<u64>, String> {
        self.index.all_series().map_err(|e| format!("{}/index: {e}", self.name))
    }

    fn series(&self, handle: u64, chunks: &mut Vec<ChunkMeta>) -> Result<Labels, String> {
        self.index.series(handle, chunks).map_err(|e| format!("{}/index: {e}", self.name))
    }

    fn chunk(&self, reference: u64) -> Result<(Encoding, &[u8]), String> {
        let (segment, offset) = chunks::place(reference);
        let failed = |error: String| format!("{}/chunks/{:06}: {error}", self.name, segment + 1);
        let bytes = self.segments.get(segment).ok_or_else(|| failed("no such file".to_owned()))?;
        chunks::chunk(bytes, offset).map_err(|e| failed(e.to_string()))
    }

    fn deleted(&self, handle: u64) -> &[(i64, i64)] {
        self.deleted.of(handle)
    }
}
