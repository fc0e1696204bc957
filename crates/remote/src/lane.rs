//! A stretch of the store's rows on its way to the receiver.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use narthex_model::{Clock, TimeRange, Timestamp};
use narthex_store::{RowBuf, RowReader, RowSeq, Store};
use tokio::time::Instant;

use crate::compose::{Composer, Limits, Version};
use crate::layout::Source;
use crate::queue::Settings;
use crate::stats::{Counters, add};

/// Rows handled before other tasks get their turn, when none of them makes a request full.
const ROWS_PER_TURN: usize = 256;

/// Reads rows and puts them together into requests.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) composer: Composer,
    reader: Option<RowReader>,
    lost: u64,
    row: RowBuf,
    /// Where to go on in `row`, when a request was full in the middle of it.
    resume: Option<usize>,
    /// The last row that is wholly in the request or was in those before.
    complete: RowSeq,
    /// The last row that is done with.
    pub(crate) acked: RowSeq,
    /// The time of the row that was last done with.
    pub(crate) acked_at: Option<Timestamp>,
    complete_at: Option<Timestamp>,
    /// No row after this one is read.
    pub(crate) end: Option<RowSeq>,
    /// Only rows of this time are sent.
    times: Option<TimeRange>,
    /// Since when the request waits.
    since: Instant,
}

/// Why filling the request stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// It is full.
    Full,
    /// There are no more rows.
    CaughtUp,
    /// The last row of the stretch was read.
    End,
    /// Others shall have their turn.
    Turn,
}

/// What a lane works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) store: &'a Arc<Store>,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) settings: &'a Settings,
    pub(crate) counters: &'a Counters,
    pub(crate) limits: Limits,
}

impl Lane {
    /// The rows after `after`.
    pub(crate) fn new(version: Version, after: RowSeq) -> Self {
        Self {
            composer: Composer::new(version),
            reader: None,
            lost: 0,
            row: RowBuf::default(),
            resume: None,
            complete: after,
            acked: after,
            acked_at: None,
            complete_at: None,
            end: None,
            times: None,
            since: Instant::now(),
        }
    }

    /// The same up to `end` only, and rows of `times` only.
    pub(crate) fn within(mut self, end: RowSeq, times: TimeRange) -> Self {
        self.end = Some(end);
        self.times = Some(times);
        self
    }

    /// Goes on after `after`, with what is known of the layouts. The request must be empty.
    pub(crate) fn jump(&mut self, after: RowSeq) {
        self.reader = None;
        self.resume = None;
        self.complete = after;
        self.acked = after;
    }

    /// Begins anew after what is done with, for another version of the protocol.
    pub(crate) fn start_over(&mut self, version: Version) {
        self.composer = Composer::new(version);
        self.jump(self.acked);
    }

    /// Whether the request ends within a row.
    pub(crate) fn is_within_row(&self) -> bool {
        self.resume.is_some_and(|from| from > 0)
    }

    /// The last row that the request has something of.
    pub(crate) fn reached(&self) -> RowSeq {
        if self.is_within_row() { self.row.seq } else { self.complete }
    }

    /// The time of the row that was read last.
    pub(crate) fn at(&self) -> Option<Timestamp> {
        (self.row.seq > RowSeq(0)).then_some(self.row.at)
    }

    /// How long the first sample of the request has waited.
    pub(crate) fn waited(&self) -> std::time::Duration {
        self.since.elapsed()
    }

    /// The request was dealt with.
    pub(crate) fn shipped(&mut self) {
        self.composer.batch.clear();
        self.composer.apart.clear();
        self.pass();
    }

    /// Counts as done with what needs no request.
    pub(crate) fn pass(&mut self) {
        debug_assert!(self.composer.is_empty(), "what is in a request is not done with");
        self.acked = self.acked.max(self.complete);
        self.acked_at = self.complete_at.or(self.acked_at);
    }

