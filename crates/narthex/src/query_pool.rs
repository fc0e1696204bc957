//! Where queries run: on threads of their own, so many at a time, each of them stoppable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use narthex_model::Clock;
use tokio::sync::{Semaphore, oneshot};

use self::workers::Workers;
use crate::telemetry::Telemetry;

mod workers;

/// The pool. Threads are made when needed and end when idle.
#[derive(Debug)]
pub struct QueryPool {
    slots: Arc<Semaphore>,
    workers: Arc<Workers>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
}

/// What a running query is told.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Set when nobody waits for the answer any more.
    pub cancel: Arc<AtomicBool>,
    /// How long the query waited for its turn.
    pub waited: Duration,
}

/// Why a query did not run to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryPoolError {
    /// Its turn did not come in time.
    #[error("query timed out in query queue")]
    Queue,
    /// It met a fault of the program.
    #[error("unexpected error: {0}")]
    Panic(String),
    /// There was no thread for it.
    #[error("no thread for the query: {0}")]
    Thread(std::io::ErrorKind),
    /// The program is shutting down.
    #[error("the server is shutting down")]
    Closed,
}

/// How much later than the threads that scrape and serve queries get their turn, in the kernel's
/// unit.
const QUERY_NICENESS: i32 = 5;

/// Lets the threads that scrape and serve go first.
fn give_way() {
    // Of a thread, though the call speaks of processes. Without the right it runs like others.
    let niceness = rustix::process::getpriority_process(None).unwrap_or(0);
    let _ = rustix::process::setpriority_process(None, niceness + QUERY_NICENESS);
}

/// Sets the flag when dropped: the future that waits for a query is dropped when the client leaves.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Counts a query as long as it lives.
struct Counted(Arc<Telemetry>);

impl Counted {
    fn new(telemetry: &Arc<Telemetry>) -> Self {
        telemetry.engine.queries.fetch_add(1, Relaxed);
        Self(Arc::clone(telemetry))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.engine.queries.fetch_sub(1, Relaxed);
    }
}

impl QueryPool {
    /// A pool for `concurrency` queries at the same time.
    pub fn new(concurrency: usize, clock: Arc<dyn Clock>, telemetry: Arc<Telemetry>) -> Self {
        telemetry.engine.concurrent_max.store(concurrency, Relaxed);
        let slots = concurrency.min(Semaphore::MAX_PERMITS);
        let workers = Arc::new(Workers::new("query", give_way));
        Self { slots: Arc::new(Semaphore::new(slots)), workers, clock, telemetry }
    }

    /// Runs `job` when its turn comes, which must be within `wait_max`. When the returned future
    /// is dropped, the job's ticket says so.
    pub async fn run<T: Send + 'static>(
        &self,
        wait_max: Duration,
        job: impl FnOnce(&Ticket) -> T + Send + 'static,
    ) -> Result<T, QueryPoolError> {
        let counted = Counted::new(&self.telemetry);
        let began = self.clock.monotonic();
        let turn = tokio::time::timeout(wait_max, Arc::clone(&self.slots).acquire_owned());
        let slot = turn.await.map_err(|_| QueryPoolError::Queue)?;
        let slot = slot.map_err(|_| QueryPoolError::Closed)?;
        let cancel = Arc::new(AtomicBool::new(false));
        let _guard = CancelOnDrop(Arc::clone(&cancel));
        let ticket = Ticket { cancel, waited: self.clock.monotonic().saturating_sub(began) };
        let telemetry = Arc::clone(&self.telemetry);
        let (answer, answered) = oneshot::channel();
        let work = move || {
            // The slot stays taken until the job has really ended, even when nobody waits for it.
            let held = (counted, slot);
            let outcome = catch_unwind(AssertUnwindSafe(|| job(&ticket)));
            let outcome = outcome.map_err(|panic| {
                telemetry.engine.panics.fetch_add(1, Relaxed);
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                QueryPoolError::Panic(text.unwrap_or_else(|| "panic".to_owned()))
            });
            drop(held);
            // Who asked may have left.
            let _ = answer.send(outcome);
        };
        self.workers.run(Box::new(work)).map_err(|error| QueryPoolError::Thread(error.kind()))?;
        answered.await.unwrap_or(Err(QueryPoolError::Closed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn pool(concurrency: usize) -> (Arc<QueryPool>, Arc<Telemetry>) {
        let telemetry = Arc::new(Telemetry::default());
        let clock = Arc::new(SystemClock::new());
        (Arc::new(QueryPool::new(concurrency, clock, Arc::clone(&telemetry))), telemetry)
    }

    const WAIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_panic_costs_one_query() {
        let (pool, telemetry) = pool(1);
        let outcome = pool.run(WAIT, |_| -> u8 { panic!("bad {}", 1) }).await;
        assert_eq!(outcome, Err(QueryPoolError::Panic("bad 1".to_owned())));
        assert_eq!(pool.run(WAIT, |_| 7).await, Ok(7));
        assert_eq!(telemetry.engine.queries.load(Relaxed), 0);
        assert_eq!(telemetry.engine.panics.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn waiting_is_limited_and_leaving_is_told() {
        let (pool, telemetry) = pool(1);
        let (seen, cancelled) = std::sync::mpsc::channel();
        let other = Arc::clone(&pool);
        let first = tokio::spawn(async move {
            let spin = move |ticket: &Ticket| {
                while !ticket.cancel.load(Relaxed) {
                    std::thread::yield_now();
                }
                seen.send(()).unwrap();
            };
            other.run(WAIT, spin).await
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let second = pool.run(Duration::from_millis(20), |_| ()).await;
        assert_eq!(second, Err(QueryPoolError::Queue));
        first.abort();
        assert!(first.await.is_err());
        cancelled.recv_timeout(WAIT).unwrap();
        assert_eq!(pool.run(WAIT, |_| 1).await, Ok(1));
        assert_eq!(telemetry.engine.queries.load(Relaxed), 0);
    }
}
