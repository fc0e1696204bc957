//! Samples that memory does not hold, put aside on disk until they are imported.

use narthex_model::{Labels, TimeRange, Timestamp};
use narthex_prometheus_tsdb::meta::Meta;
use narthex_prometheus_tsdb::ulid;
use narthex_store::fs::DiskFs;
use narthex_store::{Fs, Samples};

use super::part::{LeftOut, Part, Slot, read};
use crate::ctl::export::block;

/// Where they are, in the data directory; removed with all that is in it.
pub(super) const FOLDER: &str = "import.tmp";

/// A place for samples, which is empty again when it is dropped.
#[derive(Debug)]
pub(super) struct Spill {
    pub(super) fs: DiskFs,
}

impl Spill {
    /// Makes the place in a data directory, empty.
    pub(super) fn new(data: &str) -> Result<Self, String> {
        let folder = std::path::Path::new(data).join(FOLDER);
        let _ = std::fs::remove_dir_all(&folder);
        let fs = DiskFs::new(&folder).map_err(|e| format!("{}: {e}\n", folder.display()))?;
        Ok(Self { fs })
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next import.
        let _ = std::fs::remove_dir_all(self.fs.root());
    }
}

/// Writes all samples of a part as a block; gives its name and what it is about.
pub(super) fn write(
    part: &dyn Part,
    fs: &DiskFs,
    left_out: &mut LeftOut,
) -> Result<(String, Meta), String> {
    let count = fs.list("").map_err(|e| e.to_string())?.len();
    let name = ulid::ulid(0, count as u128);
    let mut series: Vec<(Labels, Slot<'_>)> = Vec::new();
    for handle in part.handles()? {
        let mut chunks = Vec::new();
        let labels = part.series(handle, &mut chunks)?;
        series.push((labels, Slot { part, handle, chunks }));
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let mut block = block::Writer::new(fs, &name)?;
    let (mut pairs, mut samples) = (Vec::new(), Samples::default());
    for (labels, slot) in series {
        read(&[slot], TimeRange::ALL, left_out, &mut pairs);
        samples.clear();
        samples.times.extend(pairs.iter().map(|&(at, _)| Timestamp(at)));
        samples.values.extend(pairs.iter().map(|&(_, value)| value));
        block.series(labels, &samples)?;
    }
    block.finish()?;
    let meta = fs.read(&format!("{name}/meta.json")).map_err(|e| format!("{name}: {e}"))?;
    Ok((name, Meta::parse(&meta).map_err(|e| e.to_string())?))
}
