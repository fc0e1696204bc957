//! Sending exemplars, when the receiver has the rows that they came with.

use std::sync::atomic::Ordering;
use std::time::Duration;

use narthex_net::HeaderMap;
use narthex_store::Store;
use tokio::time::Instant;

use super::Queue;
use super::deliver::Sender;
use super::post::Post;
use crate::answer::Verdict;
use crate::exemplars::{EXEMPLARS_MAX, Request};
use crate::retry::Backoff;
use crate::stats::{Counters, add};

/// What a 2.0 receiver says it has written.
const WRITTEN: &str = "x-prometheus-remote-write-exemplars-written";

/// How far exemplars were sent.
#[derive(Debug)]
pub(super) struct Trail {
    /// The number of the next.
    next: u64,
    attempt: u32,
    /// Nothing is sent before, for the receiver asked for it or is away.
    resting_until: Option<Instant>,
    backoff: Option<Backoff>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// So many were refused, the others are stored.
    Done { refused: u64 },
    /// Another attempt may succeed, after this long if the receiver said so.
    Again(Option<Duration>),
}

impl Trail {
    /// Begins where an earlier queue of the same receiver ended, or with what comes from now on.
    pub(super) fn new(store: &Store, counters: &Counters) -> Self {
        let before = counters.exemplars.next.load(Ordering::Relaxed).checked_sub(1);
        let next = before.unwrap_or_else(|| store.exemplars().next_number());
        Self { next, attempt: 0, resting_until: None, backoff: None }
    }
}

impl Queue {
    /// Sends the exemplars that came with rows that are done with. On a failure that may pass they
    /// are kept for a later call: samples do not wait for them.
    pub(super) async fn send_exemplars(&mut self) {
        let Some(trail) = &mut self.trail else { return };
        if trail.resting_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let Self { store, counters, sender, settings, .. } = self;
        let row = self.live.as_ref().map_or(self.main.acked, |live| live.acked);
        let max = settings.samples_max.min(EXEMPLARS_MAX);
        let counts = &counters.exemplars;
        loop {
            let mut outgoing = Vec::new();
            let (next, lost) = store.exemplars().after(trail.next, row, max, &mut outgoing);
            let too_old = |at| settings.is_too_old(at, &*self.clock);
            let request = Request::new(&outgoing, sender.version(), &settings.prepare, too_old);
            let outcome = match request.exemplars {
                0 => Outcome::Done { refused: 0 },
                exemplars => sender.ship_exemplars(&request.body, exemplars, trail.attempt).await,
            };
            match outcome {
                Outcome::Done { refused } => add(&counts.failed, refused),
                Outcome::Again(asked) => {
                    trail.attempt += 1;
                    let (min, max) = (settings.backoff_min, settings.backoff_max);
                    let backoff = trail.backoff.get_or_insert_with(|| Backoff::new(min, max));
                    let wait = asked.unwrap_or_else(|| sender.wait(backoff));
                    trail.resting_until = Some(Instant::now() + wait);
                    break;
                }
            }
            add(&counts.lost, lost);
            add(&counts.dropped_by_relabelling, request.dropped);
            add(&counts.dropped_too_old, request.too_old);
            *trail = Trail { next, attempt: 0, resting_until: None, backoff: None };
            counts.next.store(next + 1, Ordering::Relaxed);
            if outgoing.len() < max {
                break;
            }
        }
        let pending = store.exemplars().next_number().saturating_sub(trail.next);
        counts.pending.store(pending, Ordering::Relaxed);
    }
}

impl Sender {
    /// Makes one attempt to send a request of exemplars.
    async fn ship_exemplars(&mut self, body: &[u8], exemplars: u64, attempt: u32) -> Outcome {
        let counts = &self.counters.exemplars;
        add(&counts.sent, exemplars);
        add(&self.counters.bytes, body.len() as u64);
        if attempt > 0 {
            add(&counts.retried, exemplars);
        }
        let post = Post { headers: &self.headers, attempt, timeout: self.settings.timeout };
        let started = Instant::now();
        let sent = post.send(&mut self.session, body, &mut self.answer).await;
        self.counters.took(started.elapsed());
        let (status, headers) = match sent {
            Ok(sent) => sent,
            Err(error) => {
                self.log_trouble("Failed to send exemplars, retrying", &error);
                return Outcome::Again(None);
            }
        };
        match self.verdict(status, &headers, 0) {
            Verdict::Done => Outcome::Done { refused: 0 },
            Verdict::Retry(asked) => Outcome::Again(asked),
            Verdict::Mend => Outcome::Again(Some(self.settings.backoff_max)),
            Verdict::OtherVersion => {
                if self.version == crate::compose::Version::V2 {
                    self.fall_back();
                }
                Outcome::Again(None)
            }
            // What is good in the request was stored, by 2.0 and by 1.0 as Prometheus takes it.
            Verdict::TooLarge | Verdict::Split(_) | Verdict::Refused(_) => {
                let refused = exemplars - written(&headers).unwrap_or(0).min(exemplars);
                Outcome::Done { refused }
            }
        }
    }

    fn wait(&mut self, backoff: &mut Backoff) -> Duration {
        backoff.take(&mut self.chance)
    }
}

/// How many exemplars the receiver says it has written.
fn written(headers: &HeaderMap) -> Option<u64> {
    headers.get(WRITTEN)?.to_str().ok()?.trim().parse().ok()
}
