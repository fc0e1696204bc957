//! Delivery: sending what was put together until the receiver has taken or refused it.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use narthex_model::Clock;
use narthex_net::{HeaderMap, HeaderName, HeaderValue, Session, StatusCode};
use narthex_store::LayoutRef;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Settings;
use super::post::{Post, Sent, headers};
use crate::answer::{Reason, Verdict, judge, refused_count};
use crate::batch::{Batch, Slice};
use crate::compose::{Composer, Limits, Version};
use crate::ledger::{Ledger, Refused};
use crate::metadata::{self, MetadataSource};
use crate::retry::{Backoff, Chance};
use crate::stats::{Counters, add};

/// How much of an answer is logged, in bytes.
const ANSWER_LOGGED_BYTES: usize = 1024;

/// How often one refused request is halved to save what is good in it.
const SPLITS_MAX: u32 = 1024;

/// So many requests in a row of which not one sample was accepted, and none is halved for
/// [`SPLIT_PAUSE`].
const FRUITLESS_MAX: u32 = 3;

/// See [`FRUITLESS_MAX`].
const SPLIT_PAUSE: Duration = Duration::from_secs(60);

/// How often the same trouble is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How often metadata is sent again after a failure.
const METADATA_RETRIES: u32 = 3;

/// Waits while somebody has to mend something: credentials, an address, a receiver that speaks
/// another protocol.
const MEND_WAIT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(60));

/// After a receiver found a request too large: how long until larger ones are tried again.
const LIMITS_HELD: Duration = Duration::from_secs(3600);

/// What a 2.0 receiver says it has written.
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// How a whole request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shipped {
    /// All was taken, or refused for good.
    All,
    /// The request must be put together anew, for [`Sender::version`].
    OtherVersion,
    /// The queue is to stop.
    Stopped,
}

/// How an attempt to deliver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Nothing was left to send, for its age.
    Aged,
    /// It was there already: the answer to an earlier attempt was lost.
    Repeated,
    TooLarge,
    Split(Reason),
    Refused(Reason),
    OtherVersion,
    Stopped,
}

/// Speaks with the receiver.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) settings: Arc<Settings>,
    pub(super) session: Session,
    clock: Arc<dyn Clock>,
    pub(super) counters: Arc<Counters>,
    pub(super) version: Version,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    limits: Limits,
    limits_since: Instant,
    pub(super) chance: Chance,
    pub(super) answer: Vec<u8>,
    /// The last time when samples were refused for their order without a doubt.
    disorder_at: Option<Instant>,
    fruitless: u32,
    split_after: Instant,
    logged: Option<Instant>,
    refused_logged: Option<Instant>,
}

