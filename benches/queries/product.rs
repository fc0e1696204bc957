//! The products, how each is started, and how each gets the data.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use narthex_testkit::http;
use narthex_testkit::peers;
use narthex_testkit::process::{Process, free_port, wait_until};

use crate::data::Data;
use crate::load;
use crate::options::Options;

/// One product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Narthex,
    Prometheus,
    VictoriaMetrics,
}

/// A product that runs on its data.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

const START_MAX: Duration = Duration::from_secs(300);

impl Product {
    /// The product with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Narthex, Self::Prometheus, Self::VictoriaMetrics]
            .into_iter()
            .find(|product| product.name() == name)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Narthex => "narthex",
            Self::Prometheus => "prometheus",
            Self::VictoriaMetrics => "victoriametrics",
        }
    }

    /// Whether the program is on the machine.
    pub(crate) fn is_there(self, options: &Options) -> bool {
        match self {
            Self::Narthex => options.narthex.is_file(),
            Self::Prometheus => peers::find("prometheus").is_some(),
            Self::VictoriaMetrics => peers::find("victoria-metrics").is_some(),
        }
    }

    /// Gives it the data, unless it has them from an earlier run.
    pub(crate) fn load(self, options: &Options, data: &Data) -> Result<()> {
        let folder = options.folder.join(self.name());
        let mark = folder.join(format!("loaded-{}h", options.hours));
        if mark.is_file() {
            return Ok(());
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        match self {
            Self::Narthex => load::into_store(data, &folder.join("data"))?,
            Self::Prometheus => {
                let running = self.start(options)?;
                load::by_remote_write(data, running.port)?;
                running.process.terminate(Duration::from_secs(120));
            }
            Self::VictoriaMetrics => {
                let running = self.start(options)?;
                load::by_remote_write(data, running.port)?;
                // Leaves a moment for its merges.
                std::thread::sleep(Duration::from_secs(10));
                running.process.terminate(Duration::from_secs(120));
            }
        }
        std::fs::write(mark, "")?;
        Ok(())
    }

    /// Starts it on its data and waits until it answers.
    pub(crate) fn start(self, options: &Options) -> Result<Running> {
        let folder = options.folder.join(self.name());
        let config = folder.join("prometheus.yml");
        std::fs::write(&config, "global: {scrape_interval: 15s}\n")?;
        let port = free_port()?;
        let mut command = self.command(options, &folder, &config, port)?;
        let mut process = Process::start(&mut command, &folder.join("log"))?;
        let path = if self == Self::VictoriaMetrics { "/health" } else { "/-/ready" };
        let ready = wait_until(START_MAX, || {
            process.ended().is_some() || http::get(port, path).is_ok_and(|a| a.status == 200)
        });
        if !ready || process.ended().is_some() {
            bail!("{} does not start; see {}", self.name(), folder.join("log").display());
        }
        Ok(Running { process, port })
    }

    fn command(
        self,
        options: &Options,
        folder: &Path,
        config: &Path,
        port: u16,
    ) -> Result<Command> {
        let data = folder.join("data");
        let (data, config) = (data.display(), config.display());
        let peer = |name: &str| peers::find(name).with_context(|| format!("{name} is not there"));
        let mut command = match self {
            Self::Narthex => Command::new(&options.narthex),
            Self::Prometheus => Command::new(peer("prometheus")?),
            Self::VictoriaMetrics => Command::new(peer("victoria-metrics")?),
        };
        match self {
            Self::VictoriaMetrics => command
                .arg(format!("-storageDataPath={data}"))
                .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                .arg("-retentionPeriod=100y")
                .arg("-search.disableCache"),
            _ => command
                .arg(format!("--config.file={config}"))
                .arg(format!("--storage.tsdb.path={data}"))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .arg("--storage.tsdb.retention.time=100y")
                .arg("--web.enable-remote-write-receiver"),
        };
        Ok(command)
    }
}
