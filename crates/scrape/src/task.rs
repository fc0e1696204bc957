//! The life of one target: wait for its turn, fetch, absorb, report; and end with markers.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use narthex_config::ScrapeConfig;
use narthex_expo::Format;
use narthex_model::Timestamp;
use narthex_net::{Client, HeaderName, HeaderValue, Method, Request, Session};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::cycle::{Body, Cycle, Outcome};
use crate::error::ScrapeError;
use crate::fetch::{self, Kind};
use crate::manager::Shared;
use crate::schedule::Schedule;
use crate::target::Target;
use crate::translate::{LineExemplar, Translated, rewrite, rewrites_text, translate};

/// What a pool tells its targets.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) plan: Arc<Plan>,
    /// Discovery or a reload took the target away.
    pub(crate) gone: bool,
}

/// How the targets of a pool are scraped.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Arc<ScrapeConfig>,
    pub(crate) client: Arc<Client>,
    /// More targets than `target_limit`: none of them is asked.
    pub(crate) over_limit: Option<(usize, u64)>,
}

/// How a target is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// `None`: never scraped.
    pub up: Option<bool>,
    /// Why the last scrape failed; empty when it did not.
    pub last_error: String,
    /// When the last scrape began.
    pub last_scrape: Option<Timestamp>,
    /// How long it took.
    pub last_duration: Duration,
}

/// A target that is being scraped.
pub(crate) struct Task {
    shared: Arc<Shared>,
    target: Arc<Target>,
    cycle: Arc<Mutex<Cycle>>,
    health: Arc<Mutex<Health>>,
    orders: watch::Receiver<Order>,
    shutdown: watch::Receiver<bool>,
    schedule: Schedule,
    plan: Arc<Plan>,
    session: Session,
    headers: Vec<(HeaderName, HeaderValue)>,
    last: Option<Timestamp>,
}

/// Why a task woke up.
enum Wake {
    Due,
    Order,
    Shutdown,
}

impl Task {
    pub(crate) fn new(
        shared: Arc<Shared>,
        target: Arc<Target>,
        schedule: Schedule,
        cycle: Arc<Mutex<Cycle>>,
        health: Arc<Mutex<Health>>,
        orders: watch::Receiver<Order>,
    ) -> Self {
        let plan = Arc::clone(&orders.borrow().plan);
        Self {
            schedule,
            session: plan.client.session(&target.url),
            headers: fetch::headers(&plan.config, target.timeout, &shared.user_agent),
            shutdown: shared.shutdown.clone(),
            shared,
            target,
            cycle,
            health,
            orders,
            plan,
            last: None,
        }
    }

    /// Scrapes until the target is gone or the program ends.
    pub(crate) async fn run(mut self) {
        let mut due = self.schedule.after(self.shared.clock.now());
        loop {
            match self.wait(due).await {
                Wake::Due => {
                    self.scrape(due).await;
                    due = self.schedule.next(due, self.shared.clock.now());
                }
                Wake::Order => {
                    let order = self.orders.borrow_and_update().clone();
                    if order.gone {
                        return self.end(due).await;
                    }
                    self.follow(order.plan);
                }
                Wake::Shutdown => return self.cycle.lock().close(&self.shared.writer),
            }
        }
    }

