//! The two images of the simulated file system.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::random::Random;

/// Size of what a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A file, whatever its name is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InodeId(u64);

/// All files, their names, and the faults that were asked for.
#[derive(Clone, Debug)]
pub(super) struct State {
    random: Random,
    inodes: BTreeMap<InodeId, Inode>,
    inode_next: u64,
    pub(super) live: Names,
    durable: Names,
    pending: Vec<NameChange>,
    pub(super) locked: bool,
    pub(super) calls: u64,
    pub(super) fail_at: Option<u64>,
    pub(super) stop_at: Option<u64>,
    pub(super) space: Option<u64>,
    /// One call in so many fails, about; 0: none does.
    pub(super) fail_often: u64,
    /// Calls that failed so, since one did not.
    failed: u32,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// What was done to `live` since the last sync.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) files: BTreeMap<String, InodeId>,
    dirs: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link { path: String, inode: InodeId },
    Unlink { path: String },
    Rename { from: String, to: String },
    MakeDir { path: String },
    RemoveDir { path: String },
}

impl NameChange {
    /// The folder whose sync makes the change durable.
    fn dir(&self) -> &str {
        match self {
            Self::Link { path, .. }
            | Self::Unlink { path }
            | Self::MakeDir { path }
            | Self::RemoveDir { path } => parent(path),
            Self::Rename { to, .. } => parent(to),
        }
    }
}

