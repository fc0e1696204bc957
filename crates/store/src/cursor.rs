//! Cursors: how far each consumer of the sequence of rows has come, kept over restarts.
//!
//! All cursors stand in one small file, and that file stands on disk twice. A save writes the
//! older one of the two and syncs it, so at any moment one whole file is there; which of two whole
//! files is newer, their generation tells. `FORMAT.md` has the bytes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::fs::Fs;
use crate::{Error, RowSeq};

/// The two files.
const FILES: [&str; 2] = ["cursors.0", "cursors.1"];

const MAGIC: &[u8; 8] = b"narthexC";
const VERSION: u32 = 1;

/// How many cursors there may be.
pub(crate) const CURSORS_MAX: usize = 1024;

/// The longest name of a cursor, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 1024;

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: usize = 32 + CURSORS_MAX * (NAME_BYTES_MAX + 10);

/// The saved cursors of a data directory.
#[derive(Debug)]
pub(crate) struct Cursors {
    fs: Arc<dyn Fs>,
    /// Held over the write: saves follow one another.
    saving: Mutex<Saving>,
    places: Mutex<BTreeMap<String, RowSeq>>,
}

#[derive(Debug)]
struct Saving {
    generation: u64,
    /// Which of the files the next save writes: never the one that is needed if it fails.
    file: usize,
    named: [bool; 2],
}

impl Cursors {
    /// Reads the cursors. A damaged file is passed over with a warning when the other one is
    /// whole; when neither is, there are no cursors, and their consumers begin anew.
    pub(crate) fn open(fs: Arc<dyn Fs>) -> Self {
        let found = FILES.map(|path| match fs.read(path) {
            Ok(bytes) => {
                let read = decode(&bytes);
                if read.is_none() {
                    tracing::warn!(file = path, "damaged cursors are passed over");
                }
                read
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = path, %error, "cursors cannot be read");
                None
            }
        });
        let [first, second] = found;
        let generation_of = |read: &Option<(u64, _)>| read.as_ref().map(|&(it, _)| it);
        let first_is_newer = generation_of(&first) > generation_of(&second);
        let newest = if first_is_newer { first } else { second };
        let (generation, places) = newest.unwrap_or_default();
        let file = usize::from(first_is_newer);
        let saving = Saving { generation, file, named: [false; 2] };
        Self { fs, saving: Mutex::new(saving), places: Mutex::new(places) }
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
        let mut saving = self.saving.lock();
        let mut places = self.places.lock().clone();
        change(&mut places)?;
        let generation = saving.generation + 1;
        let bytes = encode(generation, &places);
        self.write(&mut saving, &bytes)?;
        // ORDER: durable first, then seen, for the log is shortened by what is seen.
        saving.generation = generation;
        saving.file ^= 1;
        *self.places.lock() = places;
        Ok(())
    }

    fn write(&self, saving: &mut Saving, bytes: &[u8]) -> Result<(), Error> {
        let Some((path, named)) = FILES.get(saving.file).zip(saving.named.get_mut(saving.file))
        else {
            return Ok(());
        };
        let mut write = || {
            let mut file = self.fs.create(path)?;
            file.write(bytes)?;
            file.sync()?;
            if !*named {
                self.fs.sync_dir("")?;
                *named = true;
            }
            Ok(())
        };
        write().map_err(|source| Error::io("write", path, source))
    }
}

fn encode(generation: u64, places: &BTreeMap<String, RowSeq>) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&u32::try_from(places.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&generation.to_le_bytes());
    for (name, seq) in places {
        out.extend_from_slice(&seq.0.to_le_bytes());
        out.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    }
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Reads a file of cursors: its generation, and where each one stands. `None` when it is not whole.
/// Pure, and made for any bytes.
pub fn inspect_cursors(bytes: &[u8]) -> Option<(u64, BTreeMap<String, RowSeq>)> {
    decode(bytes)
}

/// Reads a file of cursors: its generation and the places. Made for any bytes.
fn decode(bytes: &[u8]) -> Option<(u64, BTreeMap<String, RowSeq>)> {
    if bytes.len() > FILE_BYTES_MAX {
        return None;
    }
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
    let mut places = BTreeMap::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (seq, bytes) = rest.split_first_chunk::<8>()?;
        let (len, bytes) = bytes.split_first_chunk::<2>()?;
        let (name, bytes) = bytes.split_at_checked(u16::from_le_bytes(*len).into())?;
        let name = std::str::from_utf8(name).ok()?;
        places.insert(name.to_owned(), RowSeq(u64::from_le_bytes(*seq)));
        rest = bytes;
    }
    rest.is_empty().then(|| (u64::from_le_bytes(*generation), places))
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

    #[test]
    fn any_flipped_byte_leaves_the_other_file() {
        let fs = SimFs::new(1);
        let cursors = open(&fs);
        cursors.save("name", RowSeq(1)).unwrap();
        cursors.save("name", RowSeq(2)).unwrap();
        for path in FILES {
            for offset in 0..fs.file_len(path).unwrap() {
                fs.flip(path, offset, 0x10);
                assert!(open(&fs).get("name") >= Some(RowSeq(1)));
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
