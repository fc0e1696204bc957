//! The programs under test, on ports and folders of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use narthex_testkit::http;
use narthex_testkit::process::{Process, free_port, wait_until};
use narthex_testkit::receiver::Received;
use serde_json::Value;
use tempfile::TempDir;

/// A program with Prometheus' flags and API: narthex, or Prometheus itself.
pub(crate) struct Node {
    pub(crate) port: u16,
    process: Option<Process>,
    program: PathBuf,
    folder: TempDir,
    data: PathBuf,
    more_flags: Vec<String>,
}

/// Raw samples by series: time in ms and the value's text.
pub(crate) type Samples = BTreeMap<String, Vec<(i64, String)>>;

impl Node {
    /// Starts the narthex that cargo built, on an empty folder, and waits until it is ready.
    pub(crate) fn narthex(config: &str) -> Self {
        Self::start(Path::new(env!("CARGO_BIN_EXE_narthex")), config, &[])
    }

    /// As [`Node::narthex`], with its data in the folder `data`.
    pub(crate) fn narthex_in(data: &Path, config: &str) -> Self {
        Self::start_in(Some(data), Path::new(env!("CARGO_BIN_EXE_narthex")), config, &[])
    }

    /// Starts a program on an empty folder and waits until it is ready.
    pub(crate) fn start(program: &Path, config: &str, more_flags: &[&str]) -> Self {
        Self::start_in(None, program, config, more_flags)
    }

    /// As [`Node::start`], with its data in the folder `data` if one is named.
    pub(crate) fn start_in(
        data: Option<&Path>,
        program: &Path,
        config: &str,
        more_flags: &[&str],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let mut node = Self {
            port: free_port().unwrap(),
            process: None,
            program: program.to_owned(),
            data: data.map_or_else(|| folder.path().join("data"), Path::to_owned),
            folder,
            more_flags: more_flags.iter().map(|&flag| flag.to_owned()).collect(),
        };
        node.run();
        node
    }

    /// Starts the program again on what it left. Tells how long it took until it was ready.
    pub(crate) fn run(&mut self) -> Duration {
        let folder = self.folder.path();
        let mut command = Command::new(&self.program);
        command
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", self.data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .args(&self.more_flags);
        let start = Instant::now();
        self.process = Some(Process::start(&mut command, &folder.join("log")).unwrap());
        let port = self.port;
        let ready = wait_until(Duration::from_secs(20), || {
            http::get(port, "/-/ready").is_ok_and(|answer| answer.status == 200)
        });
        assert!(ready, "{} is not ready: {}", self.program.display(), self.log());
        start.elapsed()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// Gives it another configuration, which it reads at once.
    pub(crate) fn configure(&mut self, config: &str) {
        std::fs::write(self.folder.path().join("prometheus.yml"), config).unwrap();
        self.process.as_ref().unwrap().signal("HUP");
    }

    /// Ends the program in good order.
    pub(crate) fn stop(&mut self) {
        let code = self.process.take().unwrap().terminate(Duration::from_secs(30));
        assert_eq!(code, Some(0), "{}", self.log());
    }

    /// Whether it has made a file beside its configuration.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.folder.path().join(file).exists()
    }

    /// A file that it wrote beside its configuration; empty where there is none.
    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The raw samples of `selector` over the `seconds` before `at_ms`.
    pub(crate) fn raw(&self, selector: &str, seconds: u64, at_ms: i64) -> Samples {
        let result = http::query(self.port, &format!("{selector}[{seconds}s]"), Some(at_ms));
        result.iter().map(series_of).collect()
    }

    /// The series that an instant query shows.
    pub(crate) fn shown(&self, selector: &str, at_ms: i64) -> Vec<String> {
        let result = http::query(self.port, selector, Some(at_ms));
        let mut names: Vec<String> = result.iter().map(name_of).collect();
        names.sort();
        names
    }

    /// The label sets that the series endpoint knows.
    pub(crate) fn series(&self, selector: &str) -> Vec<String> {
        let path = format!("/api/v1/series?match%5B%5D={}", http::encode(selector));
        let answer = http::get(self.port, &path).unwrap().json();
        let data = answer["data"].as_array().cloned().unwrap_or_default();
        let mut series: Vec<String> = data.iter().map(Value::to_string).collect();
        series.sort();
        series
    }
}

