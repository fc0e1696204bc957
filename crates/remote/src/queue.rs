//! One receiver's queue: follows the rows of the store, and sends them in order.
//!
//! There is no queue in memory but the request being put together: the store is the queue. A
//! receiver that is away costs nothing but the place in the rows where it was left.
//!
//! Rows go out in the order of the store, so those of a series in order of time. Where the
//! receiver takes samples in any order, `send_order: live_first` has a second [`Lane`] send what
//! is new while the first is still behind; what a receiver refused can be offered again by a
//! third.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use narthex_model::{Clock, Timestamp};
use narthex_net::{HeaderName, HeaderValue, Session};
use narthex_store::{RowSeq, Store};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::compose::Version;
use crate::lane::{Filled, Lane, Work};
use crate::ledger::{Ledger, Offer, Span};
use crate::metadata::{Families, MetadataSource};
use crate::pace::Pace;
use crate::prepare::Prepare;
use crate::stats::{Counters, add};
use deliver::{Sender, Shipped};
use exemplars::Trail;

/// How often the store is asked for new rows, at least and at most: [`Settings::poll`]. Waking
/// seldom and sending large requests costs less than waking for each row: of what a request costs,
/// as much is for itself as for 10,000 samples. The second row of a target finds in the
/// processor's caches what the first one needed.
const POLL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// About so many samples may come during a nap: a request that is not quite full by default, and
/// less than half of what the store has at hand of the newest rows.
const SAMPLES_A_NAP: u32 = 48_000;

/// How far behind the newest rows live ones are sent first, where that is asked for.
const LIVE_FIRST_LAG: Duration = Duration::from_secs(30);

/// How often the place in the rows is saved durably: each time is a write to disk. A process that
/// is killed repeats one request, whatever this is; only after a power failure it is more.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// The settings of one queue.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    /// The address as it is shown.
    pub(crate) url: String,
    /// The cursor's name in the store, and the journal's.
    pub(crate) cursor: String,
    /// Of every request, but for those of the protocol's version.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) version: Version,
    pub(crate) prepare: Prepare,
    pub(crate) timeout: Duration,
    pub(crate) samples_max: usize,
    pub(crate) batch_deadline: Duration,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) age_max: Option<Duration>,
    /// Whether new rows need not wait for those before them.
    pub(crate) live_first: bool,
    /// Whether exemplars are sent.
    pub(crate) exemplars: bool,
    /// How often metadata is sent, and how many families at a time.
    pub(crate) metadata: Option<(Duration, usize)>,
}

impl Settings {
    /// The defaults of the configuration, without a receiver.
    pub(crate) fn of(prepare: Prepare) -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            cursor: String::new(),
            headers: Vec::new(),
            version: Version::V1,
            prepare,
            timeout: Duration::from_secs(30),
            samples_max: 50_000,
            batch_deadline: Duration::from_secs(5),
            backoff_min: Duration::from_millis(30),
            backoff_max: Duration::from_secs(5),
            age_max: None,
            live_first: false,
            exemplars: false,
            metadata: None,
        }
    }

    /// How long rows may wait in the store: they are sent within the deadline with what they wait
    /// for in the request.
    fn poll(&self) -> Duration {
        (self.batch_deadline * 4 / 5).clamp(POLL.0, POLL.1)
    }

    /// How long what is left behind a full request may wait for more.
    fn patience(&self) -> Duration {
        self.batch_deadline.checked_sub(self.poll()).unwrap_or(self.batch_deadline)
    }

    /// Whether a sample at `at` is no longer to be sent.
    pub(crate) fn is_too_old(&self, at: Timestamp, clock: &dyn Clock) -> bool {
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

/// The task of one queue.
#[derive(Debug)]
pub(crate) struct Queue {
    settings: Arc<Settings>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    metadata: Option<Arc<dyn MetadataSource>>,
    sender: Sender,
    ledger: Ledger,
    /// All rows in order, but for those sent ahead.
    main: Lane,
    /// New rows, sent ahead of those that `main` is at.
    live: Option<Lane>,
    /// What is offered again.
    again: Option<Lane>,
    pace: Pace,
    /// Where the first request ends, to be the same as one whose answer is not known.
    repeat_to: Option<RowSeq>,
    saved: RowSeq,
    saved_at: Instant,
    metadata_at: Option<Instant>,
    /// When the last nap began, and how many samples had been sent by then.
    nap_began: (Instant, u64),
    /// Whether a request was sent since the last nap.
    shipped: bool,
    /// Where exemplars are, if they are sent.
    trail: Option<Trail>,
}

/// How a turn of a lane ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There may be more to do at once.
    Busy,
    /// There is nothing to do now.
    Idle,
    /// The lane's stretch is done with.
    Over,
    /// The queue is to stop, and could not send all.
    Stop,
}

