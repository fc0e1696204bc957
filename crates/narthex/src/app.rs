//! What all parts of the running program share.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use narthex_model::regex::Pattern;
use narthex_model::{Clock, Timestamp};
use narthex_promql::memory::SharedMemory;
use narthex_store::Store;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::flags::Flags;
use crate::notifications::{Notifications, STARTING, STOPPING};
use crate::query_log::FileLogs;
use crate::query_pool::QueryPool;
use crate::settings::Settings;
use crate::telemetry::Telemetry;
use crate::web::security::Security;

/// Where the program is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The log is being replayed.
    Starting,
    /// Everything answers.
    Ready,
    /// The end has begun.
    Stopping,
}

/// What the HTTP side asks of the main loop.
#[derive(Debug)]
pub enum Command {
    /// Read the configuration again and say how that went.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Shut down.
    Quit,
}

/// Shared by the HTTP side, the main loop and the threads.
#[derive(Debug)]
pub struct App {
    /// The command line.
    pub flags: Flags,
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// When the program started.
    pub started: Timestamp,
    /// What the program counts about itself.
    pub telemetry: Arc<Telemetry>,
    /// Where queries run.
    pub queries: QueryPool,
    /// The memory that all queries share.
    pub query_memory: Arc<SharedMemory>,
    /// What pages show about the state of the server.
    pub notifications: Notifications,
    /// Files that tell of queries and of failed scrapes.
    pub file_logs: Arc<FileLogs>,
    /// The configuration in force.
    pub config: ArcSwap<Settings>,
    /// Origins that browsers may call from.
    pub cors_origin: Pattern,
    /// Limits of remote read.
    pub read_limits: crate::web::read::Limits,
    /// What `--web.config.file` asks for.
    pub security: Option<Arc<Security>>,
    phase: AtomicU8,
    parts: OnceLock<Parts>,
    commands: mpsc::Sender<Command>,
}

/// What exists from the end of the replay on.
#[derive(Debug)]
pub struct Parts {
    /// The store.
    pub store: Arc<Store>,
    /// Who scrapes.
    pub scrape: Arc<narthex_scrape::Manager>,
    /// Who sends to receivers.
    pub remote: Arc<narthex_remote::Manager>,
    /// Who knows the targets.
    pub discovery: narthex_discovery::Manager,
    /// Where received samples go, when the flag is on.
    pub inlet: Option<Arc<crate::inlet::Inlet>>,
}

impl App {
    /// The program before its store is open; commands go to the receiver.
    ///
    /// # Errors
    /// When the pattern of `--web.cors.origin` or the file of `--web.config.file` is wrong.
    pub fn new(
        flags: Flags,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Command>), String> {
        let cors_origin = Pattern::new(&flags.cors_origin)
            .map_err(|e| format!("could not compile CORS regex string: {e}"))?;
        let security = match flags.web_config_file.as_str() {
            "" => None,
            path => Some(Arc::new(Security::new(path)?)),
        };
        let (commands, receiver) = mpsc::channel(16);
        let telemetry = Arc::new(Telemetry::default());
        let app = Self {
            queries: QueryPool::new(
                flags.query_concurrency,
                Arc::clone(&clock),
                Arc::clone(&telemetry),
            ),
            started: clock.now(),
            read_limits: read_limits(&flags),
            query_memory: Arc::new(SharedMemory::new(flags.query_memory_bytes)),
            notifications: Notifications::new(flags.listeners_max),
            file_logs: Arc::new(FileLogs::new(Arc::clone(&clock))),
            config: ArcSwap::default(),
            phase: AtomicU8::new(Phase::Starting as u8),
            parts: OnceLock::new(),
            flags,
            clock,
            telemetry,
            cors_origin,
            security,
            commands,
        };
        app.notifications.raise(STARTING, app.started);
        Ok((Arc::new(app), receiver))
    }

    /// Where the program is in its life.
    pub fn phase(&self) -> Phase {
        match self.phase.load(SeqCst) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }

    /// The program enters a phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, SeqCst);
        match phase {
            Phase::Starting => self.notifications.raise(STARTING, self.clock.now()),
            Phase::Ready => self.notifications.clear(STARTING),
            Phase::Stopping => self.notifications.raise(STOPPING, self.clock.now()),
        }
    }

    /// Gives the parts that exist from now on; a second call changes nothing.
    pub fn set_parts(&self, parts: Parts) {
        let _ = self.parts.set(parts);
    }

    /// The store and its users; `None` before the replay is done.
    pub fn parts(&self) -> Option<&Parts> {
        self.parts.get()
    }

    /// Hands a command to the main loop; `false` when it is gone or busy.
    pub fn command(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// The URL under which the server is reachable: the flag, or one made of this machine's name.
    pub fn external_url(&self) -> String {
        if !self.flags.external_url.is_empty() {
            return self.flags.external_url.clone();
        }
        let listen = self.flags.listen.first().map_or("", String::as_str);
        let port = listen.rsplit(':').next().unwrap_or("9090");
        format!("http://{}:{port}", host_name())
    }
}

fn read_limits(flags: &Flags) -> crate::web::read::Limits {
    let or_none = |limit: usize, none: usize| if limit == 0 { none } else { limit };
    let turns = or_none(flags.read_concurrency, Semaphore::MAX_PERMITS);
    crate::web::read::Limits {
        samples_max: or_none(flags.read_samples_max, usize::MAX),
        frame_bytes: flags.read_frame_bytes,
        turns: Semaphore::new(turns.min(Semaphore::MAX_PERMITS)),
    }
}

/// The name of this machine.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
