//! Helpers for tests, here and in the crates that use the store (feature `sim`).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use narthex_model::{Clock, Timestamp};

use crate::fs::SimFs;
use crate::{Store, Writer};

/// A clock that moves when told to.
#[derive(Debug, Default)]
pub struct HandClock {
    now_ms: AtomicI64,
}

impl HandClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now_ms: AtomicI64::new(now.0) }
    }

    /// Moves the clock to `now`.
    pub fn set(&self, now: Timestamp) {
        self.now_ms.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now_ms.load(Ordering::SeqCst)).unwrap_or(0))
    }
}

/// A store in memory, whose clock stands at the end of time so that rows of any time enter.
pub fn memory_store() -> (Arc<Store>, Writer) {
    let fs = Arc::new(SimFs::new(0));
    let clock = Arc::new(HandClock::new(Timestamp::MAX));
    crate::open(fs, clock, crate::Options::default()).expect("an empty directory opens")
}
