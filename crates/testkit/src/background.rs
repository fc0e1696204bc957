//! A runtime on a thread of its own, for tests that are not async themselves.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Runs tasks until it is dropped.
#[derive(Debug)]
pub struct Background {
    handle: Handle,
    _stop: oneshot::Sender<()>,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the runtime cannot be made.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            // Ends when the sender is dropped.
            let _ = runtime.block_on(stopped);
        });
        Ok(Self { handle, _stop: stop })
    }

    /// Runs a future to its end, with the background driving what it waits for.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }
}
