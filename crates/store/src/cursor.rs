//! Cursors: how far each consumer of the sequence of rows has come, kept over restarts.
//!
//! All cursors stand in one small file, and that file stands on disk twice (see [`crate::twin`]).
//! `FORMAT.md` has the bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::fs::Fs;
use crate::twin::{Entries, Kind, Twin};
use crate::{Error, RowSeq};

/// How many cursors there may be.
pub(crate) const CURSORS_MAX: usize = 1024;

/// The longest name of a cursor, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 1024;

static KIND: Kind = Kind {
    files: ["cursors.0", "cursors.1"],
    magic: b"narthexC",
    bytes_max: 32 + CURSORS_MAX * (NAME_BYTES_MAX + 10),
};

/// The saved cursors of a data directory.
#[derive(Debug)]
pub(crate) struct Cursors {
    /// Held over the write: saves follow one another.
    files: Mutex<Twin>,
    places: Mutex<BTreeMap<String, RowSeq>>,
}

impl Cursors {
    /// Reads the cursors. When no file of them is whole there are none, and their consumers begin
    /// anew.
    pub(crate) fn open(fs: Arc<dyn Fs>) -> Self {
        let (files, places) = Twin::open(fs, &KIND, decode);
        Self { files: Mutex::new(files), places: Mutex::new(places.unwrap_or_default()) }
    }

    /// Where the cursor `name` stands.
    pub(crate) fn get(&self, name: &str) -> Option<RowSeq> {
        self.places.lock().get(name).copied()
    }

    /// Saves durably that all rows up to `seq` are done with. On an error the cursor stands where
    /// it stood. [`Error::Exhausted`] when there are too many cursors or the name is too long.
    pub(crate) fn save(&self, name: &str, seq: RowSeq) -> Result<(), Error> {
        if self.get(name) == Some(seq) {
            return Ok(());
        }
        self.change(|places| {
            let new = !places.contains_key(name);
            if name.len() > NAME_BYTES_MAX || (new && places.len() >= CURSORS_MAX) {
                return Err(Error::Exhausted("cursors"));
            }
            places.insert(name.to_owned(), seq);
            Ok(())
        })
    }

    /// Forgets the cursor `name`, durably.
    pub(crate) fn drop_cursor(&self, name: &str) -> Result<(), Error> {
        if self.get(name).is_none() {
            return Ok(());
        }
        self.change(|places| {
            places.remove(name);
            Ok(())
        })
    }

    /// The cursor that is furthest behind, and the one furthest ahead; `None` without cursors.
    pub(crate) fn bounds(&self) -> Option<(RowSeq, RowSeq)> {
        let places = self.places.lock();
        Some((places.values().copied().min()?, places.values().copied().max()?))
    }

    fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, RowSeq>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut files = self.files.lock();
        let mut places = self.places.lock().clone();
        change(&mut places)?;
        // ORDER: durable first, then seen, for the log is shortened by what is seen.
        files.save(&encode(&places))?;
        *self.places.lock() = places;
        Ok(())
    }
}

fn encode(places: &BTreeMap<String, RowSeq>) -> Entries {
    let mut entries = Entries { count: places.len(), bytes: Vec::new() };
    for (name, seq) in places {
        let out = &mut entries.bytes;
        out.extend_from_slice(&seq.0.to_le_bytes());
        out.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    }
    entries
}

/// Reads a file of cursors: its generation, and where each one stands. `None` when it is not whole.
/// Pure, and made for any bytes.
pub fn inspect_cursors(bytes: &[u8]) -> Option<(u64, BTreeMap<String, RowSeq>)> {
    decode(bytes)
}

/// Reads a file of cursors: its generation and the places. Made for any bytes.
fn decode(bytes: &[u8]) -> Option<(u64, BTreeMap<String, RowSeq>)> {
    let (generation, count, mut rest) = KIND.decode(bytes)?;
    let mut places = BTreeMap::new();
    for _ in 0..count {
        let (seq, bytes) = rest.split_first_chunk::<8>()?;
        let (len, bytes) = bytes.split_first_chunk::<2>()?;
        let (name, bytes) = bytes.split_at_checked(u16::from_le_bytes(*len).into())?;
        let name = std::str::from_utf8(name).ok()?;
        places.insert(name.to_owned(), RowSeq(u64::from_le_bytes(*seq)));
        rest = bytes;
    }
    rest.is_empty().then_some((generation, places))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fs::SimFs;

    fn open(fs: &SimFs) -> Cursors {
        Cursors::open(Arc::new(fs.clone()))
    }

    #[test]
    fn cursors_outlive_any_crash() {
        for seed in 0..100 {
            let mut fs = SimFs::new(seed);
            for turn in 1..8 {
                let cursors = open(&fs);
                assert_eq!(cursors.get("a"), (turn > 1).then_some(RowSeq(turn - 1)));
                cursors.save("a", RowSeq(turn)).unwrap();
                fs.fail_at(fs.calls() + 1 + (seed + turn) % 3);
                let saved = cursors.save("b", RowSeq(turn * 10)).is_ok();
                fs.heal();
                let next = fs.crash();
                let b = open(&next).get("b");
                assert!(!saved || b == Some(RowSeq(turn * 10)), "seed {seed}");
                fs = next;
            }
        }
    }

    #[test]
    fn a_failed_save_leaves_the_cursor_where_it_was() {
        let fs = SimFs::new(1);
        let cursors = open(&fs);
        assert_eq!(cursors.bounds(), None);
        cursors.save("a", RowSeq(5)).unwrap();
        cursors.save("b", RowSeq(9)).unwrap();
        fs.limit_space(Some(0));
        assert!(cursors.save("a", RowSeq(6)).is_err());
        assert_eq!(cursors.get("a"), Some(RowSeq(5)));
        assert_eq!(open(&fs.kill()).bounds(), Some((RowSeq(5), RowSeq(9))));
        fs.heal();
        cursors.drop_cursor("a").unwrap();
        assert_eq!(open(&fs.kill()).bounds(), Some((RowSeq(9), RowSeq(9))));
        assert!(cursors.save(&"x".repeat(NAME_BYTES_MAX + 1), RowSeq(1)).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_not(count in 0..5usize, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(&KIND.encode(1, &Entries { count, bytes }));
        }
    }
}
