//! The seam to the file system.
//!
//! Everything the store does to files goes through [`Fs`]: [`DiskFs`] is the real thing,
//! `SimFs` (feature `sim`) a file system in memory that loses what was not synced, tears writes,
//! fails the n-th call and runs out of space, all from a seed. The trait offers what the store
//! needs and no more: append to a file, read at a position, map an immutable file whole, and name
//! files durably (sync the file, rename, sync the folder).

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

mod disk;
mod map;
#[cfg(any(test, feature = "sim"))]
#[expect(clippy::indexing_slicing, reason = "the lengths are its own, and only tests run it")]
mod sim;
mod untouched;

pub use disk::DiskFs;
pub use map::FileView;
#[cfg(any(test, feature = "sim"))]
pub use sim::SimFs;
pub use untouched::UntouchedFs;

/// How often opening a file is tried.
const TRIES: u32 = 3;

/// A data directory. All paths are relative to it, with `/` between their parts; the empty path is
/// the directory itself. A path never leads out of it.
pub trait Fs: Send + Sync + Debug {
    /// Makes an empty file, in place of what had the name before. The name is durable after
    /// [`Fs::sync_dir`] of its folder.
    fn create(&self, path: &str) -> io::Result<Box<dyn FsFile>>;

    /// Opens a file for writing at its end; makes it when it does not exist.
    fn append(&self, path: &str) -> io::Result<Box<dyn FsFile>>;

    /// Reads a whole file into memory. For small files, or those that are read once at start.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// Reads at `offset` into `buf` and returns how many bytes were read: fewer than asked only
    /// at the end of the file.
    fn read_at(&self, path: &str, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.open(path)?.read_at(offset, buf)
    }

    /// Opens a file, which may still grow, for positioned reads.
    fn open(&self, path: &str) -> io::Result<Arc<dyn FsRead>>;

    /// Shows a whole immutable file as bytes.
    fn map(&self, path: &str) -> io::Result<FileView>;

    /// The names of the files and folders in `dir`, sorted, without their path.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Gives a file another name, in place of what had that name, or a folder one that is free.
    /// Durable after [`Fs::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives a file a second name, which must be free. Durable after [`Fs::sync_dir`].
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes an empty folder.
    fn remove_dir(&self, dir: &str) -> io::Result<()>;

    /// Removes a file. Its space is free once nobody has it open or mapped.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes a folder and those above it; it is no error when it exists. Durable after
    /// [`Fs::sync_dir`] of the folder above.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// Makes durable which names stand in `dir`.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Length of a file in bytes.
    fn file_len(&self, path: &str) -> io::Result<u64>;

    /// Takes the data directory for this process, until the lock is dropped.
    /// [`io::ErrorKind::WouldBlock`] when another holds it.
    fn lock(&self) -> io::Result<Box<dyn FsLock>>;
}

/// A file that is written at its end, by one owner.
pub trait FsFile: Send + Debug {
    /// Appends all of `bytes`. On an error any part of them may stand in the file; the owner
    /// cuts it off with [`FsFile::set_len`]. [`FsFile::len`] tells how far it came.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes all that was written durable. After an error the bytes since the last good sync may
    /// be gone from the disk though they are read back: write them again elsewhere.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file, or lengthens it with zeros; the next write goes to its new end.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether the file is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A handle by which another thread syncs this file while its owner goes on writing.
    fn sync_handle(&self) -> io::Result<Arc<dyn FsSync>>;
}

/// Syncs a file that another thread writes to.
pub trait FsSync: Send + Sync + Debug {
    /// Makes durable all that was written before the call.
    fn sync(&self) -> io::Result<()>;
}

/// A file open for positioned reads.
pub trait FsRead: Send + Sync + Debug {
    /// Reads at `offset` into `buf` and returns how many bytes were read: fewer than asked only
    /// at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Length in bytes, now.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file is empty, now.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Holds the data directory for this process while it lives.
pub trait FsLock: Send + Sync + Debug {}

/// Tries up to three times: a disk that only hiccupped shall not cost a whole file.
pub(crate) fn again<T>(mut action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut result = action();
    for _ in 1..TRIES {
        if result.is_ok() {
            break;
        }
        result = action();
    }
    result
}
