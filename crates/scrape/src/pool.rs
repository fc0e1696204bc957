//! The targets of one scrape configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use narthex_config::ScrapeConfig;
use narthex_discovery::Group;
use narthex_model::{Labels, Metadata};
use narthex_net::Client;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::counters::Summary;
use crate::cycle::Cycle;
use crate::manager::Shared;
use crate::schedule::Schedule;
use crate::target::{Fate, Identity, Target};
use crate::task::{Health, Order, Plan, Task};

/// What the API shows of a pool.
#[derive(Clone, Debug)]
pub struct PoolView {
    /// The job's name.
    pub name: String,
    /// Targets that are scraped, in a stable order.
    pub active: Vec<TargetView>,
    /// Labels of targets that relabelling dropped, as discovered; at most
    /// `keep_dropped_targets` of them when that is set.
    pub dropped: Vec<Labels>,
    /// How many were dropped in all.
    pub dropped_count: usize,
    /// `target_limit`, 0 for none.
    pub target_limit: u64,
    /// How often targets were worked out anew.
    pub syncs: u64,
    /// How long that took, in seconds.
    pub sync_seconds: Summary,
}

/// What the API shows of a target.
#[derive(Clone, Debug)]
pub struct TargetView {
    /// Labels before relabelling.
    pub discovered: Labels,
    /// Labels of its samples.
    pub labels: Labels,
    /// Where it is asked, a password replaced.
    pub url: String,
    /// How it is doing.
    pub health: Health,
    /// How often it is asked.
    pub interval: Duration,
    /// How long that may take.
    pub timeout: Duration,
}

/// One target and its way to its task.
#[derive(Debug)]
struct Running {
    target: Arc<Target>,
    health: Arc<Mutex<Health>>,
    cycle: Arc<Mutex<Cycle>>,
    orders: watch::Sender<Order>,
}

/// A pool. Its targets follow discovery by [`Pool::sync`].
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    state: Mutex<State>,
    syncs: AtomicU64,
}

#[derive(Debug)]
struct State {
    plan: Arc<Plan>,
    running: BTreeMap<Identity, Running>,
    dropped: Vec<Labels>,
    dropped_count: usize,
    sync_seconds: Summary,
}

impl Pool {
    pub(crate) fn new(shared: Arc<Shared>, config: Arc<ScrapeConfig>, client: Client) -> Self {
        let plan = Arc::new(Plan { config, client: Arc::new(client), over_limit: None });
        let state = State {
            plan,
            running: BTreeMap::new(),
            dropped: Vec::new(),
            dropped_count: 0,
            sync_seconds: Summary::default(),
        };
        Self { shared, state: Mutex::new(state), syncs: AtomicU64::new(0) }
    }

    pub(crate) fn config(&self) -> Arc<ScrapeConfig> {
        Arc::clone(&self.state.lock().plan.config)
    }

    /// Takes another configuration; a [`Pool::sync`] must follow.
    pub(crate) fn reconfigure(&self, config: Arc<ScrapeConfig>, client: Client) {
        let mut state = self.state.lock();
        let client = Arc::new(client);
        state.plan = Arc::new(Plan { config, client, over_limit: state.plan.over_limit });
        self.shared.counters.reloads.fetch_add(1, Relaxed);
    }

    /// Starts and ends targets so that they are what `groups` and the configuration say.
    pub(crate) fn sync(self: &Arc<Self>, groups: &[Group]) {
        let start = self.shared.clock.monotonic();
        let mut state = self.state.lock();
        let wanted = self.wanted(&mut state, groups);
        let limit = state.plan.config.target_limit;
        let over_limit =
            (limit > 0 && wanted.len() as u64 > limit).then_some((wanted.len(), limit));
        if over_limit.is_some() {
            self.shared.counters.target_limit.fetch_add(1, Relaxed);
        }
        if over_limit != state.plan.over_limit {
            let (config, client) = (Arc::clone(&state.plan.config), Arc::clone(&state.plan.client));
            state.plan = Arc::new(Plan { config, client, over_limit });
        }
        let plan = Arc::clone(&state.plan);
        state.running.retain(|identity, running| {
            let stays = wanted.contains_key(identity);
            running.orders.send_if_modified(|order| {
                let news = !stays || !Arc::ptr_eq(&order.plan, &plan);
                *order = Order { plan: Arc::clone(&plan), gone: !stays };
                news
            });
            stays
        });
        let targets = wanted.len();
        for (identity, target) in wanted {
            let running = &mut state.running;
            running.entry(identity).or_insert_with(|| self.start(target, targets, &plan));
        }
        self.syncs.fetch_add(1, Relaxed);
        let took = self.shared.clock.monotonic().saturating_sub(start);
        state.sync_seconds.observe(took.as_secs_f64());
    }

