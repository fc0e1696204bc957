//! The real file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{FileView, Fs, FsFile, FsLock, FsRead, FsSync};

/// Name of the file whose lock stands for the whole data directory.
const LOCK_FILE: &str = "lock";

/// A data directory on disk.
#[derive(Debug)]
pub struct DiskFs {
    root: PathBuf,
}

impl DiskFs {
    /// The data directory at `root`, which is made when it does not exist.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    /// Where the data directory is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The place of `path` on disk; refuses a path that leads out of the data directory.
    fn place(&self, path: &str) -> io::Result<PathBuf> {
        let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            let message = format!("{path:?} leads out of the data directory");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(if path.is_empty() { self.root.clone() } else { self.root.join(path) })
    }
}

impl Fs for DiskFs {
    fn create(&self, path: &str) -> io::Result<Box<dyn FsFile>> {
        let place = self.place(path)?;
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(place)?;
        Ok(Box::new(DiskFile { file: Arc::new(file), len: 0 }))
    }

    fn append(&self, path: &str) -> io::Result<Box<dyn FsFile>> {
        let place = self.place(path)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(place)?;
        let len = file.metadata()?.len();
        Ok(Box::new(DiskFile { file: Arc::new(file), len }))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.place(path)?)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn FsRead>> {
        Ok(Arc::new(DiskRead { file: File::open(self.place(path)?)? }))
    }

    fn map(&self, path: &str) -> io::Result<FileView> {
        FileView::mapped(&File::open(self.place(path)?)?)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.place(dir)?)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.place(from)?, self.place(to)?)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        fs::hard_link(self.place(from)?, self.place(to)?)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        fs::remove_dir(self.place(dir)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.place(path)?)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        fs::create_dir_all(self.place(dir)?)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.place(dir)?)?.sync_all()
    }

    fn file_len(&self, path: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.place(path)?)?.len())
    }

    fn lock(&self) -> io::Result<Box<dyn FsLock>> {
        let place = self.place(LOCK_FILE)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(place)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(DiskLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// A file with its own idea of where its end is, so that a partial write is known and cut off.
#[derive(Debug)]
struct DiskFile {
    file: Arc<File>,
    len: u64,
}

impl FsFile for DiskFile {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match self.file.write_at(bytes, self.len) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.len += written as u64;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.len = len;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn sync_handle(&self) -> io::Result<Arc<dyn FsSync>> {
        Ok(Arc::new(DiskSync { file: Arc::clone(&self.file) }))
    }
}

#[derive(Debug)]
struct DiskSync {
    file: Arc<File>,
}

impl FsSync for DiskSync {
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[derive(Debug)]
struct DiskRead {
    file: File,
}

impl FsRead for DiskRead {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// The operating system frees the lock when the process ends, however it ends.
#[derive(Debug)]
struct DiskLock {
    _file: File,
}

impl FsLock for DiskLock {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_grow_are_read_and_mapped() {
        let dir = tempfile::tempdir().unwrap();
        let fs = DiskFs::new(dir.path().join("data")).unwrap();
        fs.create_dir("wal").unwrap();
        let mut file = fs.create("wal/a").unwrap();
        let reader = fs.open("wal/a").unwrap();
        let sync = file.sync_handle().unwrap();
        file.write(b"hello").unwrap();
        file.write(b" world").unwrap();
        sync.sync().unwrap();
        fs.sync_dir("wal").unwrap();
        let mut buf = [0; 20];
        assert_eq!(reader.read_at(6, &mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"world");
        file.set_len(5).unwrap();
        drop(file);
        let mut file = fs.append("wal/a").unwrap();
        assert_eq!(file.len(), 5);
        file.write(b"!").unwrap();
        assert_eq!(fs.read("wal/a").unwrap(), b"hello!");
        fs.rename("wal/a", "b").unwrap();
        let view = fs.map("b").unwrap();
        assert!(view.is_mapped());
        fs.remove("b").unwrap();
        assert_eq!(&*view, b"hello!");
        assert_eq!(fs.list("").unwrap(), ["wal"]);
    }

    #[test]
    fn an_empty_file_maps_to_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let fs = DiskFs::new(dir.path()).unwrap();
        fs.create("empty").unwrap();
        assert!(fs.map("empty").unwrap().is_empty());
    }

    #[test]
    fn one_process_at_a_time_and_no_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let fs = DiskFs::new(dir.path()).unwrap();
        let lock = fs.lock().unwrap();
        assert_eq!(fs.lock().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        assert!(fs.lock().is_ok());
        assert!(fs.create("../x").is_err());
        assert!(fs.read("/etc/hostname").is_err());
    }
}