impl Queue {
    pub(crate) fn new(settings: Settings, links: Links) -> Self {
        let settings = Arc::new(settings);
        let sender = Sender::new(
            Arc::clone(&settings),
            links.session,
            Arc::clone(&links.clock),
            Arc::clone(&links.counters),
        );
        Self {
            main: Lane::new(settings.version, RowSeq(0)),
            settings,
            store: links.store,
            clock: links.clock,
            counters: links.counters,
            metadata: links.metadata,
            sender,
            ledger: Ledger::new(None),
            live: None,
            again: None,
            pace: Pace::default(),
            repeat_to: None,
            saved: RowSeq(0),
            saved_at: Instant::now(),
            metadata_at: None,
            nap_began: (Instant::now(), 0),
            shipped: false,
            trail: None,
        }
    }

    /// Sends rows until `stop` turns true; then sends what is left, until the first failure, and
    /// saves the place. Without a saved place it begins after `start`.
    pub(crate) async fn run(mut self, start: RowSeq, mut stop: watch::Receiver<bool>) {
        self.begin(start).await;
        loop {
            let turn = self.turn(&mut stop).await;
            if turn != Turn::Stop {
                self.send_exemplars().await;
            }
            self.account();
            self.save(false).await;
            let draining = *stop.borrow();
            match turn {
                Turn::Stop => break,
                Turn::Busy | Turn::Over => {
                    let rest = self.pace.rest();
                    if rest.is_zero() || draining {
                        tokio::task::yield_now().await;
                    } else {
                        wait(rest, &mut stop).await;
                    }
                }
                Turn::Idle if draining => break,
                Turn::Idle => {
                    self.housekeeping(&mut stop).await;
                    self.pace.rested();
                    wait(self.nap(), &mut stop).await;
                }
            }
        }
        self.account();
        self.save(true).await;
    }

    async fn begin(&mut self, start: RowSeq) {
        let last = self.store.last_seq();
        let (store, name) = (Arc::clone(&self.store), self.settings.cursor.clone());
        let opened = tokio::task::spawn_blocking(move || store.journal(&name)).await;
        match opened {
            Ok(Ok(opened)) => self.ledger = Ledger::new(Some(opened)),
            Ok(Err(error)) => self.sender.log_trouble("Failed to open the queue's journal", &error),
            Err(error) => self.sender.log_trouble("Failed to open the queue's journal", &error),
        }
        let saved = self.store.cursor(&self.settings.cursor);
        // A journal without a cursor is of a queue that there is no more.
        let noted = saved.and(self.ledger.place());
        let place = saved.max(noted).unwrap_or(start).min(last);
        self.main.jump(place);
        self.repeat_to = self.ledger.attempt().filter(|&to| saved.is_some() && to <= last);
        if let Some(span) = self.ledger.ahead().first() {
            self.main.end = Some(span.after);
        }
        self.saved = saved.unwrap_or(RowSeq(u64::MAX));
        self.account();
        if saved.is_none() {
            // Saved at once, so that rows are kept from here on.
            self.save(true).await;
        }
        self.counters.post_ledger(&self.ledger);
        self.trail = self.settings.exemplars.then(|| Trail::new(&self.store, &self.counters));
    }

    /// Does the next piece of work, the most urgent first.
    async fn turn(&mut self, stop: &mut watch::Receiver<bool>) -> Turn {
        self.hurry_live();
        if self.live.is_some() {
            match self.step(Which::Live, stop).await {
                Turn::Idle => {}
                turn => return turn,
            }
        }
        match self.step(Which::Main, stop).await {
            Turn::Over => self.next_stretch(),
            Turn::Idle => {}
            turn => return turn,
        }
        if *stop.borrow() {
            // What is offered again is offered by the next process too.
            return Turn::Idle;
        }
        self.take_offers();
        if self.again.is_none() {
            return Turn::Idle;
        }
        match self.step(Which::Again, stop).await {
            Turn::Over => {
                self.end_offer();
                Turn::Busy
            }
            Turn::Idle => Turn::Busy,
            turn => turn,
        }
    }

