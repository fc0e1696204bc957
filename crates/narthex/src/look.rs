//! Looks into the store beside `PromQL`: on the query pool, stoppable, and paying for what they hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use narthex_model::Clock;
use narthex_promql::Error;
use narthex_promql::memory::Share;
use narthex_store::Snapshot;

use crate::app::App;
use crate::engine::in_query;
use crate::web::error::ApiError;

/// One look into the store.
#[derive(Debug)]
pub struct Look {
    /// What is looked at.
    pub snapshot: Snapshot,
    share: Share,
    held: usize,
    cancel: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    deadline: Duration,
}

impl Look {
    /// Says that `bytes` more are held, and looks whether to go on.
    ///
    /// # Errors
    /// When there is no memory left, the time is over or nobody waits any more.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Error> {
        self.held = self.held.saturating_add(bytes);
        self.is()
    }

    /// Says that `bytes` are held in all, and looks whether to go on.
    ///
    /// # Errors
    /// As [`Look::hold`].
    pub fn holds(&mut self, bytes: usize) -> Result<(), Error> {
        self.held = bytes;
        self.is()
    }

    fn is(&mut self) -> Result<(), Error> {
        let (cancel, clock) = (&self.cancel, &self.clock);
        let (timeout, deadline) = (self.timeout, self.deadline);
        let check = || {
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Canceled);
            }
            if clock.monotonic() > deadline { Err(Error::Timeout(timeout)) } else { Ok(()) }
        };
        check()?;
        self.share.hold(self.held, check)
    }
}

/// Runs `job` when its turn comes; what it holds at its end is taken as long as the share lives.
pub async fn look<T: Send + 'static>(
    app: &Arc<App>,
    job: impl FnOnce(&mut Look) -> Result<T, Error> + Send + 'static,
) -> Result<(T, Share), ApiError> {
    let Some(parts) = app.parts() else { return Err(ApiError::internal("the store is not open")) };
    let store = Arc::clone(&parts.store);
    let (clock, memory) = (Arc::clone(&app.clock), Arc::clone(&app.query_memory));
    let timeout = app.flags.query_timeout;
    let outcome = app.queries.run(timeout, move |ticket| {
        let mut look = Look {
            snapshot: store.snapshot(),
            share: Share::new(Some(memory)),
            held: 0,
            cancel: Arc::clone(&ticket.cancel),
            deadline: clock.monotonic() + timeout.saturating_sub(ticket.waited),
            timeout,
            clock,
        };
        let done = job(&mut look)?;
        look.share.send(look.held);
        Ok((done, look.share))
    });
    outcome.await?.map_err(|error| in_query(&error))
}
