//! All pools: made, changed and ended as the configuration says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use narthex_config::ScrapeConfig;
use narthex_discovery::Group;
use narthex_model::{Clock, Hashing, Labels, Metadata};
use narthex_net::{Client, Dial};
use narthex_store::{SeriesRef, Writer};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::counters::Counters;
use crate::cycle::Cycle;
use crate::pool::{Pool, PoolView};

/// Targets are worked out anew at most this often when discovery is restless.
const SYNC_INTERVAL_MIN: Duration = Duration::from_secs(5);

/// Buffers for bodies that are kept for the next scrapes; more are in use only while more
/// targets are being fetched at once.
const IDLE_BUFFERS_MAX: usize = 8;

/// A buffer that grew over this many bytes is not kept.
const IDLE_BUFFER_BYTES_MAX: usize = 1 << 20;

/// Takes what `scrape_failure_log_file` asks for.
pub trait FailureLog: Send + Sync + std::fmt::Debug {
    /// A target of `job` could not be asked; `file` is as the configuration names it.
    fn failed(&self, file: &str, job: &str, target: &str, error: &str);
}

/// What scraping needs of the program.
#[derive(Debug)]
pub struct Deps {
    /// The only appender of the store.
    pub writer: Arc<Mutex<Writer>>,
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// How connections are made.
    pub dial: Arc<dyn Dial>,
    /// The folder that file names of the configuration are relative to.
    pub base_dir: PathBuf,
    /// Moves the phase of all targets, so that several instances do not ask at the same moment.
    pub seed: u64,
    /// `User-Agent` of the requests.
    pub user_agent: String,
    /// Where the scrapes run: the ingest thread's runtime.
    pub ingest: Handle,
    /// Where failures are told for files of their own.
    pub failures: Option<Arc<dyn FailureLog>>,
}

/// What all tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) writer: Arc<Mutex<Writer>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) seed: u64,
    pub(crate) user_agent: String,
    pub(crate) ingest: Handle,
    pub(crate) failures: Option<Arc<dyn FailureLog>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) shutdown: watch::Receiver<bool>,
    /// Held by every task: the channel closes when the last one has ended.
    pub(crate) alive: mpsc::Sender<()>,
    buffers: Mutex<Vec<Vec<u8>>>,
    cycles: Mutex<CyclesByLabels>,
}

type CyclesByLabels = HashMap<Labels, Vec<Weak<Mutex<Cycle>>>, Hashing>;

impl Shared {
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        self.buffers.lock().pop().unwrap_or_default()
    }

    pub(crate) fn give_buffer(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.lock();
        if buffers.len() < IDLE_BUFFERS_MAX && buffer.capacity() <= IDLE_BUFFER_BYTES_MAX {
            buffers.push(buffer);
        }
    }

    /// Remembers who scrapes a target with these labels.
    pub(crate) fn register(&self, labels: &Labels, cycle: &Arc<Mutex<Cycle>>) {
        let mut cycles = self.cycles.lock();
        if cycles.len() == cycles.capacity() {
            cycles.retain(|_, list| list.iter().any(|cycle| cycle.strong_count() > 0));
        }
        let list = cycles.entry(labels.clone()).or_default();
        list.retain(|cycle| cycle.strong_count() > 0);
        list.push(Arc::downgrade(cycle));
    }

    /// The series that other targets with the same labels bring now.
    pub(crate) fn live_elsewhere(
        &self,
        labels: &Labels,
        not: &Arc<Mutex<Cycle>>,
    ) -> HashSet<SeriesRef, Hashing> {
        let others: Vec<Arc<Mutex<Cycle>>> = match self.cycles.lock().get(labels) {
            Some(list) => list.iter().filter_map(Weak::upgrade).collect(),
            None => Vec::new(),
        };
        let others = others.iter().filter(|cycle| !Arc::ptr_eq(cycle, not));
        others.flat_map(|cycle| cycle.lock().live_series()).collect()
    }
}

