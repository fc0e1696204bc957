//! Start-up, reload, shutdown: the life of the process.
//!
//! The order matters in both directions. Starting: check the configuration, open the listening
//! sockets, open the store while the HTTP side already answers that it is not ready, start the
//! threads, apply the configuration. Stopping: the same in reverse, so that nothing is appended
//! to a closed store.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use narthex_config::Config;
use narthex_model::Clock;
use narthex_net::{Dial, dial::Tcp};
use narthex_store::fs::DiskFs;
use narthex_store::{Options, Store, Writer};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::app::{App, Command, Parts, Phase};
use crate::clock::SystemClock;
use crate::flags::Flags;
use crate::inlet::Inlet;
use crate::notifications::RELOAD_FAILED;
use crate::settings::{Settings, Source};
use crate::threads::{Ingest, Upkeep, watch_panics};
use crate::web::server::{self, Limits};
use crate::{builtin, logging, web};

/// Threads for what waits for files, beside as many as queries may run.
const EXTRA_BLOCKING_THREADS: usize = 16;

/// How long an idle one of them is kept.
const IDLE_THREAD: Duration = Duration::from_secs(10);

/// How long running scrapes may take to end.
const SCRAPE_STOP_MAX: Duration = Duration::from_secs(10);

/// How often the built-in configuration looks for a `node_exporter`.
const NODE_PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// Runs the server until it is told to stop.
pub fn run(flags: Flags) -> ExitCode {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    logging::init(&flags.log_level, &flags.log_format, Arc::clone(&clock));
    watch_panics();
    match start(flags, clock) {
        Ok(()) => {
            tracing::info!("See you next time!");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(err = chain(&error), "Narthex cannot go on");
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes; a cause that an error's own text already tells is not told again.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.ends_with(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

/// Settings as the enabled features change them.
fn with_features(mut settings: Settings, flags: &Flags) -> Settings {
    if flags.has_feature("native-histograms") {
        settings.config.scrape_native_histograms();
    }
    if flags.has_feature("exemplar-storage") {
        settings.config.storage.exemplars.get_or_insert_default();
    }
    settings
}

fn start(flags: Flags, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
    tracing::info!(
        version = crate::build::VERSION,
        revision = crate::build::REVISION,
        "Starting Narthex Server"
    );
    for flag in &flags.ignored {
        tracing::info!(flag, "This flag is accepted and has no effect");
    }
    let source = Source::choose(&flags);
    // Nothing is opened before the configuration is known to be good.
    let settings = match &source {
        Source::File(path) => {
            let file = path.display().to_string();
            let loaded = Settings::load(path).map_err(|e| anyhow!(e));
            let loaded =
                loaded.with_context(|| format!("Error loading config (--config.file={file})"))?;
            Some(with_features(loaded, &flags))
        }
        Source::Builtin => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(flags.query_concurrency.saturating_add(EXTRA_BLOCKING_THREADS))
        .thread_keep_alive(IDLE_THREAD)
        .thread_name("blocking")
        .build()
        .context("start the runtime")?;
    let outcome = runtime.block_on(life(flags, clock, source, settings));
    // A query that still runs must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// The signals that the process answers to.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
        })
    }

    async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupt",
            _ = self.terminate.recv() => "terminated",
        }
    }
}

