//! Delivery: sending what was put together until the receiver has taken or refused it.

use std::fmt::Display;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use narthex_net::{HeaderName, HeaderValue, Method, Request, StatusCode};
use narthex_store::RowSeq;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Queue;
use crate::metadata;
use crate::retry::{Backoff, Verdict, judge};
use crate::stats::add;

/// How often the place in the rows is saved at most: each time is a write to disk.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// Largest answer that is read; its beginning is logged.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How much of an answer is logged, in bytes.
const ANSWER_LOGGED_BYTES: usize = 1024;

/// How often one refused request is halved to save what is good in it.
const SPLITS_MAX: u32 = 16;

/// After a request of which not one sample was accepted: how long none is halved.
const SPLIT_PAUSE: Duration = Duration::from_secs(60);

/// How often the same trouble is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How often metadata is sent again after a failure.
const METADATA_RETRIES: u32 = 3;

/// How an attempt to deliver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Split,
    Refused,
    /// The queue is to stop.
    Stopped,
}

impl Queue {
    /// Sends the request until it was taken or refused; `false` when the queue is to stop and
    /// that was not possible at once.
    pub(super) async fn ship(&mut self, stop: &mut watch::Receiver<bool>) -> bool {
        let may_split = Instant::now() >= self.split_after;
        let mut splits_left = if may_split { SPLITS_MAX } else { 0 };
        let mut accepted = false;
        let all = 0..self.batch.parts_len();
        let mut todo = Vec::from([all]);
        while let Some(range) = todo.pop() {
            let can_split = splits_left > 0 && range.len() > 1;
            match self.deliver(range.clone(), can_split, stop).await {
                Outcome::Done => accepted = true,
                Outcome::Refused => {
                    let samples = self.batch.samples_in(range) as u64;
                    add(&self.counters.samples_failed, samples);
                }
                Outcome::Split => {
                    splits_left -= 1;
                    let middle = range.start + range.len() / 2;
                    // ORDER: the last pushed goes first, for a series' samples stay in order.
                    todo.push(middle..range.end);
                    todo.push(range.start..middle);
                }
                Outcome::Stopped => return false,
            }
        }
        if accepted {
            let newest = self.batch.newest().millis();
            self.counters.highest_sent_ms.fetch_max(newest, Ordering::Relaxed);
        } else if splits_left < SPLITS_MAX && may_split {
            self.split_after = Instant::now() + SPLIT_PAUSE;
        }
        self.batch.clear();
        self.acked = self.batch.complete;
        self.counters.samples_pending.store(0, Ordering::Relaxed);
        self.counters.acked_seq.store(self.acked.0, Ordering::Relaxed);
        true
    }

    /// Sends the parts `range`, again and again while the receiver is away.
    async fn deliver(
        &mut self,
        range: Range<usize>,
        can_split: bool,
        stop: &mut watch::Receiver<bool>,
    ) -> Outcome {
        let samples = self.batch.samples_in(range.clone()) as u64;
        let mut backoff = Backoff::new(self.settings.backoff_min, self.settings.backoff_max);
        let mut attempt = 0u32;
        loop {
            if self.settings.is_too_old(self.batch.newest(), &*self.clock) {
                add(&self.counters.dropped_too_old, samples);
                return Outcome::Done;
            }
            let body = self.batch.body(range.clone(), &mut self.scratch);
            add(&self.counters.samples, samples);
            add(&self.counters.bytes, body.len() as u64);
            if attempt > 0 {
                add(&self.counters.samples_retried, samples);
            }
            let post =
                Post { headers: &self.settings.headers, attempt, timeout: self.settings.timeout };
            let started = Instant::now();
            let sent = post.send(&mut self.session, body, &mut self.answer).await;
            self.counters.took(started.elapsed());
            let wait = match self.verdict(sent) {
                Ok(Verdict::Done) => {
                    self.log_recovery();
                    return Outcome::Done;
                }
                Ok(Verdict::Split) if can_split => return Outcome::Split,
                Ok(Verdict::Split | Verdict::Refused) => {
                    self.log_refusal(samples);
                    return Outcome::Refused;
                }
                Ok(Verdict::Retry(wait)) => wait,
                Err(()) => None,
            };
            attempt += 1;
            if !pause(wait.unwrap_or_else(|| backoff.take()), stop).await {
                return Outcome::Stopped;
            }
        }
    }

    /// What an attempt's end asks for; `Err` when there was no answer.
    fn verdict(&mut self, sent: Sent) -> Result<Verdict, ()> {
        match sent {
            Ok(head) => {
                let (retry_429, now) = (self.settings.retry_on_429, self.clock.now());
                let verdict = judge(head.status, &head.headers, retry_429, now);
                if verdict != Verdict::Done {
                    self.refusal = answer_text(head.status, &self.answer);
                }
                if matches!(verdict, Verdict::Retry(_)) {
                    let text = std::mem::take(&mut self.refusal);
                    self.log_trouble("Failed to send batch, retrying", &text);
                }
                Ok(verdict)
            }
            Err(error) => {
                self.log_trouble("Failed to send batch, retrying", &error);
                Err(())
            }
        }
    }