impl Names {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Link { path, inode } => {
                self.files.insert(path.clone(), *inode);
            }
            NameChange::Unlink { path } => {
                self.files.remove(path);
            }
            NameChange::Rename { from, to } => {
                if let Some(inode) = self.files.remove(from) {
                    self.files.insert(to.clone(), inode);
                } else if self.dirs.remove(from) {
                    self.dirs.insert(to.clone());
                    let inside = format!("{from}/");
                    let moved = |path: &String| {
                        let rest = path.strip_prefix(&inside)?;
                        Some(format!("{to}/{rest}"))
                    };
                    let files = std::mem::take(&mut self.files).into_iter();
                    self.files =
                        files.map(|(path, inode)| (moved(&path).unwrap_or(path), inode)).collect();
                    let dirs = std::mem::take(&mut self.dirs).into_iter();
                    self.dirs = dirs.map(|path| moved(&path).unwrap_or(path)).collect();
                }
            }
            NameChange::RemoveDir { path } => {
                self.dirs.remove(path);
            }
            NameChange::MakeDir { path } => {
                self.dirs.insert(path.clone());
            }
        }
    }

    fn has_dir(&self, dir: &str) -> bool {
        dir.is_empty() || self.dirs.contains(dir)
    }

    /// Drops what stands in folders that are not there.
    fn drop_orphans(&mut self) {
        while let Some(orphan) = self.dirs.iter().find(|dir| !self.has_dir(parent(dir))).cloned() {
            self.dirs.remove(&orphan);
        }
        let dirs = &self.dirs;
        self.files.retain(|path, _| parent(path).is_empty() || dirs.contains(parent(path)));
    }
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            inodes: BTreeMap::new(),
            inode_next: 0,
            live: Names::default(),
            durable: Names::default(),
            pending: Vec::new(),
            locked: false,
            calls: 0,
            fail_at: None,
            stop_at: None,
            space: None,
            fail_often: 0,
            failed: 0,
        }
    }

    /// Counts a call and lets it fail when its turn has come.
    pub(super) fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        let stopped = self.stop_at.is_some_and(|at| self.calls >= at);
        let often = usize::try_from(self.fail_often).unwrap_or(0);
        let fails = often > 0 && self.failed < 2 && self.random.up_to(often - 1) == 0;
        self.failed = if fails { self.failed + 1 } else { 0 };
        if stopped || fails || self.fail_at == Some(self.calls) {
            return Err(io::Error::other("simulated fault"));
        }
        Ok(())
    }

    /// Whether the present call is the one at which the world stops, and not one after it.
    fn first_failure(&self) -> bool {
        self.stop_at.is_none_or(|at| self.calls <= at)
    }

    pub(super) fn live(&self, inode: InodeId) -> &[u8] {
        self.inodes.get(&inode).map(|inode| inode.live.as_slice()).unwrap_or_default()
    }

    pub(super) fn used(&self) -> u64 {
        self.live.files.values().map(|&inode| self.live(inode).len() as u64).sum()
    }

    pub(super) fn find(&mut self, path: &str) -> io::Result<InodeId> {
        self.call()?;
        self.live.files.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn create(&mut self, path: &str) -> io::Result<InodeId> {
        self.call()?;
        if !self.live.has_dir(parent(path)) || path.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // Truncating in place: the name stays durable, the contents do not.
        if let Some(&inode) = self.live.files.get(path) {
            self.change(inode, Change::SetLen(0));
            return Ok(inode);
        }
        let inode = InodeId(self.inode_next);
        self.inode_next += 1;
        self.inodes.insert(inode, Inode::default());
        self.name(NameChange::Link { path: path.to_owned(), inode });
        Ok(inode)
    }

    pub(super) fn append(&mut self, path: &str) -> io::Result<InodeId> {
        if let Some(&inode) = self.live.files.get(path) {
            return self.call().map(|()| inode);
        }
        self.create(path)
    }

    pub(super) fn list(&mut self, dir: &str) -> io::Result<Vec<String>> {
        self.call()?;
        if !self.live.has_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = self.live.files.keys().chain(&self.live.dirs);
        let mut names: Vec<String> = all
            .filter(|path| parent(path) == dir)
            .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        if self.live.dirs.contains(from) {
            self.call()?;
        } else {
            self.find(from)?;
        }
        if !self.live.has_dir(parent(to)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.name(NameChange::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    pub(super) fn link(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.find(from)?;
        if !self.live.has_dir(parent(to)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if self.live.files.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.name(NameChange::Link { path: to.to_owned(), inode });
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, dir: &str) -> io::Result<()> {
        self.call()?;
        if !self.live.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut inside = self.live.files.keys().chain(&self.live.dirs);
        if inside.any(|path| parent(path) == dir) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.name(NameChange::RemoveDir { path: dir.to_owned() });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        self.find(path)?;
        self.name(NameChange::Unlink { path: path.to_owned() });
        Ok(())
    }

    pub(super) fn create_dir(&mut self, dir: &str) -> io::Result<()> {
        self.call()?;
        let ends = dir.match_indices('/').map(|(at, _)| at).chain([dir.len()]);
        for end in ends {
            let path = &dir[..end];
            if !self.live.has_dir(path) {
                self.name(NameChange::MakeDir { path: path.to_owned() });
            }
        }
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &str) -> io::Result<()> {
        self.call()?;
        if !self.live.has_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (synced, rest) = self.pending.drain(..).partition(|change| change.dir() == dir);
        self.pending = rest;
        let synced: Vec<NameChange> = synced;
        for change in &synced {
            self.durable.apply(change);
        }
        Ok(())
    }

    fn name(&mut self, change: NameChange) {
        self.live.apply(&change);
        self.pending.push(change);
    }

    /// Writes, and tells how many bytes now stand in the file.
    pub(super) fn write(
        &mut self,
        inode: InodeId,
        offset: u64,
        bytes: &[u8],
    ) -> (usize, io::Result<()>) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut count = bytes.len();
        let mut result = self.call();
        if result.is_err() {
            count = if self.first_failure() { self.random.up_to(count) } else { 0 };
        } else if let Some(space) = self.space {
            let free = usize::try_from(space.saturating_sub(self.used())).unwrap_or(usize::MAX);
            if free < count {
                count = free;
                result = Err(io::ErrorKind::StorageFull.into());
            }
        }
        if count > 0 {
            let bytes = bytes[..count].to_vec();
            self.change(inode, Change::Write { offset, bytes });
        }
        (count, result)
    }

    pub(super) fn set_len(&mut self, inode: InodeId, len: u64) -> io::Result<()> {
        self.call()?;
        self.change(inode, Change::SetLen(usize::try_from(len).unwrap_or(usize::MAX)));
        Ok(())
    }

    fn change(&mut self, inode: InodeId, change: Change) {
        let inode = self.inodes.entry(inode).or_default();
        apply(&mut inode.live, &change);
        inode.pending.push(change);
    }

    pub(super) fn sync(&mut self, inode: InodeId) -> io::Result<()> {
        let result = self.call();
        if self.stop_at.is_some_and(|at| self.calls >= at) {
            return result;
        }
        let inode = self.inodes.entry(inode).or_default();
        let pending = std::mem::take(&mut inode.pending);
        // A failed sync marks the pages clean all the same: a later one does not write them.
        if result.is_ok() {
            for change in &pending {
                apply(&mut inode.durable, change);
            }
        }
        result
    }

    pub(super) fn flip(&mut self, path: &str, offset: u64, mask: u8) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(inode) = self.live.files.get(path).and_then(|id| self.inodes.get_mut(id)) else {
            return;
        };
        for image in [&mut inode.live, &mut inode.durable] {
            if let Some(byte) = image.get_mut(offset) {
                *byte ^= mask;
            }
        }
    }

    pub(super) fn plant(&mut self, path: &str, bytes: &[u8]) {
        let inode = self.live.files.get(path).copied().unwrap_or_else(|| {
            self.inode_next += 1;
            InodeId(self.inode_next - 1)
        });
        let content = Inode { live: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() };
        self.inodes.insert(inode, content);
        self.live.files.insert(path.to_owned(), inode);
        self.durable.files.insert(path.to_owned(), inode);
    }

    /// What the next process finds after this one was killed.
    pub(super) fn killed(&self) -> Self {
        let mut next = self.clone();
        (next.locked, next.calls) = (false, 0);
        (next.fail_at, next.stop_at, next.space) = (None, None, None);
        next.fail_often = 0;
        next
    }

    /// What the next process finds after the power went.
    pub(super) fn crashed(&self) -> Self {
        let mut next = self.killed();
        // Another seed, so that a second crash does not repeat the first one's choices.
        let mut random = Random::new(self.random.clone().next() ^ self.calls);
        let mut kept: BTreeMap<String, usize> = BTreeMap::new();
        for change in &self.pending {
            *kept.entry(change.dir().to_owned()).or_default() += 1;
        }
        for count in kept.values_mut() {
            *count = random.up_to(*count);
        }
        for change in &self.pending {
            let left = kept.entry(change.dir().to_owned()).or_default();
            if *left > 0 {
                *left -= 1;
                next.durable.apply(change);
            }
        }
        next.durable.drop_orphans();
        next.live = next.durable.clone();
        next.pending.clear();
        for inode in next.inodes.values_mut() {
            let pending = std::mem::take(&mut inode.pending);
            lose(&mut inode.durable, &pending, &mut random);
            inode.live.clone_from(&inode.durable);
        }
        let named: BTreeSet<InodeId> = next.live.files.values().copied().collect();
        next.inodes.retain(|inode, _| named.contains(inode));
        next.random = random;
        next
    }
}

/// Applies a random part of the changes that no sync has covered.
fn lose(image: &mut Vec<u8>, pending: &[Change], random: &mut Random) {
    match random.up_to(3) {
        0 => {}
        1 => {
            let whole = random.up_to(pending.len());
            for change in &pending[..whole] {
                apply(image, change);
            }
            if let Some(Change::Write { offset, bytes }) = pending.get(whole) {
                let bytes = bytes[..random.up_to(bytes.len())].to_vec();
                apply(image, &Change::Write { offset: *offset, bytes });
            }
        }
        2 => {
            for change in pending {
                match change {
                    Change::SetLen(_) => apply(image, change),
                    Change::Write { offset, bytes } => {
                        for (start, sector) in sectors(*offset, bytes) {
                            if random.coin() {
                                let bytes = sector.to_vec();
                                apply(image, &Change::Write { offset: start, bytes });
                            }
                        }
                    }
                }
            }
        }
        _ => pending.iter().for_each(|change| apply(image, change)),
    }
}

/// Cuts a write where the disk's sectors end.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = offset + at;
        let end = (at + SECTOR - start % SECTOR).min(bytes.len());
        let sector = bytes.get(at..end).filter(|sector| !sector.is_empty())?;
        at = end;
        Some((start, sector))
    })
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(len) => image.resize(*len, 0),
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*offset..end].copy_from_slice(bytes);
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}
