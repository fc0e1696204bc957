//! A copy of the store beside the store.

use std::collections::BTreeSet;
use std::sync::Arc;

use narthex_model::{TimeRange, Timestamp};

use super::Chores;
use crate::head::late::LateMark;
use crate::tombstones;
use crate::view::{self, View};
use crate::{Error, Store};

/// Folder of the copies.
pub(crate) const DIR: &str = "snapshots";
/// What the name of a copy ends with while it is made.
const TMP_END: &str = ".tmp";

impl Store {
    /// Makes a copy of the store, which opens as a data directory, as the folder `name` in the
    /// folder `snapshots`: blocks as hard links, and, unless `skip_head`, the rows that are in no
    /// block yet as further blocks. The folder has its name once everything in it is durable.
    pub fn copy_to(&self, name: &str, skip_head: bool) -> Result<(), Error> {
        let mut chores = self.chores.lock();
        if self.fs.list(DIR).unwrap_or_default().iter().any(|known| known == name) {
            let taken = std::io::ErrorKind::AlreadyExists.into();
            return Err(Error::io("make", &format!("{DIR}/{name}"), taken));
        }
        let tmp = format!("{DIR}/{name}{TMP_END}");
        let made = self.fill_copy(&tmp, skip_head, &mut chores).and_then(|()| {
            let path = format!("{DIR}/{name}");
            self.fs.rename(&tmp, &path).map_err(|source| Error::io("rename", &tmp, source))?;
            self.fs.sync_dir(DIR).map_err(|source| Error::io("sync", DIR, source))
        });
        if made.is_err() {
            remove_copy(&*self.fs, &tmp);
        }
        made
    }

    fn fill_copy(&self, tmp: &str, skip_head: bool, chores: &mut Chores) -> Result<(), Error> {
        let fs = &*self.fs;
        let blocks = format!("{tmp}/{}", view::DIR);
        fs.create_dir(&blocks).map_err(|source| Error::io("make", &blocks, source))?;
        let view = Arc::clone(&self.view.read());
        for block in &view.blocks {
            let (from, to) = (block.name(), format!("{tmp}/{}", block.name()));
            fs.link(from, &to).map_err(|source| Error::io("link", from, source))?;
        }
        if !skip_head {
            self.copy_head(tmp, &view, chores)?;
        }
        tombstones::write_copy(fs, tmp, &view.tombstones)?;
        // ORDER: everything below a name before the name itself.
        for dir in [blocks.as_str(), tmp, DIR, ""] {
            fs.sync_dir(dir).map_err(|source| Error::io("sync", dir, source))?;
        }
        Ok(())
    }

    /// Writes the rows that are in no block as blocks of the copy.
    fn copy_head(&self, tmp: &str, view: &View, chores: &mut Chores) -> Result<(), Error> {
        let Some(newest) = self.head.max_time() else { return Ok(()) };
        let window_ms = self.head.window_ms;
        let mark = LateMark { seq: self.head.last_seq(), until: newest.plus_millis(1) };
        let (mut starts, mut late_starts) = (BTreeSet::new(), BTreeSet::new());
        for layout in self.head.all_layouts() {
            starts.extend(layout.window_starts(view.sealed_until));
            layout.each_late(mark, view.late, |key, _| {
                late_starts.insert(key.at.0.div_euclid(window_ms).saturating_mul(window_ms));
            });
        }
        // Of the newest window only what has passed: the copy goes on from there.
        let spilled = |start| view.spilled_in(start, window_ms);
        starts.extend(view.spilled.iter().map(|block| block.meta().window.end.0 - (window_ms - 1)));
        let window = |start: i64| {
            let end = start.saturating_add(window_ms - 1).min(newest.0);
            TimeRange::new(Timestamp(start), Timestamp(end))
        };
        for &start in &starts {
            let path = format!("{tmp}/{}", view::block_path(chores.take_number()));
            let mut window = window(start);
            window.start = window.start.max(view.sealed_until);
            let tmp = format!("{path}{}", view::TMP_END);
            let parts = (&*self.head.all_layouts(), &*spilled(start));
            self.write_block(start, window, (&tmp, &path), parts)?;
        }
        let layouts = self.head.late_layouts();
        for &start in &late_starts {
            let path = format!("{tmp}/{}", view::late_block_path(chores.take_number()));
            self.write_late(&layouts, (mark, view.late), window(start), &path)?;
        }
        Ok(())
    }
}

/// Removes what there is of a copy that was not finished, as far as it can be.
pub(crate) fn remove_copy(fs: &dyn crate::Fs, tmp: &str) {
    for dir in [format!("{tmp}/{}", view::DIR), tmp.to_owned()] {
        for name in fs.list(&dir).unwrap_or_default() {
            drop(fs.remove(&format!("{dir}/{name}")));
        }
        if let Err(error) = fs.remove_dir(&dir) {
            tracing::warn!(folder = dir, %error, "an unfinished copy cannot be removed");
        }
    }
}

/// Removes the copies that an earlier process did not finish.
pub(crate) fn remove_unfinished(fs: &dyn crate::Fs) {
    for name in fs.list(DIR).unwrap_or_default() {
        if name.ends_with(TMP_END) {
            remove_copy(fs, &format!("{DIR}/{name}"));
        }
    }
}