    /// Reads rows into the lane's request, and sends it when it is due.
    async fn step(&mut self, which: Which, stop: &mut watch::Receiver<bool>) -> Turn {
        let Self { settings, store, clock, counters, sender, ledger, pace, .. } = self;
        let lane = match which {
            Which::Main => Some(&mut self.main),
            Which::Live => self.live.as_mut(),
            Which::Again => self.again.as_mut(),
        };
        let Some(lane) = lane else { return Turn::Idle };
        if lane.composer.version() != sender.version() {
            lane.start_over(sender.version());
        }
        let limits = sender.limits();
        let work = Work { store, clock: &**clock, settings, counters, limits };
        let repeat_to = self.repeat_to.filter(|_| which == Which::Main);
        let filled = pace.spend(&**clock, || lane.fill(work, repeat_to));
        let due = match filled {
            Filled::Turn => false,
            Filled::CaughtUp if self.shipped && !*stop.borrow() => {
                lane.waited() >= settings.patience()
            }
            Filled::Full | Filled::End | Filled::CaughtUp => true,
        };
        let turn = match filled {
            Filled::Full | Filled::Turn => Turn::Busy,
            Filled::CaughtUp => Turn::Idle,
            Filled::End => Turn::Over,
        };
        if lane.composer.is_empty() {
            lane.pass();
            return turn;
        }
        if !due {
            return turn;
        }
        if which == Which::Main {
            // Kept until the next request begins: a process that is killed before it repeats the
            // last one, as one that is killed during it does.
            ledger.begin(lane.acked, lane.reached());
        }
        let exact = repeat_to == Some(lane.reached()) && !lane.is_within_row();
        let ship = sender.ship(&mut lane.composer, ledger, exact, stop);
        match pace.spend_async(&**clock, ship).await {
            Shipped::All => {}
            Shipped::OtherVersion => {
                lane.start_over(sender.version());
                return Turn::Busy;
            }
            Shipped::Stopped => return Turn::Stop,
        }
        self.shipped = true;
        let before = lane.acked;
        lane.shipped();
        add(&counters.rows_sent, lane.acked.0.saturating_sub(before.0));
        match which {
            Which::Main => self.repeat_to = None,
            Which::Live => note_ahead(ledger, lane.acked),
            Which::Again => note_offer(ledger, lane.acked),
        }
        counters.post_ledger(ledger);
        // Catching up there is no idle moment.
        lane.forget_idle();
        turn
    }

    /// How long there will be nothing to do.
    fn nap(&mut self) -> Duration {
        let samples = self.counters.samples.load(Ordering::Relaxed);
        let (began, before) = std::mem::replace(&mut self.nap_began, (Instant::now(), samples));
        let each = u32::try_from(samples.saturating_sub(before)).unwrap_or(u32::MAX).max(1);
        let longest = self.settings.poll();
        let poll = (began.elapsed() * SAMPLES_A_NAP / each).clamp(POLL.0.min(longest), longest);
        self.shipped = false;
        let lanes = [Some(&self.main), self.live.as_ref()];
        let waiting = lanes.into_iter().flatten().filter(|lane| !lane.composer.is_empty());
        let left = waiting.map(|lane| self.settings.patience().saturating_sub(lane.waited()));
        left.min().unwrap_or(poll).clamp(Duration::from_millis(1), poll)
    }

    /// Sends new rows by a lane of their own, when the main one is too far behind.
    fn hurry_live(&mut self) {
        if !self.settings.live_first || self.live.is_some() {
            return;
        }
        let lag_ms = i64::try_from(LIVE_FIRST_LAG.as_millis()).unwrap_or(i64::MAX);
        let behind = |at| at < self.clock.now().minus_millis(lag_ms);
        let last = self.store.last_seq();
        if last <= self.main.reached() || !self.main.at().is_some_and(behind) {
            return;
        }
        let mut spans = self.ledger.ahead().to_vec();
        spans.push(Span { after: last, last });
        if self.ledger.set_ahead(&spans) {
            self.main.end = spans.first().map(|first| first.after);
            self.live = Some(Lane::new(self.sender.version(), last));
        }
    }

    /// The main lane has come to rows that were sent ahead: it goes on behind them.
    fn next_stretch(&mut self) {
        let mut spans = self.ledger.ahead().to_vec();
        if spans.is_empty() {
            self.main.end = None;
            return;
        }
        let span = spans.remove(0);
        self.main.end = None;
        match self.live.take() {
            // What the live lane has in hand goes on with it.
            Some(live) if spans.is_empty() => self.main = live,
            live => {
                self.live = live;
                self.main.jump(span.last.max(self.main.acked));
                self.main.end = spans.first().map(|next| next.after);
            }
        }
        self.ledger.set_place(self.main.acked);
        self.ledger.set_ahead(&spans);
    }

