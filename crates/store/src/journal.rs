//! Journals: what a consumer of the rows keeps beside its cursor.
//!
//! A cursor tells up to where all is done, and is durable when it is saved. What changes with
//! every request, or cannot be said by one number, goes into a journal: small records, appended
//! with one write each, so that a killed process loses none; durable against the loss of power
//! only when it is synced or rewritten. What the records mean is the consumer's affair.

use std::io;
use std::sync::Arc;

use crate::Error;
use crate::fs::{Fs, FsFile};

/// The folder.
const DIR: &str = "journals";

const MAGIC: &[u8; 8] = b"narthexJ";
const VERSION: u32 = 1;

/// Bytes before the first record.
const HEADER_BYTES: usize = 12;

/// Bytes before a record's content: its checksum and its length.
const FRAME_BYTES: usize = 6;

/// Largest file that is read, in bytes. Who appends rewrites long before.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The records of one consumer. Only one may be open for a name.
#[derive(Debug)]
pub struct Journal {
    fs: Arc<dyn Fs>,
    path: String,
    file: Box<dyn FsFile>,
    out: Vec<u8>,
}

impl Journal {
    /// Opens the journal `name` (letters, digits and dashes) and reads its records, the oldest
    /// first. What stands behind a record that is not whole is left out and cut off.
    pub(crate) fn open(fs: Arc<dyn Fs>, name: &str) -> Result<(Self, Vec<Vec<u8>>), Error> {
        let path = path_of(name)?;
        let failed = |doing, source| Error::io(doing, &path, source);
        fs.create_dir(DIR).map_err(|source| failed("make", source))?;
        let bytes = match fs.file_len(&path) {
            Ok(len) if len <= FILE_BYTES_MAX => fs.read(&path),
            Ok(_) => Ok(Vec::new()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(|source| failed("read", source))?;
        let (records, whole) = decode(&bytes);
        if whole == 0 {
            if !bytes.is_empty() {
                tracing::warn!(file = path, "a damaged journal is begun anew");
            }
            let file = write_anew(&*fs, &path, &[]).map_err(|source| failed("write", source))?;
            return Ok((Self { fs, path, file, out: Vec::new() }, records));
        }
        let open = || {
            let mut file = fs.append(&path)?;
            if whole < bytes.len() {
                file.set_len(whole as u64)?;
            }
            Ok(file)
        };
        let file = open().map_err(|source| failed("open", source))?;
        Ok((Self { fs, path, file, out: Vec::new() }, records))
    }

    /// Appends a record of at most 64 KiB with one write. It outlives the process, but the loss
    /// of power only after [`Journal::sync`]. On an error it is not there.
    pub fn append(&mut self, record: &[u8]) -> Result<(), Error> {
        self.out.clear();
        put_record(record, &mut self.out).map_err(|e| Error::io("write", &self.path, e))?;
        let before = self.file.len();
        self.file.write(&self.out).map_err(|source| {
            // What is left of it has no good checksum, and what would follow must not be lost.
            let _ = self.file.set_len(before);
            Error::io("write", &self.path, source)
        })
    }

    /// Makes all records durable.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.file.sync().map_err(|source| Error::io("sync", &self.path, source))
    }

    /// Replaces all records by these, durably. On an error they are as before.
    pub fn rewrite(&mut self, records: &[Vec<u8>]) -> Result<(), Error> {
        let written = write_anew(&*self.fs, &self.path, records);
        self.file = written.map_err(|source| Error::io("write", &self.path, source))?;
        Ok(())
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.file.len()
    }
}

/// Removes the journal `name`; it is no error when there is none.
pub(crate) fn remove(fs: &dyn Fs, name: &str) -> Result<(), Error> {
    let path = path_of(name)?;
    match fs.remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", &path, error))
        }
        _ => Ok(()),
    }
}

fn path_of(name: &str) -> Result<String, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.is_empty() || name.len() > 128 || !name.bytes().all(plain) {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "not a name for a journal");
        return Err(Error::io("open", name, source));
    }
    Ok(format!("{DIR}/{name}"))
}

