//! One receiver's queue: follows the rows of the store, and sends them in order.
//!
//! There is no queue in memory but the request being put together: the store is the queue. A
//! receiver that is away costs nothing but the place in the log where it was left.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use narthex_model::{Clock, Hashing, Timestamp};
use narthex_net::{HeaderName, HeaderValue, Session};
use narthex_store::{LayoutRef, RowBuf, RowReader, RowSeq, Store};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::encode::TimeBytes;
use crate::layout::{Encoder, Outline, Passing, Prepare, SEGMENT_COLUMNS_MAX, Source};
use crate::metadata::MetadataSource;
use crate::stats::{Counters, add};

/// How often the store is asked for new rows. Waking seldom and sending several requests in a row
/// costs less than waking for each row.
const POLL: Duration = Duration::from_secs(1);

/// A layout that had no row for this long is forgotten, and encoded anew when it has one.
const LAYOUT_IDLE: Duration = Duration::from_secs(15 * 60);

/// Rows handled before other tasks get their turn, when none of them makes a request full.
const ROWS_PER_TURN: usize = 256;

/// The settings of one queue.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    /// The address as it is shown.
    pub(crate) url: String,
    /// The cursor's name in the store.
    pub(crate) cursor: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) prepare: Prepare,
    pub(crate) timeout: Duration,
    pub(crate) samples_max: usize,
    pub(crate) batch_deadline: Duration,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) retry_on_429: bool,
    pub(crate) age_max: Option<Duration>,
    /// How often metadata is sent, and how many families at a time.
    pub(crate) metadata: Option<(Duration, usize)>,
}

/// The task of one queue.
#[derive(Debug)]
pub(crate) struct Queue {
    settings: Settings,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    session: Session,
    counters: Arc<Counters>,
    metadata: Option<Arc<dyn MetadataSource>>,
    reader: Option<RowReader>,
    lost: u64,
    row: RowBuf,
    /// Where to go on in `row`, when a request was full in the middle of it.
    resume: Option<usize>,
    layouts: HashMap<LayoutRef, Known, Hashing>,
    layouts_checked: Instant,
    encoder: Encoder,
    batch: Batch,
    batch_since: Instant,
    scratch: Vec<u8>,
    answer: Vec<u8>,
    saved: RowSeq,
    saved_at: Instant,
    acked: RowSeq,
    metadata_at: Instant,
    split_after: Instant,
    logged: Option<Instant>,
    refused_logged: Option<Instant>,
    /// The last answer that was not a yes.
    refusal: String,
}

#[derive(Debug)]
struct Known {
    outline: Outline,
    used: Instant,
}

/// Why filling the request stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    Full,
    CaughtUp,
    Turn,
}

impl Settings {
    /// Whether a sample at `at` is no longer to be sent.
    fn is_too_old(&self, at: Timestamp, clock: &dyn Clock) -> bool {
        let age_max = self.age_max.and_then(|age| i64::try_from(age.as_millis()).ok());
        age_max.is_some_and(|age_ms| at < clock.now().minus_millis(age_ms))
    }
}

/// What a queue is made of besides its settings.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) session: Session,
    pub(crate) counters: Arc<Counters>,
    pub(crate) metadata: Option<Arc<dyn MetadataSource>>,
}

impl Queue {
    pub(crate) fn new(settings: Settings, links: Links) -> Self {
        let now = Instant::now();
        Self {
            settings,
            store: links.store,
            clock: links.clock,
            session: links.session,
            counters: links.counters,
            metadata: links.metadata,
            reader: None,
            lost: 0,
            row: RowBuf::default(),
            resume: None,
            layouts: HashMap::default(),
            layouts_checked: now,
            encoder: Encoder::default(),
            batch: Batch::new(),
            batch_since: now,
            scratch: Vec::new(),
            answer: Vec::new(),
            saved: RowSeq(0),
            saved_at: now,
            acked: RowSeq(0),
            metadata_at: now,
            split_after: now,
            logged: None,
            refused_logged: None,
            refusal: String::new(),
        }
    }

    /// Sends rows until `stop` turns true; then sends what is left, until the first failure, and
    /// saves the place. Without a saved place it begins after `start`.
    pub(crate) async fn run(mut self, start: RowSeq, mut stop: watch::Receiver<bool>) {
        self.begin(start).await;
        loop {
            let draining = *stop.borrow();
            let filled = self.fill();
            let waited = self.batch_since.elapsed();
            let due = filled == Filled::Full || draining || waited >= self.settings.batch_deadline;
            if due && !self.batch.is_empty() {
                if !self.ship(&mut stop).await {
                    break;
                }
            } else if filled == Filled::Turn {
                tokio::task::yield_now().await;
            } else if draining {
                break;
            } else {
                self.send_metadata(&mut stop).await;
                let left = self.settings.batch_deadline.saturating_sub(waited);
                let nap = if self.batch.is_empty() { POLL } else { POLL.min(left) };
                tokio::select! {
                    () = tokio::time::sleep(nap) => {}
                    _ = stop.changed() => {}
                }
            }
            if self.batch.is_empty() {
                self.acked = self.acked.max(self.batch.complete);
            }
            self.save(false).await;
            self.forget_idle_layouts();
        }
        self.save(true).await;
    }