    /// Takes in what is to be offered again, and begins with the first.
    fn take_offers(&mut self) {
        let new = self.counters.take_offers();
        if !new.is_empty() {
            let mut offers = self.ledger.offers().to_vec();
            offers.extend(new);
            if !self.ledger.set_offers(&offers) {
                self.sender.log_trouble("Too much is to be offered again", &"some is left out");
            }
        }
        if self.again.is_none()
            && let Some(&Offer { span, times }) = self.ledger.offers().first()
        {
            let lane = Lane::new(self.sender.version(), span.after).within(span.last, times);
            self.again = Some(lane);
            // What is refused again is noted again.
            self.ledger.forget(times);
        }
    }

    fn end_offer(&mut self) {
        self.again = None;
        let offers = self.ledger.offers().get(1..).unwrap_or_default().to_vec();
        self.ledger.set_offers(&offers);
        self.counters.post_ledger(&self.ledger);
        let (remote_name, url) = (&self.settings.name, &self.settings.url);
        tracing::info!(%remote_name, %url, "What was to be sent again was sent");
    }

    /// Writes down for others how far it is.
    fn account(&self) {
        let place = self.main.acked;
        let ahead: u64 = self.ledger.ahead().iter().map(|span| span.rows()).sum();
        self.counters.place.store(place.0, Ordering::Relaxed);
        self.counters.rows_ahead.store(ahead, Ordering::Relaxed);
        let at = self.main.acked_at.map_or(0, Timestamp::millis);
        self.counters.acked_ms.store(at, Ordering::Relaxed);
    }

    /// Saves the place durably, if it is time or `now` asks for it.
    async fn save(&mut self, now: bool) {
        let place = self.main.acked;
        if self.saved == place || (!now && self.saved_at.elapsed() < SAVE_INTERVAL) {
            return;
        }
        self.saved_at = Instant::now();
        if let Err(error) = self.ledger.sync() {
            self.sender.log_trouble("Failed to save the queue's journal", &error);
        }
        let (store, name) = (Arc::clone(&self.store), self.settings.cursor.clone());
        // Off this thread: it waits for the disk.
        let saving = tokio::task::spawn_blocking(move || store.save_cursor(&name, place));
        match saving.await {
            Ok(Ok(())) => self.saved = place,
            Ok(Err(error)) => {
                self.sender.log_trouble("Failed to save the place of the queue", &error);
            }
            Err(error) => self.sender.log_trouble("Failed to save the place of the queue", &error),
        }
    }

    /// What is done now and then, between two requests.
    async fn housekeeping(&mut self, stop: &mut watch::Receiver<bool>) {
        if let Some(bytes) = self.main.forget_idle() {
            self.counters.cache_bytes.store(bytes as u64, Ordering::Relaxed);
        }
        if let Some(live) = &mut self.live {
            live.forget_idle();
        }
        let Some((interval, families_max)) = self.settings.metadata else { return };
        let Some(source) = self.metadata.clone() else { return };
        let first = self.sender.version() == Version::V2 && self.metadata_at.is_none();
        let at = *self.metadata_at.get_or_insert_with(Instant::now);
        if !first && at.elapsed() < interval {
            return;
        }
        self.metadata_at = Some(Instant::now());
        match self.sender.version() {
            Version::V1 => self.sender.send_metadata(&*source, families_max, stop).await,
            Version::V2 => {
                let families = Arc::new(Families::of(&*source));
                for lane in [Some(&mut self.main), self.live.as_mut()].into_iter().flatten() {
                    if lane.composer.is_empty() {
                        lane.composer.set_families(Arc::clone(&families));
                    }
                }
            }
        }
    }
}

/// One of a queue's lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Main,
    Live,
    Again,
}

/// Notes up to where rows were sent ahead.
fn note_ahead(ledger: &mut Ledger, acked: RowSeq) {
    let mut spans = ledger.ahead().to_vec();
    if let Some(span) = spans.last_mut() {
        span.last = acked;
    }
    ledger.set_ahead(&spans);
}

/// Notes what is left to be offered again.
fn note_offer(ledger: &mut Ledger, acked: RowSeq) {
    let mut offers = ledger.offers().to_vec();
    if let Some(first) = offers.first_mut() {
        first.span.after = acked;
    }
    ledger.set_offers(&offers);
}

/// Waits, or until the queue is to stop.
async fn wait(time: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        _ = stop.changed() => {}
    }
}

mod deliver;
mod exemplars;
mod post;
#[cfg(test)]
mod tests;