    /// The targets that should run, each once.
    fn wanted(&self, state: &mut State, groups: &[Group]) -> BTreeMap<Identity, Target> {
        let config = Arc::clone(&state.plan.config);
        let kept_max = match usize::try_from(config.keep_dropped_targets) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(max) => max,
        };
        state.dropped.clear();
        state.dropped_count = 0;
        let mut wanted = BTreeMap::new();
        for labels in groups.iter().flat_map(|group| &group.targets) {
            match Target::from_discovered(&config, labels) {
                Ok(Fate::Active(target)) => {
                    wanted.entry(target.identity).or_insert(*target);
                }
                Ok(Fate::Dropped(labels)) => {
                    state.dropped_count += 1;
                    if state.dropped.len() < kept_max {
                        state.dropped.push(labels);
                    }
                }
                Err(error) => {
                    self.shared.counters.sync_failed.fetch_add(1, Relaxed);
                    tracing::error!(
                        component = "scrape manager",
                        scrape_pool = %config.job_name,
                        err = %error,
                        "Creating target failed"
                    );
                }
            }
        }
        wanted
    }

    fn start(&self, target: Target, targets: usize, plan: &Arc<Plan>) -> Running {
        let offset_ms = target.identity.offset_ms(target.interval, targets, self.shared.seed);
        let schedule = Schedule::new(target.interval, offset_ms);
        let target = Arc::new(target);
        let health = Arc::new(Mutex::new(Health::default()));
        let cycle = Cycle::new(Arc::clone(&plan.config), target.labels.clone(), target.timeout);
        let cycle = Arc::new(Mutex::new(cycle));
        let (orders, receiver) = watch::channel(Order { plan: Arc::clone(plan), gone: false });
        self.shared.register(&target.labels, &cycle);
        let task = Task::new(
            Arc::clone(&self.shared),
            Arc::clone(&target),
            schedule,
            Arc::clone(&cycle),
            Arc::clone(&health),
            receiver,
        );
        let alive = self.shared.alive.clone();
        self.shared.ingest.spawn(async move {
            task.run().await;
            drop(alive);
        });
        Running { target, health, cycle, orders }
    }

    /// Ends all targets, for their job is gone.
    pub(crate) fn end(&self) {
        for running in std::mem::take(&mut self.state.lock().running).into_values() {
            running.orders.send_modify(|order| order.gone = true);
        }
    }

    /// What there is to show.
    pub(crate) fn view(&self) -> PoolView {
        let state = self.state.lock();
        let mut active: Vec<TargetView> = state
            .running
            .values()
            .map(|running| TargetView {
                discovered: running.target.discovered.clone(),
                labels: running.target.labels.clone(),
                url: running.target.public_url(),
                health: running.health.lock().clone(),
                interval: running.target.interval,
                timeout: running.target.timeout,
            })
            .collect();
        active.sort_by(|a, b| (&a.labels, &a.url).cmp(&(&b.labels, &b.url)));
        PoolView {
            name: state.plan.config.job_name.clone(),
            active,
            dropped: state.dropped.clone(),
            dropped_count: state.dropped_count,
            target_limit: state.plan.config.target_limit,
            syncs: self.syncs.load(Relaxed),
            sync_seconds: state.sync_seconds.clone(),
        }
    }

    /// Calls `f` with each target's labels and one metric's metadata.
    pub(crate) fn each_metadata(&self, f: &mut dyn FnMut(&Labels, &str, &Metadata)) {
        let state = self.state.lock();
        for running in state.running.values() {
            let cycle = running.cycle.lock();
            for (name, metadata) in cycle.metadata().1 {
                f(&running.target.labels, name, metadata);
            }
        }
    }
}