async fn life(
    flags: Flags,
    clock: Arc<dyn Clock>,
    source: Source,
    settings: Option<Settings>,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let (app, mut commands) = App::new(flags, clock).map_err(|e| anyhow!(e))?;
    let listeners = server::bind(&app.flags.listen).await.map_err(|e| anyhow!(e))?;
    let addresses = server::addresses(&listeners);
    for address in &addresses {
        tracing::info!(address = %address, "Listening on");
    }
    let own = addresses.first().copied().context("no address to listen on")?;
    let limits =
        Limits { connections_max: app.flags.connections_max, read_timeout: app.flags.read_timeout };
    let (stop_web, web_stopped) = watch::channel(false);
    let web = tokio::spawn(server::serve(
        listeners,
        web::router(&app),
        limits,
        app.security.clone(),
        web_stopped,
    ));
    let opened = tokio::select! {
        opened = open_store(&app) => Some(opened?),
        reason = signals.end() => {
            tracing::warn!(signal = reason, "Received signal while starting, exiting");
            None
        }
    };
    if let Some((store, writer)) = opened {
        let mut server = Server::start(Arc::clone(&app), store, writer, source, own)?;
        server.apply_first(settings).await?;
        app.enter(Phase::Ready);
        tracing::info!("Server is ready to receive web requests.");
        server.steer(&mut signals, &mut commands).await;
        app.enter(Phase::Stopping);
        // Another signal means that the user does not want to wait.
        tokio::select! {
            () = server.stop() => {}
            reason = signals.end() => tracing::warn!(signal = reason, "Exiting at once"),
        }
    }
    stop_web.send_replace(true);
    web.await.context("HTTP server")
}

async fn open_store(app: &Arc<App>) -> anyhow::Result<(Arc<Store>, Writer)> {
    let flags = &app.flags;
    let retention = flags.retention(&Config::default());
    let sync_each_row = flags.sync_window.is_zero();
    let options = Options { retention, sync_each_row, ..Options::default() };
    let (path, clock) = (flags.data_dir.clone(), Arc::clone(&app.clock));
    let opening = tokio::task::spawn_blocking(move || {
        let fs = DiskFs::new(&path).with_context(|| format!("data folder {}", path.display()))?;
        narthex_store::open(Arc::new(fs), clock, options)
            .with_context(|| format!("opening storage failed: {}", path.display()))
    });
    let (store, writer) = opening.await.context("open the store")??;
    let stats = store.stats();
    tracing::info!(
        duration_ms = u64::try_from(stats.replay_time.as_millis()).unwrap_or(u64::MAX),
        series = stats.head_series,
        blocks = stats.blocks,
        wal_bytes = stats.wal.bytes,
        corruptions = stats.wal.corruptions,
        "Store opened"
    );
    Ok((store, writer))
}

/// What the targets say about their metrics, for those who send it on.
#[derive(Debug)]
struct TargetMetadata(Arc<narthex_scrape::Manager>);

impl narthex_remote::MetadataSource for TargetMetadata {
    fn visit(&self, each: &mut dyn FnMut(&str, &narthex_model::Metadata)) {
        self.0.each_metadata(|_, name, metadata| each(name, metadata));
    }
}

/// The running parts, and how the configuration reaches them.
struct Server {
    app: Arc<App>,
    store: Arc<Store>,
    scrape: Arc<narthex_scrape::Manager>,
    remote: Arc<narthex_remote::Manager>,
    discovery: narthex_discovery::Manager,
    polling: tokio::task::JoinHandle<()>,
    source: Source,
    own: std::net::SocketAddr,
    dial: Arc<dyn Dial>,
    ingest: Ingest,
    upkeep: Upkeep,
    inlet: Option<Arc<Inlet>>,
    /// Whether the built-in configuration has found a `node_exporter`.
    node: bool,
}

