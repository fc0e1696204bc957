//! The target files of one `file_sd_configs` entry.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use narthex_config::FileSd;
use narthex_config::targets::{self, Format};

use crate::glob;
use crate::group::Group;

/// Largest target file, in bytes.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Follows the files that one entry names.
#[derive(Debug)]
pub(crate) struct Watch {
    config: FileSd,
    patterns: Vec<PathBuf>,
    files: BTreeMap<PathBuf, Seen>,
    /// When all files were read last, whether they looked changed or not.
    read_all_at: Option<Duration>,
}

/// What is known of a file.
#[derive(Debug, Default)]
struct Seen {
    /// What the file looked like when it was read last; `None` when it could not be looked at.
    stamp: Option<Stamp>,
    /// The groups of the last good reading.
    groups: Vec<Group>,
}

/// Tells whether a file is still the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What a look at the files found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Whether the groups are others now.
    pub(crate) changed: bool,
    /// Files that could not be read or were not right.
    pub(crate) errors: u64,
}

impl Watch {
    pub(crate) fn new(config: FileSd, base_dir: &Path) -> Self {
        let patterns = config.files.iter().map(|name| glob::join(base_dir, name)).collect();
        Self { config, patterns, files: BTreeMap::new(), read_all_at: None }
    }

    /// Whether this follows just what `config` says.
    pub(crate) fn is_for(&self, config: &FileSd) -> bool {
        self.config == *config
    }

    /// The groups, in order of the files' names.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.files.values().flat_map(|seen| &seen.groups)
    }

    /// Name and modification time in seconds of each file that could be looked at.
    #[expect(clippy::cast_precision_loss, reason = "a metric")]
    pub(crate) fn mtimes(&self) -> impl Iterator<Item = (String, f64)> {
        self.files.iter().filter_map(|(path, seen)| {
            let (seconds, nanos) = seen.stamp?.modified;
            Some((path.to_string_lossy().into_owned(), seconds as f64 + nanos as f64 / 1e9))
        })
    }

    /// Looks at the files and reads those that look changed; all, once in a refresh interval.
    pub(crate) fn look(&mut self, now: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        let due = |at: Duration| now.saturating_sub(at) >= self.config.refresh_interval;
        let all = self.read_all_at.is_none_or(due);
        if all {
            self.read_all_at = Some(now);
        }
        let mut found = Vec::new();
        for pattern in &self.patterns {
            match glob::files(pattern) {
                Ok(files) => found.extend(files),
                Err(error) => {
                    // The folder is there and cannot be read: what it held last stays.
                    let parent = pattern.parent();
                    found.extend(self.files.keys().filter(|path| path.parent() == parent).cloned());
                    if all {
                        outcome.errors += 1;
                        tracing::error!(pattern = %pattern.display(), %error, "cannot list target files");
                    }
                }
            }
        }
        let had = self.files.len();
        self.files.retain(|path, _| found.contains(path));
        outcome.changed |= self.files.len() < had;
        found.sort();
        found.dedup();
        for path in found {
            let seen = self.files.entry(path.clone()).or_default();
            seen.look(&path, all, &mut outcome);
        }
        outcome
    }
}

impl Seen {
    fn look(&mut self, path: &Path, always: bool, outcome: &mut Outcome) {
        // ORDER: the stamp is taken before the reading, so that a change in between is seen at
        // the next look.
        let stamp = fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata));
        if !always && stamp.is_some() && stamp == self.stamp {
            return;
        }
        let news = stamp != self.stamp || stamp.is_none();
        self.stamp = stamp;
        match read(path) {
            Ok(groups) => {
                outcome.changed |= groups != self.groups;
                self.groups = groups;
            }
            Err(error) => {
                outcome.errors += 1;
                if news {
                    let file = path.display();
                    tracing::error!(%file, %error, "bad target file; its last good targets stay");
                }
            }
        }
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn read(path: &Path) -> Result<Vec<Group>, String> {
    let name = path.to_string_lossy();
    let format =
        Format::of_name(&name).ok_or("expected a name ending with .json, .yml or .yaml")?;
    let text = read_text(path).map_err(|error| format!("{name}: {error}"))?;
    let listed = targets::parse(&text, format, &name).map_err(|error| error.to_string())?;
    let group = |(index, listed)| Group::new(format!("{name}:{index}"), listed, Some(&name));
    Ok(listed.iter().enumerate().map(group).collect())
}

fn read_text(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
