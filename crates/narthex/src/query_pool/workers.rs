//! Threads that do one piece of work at a time.
//!
//! The one that became idle last works first: what it read last is still in its caches, and in its
//! share of the allocator, and those that are not needed end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How long a thread without work lives.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// A piece of work. It must not panic.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// The threads. They are made when needed and end when idle.
pub(super) struct Workers {
    name: &'static str,
    /// What each thread does first.
    begin: fn(),
    /// Those without work, the one that became idle last at the end.
    idle: Mutex<Vec<Arc<Hand>>>,
}

/// Where a thread is handed its work.
#[derive(Default)]
struct Hand {
    work: Mutex<Option<Work>>,
    given: Condvar,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("idle", &self.idle.lock().len()).finish_non_exhaustive()
    }
}

impl Workers {
    pub(super) fn new(name: &'static str, begin: fn()) -> Self {
        Self { name, begin, idle: Mutex::default() }
    }

    /// Has a thread do `work`, at once.
    ///
    /// # Errors
    /// If no thread is idle and none can be made.
    pub(super) fn run(self: &Arc<Self>, work: Work) -> io::Result<()> {
        let idle = self.idle.lock().pop();
        if let Some(hand) = idle {
            *hand.work.lock() = Some(work);
            hand.given.notify_one();
            return Ok(());
        }
        let workers = Arc::clone(self);
        let thread = std::thread::Builder::new().name(self.name.to_owned());
        thread.spawn(move || workers.live(work)).map(drop)
    }

    /// The life of a thread.
    fn live(&self, first: Work) {
        (self.begin)();
        let hand = Arc::new(Hand::default());
        let mut work = Some(first);
        while let Some(next) = work {
            next();
            self.idle.lock().push(Arc::clone(&hand));
            work = self.wait(&hand);
        }
    }

    /// The next piece of work; none if there was none for a while.
    fn wait(&self, hand: &Arc<Hand>) -> Option<Work> {
        let mut work = hand.work.lock();
        while work.is_none() {
            if !hand.given.wait_for(&mut work, IDLE_MAX).timed_out() || work.is_some() {
                continue;
            }
            // Who took the hand from among the idle gives it work: it must wait for that.
            drop(work);
            let mut idle = self.idle.lock();
            let place = idle.iter().position(|other| Arc::ptr_eq(other, hand));
            if let Some(place) = place {
                idle.remove(place);
                return None;
            }
            drop(idle);
            work = hand.work.lock();
        }
        work.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{ThreadId, current};

    use super::*;

    fn on_thread(workers: &Arc<Workers>) -> ThreadId {
        let (tell, told) = mpsc::channel();
        workers.run(Box::new(move || tell.send(current().id()).unwrap())).unwrap();
        let id = told.recv().unwrap();
        while workers.idle.lock().is_empty() {
            std::thread::yield_now();
        }
        id
    }

    #[test]
    fn the_last_idle_thread_works_first() {
        let workers = Arc::new(Workers::new("test", || ()));
        let first = on_thread(&workers);
        assert!((0..100).all(|_| on_thread(&workers) == first));
        // Two at once need two threads.
        let (tell, told) = mpsc::channel();
        let gate = Arc::new(std::sync::Barrier::new(2));
        for _ in 0..2 {
            let (tell, gate) = (tell.clone(), Arc::clone(&gate));
            let work = move || {
                gate.wait();
                tell.send(current().id()).unwrap();
            };
            workers.run(Box::new(work)).unwrap();
        }
        assert_ne!(told.recv().unwrap(), told.recv().unwrap());
    }

    #[test]
    fn nothing_is_lost_between_many() {
        let workers = Arc::new(Workers::new("test", || ()));
        let (tell, told) = mpsc::channel();
        for number in 0..300 {
            let tell = tell.clone();
            workers.run(Box::new(move || tell.send(number).unwrap())).unwrap();
        }
        drop(tell);
        let mut numbers: Vec<i32> = told.iter().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..300).collect::<Vec<_>>());
    }
}