impl Sender {
    pub(super) fn new(
        settings: Arc<Settings>,
        session: Session,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Self {
        let now = Instant::now();
        let seed = settings.cursor.bytes().fold(clock.now().0.cast_unsigned(), |seed, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let limits = Limits::new(settings.samples_max);
        Self {
            version: settings.version,
            headers: headers(&settings, settings.version),
            settings,
            session,
            clock,
            counters,
            limits,
            limits_since: now,
            chance: Chance::new(seed),
            answer: Vec::new(),
            disorder_at: None,
            fruitless: 0,
            split_after: now,
            logged: None,
            refused_logged: None,
        }
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// How large requests may be at present.
    pub(super) fn limits(&mut self) -> Limits {
        let full = Limits::new(self.settings.samples_max);
        if self.limits != full && self.limits_since.elapsed() >= LIMITS_HELD {
            self.limits_since = Instant::now();
            self.limits.samples = (self.limits.samples * 2).min(full.samples);
            self.limits.raw_bytes = (self.limits.raw_bytes * 2).min(full.raw_bytes);
        }
        self.limits
    }

    /// Sends what `composer` has until it was taken or refused. `exact`: an earlier process had
    /// begun to send the very same.
    pub(super) async fn ship(
        &mut self,
        composer: &mut Composer,
        ledger: &mut Ledger,
        exact: bool,
        stop: &mut watch::Receiver<bool>,
    ) -> Shipped {
        let mut bad = Vec::new();
        let all = composer.batch.all();
        if !composer.batch.is_empty() {
            let shipped =
                self.ship_batch(&mut composer.batch, vec![all], exact, ledger, &mut bad, stop);
            match shipped.await {
                Shipped::All => {}
                other => return other,
            }
        }
        if !composer.apart.is_empty() {
            // ORDER: each column by itself, so that one that is still refused harms no other.
            let columns = composer.apart.columns();
            let wanted = columns.len();
            let mut still = Vec::new();
            let shipped =
                self.ship_batch(&mut composer.apart, columns, false, ledger, &mut still, stop);
            match shipped.await {
                Shipped::All => {}
                other => return other,
            }
            if still.is_empty() && wanted >= composer.suspects() {
                composer.trust();
            }
        }
        if self.fruitless >= FRUITLESS_MAX {
            // Everything is refused: no series stands out.
            composer.trust();
            bad.clear();
        }
        for (layout, column) in bad {
            composer.suspect(layout, column);
        }
        self.counters.samples_pending.store(0, Ordering::Relaxed);
        Shipped::All
    }

    /// Sends the slices `todo` of `batch`; columns that the receiver refuses for what they are
    /// are left in `bad`.
    async fn ship_batch(
        &mut self,
        batch: &mut Batch,
        mut todo: Vec<Slice>,
        exact: bool,
        ledger: &mut Ledger,
        bad: &mut Vec<(LayoutRef, usize)>,
        stop: &mut watch::Receiver<bool>,
    ) -> Shipped {
        todo.reverse();
        let may_split = Instant::now() >= self.split_after;
        let mut splits_left = if may_split { SPLITS_MAX } else { 0 };
        let mut accepted = false;
        while let Some(slice) = todo.pop() {
            if batch.samples_in(&slice) > self.limits.samples
                && let Some((first, second)) = batch.halves(&slice)
            {
                // Known to be too large since a part before it was.
                todo.extend([second, first]);
                continue;
            }
            let (reason, can_split) = match self.deliver(batch, &slice, exact, stop).await {
                Outcome::Done => {
                    accepted = true;
                    self.accept(batch, &slice);
                    add(&self.counters.bytes_sent, batch.body(&slice).len() as u64);
                    continue;
                }
                Outcome::Repeated => {
                    accepted = true;
                    let samples = batch.samples_in(&slice) as u64;
                    add(&self.counters.samples_repeated, samples);
                    continue;
                }
                Outcome::Aged => continue,
                Outcome::Stopped => return Shipped::Stopped,
                Outcome::OtherVersion => return Shipped::OtherVersion,
                Outcome::TooLarge => (Reason::TooLarge, true),
                Outcome::Split(reason) => (reason, splits_left > 0),
                Outcome::Refused(reason) => (reason, false),
            };
            if let Some((first, second)) = batch.halves(&slice).filter(|_| can_split) {
                splits_left = splits_left.saturating_sub(1);
                // ORDER: the last pushed goes first, for a series' samples stay in order.
                todo.push(second);
                todo.push(first);
                continue;
            }
            // What Thanos refuses by a conflict is part of the request.
            accepted |= matches!(reason, Reason::Conflict) || reason.is_about_time();
            if !reason.is_about_time() {
                bad.extend(batch.column(&slice));
            }
            self.refuse(batch, &slice, reason, ledger);
        }
        self.fruitless = if accepted { 0 } else { self.fruitless.saturating_add(1) };
        if self.fruitless >= FRUITLESS_MAX && may_split {
            self.split_after = Instant::now() + SPLIT_PAUSE;
        }
        Shipped::All
    }

    /// Sends `slice`, again and again while the receiver is away.
    async fn deliver(
        &mut self,
        batch: &mut Batch,
        slice: &Slice,
        exact: bool,
        stop: &mut watch::Receiver<bool>,
    ) -> Outcome {
        let mut backoff = Backoff::new(self.settings.backoff_min, self.settings.backoff_max);
        let mut mending = Backoff::new(MEND_WAIT.0, MEND_WAIT.1);
        let mut attempt = 0u32;
        // Whether an attempt may have been stored though its answer did not say so.
        let mut unsure = exact && *slice == batch.all();
        let mut slice = slice.clone();
        loop {
            let samples = self.drop_aged(batch, &mut slice);
            if samples == 0 {
                return Outcome::Aged;
            }
            let sent = self.attempt(batch, &slice, attempt).await;
            unsure |= self.session.has_resent();
            let verdict = match sent {
                Ok((status, headers)) => self.verdict(status, &headers, samples),
                Err(error) => {
                    unsure = true;
                    self.log_trouble("Failed to send batch, retrying", &error);
                    Verdict::Retry(None)
                }
            };
            let wait = match verdict {
                Verdict::Done => {
                    self.log_recovery();
                    return Outcome::Done;
                }
                Verdict::TooLarge => {
                    self.shrink(samples, batch.raw_bytes());
                    return Outcome::TooLarge;
                }
                Verdict::Split(reason) | Verdict::Refused(reason)
                    if unsure && self.is_repeat(reason) =>
                {
                    return Outcome::Repeated;
                }
                Verdict::Split(reason) => return Outcome::Split(reason),
                Verdict::Refused(reason) => return Outcome::Refused(reason),
                Verdict::OtherVersion if self.version == Version::V2 => {
                    self.fall_back();
                    return Outcome::OtherVersion;
                }
                Verdict::Mend | Verdict::OtherVersion => mending.take(&mut self.chance),
                Verdict::Retry(asked) => {
                    let wait = backoff.take(&mut self.chance);
                    asked.map_or(wait, |asked| self.chance.stretch(asked))
                }
            };
            attempt += 1;
            if !pause(wait, stop).await {
                return Outcome::Stopped;
            }
        }
    }

    /// Takes off `slice` what has become too old; returns how many samples are left.
    fn drop_aged(&self, batch: &Batch, slice: &mut Slice) -> u64 {
        let samples = batch.samples_in(slice) as u64;
        if self.settings.age_max.is_none() {
            return samples;
        }
        *slice = batch.without(slice, |at| self.settings.is_too_old(at, &*self.clock));
        let left = batch.samples_in(slice) as u64;
        add(&self.counters.dropped_too_old, samples.saturating_sub(left));
        left
    }

    /// Sends `slice` once.
    async fn attempt(&mut self, batch: &mut Batch, slice: &Slice, attempt: u32) -> Sent {
        let samples = batch.samples_in(slice) as u64;
        let histograms = batch.histograms_in(slice) as u64;
        let body = batch.body(slice);
        add(&self.counters.samples, samples - histograms);
        add(&self.counters.histograms, histograms);
        add(&self.counters.bytes, body.len() as u64);
        if attempt > 0 {
            add(&self.counters.samples_retried, samples - histograms);
            add(&self.counters.histograms_retried, histograms);
        }
        let timeout = self.settings.timeout;
        let post = Post { headers: &self.headers, attempt, timeout };
        let started = Instant::now();
        let sent = post.send(&mut self.session, body, &mut self.answer).await;
        self.counters.took(started.elapsed());
        sent
    }

    /// What an answer asks for, noted and logged.
    pub(super) fn verdict(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        samples: u64,
    ) -> Verdict {
        let verdict = judge(status, headers, &self.answer, self.clock.now());
        let what = match verdict {
            Verdict::Done if self.version == Version::V2 => {
                return self.check_written(headers, samples);
            }
            Verdict::Done => return verdict,
            Verdict::Retry(_) => "Failed to send batch, retrying",
            Verdict::Mend => "The receiver does not let samples in; they are held until it does",
            _ => return self.note(verdict, answer_text(status, &self.answer)),
        };
        let text = answer_text(status, &self.answer);
        if verdict == Verdict::Mend {
            self.log_error(what, &text);
        } else {
            self.log_trouble(what, &text);
        }
        verdict
    }

    fn note(&self, verdict: Verdict, text: String) -> Verdict {
        self.counters.note_error(self.clock.now(), text);
        verdict
    }

    /// Protocol 2.0: a yes counts for as much as the receiver says it has written.
    fn check_written(&mut self, headers: &HeaderMap, samples: u64) -> Verdict {
        let read = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        if !WRITTEN.iter().any(|name| headers.contains_key(*name)) {
            self.log_error(
                "The receiver said yes without saying what it has written: it does not seem to \
                 speak remote write 2.0, and samples are held. Set protobuf_message: \
                 prometheus.WriteRequest",
                &"no X-Prometheus-Remote-Write-Samples-Written",
            );
            return Verdict::Mend;
        }
        let [numbers, histograms, ..] = WRITTEN;
        let written = [numbers, histograms].map(|name| read(name).unwrap_or(0));
        if written.iter().sum::<u64>() >= samples {
            return Verdict::Done;
        }
        self.counters.note_error(self.clock.now(), "not all samples were written".to_owned());
        Verdict::Refused(Reason::NotWritten)
    }

    /// Whether a refusal for `reason`, after an attempt whose end is not known, means that this
    /// attempt was stored. Not while samples are refused for their order anyway.
    fn is_repeat(&self, reason: Reason) -> bool {
        let repeat = matches!(reason, Reason::OutOfOrder | Reason::Duplicate);
        repeat && self.disorder_at.is_none_or(|at| at.elapsed() > LIMITS_HELD)
    }

    /// Makes requests smaller from now on.
    fn shrink(&mut self, samples: u64, raw_bytes: usize) {
        let samples = usize::try_from(samples).unwrap_or(usize::MAX);
        self.limits.samples = self.limits.samples.min(samples / 2).max(1);
        self.limits.raw_bytes = self.limits.raw_bytes.min(raw_bytes / 2).max(1);
        self.limits_since = Instant::now();
        let (remote_name, url) = (&self.settings.name, &self.settings.url);
        let samples = self.limits.samples;
        tracing::warn!(%remote_name, %url, samples, "The receiver wants smaller requests");
    }

    /// Speaks 1.0 from now on.
    pub(super) fn fall_back(&mut self) {
        self.version = Version::V1;
        self.headers = headers(&self.settings, Version::V1);
        let (remote_name, url) = (&self.settings.name, &self.settings.url);
        tracing::warn!(%remote_name, %url, "The receiver does not speak remote write 2.0, 1.0 is used");
    }

    fn accept(&mut self, batch: &Batch, slice: &Slice) {
        if let Some((times, ..)) = batch.extent(slice) {
            self.counters.highest_sent_ms.fetch_max(times.end.millis(), Ordering::Relaxed);
        }
        self.counters.note_sent(batch.samples_in(slice) as u64);
    }

    /// Gives up `slice`: counts it, remembers it, and says so.
    fn refuse(&mut self, batch: &Batch, slice: &Slice, reason: Reason, ledger: &mut Ledger) {
        let samples = batch.samples_in(slice) as u64;
        let counted = match reason {
            Reason::NotWritten => None,
            _ => refused_count(&self.answer),
        };
        let samples = counted.unwrap_or(samples).min(samples);
        let Some((times, first, last)) = batch.extent(slice) else { return };
        let histograms = (batch.histograms_in(slice) as u64).min(samples);
        add(&self.counters.samples_failed, samples - histograms);
        add(&self.counters.histograms_failed, histograms);
        self.counters.note_refused(reason, samples);
        if reason.is_about_time() {
            self.disorder_at = Some(Instant::now());
        }
        ledger.add_refused(Refused { times, samples, reason, first, last });
        if self.refused_logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.refused_logged = Some(Instant::now());
            let (remote_name, url) = (&self.settings.name, &self.settings.url);
            let (remedy, reason) = (reason.remedy(), reason.name());
            let error = self.counters.last_error();
            let (from, to) = (times.start.0, times.end.0);
            tracing::error!(
                %remote_name, %url, count = samples, reason, from, to, error, remedy,
                "non-recoverable error"
            );
        }
    }

    /// Sends the metadata that `source` knows, with at most `families_max` families a request.
    pub(super) async fn send_metadata(
        &mut self,
        source: &dyn MetadataSource,
        families_max: usize,
        stop: &mut watch::Receiver<bool>,
    ) {
        for (families, body) in metadata::requests(source, families_max) {
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
            let timeout = self.settings.timeout;
            let post = Post { headers: &self.headers, attempt, timeout };
            let asked = match post.send(&mut self.session, body, &mut self.answer).await {
                Ok((status, headers)) => match self.verdict(status, &headers, 0) {
                    Verdict::Done => return true,
                    Verdict::Retry(asked) => asked,
                    _ => break,
                },
                Err(error) => {
                    self.log_trouble("Failed to send metadata, retrying", &error);
                    None
                }
            };
            let wait = backoff.take(&mut self.chance);
            if !pause(asked.unwrap_or(wait), stop).await {
                return false;
            }
        }
        add(&self.counters.metadata_failed, families);
        false
    }

    pub(super) fn log_trouble(&mut self, what: &str, error: &dyn Display) {
        self.counters.note_error(self.clock.now(), error.to_string());
        if self.is_time_to_log() {
            let (remote_name, url) = (&self.settings.name, &self.settings.url);
            tracing::warn!(%remote_name, %url, %error, "{what}");
        }
    }

    fn log_error(&mut self, what: &str, error: &dyn Display) {
        self.counters.note_error(self.clock.now(), error.to_string());
        if self.is_time_to_log() {
            let (remote_name, url) = (&self.settings.name, &self.settings.url);
            tracing::error!(%remote_name, %url, %error, "{what}");
        }
    }

    fn is_time_to_log(&mut self) -> bool {
        let due = self.logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if due {
            self.logged = Some(Instant::now());
        }
        due
    }

    fn log_recovery(&mut self) {
        if self.logged.take().is_some() {
            let (remote_name, url) = (&self.settings.name, &self.settings.url);
            tracing::info!(%remote_name, %url, "Sending goes on");
        }
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
