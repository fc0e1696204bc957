//! A file system in memory that fails on purpose, from a seed.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{FileView, Fs, FsFile, FsLock, FsRead, FsSync};

mod random;
mod state;

use state::{InodeId, State};

/// A file system in memory with two images: what the process sees (live), and what would be left
/// after the power went (durable).
///
/// Clones share the images. A test runs on one, takes [`SimFs::crash`] or [`SimFs::kill`], and
/// opens the store again on the result. Every call of [`Fs`] and of its files counts, so a test
/// can stop the world at each call in turn. The same seed and the same calls give the same images.
#[derive(Clone, Debug)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
}

impl SimFs {
    /// An empty file system without faults.
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// The power goes: a new file system with what was durable, and a random part of what was not.
    /// Of a file's unsynced writes there remains nothing, or some first ones with the last of them
    /// torn, or any of them, each in whole sectors with zeros for the missing, or all. Of a
    /// folder's unsynced names there remain some first changes. No faults are set.
    #[must_use]
    pub fn crash(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state.lock().crashed())) }
    }

    /// The process dies: a new file system that looks the same, and still has to sync what was not
    /// synced. No faults are set; the lock is free.
    #[must_use]
    pub fn kill(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state.lock().killed())) }
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Lets the call number `call` (the first is 1) fail; a write that fails leaves a random part
    /// of its bytes, a sync that fails loses what it should have made durable.
    pub fn fail_at(&self, call: u64) {
        self.state.lock().fail_at = Some(call);
    }

    /// Lets the call number `call` fail as in [`SimFs::fail_at`], and every call after it.
    pub fn stop_at(&self, call: u64) {
        self.state.lock().stop_at = Some(call);
    }

    /// Lets about one call in `one_in` fail as in [`SimFs::fail_at`], but never three in a row; 0:
    /// none.
    pub fn fail_often(&self, one_in: u64) {
        self.state.lock().fail_often = one_in;
    }

    /// Whether there is a file with this path, as the process sees it. Not counted as a call.
    pub fn shows(&self, path: &str) -> bool {
        self.state.lock().live.files.contains_key(path)
    }

    /// Takes back all faults that were set, but for those that have happened.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        (state.fail_at, state.stop_at, state.space) = (None, None, None);
        state.fail_often = 0;
    }

    /// Holds all files together to `bytes`, from now on; a write beyond leaves what fits and fails
    /// with [`io::ErrorKind::StorageFull`].
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.state.lock().space = bytes;
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// Changes one byte of a file in both images; `mask` says which bits. Not counted as a call.
    pub fn flip(&self, path: &str, offset: u64, mask: u8) {
        self.state.lock().flip(path, offset, mask);
    }

    /// Replaces a file's bytes in both images. Not counted as a call.
    pub fn plant(&self, path: &str, bytes: &[u8]) {
        self.state.lock().plant(path, bytes);
    }
}

impl Fs for SimFs {
    fn create(&self, path: &str) -> io::Result<Box<dyn FsFile>> {
        let inode = self.state.lock().create(path)?;
        Ok(Box::new(SimFile { state: Arc::clone(&self.state), inode, len: 0 }))
    }

    fn append(&self, path: &str) -> io::Result<Box<dyn FsFile>> {
        let mut state = self.state.lock();
        let inode = state.append(path)?;
        let len = state.live(inode).len() as u64;
        Ok(Box::new(SimFile { state: Arc::clone(&self.state), inode, len }))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut state = self.state.lock();
        let inode = state.find(path)?;
        Ok(state.live(inode).to_vec())
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn FsRead>> {
        let inode = self.state.lock().find(path)?;
        Ok(Arc::new(SimRead { state: Arc::clone(&self.state), inode }))
    }

    fn map(&self, path: &str) -> io::Result<FileView> {
        let mut state = self.state.lock();
        let inode = state.find(path)?;
        Ok(FileView::owned(state.live(inode)))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.state.lock().list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state.lock().rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.state.lock().link(from, to)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.state.lock().remove_dir(dir)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.state.lock().remove(path)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.state.lock().create_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.state.lock().sync_dir(dir)
    }

    fn file_len(&self, path: &str) -> io::Result<u64> {
        let mut state = self.state.lock();
        let inode = state.find(path)?;
        Ok(state.live(inode).len() as u64)
    }

    fn lock(&self) -> io::Result<Box<dyn FsLock>> {
        let mut state = self.state.lock();
        state.call()?;
        if state.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked = true;
        Ok(Box::new(SimLock { state: Arc::clone(&self.state) }))
    }
}

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    inode: InodeId,
    len: u64,
}

impl FsFile for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (written, result) = self.state.lock().write(self.inode, self.len, bytes);
        self.len += written as u64;
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        self.state.lock().sync(self.inode)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.state.lock().set_len(self.inode, len)?;
        self.len = len;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn sync_handle(&self) -> io::Result<Arc<dyn FsSync>> {
        self.state.lock().call()?;
        Ok(Arc::new(SimSync { state: Arc::clone(&self.state), inode: self.inode }))
    }
}

#[derive(Debug)]
struct SimSync {
    state: Arc<Mutex<State>>,
    inode: InodeId,
}

impl FsSync for SimSync {
    fn sync(&self) -> io::Result<()> {
        self.state.lock().sync(self.inode)
    }
}

#[derive(Debug)]
struct SimRead {
    state: Arc<Mutex<State>>,
    inode: InodeId,
}

impl FsRead for SimRead {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.call()?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = state.live(self.inode).get(start..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        state.call()?;
        Ok(state.live(self.inode).len() as u64)
    }
}

#[derive(Debug)]
struct SimLock {
    state: Arc<Mutex<State>>,
}

impl FsLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.state.lock().locked = false;
    }
}

#[cfg(test)]
mod tests;
