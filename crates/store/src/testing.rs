//! Helpers for tests, here and in the crates that use the store (feature `sim`).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use narthex_model::{Clock, Timestamp};

use crate::codec::{Decoder, Encoder, Memory};
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

/// The columns of one chunk, encoded as in a block: to measure the encoding by itself.
#[derive(Debug, Default)]
pub struct Columns {
    encoder: Encoder,
    rows: usize,
}

impl Columns {
    /// Encodes columns, which have equally many rows, in place of what was held.
    ///
    /// # Panics
    /// If a column has more rows than a chunk may have.
    pub fn encode(&mut self, columns: &[Vec<f64>]) {
        self.encoder.clear();
        self.rows = columns.first().map_or(0, Vec::len);
        for values in columns {
            self.encoder.push(values);
        }
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.encoder.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.encoder.is_empty()
    }

    /// Bytes of all columns.
    pub fn bytes(&self) -> usize {
        self.encoder.bytes().len()
    }
}

/// Reads [`Columns`] back.
#[derive(Debug, Default)]
pub struct ColumnReader {
    decoder: Decoder,
    memory: Memory,
}

impl ColumnReader {
    /// Appends the values of a column to `out`; cheapest for columns one after the other.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn read(&mut self, columns: &Columns, column: usize, out: &mut Vec<f64>) {
        let Columns { encoder, rows } = columns;
        let blob = encoder.blob(column);
        let read = self.decoder.decode_in(&mut self.memory, blob, (*rows, column), encoder, out);
        read.expect("what was encoded can be decoded");
    }

    /// Forgets the columns that were read.
    pub fn forget(&mut self) {
        self.memory.clear();
    }
}
