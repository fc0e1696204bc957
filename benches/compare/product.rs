//! The products and how each is started.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use narthex_model::time::format_duration;
use narthex_testkit::fleet::Fleet;
use narthex_testkit::process::{Process, free_port};

use crate::options::Options;

/// One product.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) name: &'static str,
    /// The program's file name in Debian.
    pub(crate) program: &'static str,
    pub(crate) path_on_disk: PathBuf,
    flags: Flags,
    /// Whether it is given a receiver.
    forwards: bool,
}

#[derive(Clone, Copy, Debug)]
enum Flags {
    Prometheus,
    VictoriaMetrics,
    VmAgent,
}

/// Everything that can be compared. VictoriaMetrics scrapes and stores but does not forward;
/// `-alone` is a product without remote write, so that the difference is what that costs.
pub(crate) const ALL: [Product; 6] = [
    Product::new("narthex", "narthex", Flags::Prometheus),
    Product::new("narthex-alone", "narthex", Flags::Prometheus).alone(),
    Product::new("prometheus", "prometheus", Flags::Prometheus),
    Product::new("prometheus-alone", "prometheus", Flags::Prometheus).alone(),
    Product::new("victoriametrics", "victoria-metrics", Flags::VictoriaMetrics),
    Product::new("vmagent", "vmagent", Flags::VmAgent),
];

impl Product {
    const fn new(name: &'static str, program: &'static str, flags: Flags) -> Self {
        let forwards = !matches!(flags, Flags::VictoriaMetrics);
        Self { name, program, path_on_disk: PathBuf::new(), flags, forwards }
    }

    const fn alone(mut self) -> Self {
        self.forwards = false;
        self
    }

    /// The receiver's path for what this product forwards.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Starts it on an empty folder.
    pub(crate) fn start(
        &self,
        options: &Options,
        fleet: &Fleet,
        receiver: SocketAddr,
        folder: &Path,
    ) -> Result<Process> {
        let folder = folder.join(self.name);
        crate::fresh_folder(&folder)?;
        let url = format!("http://{receiver}{}", self.path());
        let config = folder.join("prometheus.yml");
        let in_file = self.forwards && matches!(self.flags, Flags::Prometheus);
        let forward = in_file.then_some(url.as_str());
        std::fs::write(&config, config_text(options, fleet, forward))?;
        let (config, data) = (config.display(), folder.join("data"));
        let data = data.display();
        let listen = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new(&self.path_on_disk);
        match self.flags {
            Flags::Prometheus => command
                .arg(format!("--config.file={config}"))
                .arg(format!("--storage.tsdb.path={data}"))
                .arg(format!("--web.listen-address={listen}")),
            Flags::VictoriaMetrics => command
                .arg(format!("-promscrape.config={config}"))
                .arg(format!("-storageDataPath={data}"))
                .arg(format!("-httpListenAddr={listen}")),
            Flags::VmAgent => command
                .arg(format!("-promscrape.config={config}"))
                .arg(format!("-remoteWrite.url={url}"))
                .arg("-remoteWrite.forcePromProto=true")
                .arg(format!("-remoteWrite.tmpDataPath={data}"))
                .arg(format!("-httpListenAddr={listen}")),
        };
        Process::start(&mut command, &folder.join("log"))
            .with_context(|| format!("starting {}", self.path_on_disk.display()))
    }
}

fn config_text(options: &Options, fleet: &Fleet, forward: Option<&str>) -> String {
    let interval = format_duration(options.interval);
    let mut text = format!(
        "global:\n  scrape_interval: {interval}\n  scrape_timeout: {interval}\n\
         scrape_configs:\n- job_name: fleet\n  static_configs:\n  - targets:\n"
    );
    for address in fleet.addresses() {
        let _ = writeln!(text, "    - '{address}'");
    }
    if let Some(url) = forward {
        let _ = write!(text, "remote_write:\n- url: {url}\n");
    }
    text
}