    async fn begin(&mut self, start: RowSeq) {
        let last = self.store.last_seq();
        let saved = self.store.cursor(&self.settings.cursor);
        self.acked = saved.unwrap_or(start).min(last);
        self.batch.complete = self.acked;
        self.saved = self.acked;
        self.counters.acked_seq.store(self.acked.0, Ordering::Relaxed);
        if saved != Some(self.acked) {
            // Saved at once, so that the log is kept from here on.
            self.saved = RowSeq(u64::MAX);
            self.save(true).await;
        }
    }

    /// Reads rows into the request until it is full or there are no more.
    fn fill(&mut self) -> Filled {
        for _ in 0..ROWS_PER_TURN {
            if self.resume.is_none() && !self.read_row() {
                return Filled::CaughtUp;
            }
            if !self.add_row() {
                return Filled::Full;
            }
        }
        Filled::Turn
    }

    /// Reads the next row into `self.row`.
    fn read_row(&mut self) -> bool {
        if self.reader.is_none() && self.store.last_seq() <= self.batch.complete {
            return false;
        }
        let read = match &mut self.reader {
            Some(reader) => reader.next(&mut self.row),
            None => self.store.rows_after(self.batch.complete).and_then(|reader| {
                self.lost = 0;
                self.reader.insert(reader).next(&mut self.row)
            }),
        };
        if let Some(reader) = &self.reader {
            let lost = reader.lost();
            if lost > self.lost {
                let rows = lost - self.lost;
                add(&self.counters.rows_lost, rows);
                tracing::error!(
                    remote_name = self.settings.name,
                    url = self.settings.url,
                    rows,
                    "Rows were deleted before they could be sent"
                );
                self.lost = lost;
            }
        }
        match read {
            Ok(found) => {
                if found {
                    self.resume = Some(0);
                    self.counters.highest_ms.fetch_max(self.row.at.millis(), Ordering::Relaxed);
                }
                found
            }
            Err(error) => {
                self.reader = None;
                self.log_trouble("Failed to read rows, retrying", &error);
                false
            }
        }
    }

    /// Adds what is left of `self.row` to the request; `false` when it did not all fit.
    fn add_row(&mut self) -> bool {
        let Self { settings, store, clock, row, layouts, encoder, batch, counters, .. } = self;
        let source = Source { store, prepare: &settings.prepare };
        let now = Instant::now();
        let known = layouts
            .entry(row.layout)
            .or_insert_with(|| Known { outline: Outline::default(), used: now });
        known.used = now;
        let segment_columns_max = settings.samples_max.clamp(1, SEGMENT_COLUMNS_MAX);
        known.outline.grow(row.layout, row.values.len(), segment_columns_max, source, encoder);
        let too_old = settings.is_too_old(row.at, &**clock);
        let passing =
            Passing { layout: row.layout, at: TimeBytes::new(row.at), values: &row.values };
        let from = self.resume.unwrap_or(0);
        for (index, segment) in known.outline.segments.iter_mut().enumerate().skip(from) {
            let share = segment.share(&row.values);
            let samples = share.mask.count_ones() as usize;
            if !too_old && !batch.has_room(samples, settings.samples_max) {
                self.resume = Some(index);
                return false;
            }
            add(&counters.dropped_by_relabelling, u64::from(share.dropped));
            add(&counters.dropped_unknown, u64::from(share.unknown));
            if samples == 0 {
                continue;
            }
            if too_old {
                add(&counters.dropped_too_old, samples as u64);
                continue;
            }
            if batch.is_empty() {
                self.batch_since = now;
            }
            let (samples, raw_len) =
                segment.put(&passing, share.mask, source, encoder, batch.out());
            batch.close_part(raw_len, samples, row.at);
        }
        batch.complete = row.seq;
        self.resume = None;
        counters.samples_pending.store(batch.samples() as u64, Ordering::Relaxed);
        true
    }

    /// Gives up what is cached of layouts that have had no row for long.
    fn forget_idle_layouts(&mut self) {
        if self.layouts_checked.elapsed() < POLL * 20 {
            return;
        }
        self.layouts_checked = Instant::now();
        let resuming = self.resume.map(|_| self.row.layout);
        self.layouts.retain(|&layout, known| {
            known.used.elapsed() < LAYOUT_IDLE || resuming == Some(layout)
        });
        let bytes: usize = self.layouts.values().map(|known| known.outline.heap_bytes()).sum();
        self.counters.cache_bytes.store(bytes as u64, Ordering::Relaxed);
    }
}

mod deliver;
#[cfg(test)]
mod tests;
