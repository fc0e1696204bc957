//! A data directory that is looked at and not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{FileView, Fs, FsFile, FsLock, FsRead, FsSync};

/// Shows another file system; what is written stays in memory, and what is removed is only hidden.
/// So a store can be opened, recovery and all, and leave its directory byte for byte as it was.
#[derive(Debug)]
pub struct UntouchedFs {
    inner: Arc<dyn Fs>,
    state: Mutex<State>,
}

type Bytes = Arc<Mutex<Vec<u8>>>;

#[derive(Debug, Default)]
struct State {
    /// Files that were written, by path.
    fresh: BTreeMap<String, Bytes>,
    /// Files of the other file system that were removed or renamed.
    hidden: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl UntouchedFs {
    /// Shows `inner`, of which only the lock is taken.
    pub fn new(inner: Arc<dyn Fs>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    fn fresh(&self, path: &str) -> io::Result<Option<Bytes>> {
        let state = self.state.lock();
        if let Some(bytes) = state.fresh.get(path) {
            return Ok(Some(Arc::clone(bytes)));
        }
        if state.hidden.contains(path) { Err(io::ErrorKind::NotFound.into()) } else { Ok(None) }
    }

    fn put(&self, path: &str, bytes: Vec<u8>) -> Box<dyn FsFile> {
        let bytes = Arc::new(Mutex::new(bytes));
        self.state.lock().fresh.insert(path.to_owned(), Arc::clone(&bytes));
        Box::new(File(bytes))
    }
}

impl Fs for UntouchedFs {
    fn create(&self, path: &str) -> io::Result<Box<dyn FsFile>> {
        Ok(self.put(path, Vec::new()))
    }

    fn append(&self, path: &str) -> io::Result<Box<dyn FsFile>> {
        match self.read(path) {
            Ok(bytes) => Ok(self.put(path, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(path),
            Err(error) => Err(error),
        }
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match self.fresh(path)? {
            Some(bytes) => Ok(bytes.lock().clone()),
            None => self.inner.read(path),
        }
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn FsRead>> {
        match self.fresh(path)? {
            Some(bytes) => Ok(Arc::new(File(bytes))),
            None => self.inner.open(path),
        }
    }

    fn map(&self, path: &str) -> io::Result<FileView> {
        match self.fresh(path)? {
            Some(bytes) => Ok(FileView::owned(bytes.lock().clone())),
            None => self.inner.map(path),
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        let mut names: BTreeSet<String> = match self.inner.list(dir) {
            Ok(names) => names.into_iter().collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !state.folders.contains(dir) {
                    return Err(error);
                }
                BTreeSet::new()
            }
            Err(error) => return Err(error),
        };
        let inside = |path: &String| {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            (folder == dir).then(|| name.to_owned())
        };
        for name in state.hidden.iter().filter_map(inside) {
            names.remove(&name);
        }
        names.extend(state.fresh.keys().filter_map(inside));
        Ok(names.into_iter().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let bytes = match self.fresh(from)? {
            Some(bytes) => bytes,
            None => Arc::new(Mutex::new(self.inner.read(from)?)),
        };
        let mut state = self.state.lock();
        state.fresh.remove(from);
        state.hidden.insert(from.to_owned());
        state.fresh.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn link(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_dir(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        if self.fresh(path)?.is_none() {
            self.inner.file_len(path)?;
        }
        let mut state = self.state.lock();
        state.fresh.remove(path);
        state.hidden.insert(path.to_owned());
        Ok(())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.state.lock().folders.insert(dir.to_owned());
        Ok(())
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn file_len(&self, path: &str) -> io::Result<u64> {
        match self.fresh(path)? {
            Some(bytes) => Ok(bytes.lock().len() as u64),
            None => self.inner.file_len(path),
        }
    }

    fn lock(&self) -> io::Result<Box<dyn FsLock>> {
        self.inner.lock()
    }
}

/// A file in memory.
#[derive(Debug)]
struct File(Bytes);

impl FsFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.lock().resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.lock().len() as u64
    }

    fn sync_handle(&self) -> io::Result<Arc<dyn FsSync>> {
        Ok(Arc::new(Self(Arc::clone(&self.0))))
    }
}

impl FsSync for File {
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl FsRead for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.lock();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = bytes.get(start..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Ok(count)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use narthex_model::{Labels, Matcher, TimeRange, Timestamp};

    use super::*;
    use crate::fs::SimFs;
    use crate::testing::HandClock;
    use crate::{Options, Row, Samples};

    fn dump(fs: &SimFs) -> Vec<(String, Vec<u8>)> {
        let folders = ["", "wal", "blocks"];
        let files = folders.iter().flat_map(|dir| {
            let names = fs.list(dir).unwrap_or_default().into_iter();
            names.map(move |name| format!("{dir}/{name}").trim_start_matches('/').to_owned())
        });
        files.filter_map(|path| Some((path.clone(), fs.read(&path).ok()?))).collect()
    }

    #[test]
    fn a_store_is_read_and_left_as_it_was() {
        let fs = SimFs::new(1);
        let clock = Arc::new(HandClock::new(Timestamp(100_000)));
        let options = Options { window_ms: 1000, ..Options::default() };
        {
            let (store, mut writer) =
                crate::open(Arc::new(fs.clone()), clock.clone(), options.clone()).unwrap();
            let series = writer.resolve(&Labels::from_pairs([("__name__", "a")])).unwrap();
            let source = writer.new_source();
            let layout = writer.new_layout(source).unwrap();
            writer.add_columns(layout, &[series]).unwrap();
            for at in (0..5000).step_by(100) {
                let row = Row { layout, at: Timestamp(at), values: &[1.5], changed: None };
                writer.append(&row).unwrap();
            }
            store.upkeep().unwrap();
        }
        let fs = fs.kill();
        let before = dump(&fs);
        let untouched = Arc::new(UntouchedFs::new(Arc::new(fs.clone())));
        let (store, writer) = crate::open(untouched, clock, options).unwrap();
        let found = store.snapshot().select(&[Matcher::equal("__name__", "a")], TimeRange::ALL);
        let mut samples = Samples::default();
        found.unwrap().series[0].read(TimeRange::ALL, &mut samples).unwrap();
        assert_eq!(samples.len(), 50);
        store.upkeep().unwrap();
        drop((store, writer));
        assert_eq!(dump(&fs), before);
    }
}
