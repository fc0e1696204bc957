//! Lines for a file, written by a thread of their own: a disk that is slow or full holds nobody up.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Lines that wait for the disk at most.
const LINES_WAITING_MAX: usize = 1024;

/// What the waiting lines take at most, in bytes.
const BYTES_WAITING_MAX: usize = 4 << 20;

/// How long the end waits for lines that are not written yet.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// A file that lines are appended to.
#[derive(Debug)]
pub struct FileLog {
    lines: Option<Sender<Vec<u8>>>,
    waiting: Arc<AtomicUsize>,
    failures: Arc<AtomicU64>,
    ended: Receiver<()>,
}

impl FileLog {
    /// Opens or makes the file. Lines that are lost are counted in `failures`.
    ///
    /// # Errors
    /// When the file cannot be opened for writing, or no thread can be started.
    pub fn open(path: &Path, failures: Arc<AtomicU64>) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let (lines, receiver) = bounded::<Vec<u8>>(LINES_WAITING_MAX);
        let (end, ended) = bounded(1);
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut writer = Writer {
            file,
            name: path.display().to_string(),
            waiting: Arc::clone(&waiting),
            failures: Arc::clone(&failures),
            failing: false,
        };
        std::thread::Builder::new().name("file-log".to_owned()).spawn(move || {
            for line in receiver {
                writer.write(&line);
            }
            let _ = end.send(());
        })?;
        Ok(Self { lines: Some(lines), waiting, failures, ended })
    }

    /// Appends a line, which ends in a line feed; it is lost when the disk does not keep up.
    pub fn write(&self, line: Vec<u8>) {
        let bytes = line.len();
        let fits = self.waiting.fetch_add(bytes, Relaxed) + bytes <= BYTES_WAITING_MAX;
        let sent = fits && self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok());
        if !sent {
            self.waiting.fetch_sub(bytes, Relaxed);
            self.failures.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for FileLog {
    fn drop(&mut self) {
        self.lines = None;
        // Lines that a stuck disk does not take are lost.
        let _ = self.ended.recv_timeout(CLOSE_MAX);
    }
}

struct Writer {
    file: File,
    name: String,
    waiting: Arc<AtomicUsize>,
    failures: Arc<AtomicU64>,
    failing: bool,
}

impl Writer {
    fn write(&mut self, line: &[u8]) {
        let written = self.file.write_all(line);
        self.waiting.fetch_sub(line.len(), Relaxed);
        if let Err(error) = &written {
            self.failures.fetch_add(1, Relaxed);
            if !self.failing {
                tracing::error!(file = self.name, err = %error, "A log file cannot be written");
            }
        }
        self.failing = written.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_and_written_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let failures = Arc::new(AtomicU64::new(0));
        for line in ["a\n", "b\n"] {
            FileLog::open(&path, Arc::clone(&failures)).unwrap().write(line.into());
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), "a\nb\n");
        assert_eq!(failures.load(Relaxed), 0);
        assert!(FileLog::open(&dir.path().join("none/log"), failures).is_err());
    }

    #[test]
    fn a_full_disk_only_costs_lines() {
        let failures = Arc::new(AtomicU64::new(0));
        let log = FileLog::open(Path::new("/dev/full"), Arc::clone(&failures)).unwrap();
        log.write(b"a\n".to_vec());
        log.write(vec![0; BYTES_WAITING_MAX + 1]);
        drop(log);
        assert_eq!(failures.load(Relaxed), 2);
    }
}
