//! What was deleted and still stands on disk.
//!
//! A deletion hides samples from readers at once; merging, sealing and
//! [`crate::Store::clean_tombstones`] leave them out of what they write. All tombstones stand in
//! one small file, and that file stands on disk twice, as the cursors do. `FORMAT.md` has the
//! bytes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use narthex_model::{ABSENT, TimeRange, Timestamp};

use crate::fs::Fs;
use crate::{Error, SeriesRef};

/// The two files.
pub(crate) const FILES: [&str; 2] = ["tombstones.0", "tombstones.1"];

const MAGIC: &[u8; 8] = b"narthexT";
const VERSION: u32 = 1;

/// Most stretches of time that may be deleted at once, over all series.
const RANGES_MAX: usize = 1 << 20;

/// Bytes of an entry: series, start, end.
const ENTRY_BYTES: usize = 20;

/// The times at which samples are deleted, by series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tombstones {
    /// In order of time, without overlaps.
    by_series: BTreeMap<u32, Vec<TimeRange>>,
    ranges: usize,
}

impl Tombstones {
    /// Whether nothing is deleted.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }

    /// The times at which the samples of a series are deleted.
    pub(crate) fn of(&self, series: SeriesRef) -> &[TimeRange] {
        self.by_series.get(&series.get()).map_or(&[], Vec::as_slice)
    }

    /// All series of which something is deleted.
    pub(crate) fn series(&self) -> impl Iterator<Item = SeriesRef> {
        self.by_series.keys().filter_map(|&number| SeriesRef::new(number))
    }

    /// Deletes the samples of a series in `range`. [`Error::Exhausted`] when there are too many
    /// tombstones.
    pub(crate) fn add(&mut self, series: SeriesRef, range: TimeRange) -> Result<(), Error> {
        let ranges = self.by_series.entry(series.get()).or_default();
        self.ranges -= ranges.len();
        let mut range = range;
        ranges.retain(|known| {
            // Neighbours become one, too.
            let apart =
                known.end.plus_millis(1) < range.start || range.end.plus_millis(1) < known.start;
            if !apart {
                range = TimeRange::new(known.start.min(range.start), known.end.max(range.end));
            }
            apart
        });
        let at = ranges.partition_point(|known| known.start < range.start);
        ranges.insert(at, range);
        self.ranges += ranges.len();
        if self.ranges > RANGES_MAX {
            return Err(Error::Exhausted("tombstones"));
        }
        Ok(())
    }

    /// What is left of them from `start` on.
    pub(crate) fn from(&self, start: Timestamp) -> Self {
        let mut left = Self::default();
        for (&series, ranges) in &self.by_series {
            let ranges: Vec<TimeRange> = ranges
                .iter()
                .filter(|range| range.end >= start)
                .map(|range| TimeRange::new(range.start.max(start), range.end))
                .collect();
            left.ranges += ranges.len();
            if !ranges.is_empty() {
                left.by_series.insert(series, ranges);
            }
        }
        left
    }

    /// Takes the deleted samples of a series away. The times are in order.
    pub(crate) fn blank(&self, series: SeriesRef, times: &[Timestamp], values: &mut [f64]) {
        for range in self.of(series) {
            let start = times.partition_point(|&at| at < range.start);
            let end = times.partition_point(|&at| at <= range.end).max(start);
            if let Some(gone) = values.get_mut(start..end) {
                gone.fill(ABSENT);
            }
        }
    }
}

/// The files of the tombstones.
#[derive(Debug)]
pub(crate) struct TombstoneFile {
    fs: Arc<dyn Fs>,
    generation: u64,
    /// Which of the files the next save writes: never the one that is needed if it fails.
    next: usize,
}

impl TombstoneFile {
    /// Reads the tombstones. A damaged file is passed over with a warning when the other one is
    /// whole; when neither is, what was deleted is seen again, and that is reported.
    pub(crate) fn open(fs: Arc<dyn Fs>) -> (Self, Tombstones) {
        let mut newest: Option<(u64, Tombstones)> = None;
        let mut next = 0;
        for (index, path) in FILES.iter().enumerate() {
            let read = match fs.read(path) {
                Ok(bytes) => decode(&bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::warn!(file = path, %error, "tombstones cannot be read");
                    continue;
                }
            };
            let Some(found) = read else {
                tracing::warn!(file = path, "damaged tombstones are passed over");
                continue;
            };
            if newest.as_ref().is_none_or(|(generation, _)| *generation < found.0) {
                newest = Some(found);
                next = index ^ 1;
            }
        }
        let (generation, tombstones) = newest.unwrap_or_default();
        (Self { fs, generation, next }, tombstones)
    }

    /// Saves durably what is deleted. After an error the files say what they said before.
    pub(crate) fn save(&mut self, tombstones: &Tombstones) -> Result<(), Error> {
        let Some(path) = FILES.get(self.next) else { return Ok(()) };
        let generation = self.generation + 1;
        let bytes = encode(generation, tombstones);
        write(&*self.fs, path, &bytes)
            .and_then(|()| self.fs.sync_dir(""))
            .map_err(|source| Error::io("write", path, source))?;
        self.generation = generation;
        self.next ^= 1;
        Ok(())
    }
}

/// Writes tombstones into the folder `dir`, for a copy of the data directory.
pub(crate) fn write_copy(fs: &dyn Fs, dir: &str, tombstones: &Tombstones) -> Result<(), Error> {
    let path = FILES.map(|name| format!("{dir}/{name}"));
    let bytes = encode(1, tombstones);
    path.iter().try_for_each(|path| {
        write(fs, path, &bytes).map_err(|source| Error::io("write", path, source))
    })
}