    /// Saves the place, if it is time or `now` asks for it.
    pub(super) async fn save(&mut self, now: bool) {
        if self.saved == self.acked || (!now && self.saved_at.elapsed() < SAVE_INTERVAL) {
            return;
        }
        self.saved_at = Instant::now();
        let (store, name, seq) = (self.store.clone(), self.settings.cursor.clone(), self.acked);
        // Off this thread: it waits for the disk.
        let saving = tokio::task::spawn_blocking(move || store.save_cursor(&name, seq));
        match saving.await {
            Ok(Ok(())) => self.saved = seq,
            Ok(Err(error)) => self.log_trouble("Failed to save the place of the queue", &error),
            Err(error) => self.log_trouble("Failed to save the place of the queue", &error),
        }
        debug_assert!(self.saved <= self.acked || self.saved == RowSeq(u64::MAX));
    }

    /// Sends the metadata, if it is time.
    pub(super) async fn send_metadata(&mut self, stop: &mut watch::Receiver<bool>) {
        let Some((interval, families_max)) = self.settings.metadata else { return };
        let Some(source) = self.metadata.clone() else { return };
        if self.metadata_at.elapsed() < interval {
            return;
        }
        self.metadata_at = Instant::now();
        for (families, body) in metadata::requests(&*source, families_max) {
            if !self.send_families(families as u64, &body, stop).await {
                return;
            }
        }
    }

    /// Sends one request of metadata; `false` when the rest is not worth trying.
    async fn send_families(
        &mut self,
        families: u64,
        body: &[u8],
        stop: &mut watch::Receiver<bool>,
    ) -> bool {
        let mut backoff = Backoff::new(self.settings.backoff_min, self.settings.backoff_max);
        for attempt in 0..=METADATA_RETRIES {
            add(&self.counters.metadata, families);
            add(&self.counters.metadata_bytes, body.len() as u64);
            if attempt > 0 {
                add(&self.counters.metadata_retried, families);
            }
            let post =
                Post { headers: &self.settings.headers, attempt, timeout: self.settings.timeout };
            let sent = post.send(&mut self.session, body, &mut self.answer).await;
            let wait = match self.verdict(sent) {
                Ok(Verdict::Done) => return true,
                Ok(Verdict::Split | Verdict::Refused) => break,
                Ok(Verdict::Retry(wait)) => wait,
                Err(()) => None,
            };
            if !pause(wait.unwrap_or_else(|| backoff.take()), stop).await {
                return false;
            }
        }
        add(&self.counters.metadata_failed, families);
        false
    }

    pub(super) fn log_trouble(&mut self, what: &str, error: &dyn Display) {
        if self.logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.logged = Some(Instant::now());
            let (remote_name, url) = (&self.settings.name, &self.settings.url);
            tracing::warn!(%remote_name, %url, %error, "{what}");
        }
    }

    fn log_refusal(&mut self, samples: u64) {
        if self.refused_logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.refused_logged = Some(Instant::now());
            let (remote_name, url, error) =
                (&self.settings.name, &self.settings.url, &self.refusal);
            tracing::error!(%remote_name, %url, count = samples, %error, "non-recoverable error");
        }
    }

    fn log_recovery(&mut self) {
        if self.logged.take().is_some() {
            let (remote_name, url) = (&self.settings.name, &self.settings.url);
            tracing::info!(%remote_name, %url, "Sending goes on");
        }
    }
}

type Sent = Result<narthex_net::Head, narthex_net::Error>;

/// One POST of the protocol.
struct Post<'a> {
    headers: &'a [(HeaderName, HeaderValue)],
    attempt: u32,
    timeout: Duration,
}

impl Post<'_> {
    async fn send(
        &self,
        session: &mut narthex_net::Session,
        body: &[u8],
        answer: &mut Vec<u8>,
    ) -> Sent {
        let mut with_attempt = Vec::new();
        let headers = if self.attempt == 0 {
            self.headers
        } else {
            with_attempt.extend_from_slice(self.headers);
            let name = HeaderName::from_static("retry-attempt");
            with_attempt.push((name, HeaderValue::from(self.attempt)));
            &with_attempt
        };
        let request = Request {
            method: Method::POST,
            headers,
            body,
            timeout: self.timeout,
            body_bytes_max: ANSWER_BYTES_MAX,
        };
        session.send(&request, answer).await
    }
}

/// Waits; `false` when the queue is to stop instead.
async fn pause(wait: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    if *stop.borrow() {
        return false;
    }
    tokio::select! {
        () = tokio::time::sleep(wait) => true,
        _ = stop.changed() => false,
    }
}

fn answer_text(status: StatusCode, answer: &[u8]) -> String {
    let shown = answer.get(..answer.len().min(ANSWER_LOGGED_BYTES)).unwrap_or_default();
    let shown = String::from_utf8_lossy(shown);
    format!("server returned HTTP status {status}: {}", shown.lines().next().unwrap_or_default())
}