impl Server {
    fn start(
        app: Arc<App>,
        store: Arc<Store>,
        writer: Writer,
        source: Source,
        own: std::net::SocketAddr,
    ) -> anyhow::Result<Self> {
        let ingest = Ingest::start().context("start the ingest thread")?;
        let upkeep = Upkeep::start(Arc::clone(&store), app.flags.sync_window)
            .context("start the upkeep threads")?;
        let dial: Arc<dyn Dial> = Arc::new(Tcp);
        let writer = Arc::new(parking_lot::Mutex::new(writer));
        let inlet = match app.flags.enable_receiver || app.flags.takes_otlp() {
            true => Some(Inlet::start(Arc::clone(&writer)).context("start the receive thread")?),
            false => None,
        };
        let scrape = Arc::new(narthex_scrape::Manager::new(narthex_scrape::Deps {
            writer,
            clock: Arc::clone(&app.clock),
            dial: Arc::clone(&dial),
            base_dir: source.base_dir(),
            seed: seed(&crate::app::host_name()),
            user_agent: narthex_net::USER_AGENT.to_owned(),
            ingest: ingest.handle(),
            failures: Some(Arc::clone(&app.file_logs) as Arc<dyn narthex_scrape::FailureLog>),
        }));
        let remote = Arc::new(narthex_remote::Manager::new(
            Arc::clone(&store),
            Arc::clone(&app.clock),
            Arc::clone(&dial),
            source.base_dir(),
            Some(Arc::new(TargetMetadata(Arc::clone(&scrape)))),
        ));
        let clock = Arc::clone(&app.clock);
        let discovery = narthex_discovery::Manager::new(clock, source.base_dir());
        let polling = tokio::spawn({
            let discovery = discovery.clone();
            async move { discovery.run().await }
        });
        app.set_parts(Parts {
            store: Arc::clone(&store),
            scrape: Arc::clone(&scrape),
            remote: Arc::clone(&remote),
            discovery: discovery.clone(),
            inlet: inlet.clone(),
        });
        let node = false;
        Ok(Self {
            app,
            store,
            scrape,
            remote,
            discovery,
            polling,
            source,
            own,
            dial,
            ingest,
            upkeep,
            inlet,
            node,
        })
    }

    /// Takes over the configuration that was read at start-up, or the built-in one.
    async fn apply_first(&mut self, settings: Option<Settings>) -> anyhow::Result<()> {
        let settings = if let Some(settings) = settings {
            settings
        } else {
            tracing::info!("No configuration file: watching this server itself");
            self.load().await.map_err(|e| anyhow!(e))?
        };
        self.apply(settings).map_err(|e| anyhow!(e)).context("apply the configuration")
    }

    async fn load(&mut self) -> Result<Settings, String> {
        match &self.source {
            Source::File(path) => {
                Settings::load(path).map(|settings| with_features(settings, &self.app.flags))
            }
            Source::Builtin => {
                self.node = self.node || builtin::node_answers(Arc::clone(&self.dial)).await;
                let settings =
                    Settings::builtin(self.own, &self.app.flags.route_prefix, self.node)?;
                Ok(with_features(settings, &self.app.flags))
            }
        }
    }

    /// Takes a configuration over; on an error the one before is in force.
    fn apply(&self, settings: Settings) -> Result<(), String> {
        if let Err(reason) = self.spread(&settings.config) {
            let before = self.app.config.load();
            if let Err(error) = self.spread(&before.config) {
                tracing::error!(err = error, "The configuration before cannot be restored");
            }
            return Err(reason);
        }
        for notice in settings.config.notices() {
            tracing::warn!(notice, "Not in effect");
        }
        if settings.rules > 0 {
            tracing::warn!(
                rules = settings.rules,
                "Rules were read and checked; narthex does not evaluate rules yet"
            );
        }
        self.app.config.store(Arc::new(settings));
        self.app.telemetry.reload.succeeded(self.app.clock.now());
        Ok(())
    }

    /// Hands a configuration to everyone who works by it.
    fn spread(&self, config: &Config) -> Result<(), String> {
        self.app.file_logs.apply(config, &self.source.base_dir())?;
        // ORDER: scraping follows what discovery already knows.
        self.discovery.apply(&config.scrape_configs);
        self.scrape
            .apply(&config.scrape_configs, &self.discovery)
            .map_err(|e| format!("scrape_configs: {e}"))?;
        self.remote
            .apply(&config.remote_write, &config.global.external_labels)
            .map_err(|e| format!("remote_write: {e}"))?;
        self.store.set_retention(self.app.flags.retention(config));
        let tsdb = config.storage.tsdb.as_ref();
        let window = tsdb.map_or(Duration::ZERO, |tsdb| tsdb.out_of_order_time_window);
        self.store.set_out_of_order_window(window);
        self.resize_exemplars(config);
        Ok(())
    }

