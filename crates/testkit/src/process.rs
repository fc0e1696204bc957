//! A program that a test or benchmark started, and what it costs.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http::get;

/// How long a program may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// A child process; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time, in seconds.
    pub cpu_seconds: f64,
    /// The most memory that was resident at once, in bytes.
    pub rss_peak_bytes: u64,
    /// Anonymous memory that is resident now, in bytes.
    pub anonymous_bytes: u64,
    /// Bytes handed to the disk.
    pub written_bytes: u64,
}

impl Process {
    /// Starts `command` with its output in `log`.
    ///
    /// # Errors
    /// When the program cannot be started or the log not be made.
    pub fn start(command: &mut Command, log: &Path) -> io::Result<Self> {
        let out = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let err = out.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn()?;
        Ok(Self { child })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as `kill -9` does, and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to end (SIGTERM) and waits for at most `patience`. Tells its exit code, `None`
    /// when it had to be killed or was ended by a signal.
    pub fn terminate(mut self, patience: Duration) -> Option<i32> {
        let id = self.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// Sends a signal by name (`HUP`, `STOP`, ...).
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let _ = Command::new("kill").args([&format!("-{name}"), id.as_str()]).status();
    }

    /// The exit code, if it has ended by itself.
    pub fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().ok().flatten().map(|status| status.code())
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When the kernel's files about it cannot be read.
    pub fn usage(&self) -> io::Result<Usage> {
        let folder = format!("/proc/{}", self.id());
        let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}"));
        let stat = read("stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        // Fields 14 and 15 of the whole line: user and system time in ticks of 10 ms.
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        let status = read("status")?;
        Ok(Usage {
            cpu_seconds: (ticks(11) + ticks(12)) / 100.0,
            rss_peak_bytes: field(&status, "VmHWM:") * 1024,
            anonymous_bytes: field(&status, "RssAnon:") * 1024,
            written_bytes: read("io").map_or(0, |io| field(&io, "write_bytes:")),
        })
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Counts the time that a process computes, more exactly than [`Usage`] does, whose ticks are 10 ms
/// each.
#[derive(Debug)]
pub struct Meter {
    id: u32,
    /// Nanoseconds by thread, as they were seen last.
    threads: HashMap<String, u64>,
}

impl Meter {
    /// Of the process with this id.
    pub fn new(id: u32) -> Self {
        Self { id, threads: HashMap::new() }
    }

    /// The seconds until now. Of a thread that has ended counts what it had used at the last call,
    /// so this is to be called now and then.
    ///
    /// # Errors
    /// When the kernel's files about it cannot be read.
    pub fn look(&mut self) -> io::Result<f64> {
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id))?.flatten() {
            // It may end at any time.
            let Ok(text) = std::fs::read_to_string(thread.path().join("schedstat")) else {
                continue;
            };
            let used = text.split_whitespace().next().and_then(|first| first.parse().ok());
            let name = thread.file_name().to_string_lossy().into_owned();
            self.threads.insert(name, used.unwrap_or(0));
        }
        Ok(self.threads.values().map(|&used| Duration::from_nanos(used).as_secs_f64()).sum())
    }
}

/// A program with the flags of Prometheus, on a port of its own.
#[derive(Debug)]
pub struct Server {
    /// The program.
    pub process: Process,
    /// Where it listens, on loopback.
    pub port: u16,
}

impl Server {
    /// Starts `program` in the folder `dir`, where its log and its data go as well, and waits until
    /// it says that it is ready. `config` makes its configuration, given the port.
    ///
    /// # Errors
    /// When it cannot be started, or is not ready in time.
    pub fn start(
        program: &Path,
        dir: &Path,
        flags: &[&str],
        config: impl FnOnce(u16) -> String,
    ) -> io::Result<Self> {
        let port = free_port()?;
        std::fs::write(dir.join("prometheus.yml"), config(port))?;
        let mut command = Command::new(program);
        command.current_dir(dir).arg("--config.file=prometheus.yml").args(flags);
        command.args([
            "--storage.tsdb.path=data".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ]);
        let log = dir.join("log");
        let process = Process::start(&mut command, &log)?;
        let ready = || get(port, "/-/ready").is_ok_and(|answer| answer.status == 200);
        if wait_until(READY_TIMEOUT, ready) {
            return Ok(Self { process, port });
        }
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("not ready: {log}")))
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A loopback port that nobody listens on at this moment.
///
/// # Errors
/// When there is none.
pub fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Calls `ready` every 20 ms until it says yes, for at most `patience`.
pub fn wait_until(patience: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if ready() {
            return true;
        }
        if start.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