fn write(fs: &dyn Fs, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs.create(path)?;
    file.write(bytes)?;
    file.sync()
}

fn encode(generation: u64, tombstones: &Tombstones) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + tombstones.ranges * ENTRY_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&u32::try_from(tombstones.ranges).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&generation.to_le_bytes());
    for (series, ranges) in &tombstones.by_series {
        for range in ranges {
            out.extend_from_slice(&series.to_le_bytes());
            out.extend_from_slice(&range.start.0.to_le_bytes());
            out.extend_from_slice(&range.end.0.to_le_bytes());
        }
    }
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Reads a file of tombstones: its generation, and what is deleted of which series. `None` when it
/// is not whole. Pure, and made for any bytes.
pub fn inspect_tombstones(bytes: &[u8]) -> Option<(u64, Vec<(SeriesRef, TimeRange)>)> {
    let (generation, tombstones) = decode(bytes)?;
    let each = |series| tombstones.of(series).iter().map(move |&range| (series, range));
    Some((generation, tombstones.series().flat_map(each).collect()))
}

/// Reads a file of tombstones and its generation. Made for any bytes.
fn decode(bytes: &[u8]) -> Option<(u64, Tombstones)> {
    let (bytes, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(bytes) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (magic, bytes) = bytes.split_first_chunk::<8>()?;
    let (version, bytes) = bytes.split_first_chunk::<4>()?;
    if magic != MAGIC || u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let (count, bytes) = bytes.split_first_chunk::<4>()?;
    let (generation, mut rest) = bytes.split_first_chunk::<8>()?;
    let mut tombstones = Tombstones::default();
    for _ in 0..u32::from_le_bytes(*count) {
        let (series, bytes) = rest.split_first_chunk::<4>()?;
        let (start, bytes) = bytes.split_first_chunk::<8>()?;
        let (end, bytes) = bytes.split_first_chunk::<8>()?;
        let series = SeriesRef::new(u32::from_le_bytes(*series))?;
        let at = |bytes: &[u8; 8]| Timestamp(i64::from_le_bytes(*bytes));
        let range = TimeRange { start: at(start), end: at(end) };
        tombstones.add(series, range).ok().filter(|()| range.start <= range.end)?;
        rest = bytes;
    }
    rest.is_empty().then(|| (u64::from_le_bytes(*generation), tombstones))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fs::SimFs;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(Timestamp(start), Timestamp(end))
    }

    fn series(number: u32) -> SeriesRef {
        SeriesRef::new(number).unwrap()
    }

    #[test]
    fn ranges_join_and_are_cut() {
        let mut all = Tombstones::default();
        for (start, end) in [(10, 20), (40, 50), (21, 25), (60, 70)] {
            all.add(series(3), range(start, end)).unwrap();
        }
        assert_eq!(all.of(series(3)), [range(10, 25), range(40, 50), range(60, 70)]);
        all.add(series(3), range(24, 60)).unwrap();
        assert_eq!((all.of(series(3)), all.ranges), (&[range(10, 70)][..], 1));
        assert_eq!(all.from(Timestamp(30)).of(series(3)), [range(30, 70)]);
        assert!(all.from(Timestamp(71)).is_empty());
        let times: Vec<_> = (0..10).map(|n| Timestamp(n * 10)).collect();
        let mut values = [1.0; 10];
        all.blank(series(3), &times, &mut values);
        let left = values.iter().filter(|value| value.to_bits() != ABSENT.to_bits()).count();
        assert_eq!(left, 3);
    }

    #[test]
    fn a_save_is_there_or_not_after_any_crash() {
        for seed in 0..60 {
            let mut fs = SimFs::new(seed);
            let mut kept = Tombstones::default();
            for turn in 1..8u64 {
                let (mut file, found) = TombstoneFile::open(Arc::new(fs.clone()));
                assert_eq!(found, kept, "seed {seed}");
                let mut more = kept.clone();
                more.add(series(1), range(100 * turn.cast_signed(), 100 * turn.cast_signed() + 9))
                    .unwrap();
                fs.stop_at(fs.calls() + 1 + (seed + turn) % 6);
                let saved = file.save(&more).is_ok();
                let next = fs.crash();
                let (_, found) = TombstoneFile::open(Arc::new(next.clone()));
                assert!(found == more || (!saved && found == kept), "seed {seed}");
                kept = found;
                fs = next;
            }
        }
    }

    #[test]
    fn any_flipped_byte_leaves_the_other_file() {
        let fs = SimFs::new(1);
        let (mut file, mut all) = TombstoneFile::open(Arc::new(fs.clone()));
        all.add(series(1), range(1, 2)).unwrap();
        file.save(&all).unwrap();
        let first = all.clone();
        all.add(series(2), range(1, 2)).unwrap();
        file.save(&all).unwrap();
        for path in FILES {
            for offset in 0..fs.file_len(path).unwrap() {
                fs.flip(path, offset, 0x10);
                let (_, found) = TombstoneFile::open(Arc::new(fs.clone()));
                assert!(found == first || found == all);
                fs.flip(path, offset, 0x10);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(&bytes);
            let mut summed = bytes;
            summed.splice(0..0, MAGIC.iter().copied().chain(1u32.to_le_bytes()));
            let sum = crc32c::crc32c(&summed);
            summed.extend(sum.to_le_bytes());
            decode(&summed);
        }
    }
}