    /// Has as many exemplars kept as the configuration says, if that feature is on.
    fn resize_exemplars(&self, config: &Config) {
        let is_on = self.app.flags.has_feature("exemplar-storage");
        let exemplars = config.storage.exemplars.as_ref().filter(|_| is_on);
        let max = exemplars.map_or(0, |exemplars| exemplars.max_exemplars);
        let max = usize::try_from(max).unwrap_or(0);
        let (from, kept) = self.store.exemplars().set_max(max);
        if from != max {
            tracing::info!(from, to = max, kept, "Exemplar storage resized");
        }
    }

    /// Reads the configuration again; when it is bad, the old one stays.
    async fn reload(&mut self) -> Result<(), String> {
        let outcome = match self.load().await {
            Ok(settings) => self.apply(settings),
            Err(reason) => Err(reason),
        };
        match &outcome {
            Ok(()) => {
                self.app.notifications.clear(RELOAD_FAILED);
                tracing::info!("Completed loading of configuration file");
            }
            Err(reason) => {
                self.app.notifications.raise(RELOAD_FAILED, self.app.clock.now());
                self.app.telemetry.reload.failed();
                tracing::error!(err = reason, "Error reloading config");
            }
        }
        outcome
    }

    /// Answers signals and commands until one of them asks for the end.
    async fn steer(&mut self, signals: &mut Signals, commands: &mut mpsc::Receiver<Command>) {
        let mut probe = tokio::time::interval(NODE_PROBE_INTERVAL);
        loop {
            tokio::select! {
                _ = signals.hangup.recv() => {
                    // The outcome is in the log and in the metrics.
                    let _ = self.reload().await;
                }
                reason = signals.interrupt.recv() => return ended("interrupt", reason),
                reason = signals.terminate.recv() => return ended("terminated", reason),
                command = commands.recv() => match command {
                    Some(Command::Reload(answer)) => {
                        // Nobody may be waiting for the answer any more.
                        let _ = answer.send(self.reload().await);
                    }
                    Some(Command::Quit) | None => {
                        tracing::warn!("Received termination request via web service, exiting");
                        return;
                    }
                },
                _ = probe.tick(), if self.source == Source::Builtin && !self.node => {
                    if builtin::node_answers(Arc::clone(&self.dial)).await {
                        tracing::info!("Found a node_exporter on localhost:9100");
                        let _ = self.reload().await;
                    }
                }
            }
        }
    }

    async fn stop(self) {
        tracing::info!("Stopping");
        let Self { app, store, scrape, remote, polling, ingest, upkeep, inlet, .. } = self;
        polling.abort();
        if let Some(inlet) = inlet {
            // A panic on the way was logged.
            let _ = tokio::task::spawn_blocking(move || inlet.stop()).await;
        }
        // ORDER: what sends goes last, so that it has seen the last rows.
        if tokio::time::timeout(SCRAPE_STOP_MAX, scrape.stop()).await.is_err() {
            tracing::warn!("Some scrapes did not end in time");
        }
        remote.stop(app.flags.remote_flush_deadline).await;
        let closing = tokio::task::spawn_blocking(move || {
            app.file_logs.close();
            ingest.stop();
            upkeep.stop();
            if let Err(error) = store.close() {
                tracing::error!(err = %error, "Closing the store failed");
            }
        });
        // A panic on the way was logged.
        let _ = closing.await;
    }
}

/// A number that stays the same on this machine: FNV-1a of its name. It moves the phase of all
/// scrapes, so that several machines do not ask a target at the same moment.
fn seed(host: &str) -> u64 {
    host.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn ended(name: &'static str, _received: Option<()>) {
    tracing::warn!(signal = name, "Received an OS signal, exiting gracefully...");
}
