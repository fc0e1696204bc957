//! What was imported from where, so that an import which was interrupted goes on where it was.
//!
//! A text file of lines that are only ever added, each with a checksum: what is torn off or
//! damaged is no line. `FORMAT.md` has an example.

use std::io;

use narthex_model::{TimeRange, Timestamp};

use crate::fs::FsFile;
use crate::{Error, Fs};

/// The file.
const PATH: &str = "imports";

/// The journal of one origin.
#[derive(Debug)]
pub(super) struct Journal {
    file: Box<dyn FsFile>,
    origin: String,
    done: Vec<TimeRange>,
}

impl Journal {
    /// Reads what was imported from `origin`. A window that was begun and not ended counts if its
    /// block is there.
    pub(super) fn open(
        fs: &dyn Fs,
        origin: &str,
        is_there: impl Fn(u64) -> bool,
    ) -> Result<Self, Error> {
        let origin = format!("{origin:?}");
        let bytes = match fs.read(PATH) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io("read", PATH, error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let entries: Vec<Entry<'_>> =
            text.lines().filter_map(Entry::parse).filter(|entry| entry.origin == origin).collect();
        let mut done: Vec<TimeRange> = Vec::new();
        for entry in entries {
            if (entry.ended || is_there(entry.id)) && !done.contains(&entry.window) {
                done.push(entry.window);
            }
        }
        let open = || {
            let mut file = fs.append(PATH)?;
            if bytes.last().is_some_and(|&byte| byte != b'\n') {
                file.write(b"\n")?;
            }
            fs.sync_dir("")?;
            Ok(file)
        };
        let file = open().map_err(|e| Error::io("open", PATH, e))?;
        Ok(Self { file, origin, done })
    }

    /// The windows that are imported.
    pub(super) fn done(&self) -> &[TimeRange] {
        &self.done
    }

    /// Notes durably that the block `id` will be made for `window`.
    pub(super) fn begin(&mut self, window: TimeRange, id: u64) -> Result<(), Error> {
        self.add("begin", window, id)
    }

    /// Notes that it is there.
    pub(super) fn end(&mut self, window: TimeRange, id: u64) -> Result<(), Error> {
        self.add("end", window, id)?;
        self.done.push(window);
        Ok(())
    }

    fn add(&mut self, word: &str, window: TimeRange, id: u64) -> Result<(), Error> {
        let (start, end) = (window.start.0, window.end.0);
        let line = format!("{word} {start} {end} {id:016x} {}", self.origin);
        let line = format!("{:08x} {line}\n", crc32c::crc32c(line.as_bytes()));
        let written = self.file.write(line.as_bytes()).and_then(|()| self.file.sync());
        written.map_err(|e| Error::io("write", PATH, e))
    }
}

/// A line.
#[derive(Debug)]
struct Entry<'a> {
    ended: bool,
    window: TimeRange,
    id: u64,
    origin: &'a str,
}

impl<'a> Entry<'a> {
    /// The line's meaning, if it is whole.
    fn parse(line: &'a str) -> Option<Self> {
        let (sum, line) = line.split_once(' ')?;
        if u32::from_str_radix(sum, 16).ok()? != crc32c::crc32c(line.as_bytes()) {
            return None;
        }
        let mut words = line.splitn(5, ' ');
        let ended = words.next()? == "end";
        let start = Timestamp(words.next()?.parse().ok()?);
        let end = Timestamp(words.next()?.parse().ok()?);
        let id = u64::from_str_radix(words.next()?, 16).ok()?;
        Some(Self { ended, window: TimeRange::new(start, end), id, origin: words.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::SimFs;

    #[test]
    fn the_example_of_the_format_is_read() {
        let text = include_str!("../../FORMAT.md");
        let example = text.split("```text imports\n").nth(1).unwrap().split("```").next().unwrap();
        let fs = SimFs::new(1);
        fs.plant(PATH, example.as_bytes());
        let done = |origin| Journal::open(&fs, origin, |_| false).unwrap().done;
        assert_eq!(done("the origin"), [TimeRange::new(Timestamp(0), Timestamp(8999))]);
        assert_eq!(done("another"), []);
        // Without the second line the block has to be there.
        fs.plant(PATH, &example.as_bytes()[..example.len() - 5]);
        assert_eq!(done("the origin"), []);
        let found = Journal::open(&fs, "the origin", |id| id == 0x00d2_c4a2_ba7a_4f09).unwrap();
        assert_eq!(found.done.len(), 1);
    }
}
