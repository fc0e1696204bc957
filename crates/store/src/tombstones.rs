//! What was deleted and still stands on disk.
//!
//! A deletion hides samples from readers at once; merging, sealing and
//! [`crate::Store::clean_tombstones`] leave them out of what they write. All tombstones stand in
//! one small file, and that file stands on disk twice (see [`crate::twin`]). `FORMAT.md` has the
//! bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use narthex_model::{ABSENT, TimeRange, Timestamp};

use crate::fs::Fs;
use crate::twin::{self, Entries, Kind, Twin};
use crate::{Error, SeriesRef};

/// Most stretches of time that may be deleted at once, over all series.
const RANGES_MAX: usize = 1 << 20;

/// Bytes of an entry: series, start, end.
const ENTRY_BYTES: usize = 20;

static KIND: Kind = Kind {
    files: ["tombstones.0", "tombstones.1"],
    magic: b"narthexT",
    bytes_max: 32 + RANGES_MAX * ENTRY_BYTES,
};

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

    /// Whether anything of a series was deleted.
    pub(crate) fn names(&self, series: SeriesRef) -> bool {
        !self.of(series).is_empty()
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
pub(crate) struct TombstoneFile(Twin);

impl TombstoneFile {
    /// Reads the tombstones. When no file of them is whole, what was deleted is seen again, and
    /// that is reported.
    pub(crate) fn open(fs: Arc<dyn Fs>) -> (Self, Tombstones) {
        let (files, tombstones) = Twin::open(fs, &KIND, decode);
        (Self(files), tombstones.unwrap_or_default())
    }

    /// Saves durably what is deleted, in both files, so that what is damaged in one of them does
    /// not bring a deleted sample back. After an error the files say what they said before.
    pub(crate) fn save(&mut self, tombstones: &Tombstones) -> Result<(), Error> {
        let entries = encode(tombstones);
        self.0.save(&entries)?;
        if let Err(error) = self.0.save(&entries) {
            tracing::warn!(%error, "what is deleted stands in one file only");
        }
        Ok(())
    }
}

/// Writes tombstones into the folder `dir`, for a copy of the data directory.
pub(crate) fn write_copy(fs: &dyn Fs, dir: &str, tombstones: &Tombstones) -> Result<(), Error> {
    let bytes = KIND.encode(1, &encode(tombstones));
    KIND.files.map(|name| format!("{dir}/{name}")).iter().try_for_each(|path| {
        twin::write(fs, path, &bytes).map_err(|source| Error::io("write", path, source))
    })
}

fn encode(tombstones: &Tombstones) -> Entries {
    let mut bytes = Vec::with_capacity(tombstones.ranges * ENTRY_BYTES);
    for (series, ranges) in &tombstones.by_series {
        for range in ranges {
            bytes.extend_from_slice(&series.to_le_bytes());
            bytes.extend_from_slice(&range.start.0.to_le_bytes());
            bytes.extend_from_slice(&range.end.0.to_le_bytes());
        }
    }
    Entries { count: tombstones.ranges, bytes }
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
    let (generation, count, mut rest) = KIND.decode(bytes)?;
    let mut tombstones = Tombstones::default();
    for _ in 0..count {
        let (series, bytes) = rest.split_first_chunk::<4>()?;
        let (start, bytes) = bytes.split_first_chunk::<8>()?;
        let (end, bytes) = bytes.split_first_chunk::<8>()?;
        let series = SeriesRef::new(u32::from_le_bytes(*series))?;
        let at = |bytes: &[u8; 8]| Timestamp(i64::from_le_bytes(*bytes));
        let range = TimeRange { start: at(start), end: at(end) };
        tombstones.add(series, range).ok().filter(|()| range.start <= range.end)?;
        rest = bytes;
    }
    rest.is_empty().then_some((generation, tombstones))
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
    fn any_flipped_byte_brings_nothing_back() {
        let fs = SimFs::new(1);
        let (mut file, mut all) = TombstoneFile::open(Arc::new(fs.clone()));
        for number in 1..3 {
            all.add(series(number), range(1, 2)).unwrap();
            file.save(&all).unwrap();
        }
        for path in KIND.files {
            for offset in 0..fs.file_len(path).unwrap() {
                fs.flip(path, offset, 0x10);
                assert_eq!(TombstoneFile::open(Arc::new(fs.clone())).1, all);
                fs.flip(path, offset, 0x10);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_not(count in 0..5usize, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(&KIND.encode(1, &Entries { count, bytes }));
        }
    }
}