/// The scrape manager.
#[derive(Debug)]
pub struct Manager {
    shared: Arc<Shared>,
    dial: Arc<dyn Dial>,
    base_dir: PathBuf,
    pools: Mutex<BTreeMap<String, Following>>,
    shutdown: watch::Sender<bool>,
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

/// A pool and the groups it follows.
#[derive(Debug)]
struct Following {
    pool: Arc<Pool>,
    groups: watch::Receiver<Arc<Vec<Group>>>,
    follower: tokio::task::JoinHandle<()>,
}

impl Manager {
    /// A manager without pools.
    pub fn new(deps: Deps) -> Self {
        let (shutdown, shutdown_receiver) = watch::channel(false);
        let (alive, ended) = mpsc::channel(1);
        let shared = Shared {
            writer: deps.writer,
            clock: deps.clock,
            seed: deps.seed,
            user_agent: deps.user_agent,
            ingest: deps.ingest,
            failures: deps.failures,
            counters: Arc::default(),
            shutdown: shutdown_receiver,
            alive,
            buffers: Mutex::default(),
            cycles: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            dial: deps.dial,
            base_dir: deps.base_dir,
            pools: Mutex::default(),
            shutdown,
            ended: tokio::sync::Mutex::new(ended),
        }
    }

    /// Makes the pools what `configs` says; `discovery` must already follow the same ones.
    /// Targets that stay the same keep their state and their schedule. Must be called within a
    /// tokio runtime, on which the pools follow discovery.
    ///
    /// # Errors
    /// When a client cannot be made (a TLS file that cannot be read, say); the pools are then as
    /// they were.
    pub fn apply(
        &self,
        configs: &[ScrapeConfig],
        discovery: &narthex_discovery::Manager,
    ) -> Result<(), narthex_net::Error> {
        let clients = configs
            .iter()
            .map(|config| Client::new(&config.http_client, &self.base_dir, Arc::clone(&self.dial)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut pools = self.pools.lock();
        pools.retain(|name, following| {
            let stays = configs.iter().any(|config| &config.job_name == name);
            if !stays {
                following.follower.abort();
                following.pool.end();
            }
            stays
        });
        for (config, client) in configs.iter().zip(clients) {
            let name = config.job_name.clone();
            match pools.get(&name) {
                Some(following) if *following.pool.config() == *config => {}
                Some(following) => {
                    following.pool.reconfigure(Arc::new(config.clone()), client);
                    following.pool.sync(&following.groups.borrow().clone());
                }
                None => {
                    let Some(groups) = discovery.watch(&name) else { continue };
                    pools.insert(name, self.follow(config, client, groups));
                }
            }
        }
        Ok(())
    }

    fn follow(
        &self,
        config: &ScrapeConfig,
        client: Client,
        mut groups: watch::Receiver<Arc<Vec<Group>>>,
    ) -> Following {
        let pool = Arc::new(Pool::new(Arc::clone(&self.shared), Arc::new(config.clone()), client));
        let seen = groups.borrow_and_update().clone();
        pool.sync(&seen);
        let follower = tokio::spawn(follow(Arc::clone(&pool), groups.clone()));
        Following { pool, groups, follower }
    }

    /// The pools as the API shows them, by name.
    pub fn pools(&self) -> Vec<PoolView> {
        let pools = self.pools.lock();
        pools.values().map(|following| following.pool.view()).collect()
    }

    /// The settings of a pool.
    pub fn config(&self, name: &str) -> Option<Arc<ScrapeConfig>> {
        self.pools.lock().get(name).map(|following| following.pool.config())
    }

    /// Calls `f` with each target's labels and each metric's name and metadata.
    pub fn each_metadata(&self, mut f: impl FnMut(&Labels, &str, &Metadata)) {
        for following in self.pools.lock().values() {
            following.pool.each_metadata(&mut f);
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Ends all tasks without staleness markers, as a restart wants it, and waits for them.
    pub async fn stop(&self) {
        for following in self.pools.lock().values() {
            following.follower.abort();
        }
        self.shutdown.send_replace(true);
        // One sender stays in `shared`, so what is waited for is that no other is left.
        let ended = self.ended.lock().await;
        while ended.sender_strong_count() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Syncs a pool whenever discovery has news, at most every [`SYNC_INTERVAL_MIN`].
async fn follow(pool: Arc<Pool>, mut groups: watch::Receiver<Arc<Vec<Group>>>) {
    while groups.changed().await.is_ok() {
        let seen = groups.borrow_and_update().clone();
        pool.sync(&seen);
        tokio::time::sleep(SYNC_INTERVAL_MIN).await;
    }
}