    /// Gives up what is cached of layouts that have had no row for long.
    pub(crate) fn forget_idle(&mut self) -> Option<usize> {
        let resuming = self.resume.map(|_| self.row.layout);
        self.composer.forget_idle(resuming)
    }

    /// Reads rows into the request until it is full or there are no more. `stop_at`, where given,
    /// is a row that ends a request.
    pub(crate) fn fill(&mut self, work: Work<'_>, stop_at: Option<RowSeq>) -> Filled {
        let now = Instant::now();
        for _ in 0..ROWS_PER_TURN {
            if self.resume.is_none() {
                let ends = |at: Option<RowSeq>| at.is_some_and(|at| self.complete >= at);
                if ends(self.end) {
                    return Filled::End;
                }
                if ends(stop_at) && !self.composer.is_empty() {
                    return Filled::Full;
                }
                if !self.read_row(work) {
                    return Filled::CaughtUp;
                }
                if self.end.is_some_and(|end| self.row.seq > end) {
                    // Kept for whoever goes on behind the end: it is read again.
                    self.resume = None;
                    self.reader = None;
                    self.complete = self.end.unwrap_or(self.complete);
                    return Filled::End;
                }
            }
            if !self.add_row(work, now) {
                return Filled::Full;
            }
        }
        Filled::Turn
    }

    /// Reads the next row into `self.row`.
    fn read_row(&mut self, work: Work<'_>) -> bool {
        let Work { store, settings, counters, .. } = work;
        if self.reader.is_none() && store.last_seq() <= self.complete {
            return false;
        }
        let read = match &mut self.reader {
            Some(reader) => reader.next(&mut self.row),
            None => store.rows_after(self.complete).and_then(|reader| {
                self.lost = 0;
                self.reader.insert(reader).next(&mut self.row)
            }),
        };
        if let Some(reader) = &self.reader {
            let lost = reader.lost();
            if lost > self.lost {
                let rows = lost - self.lost;
                add(&counters.rows_lost, rows);
                let (remote_name, url) = (&settings.name, &settings.url);
                tracing::error!(%remote_name, %url, rows, "Rows were deleted before they were sent");
                self.lost = lost;
            }
        }
        match read {
            Ok(found) => {
                if found {
                    self.resume = Some(0);
                    counters.highest_ms.fetch_max(self.row.at.millis(), Ordering::Relaxed);
                }
                found
            }
            Err(error) => {
                self.reader = None;
                counters.note_error(work.clock.now(), format!("reading rows: {error}"));
                tracing::warn!(remote_name = settings.name, %error, "Failed to read rows, retrying");
                false
            }
        }
    }

    /// Adds what is left of `self.row` to the request; `false` when it did not all fit.
    fn add_row(&mut self, work: Work<'_>, now: Instant) -> bool {
        let Work { settings, counters, limits, .. } = work;
        let Self { composer, reader, row, .. } = self;
        if self.times.is_none_or(|times| times.contains(row.at)) {
            let was_empty = composer.is_empty();
            let too_old = settings.is_too_old(row.at, work.clock);
            let from = self.resume.unwrap_or(0);
            // A row was read, so there is a reader.
            let Some(reader) = reader else { return true };
            let mut source = Source { rows: reader, prepare: &settings.prepare };
            let composed = composer.add(row, from, too_old, limits, &mut source, now);
            if was_empty && !composer.is_empty() {
                self.since = now;
            }
            add(&counters.dropped_by_relabelling, composed.dropped);
            add(&counters.dropped_unknown, composed.unknown);
            add(&counters.dropped_too_old, composed.too_old);
            add(&counters.dropped_custom, composed.custom);
            if composed.resume.is_some() {
                self.resume = composed.resume;
                return false;
            }
        } else {
            composer.skip(row.layout);
        }
        self.complete = row.seq;
        self.complete_at = Some(row.at);
        self.resume = None;
        counters.samples_pending.store(composer.samples() as u64, Ordering::Relaxed);
        true
    }
}