/// Writes a whole journal and gives it its name.
fn write_anew(fs: &dyn Fs, path: &str, records: &[Vec<u8>]) -> io::Result<Box<dyn FsFile>> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    for record in records {
        put_record(record, &mut out)?;
    }
    let draft = format!("{path}.tmp");
    let mut file = fs.create(&draft)?;
    file.write(&out)?;
    file.sync()?;
    drop(file);
    fs.rename(&draft, path)?;
    fs.sync_dir(DIR)?;
    fs.append(path)
}

fn put_record(record: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let len = u16::try_from(record.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "record too long"))?;
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(record);
    let checksum = crc32c::crc32c(out.get(start + 4..).unwrap_or_default());
    if let Some(hole) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *hole = checksum.to_le_bytes();
    }
    Ok(())
}

/// Reads a journal: its whole records, and how many bytes they take with what stands before them;
/// 0 bytes when it is none at all. Pure, and made for any bytes.
pub fn inspect_journal(bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
    decode(bytes)
}

/// The whole records of a file, and how many bytes they take; zero bytes when it is none at all.
fn decode(bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let mut records = Vec::new();
    let header = bytes.get(..HEADER_BYTES).and_then(<[u8]>::split_first_chunk::<8>);
    let Some((magic, version)) = header else { return (records, 0) };
    if magic != MAGIC || version != VERSION.to_le_bytes() {
        return (records, 0);
    }
    let mut whole = HEADER_BYTES;
    while let Some((record, rest)) = bytes.get(whole..).and_then(take_record) {
        records.push(record.to_vec());
        whole = bytes.len() - rest.len();
    }
    (records, whole)
}

fn take_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (checksum, summed) = bytes.split_first_chunk::<4>()?;
    let (len, rest) = summed.split_first_chunk::<2>()?;
    let (record, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    let sum = crc32c::crc32c(summed.get(..FRAME_BYTES - 4 + record.len())?);
    (sum == u32::from_le_bytes(*checksum)).then_some((record, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fs::SimFs;

    fn open(fs: &SimFs) -> (Journal, Vec<Vec<u8>>) {
        Journal::open(Arc::new(fs.clone()), "a-1").unwrap()
    }

    #[test]
    fn records_outlive_the_process_and_synced_ones_the_power() {
        let fs = SimFs::new(7);
        let (mut journal, records) = open(&fs);
        assert!(records.is_empty());
        journal.append(b"one").unwrap();
        journal.sync().unwrap();
        journal.append(b"two").unwrap();
        assert_eq!(open(&fs.kill()).1, [b"one", b"two"]);
        let after = open(&fs.crash()).1;
        assert!(after == [b"one"] || after == [b"one", b"two"], "{after:?}");
        journal.rewrite(&[b"three".to_vec()]).unwrap();
        journal.append(b"").unwrap();
        assert_eq!(open(&fs.kill()).1, [b"three".to_vec(), Vec::new()]);
        remove(&fs, "a-1").unwrap();
        assert!(open(&fs).1.is_empty());
        assert!(Journal::open(Arc::new(fs), "../a").is_err());
    }

    #[test]
    fn a_torn_or_damaged_end_is_cut_off() {
        let fs = SimFs::new(7);
        let (mut journal, _) = open(&fs);
        for record in [b"first", b"other"] {
            journal.append(record).unwrap();
        }
        drop(journal);
        let bytes = fs.read("journals/a-1").unwrap();
        for len in 0..bytes.len() {
            fs.plant("journals/a-1", &bytes[..len]);
            let (mut journal, records) = open(&fs);
            assert_eq!(records.len(), usize::from(len >= HEADER_BYTES + FRAME_BYTES + 5), "{len}");
            journal.append(b"next").unwrap();
            drop(journal);
            assert_eq!(open(&fs).1.last().unwrap(), b"next");
        }
        for at in 0..bytes.len() as u64 {
            fs.plant("journals/a-1", &bytes);
            fs.flip("journals/a-1", at, 0x40);
            assert!(open(&fs).1.len() < 2, "{at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut file = MAGIC.to_vec();
            file.extend(VERSION.to_le_bytes());
            file.extend(&bytes);
            for bytes in [&bytes, &file] {
                prop_assert!(decode(bytes).1 <= bytes.len());
            }
        }
    }
}