    async fn wait(&mut self, due: Timestamp) -> Wake {
        while let Some(wait) = self.schedule.wait(due, self.shared.clock.now()) {
            tokio::select! {
                biased;
                _ = self.shutdown.changed() => return Wake::Shutdown,
                changed = self.orders.changed() => {
                    return if changed.is_ok() { Wake::Order } else { Wake::Shutdown };
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
        Wake::Due
    }

    /// Takes a new plan; what has not changed goes on as it is.
    fn follow(&mut self, plan: Arc<Plan>) {
        if !Arc::ptr_eq(&plan.client, &self.plan.client) {
            self.session = plan.client.session(&self.target.url);
        }
        if !Arc::ptr_eq(&plan.config, &self.plan.config) {
            let timeout = self.target.timeout;
            self.headers = fetch::headers(&plan.config, timeout, &self.shared.user_agent);
            self.cycle.lock().reconfigure(Arc::clone(&plan.config), timeout);
        }
        self.plan = plan;
    }

    async fn scrape(&mut self, due: Timestamp) {
        let clock = Arc::clone(&self.shared.clock);
        let at = self.schedule.stamp(due, clock.now());
        let start = clock.monotonic();
        if let Some(last) = self.last {
            self.shared.counters.observe_interval(self.target.interval, last, at);
        }
        self.last = Some(at);
        let mut body = self.shared.take_buffer();
        let kind = self.fetch(&mut body).await;
        let mut exemplars = Vec::new();
        let fetched = kind.and_then(|kind| self.understand(kind, &mut body, &mut exemplars));
        let fetched = fetched.map(|(format, translated)| Body {
            bytes: &body,
            format,
            translated,
            exemplars: &exemplars,
        });
        let elapsed = || clock.monotonic().saturating_sub(start);
        let outcome = self.cycle.lock().absorb(&self.shared.writer, fetched, at, elapsed);
        self.shared.give_buffer(body);
        self.report(at, outcome);
    }

    /// Makes text of a binary body, and rewrites text where the configuration asks for that.
    fn understand(
        &self,
        kind: Kind,
        body: &mut Vec<u8>,
        exemplars: &mut Vec<LineExemplar>,
    ) -> Result<(Format, Option<Translated>), ScrapeError> {
        let config = &self.plan.config;
        if let Kind::Text(format) = kind
            && !rewrites_text(config)
        {
            return Ok((format, None));
        }
        let mut text = self.shared.take_buffer();
        text.clear();
        let wanted = self.shared.writer.lock().keep_exemplars().is_some();
        let exemplars = wanted.then_some(exemplars);
        let (format, translated) = match kind {
            Kind::Protobuf => (Format::Text, translate(body, config, &mut text, exemplars)),
            Kind::Text(format) => (format, rewrite(body, format, config, &mut text, exemplars)),
        };
        std::mem::swap(body, &mut text);
        self.shared.give_buffer(text);
        Ok((format, Some(translated?)))
    }

    async fn fetch(&mut self, body: &mut Vec<u8>) -> Result<Kind, ScrapeError> {
        if let Some((count, limit)) = self.plan.over_limit {
            return Err(ScrapeError::TargetLimit { count, limit });
        }
        let config = &self.plan.config;
        let body_bytes_max = match usize::try_from(config.body_size_limit) {
            Ok(0) => fetch::BODY_BYTES_MAX,
            // A body that reaches the limit is over it, as Prometheus counts.
            Ok(limit) => limit - 1,
            Err(_) => usize::MAX,
        };
        let request = Request {
            method: Method::GET,
            headers: &self.headers,
            body: &[],
            timeout: self.target.timeout,
            body_bytes_max,
        };
        let head = self.session.send(&request, body).await?;
        if head.status.as_u16() != 200 {
            return Err(ScrapeError::Status(head.status_text()));
        }
        let content_type = head.headers.get("content-type").and_then(|v| v.to_str().ok());
        fetch::kind(content_type, config.fallback_scrape_protocol)
    }

    fn report(&self, at: Timestamp, outcome: Result<Outcome, narthex_store::Error>) {
        let counters = &self.shared.counters;
        counters.scrapes.fetch_add(1, Relaxed);
        let (error, duration) = match outcome {
            Ok(outcome) => {
                counters.count_refused(outcome.refused);
                counters.samples.fetch_add(u64::from(outcome.scraped), Relaxed);
                self.warn_of_refused(&outcome);
                (outcome.error, outcome.duration)
            }
            Err(error) => {
                counters.store_failed.fetch_add(1, Relaxed);
                tracing::error!(
                    component = "scrape manager",
                    scrape_pool = %self.plan.config.job_name,
                    target = %self.target,
                    err = %error,
                    "Scrape commit failed"
                );
                (Some(ScrapeError::Store(error)), Duration::ZERO)
            }
        };
        if let Some(error) = &error {
            counters.count_failure(&self.plan.config.job_name, error);
            self.tell(error);
            tracing::debug!(
                component = "scrape manager",
                scrape_pool = %self.plan.config.job_name,
                target = %self.target,
                err = %error,
                "Scrape failed"
            );
        }
        let mut health = self.health.lock();
        health.up = Some(error.is_none());
        health.last_error.clear();
        if let Some(error) = error {
            health.last_error = error.to_string();
        }
        health.last_scrape = Some(at);
        health.last_duration = duration;
    }

    /// Tells the file of failures, if there is one, of a target that could not be asked.
    fn tell(&self, error: &ScrapeError) {
        let config = &self.plan.config;
        let file = config.scrape_failure_log_file.as_ref().filter(|_| error.is_of_asking());
        if let (Some(log), Some(file)) = (&self.shared.failures, file) {
            log.failed(file, &config.job_name, &self.target.public_url(), &error.to_string());
        }
    }

    fn warn_of_refused(&self, outcome: &Outcome) {
        let refused = outcome.refused;
        for (count, message) in [
            (
                refused.duplicate,
                "Error on ingesting samples with different value but same timestamp",
            ),
            (refused.out_of_order, "Error on ingesting out-of-order samples"),
            (
                refused.out_of_bounds,
                "Error on ingesting samples that are too old or are too far into the future",
            ),
            (refused.late_exemplars, "Error on ingesting out-of-order exemplars"),
        ] {
            if count > 0 {
                tracing::warn!(
                    component = "scrape manager",
                    scrape_pool = %self.plan.config.job_name,
                    target = %self.target,
                    num_dropped = count,
                    "{message}"
                );
            }
        }
    }

    /// Writes the markers of a target that is gone, at the first turn that it missed, but only
    /// after two intervals and a tenth: it may come back as another target with the same series.
    async fn end(mut self, missed: Timestamp) {
        if self.last.is_some() {
            let interval = self.target.interval;
            let patience = interval.saturating_mul(2).saturating_add(interval / 10);
            tokio::select! {
                biased;
                _ = self.shutdown.changed() => return self.cycle.lock().close(&self.shared.writer),
                () = tokio::time::sleep(patience) => {}
            }
        }
        let taken_over = self.shared.live_elsewhere(&self.target.labels, &self.cycle);
        let mut cycle = self.cycle.lock();
        if self.last.is_none() {
            cycle.close(&self.shared.writer);
        } else if let Err(error) = cycle.end(&self.shared.writer, missed, &taken_over) {
            self.shared.counters.store_failed.fetch_add(1, Relaxed);
            tracing::error!(target = %self.target, err = %error, "Stale markers could not be stored");
        }
    }
}
