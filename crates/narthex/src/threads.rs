//! The threads beside the main one.
//!
//! A panic on one of them ends the process: what they keep in memory may be half changed, while
//! a restart replays the log, which is tested.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use narthex_store::Store;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Names of the threads whose panic ends the process.
const VITAL: [&str; 4] = ["ingest", "receive", "sync", "upkeep"];

/// The exit code after such a panic; it is the one that Rust programs end with on a panic.
const EXIT_PANIC: i32 = 101;

/// How often syncs are tried when each row is synced by itself: for what an error left.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked whether the store's upkeep presses...
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// ...and after how many looks it is called anyway.
const UPKEEP_LOOKS: u32 = 10;

/// How much later than the other threads upkeep gets its turn, in the kernel's unit.
const UPKEEP_NICENESS: i32 = 10;

/// Logs panics, and ends the process after one on a vital thread.
pub fn watch_panics() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let place = info.location().map_or_else(String::new, ToString::to_string);
        let what = info.payload_as_str().unwrap_or("panic");
        tracing::error!(thread = name, place, err = what, "Panic");
        // Only when the environment asks for it, as usual: RUST_BACKTRACE=1.
        let stack = std::backtrace::Backtrace::capture();
        if stack.status() == std::backtrace::BacktraceStatus::Captured {
            tracing::error!(stack = %stack, "Panic");
        }
        if VITAL.contains(&name) {
            std::process::exit(EXIT_PANIC);
        }
    }));
}

/// The thread on which all scrapes run, with a runtime of its own.
#[derive(Debug)]
pub struct Ingest {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Ingest {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("ingest".to_owned()).spawn(move || {
            // A sender that is gone says the same as a message.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop, thread })
    }

    /// Where tasks of this thread are spawned.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends the thread; tasks that still run are dropped.
    pub fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// The threads that make appended rows durable and keep the store in shape. They are two, so that
/// a seal does not hold up a sync.
#[derive(Debug)]
pub struct Upkeep {
    stop: Sender<()>,
    threads: [JoinHandle<()>; 2],
}

impl Upkeep {
    /// Starts the threads; `window`: how often rows are made durable.
    pub fn start(store: Arc<Store>, window: Duration) -> io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let window = if window.is_zero() { SYNC_INTERVAL } else { window };
        let (synced, mut failing) = (Arc::clone(&store), false);
        let syncing = every("sync", window, stopped.clone(), move || sync(&synced, &mut failing))?;
        let (mut looks, mut in_vain) = (0, false);
        let keeping = every("upkeep", LOOK_INTERVAL, stopped, move || {
            looks += 1;
            if looks >= UPKEEP_LOOKS || !in_vain && store.wants_upkeep() {
                looks = 0;
                upkeep(&store);
                in_vain = store.wants_upkeep();
            }
        })?;
        Ok(Self { stop, threads: [syncing, keeping] })
    }

    /// Ends the threads after the round they are in.
    pub fn stop(self) {
        drop(self.stop);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// A thread that does its work at an interval, after all others had their turn, until `stopped`
/// is closed.
fn every(
    name: &str,
    interval: Duration,
    stopped: Receiver<()>,
    mut work: impl FnMut() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Without the right to do so it runs like the others.
        let _ = rustix::process::setpriority_process(None, UPKEEP_NICENESS);
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
            work();
        }
    })
}

/// Syncs; a failure that lasts is logged once.
fn sync(store: &Store, failing: &mut bool) {
    match store.sync() {
        Ok(()) if *failing => {
            *failing = false;
            tracing::info!("Appended samples reach the disk again");
        }
        Ok(()) => {}
        Err(error) if *failing => tracing::debug!(err = %error, "Sync failed again"),
        Err(error) => {
            *failing = true;
            tracing::error!(err = %error, "Appended samples do not reach the disk");
        }
    }
}

fn upkeep(store: &Store) {
    match store.upkeep() {
        Ok(done) if done == narthex_store::Upkeep::default() => {}
        Ok(done) => tracing::info!(
            sealed = done.sealed,
            blocks_removed = done.blocks_removed,
            wal_segments_removed = done.wal_segments_removed,
            series_removed = done.series_removed,
            "Store upkeep done"
        ),
        Err(error) => tracing::error!(err = %error, "Store upkeep failed"),
    }
}
