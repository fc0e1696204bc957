//! Twin files: a small content that stands on disk twice.
//!
//! A save writes the older one of the two files and syncs it, so at any moment one whole file is
//! there; which of two whole files is newer, their generation tells. Cursors and tombstones are
//! kept this way. `FORMAT.md` has the bytes.

use std::io;
use std::sync::Arc;

use crate::Error;
use crate::fs::Fs;

/// Every content has the same version so far.
const VERSION: u32 = 1;

/// Bytes around the entries: magic, version, count, generation and checksum.
const FRAME_BYTES: usize = 28;

/// Entries as they stand in a file: how many, and their bytes.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) count: usize,
    pub(crate) bytes: Vec<u8>,
}

/// What kind of content two files hold.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The names of the two files.
    pub(crate) files: [&'static str; 2],
    pub(crate) magic: &'static [u8; 8],
    /// The largest file that is read, in bytes.
    pub(crate) bytes_max: usize,
}

impl Kind {
    /// A whole file.
    pub(crate) fn encode(&self, generation: u64, entries: &Entries) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME_BYTES + entries.bytes.len());
        out.extend_from_slice(self.magic);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&u32::try_from(entries.count).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&generation.to_le_bytes());
        out.extend_from_slice(&entries.bytes);
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The generation of a file, the number of its entries and their bytes; `None` when it is not
    /// whole. Made for any bytes.
    pub(crate) fn decode<'a>(&self, bytes: &'a [u8]) -> Option<(u64, u32, &'a [u8])> {
        if bytes.len() > self.bytes_max {
            return None;
        }
        let (bytes, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(bytes) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let (magic, bytes) = bytes.split_first_chunk::<8>()?;
        let (version, bytes) = bytes.split_first_chunk::<4>()?;
        if magic != self.magic || u32::from_le_bytes(*version) != VERSION {
            return None;
        }
        let (count, bytes) = bytes.split_first_chunk::<4>()?;
        let (generation, entries) = bytes.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*generation), u32::from_le_bytes(*count), entries))
    }
}

/// Two files of one kind.
#[derive(Debug)]
pub(crate) struct Twin {
    fs: Arc<dyn Fs>,
    kind: &'static Kind,
    generation: u64,
    /// Which of the files the next save writes: never the one that is needed if it fails.
    next: usize,
    /// Whether the name of each file is durable.
    named: [bool; 2],
}

impl Twin {
    /// Reads the newer whole file with `decode`. A damaged file is passed over with a warning;
    /// `None` when there is no whole one.
    pub(crate) fn open<T>(
        fs: Arc<dyn Fs>,
        kind: &'static Kind,
        decode: impl Fn(&[u8]) -> Option<(u64, T)>,
    ) -> (Self, Option<T>) {
        let mut twin = Self { fs, kind, generation: 0, next: 0, named: [false; 2] };
        let mut newest = None;
        for (index, path) in kind.files.iter().enumerate() {
            let bytes = match twin.fs.read(path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    tracing::warn!(file = path, %error, "a file cannot be read and is passed over");
                    continue;
                }
            };
            let Some((generation, content)) = decode(&bytes) else {
                tracing::warn!(file = path, "a damaged file is passed over");
                continue;
            };
            if newest.is_none() || twin.generation < generation {
                twin.generation = generation;
                twin.next = index ^ 1;
                newest = Some(content);
            }
        }
        (twin, newest)
    }

    /// Writes the older file durably. After an error the files say what they said before.
    pub(crate) fn save(&mut self, entries: &Entries) -> Result<(), Error> {
        let place = self.kind.files.get(self.next).zip(self.named.get_mut(self.next));
        let Some((path, named)) = place else { return Ok(()) };
        let bytes = self.kind.encode(self.generation + 1, entries);
        let mut save = || {
            write(&*self.fs, path, &bytes)?;
            if !*named {
                self.fs.sync_dir("")?;
                *named = true;
            }
            Ok(())
        };
        save().map_err(|source| Error::io("write", path, source))?;
        self.generation += 1;
        self.next ^= 1;
        Ok(())
    }
}

/// Writes a file and syncs it.
pub(crate) fn write(fs: &dyn Fs, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs.create(path)?;
    file.write(bytes)?;
    file.sync()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fs::SimFs;

    static KIND: Kind = Kind { files: ["it.0", "it.1"], magic: b"narthex!", bytes_max: 1000 };

    fn open(fs: &SimFs) -> (Twin, Option<Vec<u8>>) {
        let decode = |bytes: &[u8]| {
            let (generation, _, entries) = KIND.decode(bytes)?;
            Some((generation, entries.to_vec()))
        };
        Twin::open(Arc::new(fs.clone()), &KIND, decode)
    }

    fn entries(byte: u8) -> Entries {
        Entries { count: 1, bytes: vec![byte; 9] }
    }

    #[test]
    fn a_save_is_there_or_not_after_any_crash() {
        for seed in 0..100 {
            let mut fs = SimFs::new(seed);
            let mut kept = None;
            for turn in 1..9 {
                let (mut twin, found) = open(&fs);
                assert_eq!(found, kept, "seed {seed}");
                fs.stop_at(fs.calls() + 1 + (seed + u64::from(turn)) % 6);
                let saved = twin.save(&entries(turn)).is_ok();
                let next = fs.crash();
                let found = open(&next).1;
                let new = Some(entries(turn).bytes);
                assert!(found == new || (!saved && found == kept), "seed {seed}");
                kept = found;
                fs = next;
            }
        }
    }

    #[test]
    fn any_flipped_byte_leaves_the_other_file() {
        let fs = SimFs::new(1);
        let (mut twin, _) = open(&fs);
        twin.save(&entries(1)).unwrap();
        twin.save(&entries(2)).unwrap();
        for (path, left) in KIND.files.into_iter().zip([2, 1]) {
            for offset in 0..fs.file_len(path).unwrap() {
                fs.flip(path, offset, 0x10);
                assert_eq!(open(&fs).1, Some(entries(left).bytes));
                fs.flip(path, offset, 0x10);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            KIND.decode(&bytes);
            let mut summed = bytes;
            summed.splice(0..0, KIND.magic.iter().copied().chain(VERSION.to_le_bytes()));
            let sum = crc32c::crc32c(&summed);
            summed.extend(sum.to_le_bytes());
            KIND.decode(&summed);
        }
    }
}