/// The name and the samples of a series in an answer.
pub(crate) fn series_of(series: &Value) -> (String, Vec<(i64, String)>) {
    (name_of(series), samples_of(series))
}

fn name_of(series: &Value) -> String {
    series["metric"].to_string()
}

fn samples_of(series: &Value) -> Vec<(i64, String)> {
    let values = series["values"].as_array().cloned().unwrap_or_default();
    values.iter().map(|pair| (millis(&pair[0]), pair[1].as_str().unwrap().to_owned())).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of this century")]
fn millis(seconds: &Value) -> i64 {
    (seconds.as_f64().unwrap() * 1000.0).round() as i64
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Starts a real node_exporter on a free port, if it is installed.
pub(crate) fn node_exporter(folder: &Path) -> Option<(Process, u16)> {
    let program = narthex_testkit::peers::find("prometheus-node-exporter")?;
    let port = free_port().unwrap();
    let mut command = Command::new(program);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let process = Process::start(&mut command, &folder.join("node_exporter.log")).unwrap();
    let up = || http::get(port, "/metrics").is_ok_and(|answer| answer.status == 200);
    assert!(wait_until(Duration::from_secs(20), up), "node_exporter does not answer");
    Some((process, port))
}

/// A configuration with one job at a 1 s interval.
pub(crate) fn config(targets: &[String], remote_write: Option<&str>) -> String {
    let targets = targets.join("', '");
    let mut text = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n\
         scrape_configs:\n- job_name: node\n  static_configs:\n  - targets: ['{targets}']\n"
    );
    if let Some(url) = remote_write {
        let _ = write!(text, "remote_write:\n- url: {url}\n");
    }
    text
}

/// Bodies of a small exporter: counters, gauges and a series that comes and goes.
pub(crate) fn bodies(series: usize, count: usize) -> Vec<bytes::Bytes> {
    let body = |frame: usize| {
        let mut text = String::from("# TYPE fake_total counter\n");
        for at in 0..series {
            let value = if at % 3 == 0 { frame * (at + 1) } else { at };
            let _ = writeln!(text, "fake_total{{at=\"{at}\"}} {value}");
        }
        let _ = writeln!(text, "fake_ratio {}.{frame}", frame / 7);
        if !frame.is_multiple_of(5) {
            text.push_str("fake_guest 1\n");
        }
        bytes::Bytes::from(text)
    };
    (0..count).map(body).collect()
}

/// What came at a receiver that keeps samples, written as the API writes it.
pub(crate) fn arrived<'a>(parts: impl IntoIterator<Item = &'a Received>) -> Samples {
    let mut arrived = Samples::new();
    for (labels, series) in parts.into_iter().flat_map(|part| &part.series) {
        let samples = arrived.entry(as_json(labels)).or_default();
        let text = |bits| narthex_model::number::ApiFloat(f64::from_bits(bits)).to_string();
        samples.extend(series.samples.iter().map(|&(at, bits)| (at, text(bits))));
    }
    arrived
}

/// `name="value",` pairs as a JSON object with sorted keys.
fn as_json(labels: &str) -> String {
    let pairs = labels.split("\",").filter_map(|pair| pair.split_once("=\""));
    let map: BTreeMap<&str, &str> = pairs.collect();
    serde_json::to_string(&map).unwrap()
}

/// Adds samples that were shown later.
pub(crate) fn merge(shown: &mut Samples, more: Samples) {
    for (series, samples) in more {
        let known = shown.entry(series).or_default();
        let last = known.last().map(|(at, _)| *at);
        known.extend(samples.into_iter().filter(|(at, _)| last.is_none_or(|last| *at > last)));
    }
}

/// Samples that were shown and are not kept.
pub(crate) fn lost(shown: &Samples, kept: &Samples) -> Vec<(String, i64)> {
    let mut lost = Vec::new();
    for (series, samples) in shown {
        let kept: BTreeSet<&(i64, String)> = kept.get(series).into_iter().flatten().collect();
        let gone = samples.iter().filter(|sample| !kept.contains(sample));
        lost.extend(gone.map(|(at, _)| (series.clone(), *at)));
    }
    lost
}
