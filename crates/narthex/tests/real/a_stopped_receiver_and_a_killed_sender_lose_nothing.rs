//! A real receiver is stopped for half of the time, and narthex is killed twice: the receiver ends
//! up with exactly the samples that narthex keeps.
//!
//! `NARTHEX_OUTAGE_SECONDS` says how long it takes; 600 is what the figures in README come from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use narthex_testkit::background::Background;
use narthex_testkit::fleet::{Fleet, Options};
use narthex_testkit::process::{Process, free_port, wait_until};
use narthex_testkit::{http, peers};

use crate::node::{Node, Samples, bodies, config, now_ms};

const SELECTOR: &str = "{job=\"node\"}";
const SECONDS: u64 = 70;
const TARGETS: usize = 5;

/// A receiver with real software.
struct Peer {
    program: PathBuf,
    flags: Vec<String>,
    port: u16,
    folder: tempfile::TempDir,
    process: Option<Process>,
}

impl Peer {
    fn start(name: &str) -> Option<Self> {
        let program = peers::find(name)?;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port().unwrap();
        let data = folder.path().join("data").display().to_string();
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, "global: {}\n").unwrap();
        let flags = if name == "prometheus" {
            vec![
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={data}"),
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--web.enable-remote-write-receiver".to_owned(),
            ]
        } else {
            vec![
                format!("-storageDataPath={data}"),
                format!("-httpListenAddr=127.0.0.1:{port}"),
                "-search.latencyOffset=0s".to_owned(),
            ]
        };
        let mut peer = Self { program, flags, port, folder, process: None };
        peer.run();
        Some(peer)
    }

    fn run(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(&self.flags);
        let log = self.folder.path().join("log");
        self.process = Some(Process::start(&mut command, &log).unwrap());
        let up = || {
            ["/-/ready", "/health"]
                .iter()
                .any(|path| http::get(self.port, path).is_ok_and(|answer| answer.status == 200))
        };
        assert!(wait_until(Duration::from_secs(30), up), "the receiver does not start");
    }

    fn stop(&mut self) {
        self.process.take().unwrap().terminate(Duration::from_secs(30));
    }

    /// All samples, in the order in which the receiver gives them.
    fn samples(&self, from_ms: i64, to_ms: i64) -> Samples {
        if self.flags[0].starts_with("--config") {
            let seconds = u64::try_from(to_ms - from_ms).unwrap().div_ceil(1000);
            let result = http::query(self.port, &format!("{SELECTOR}[{seconds}s]"), Some(to_ms));
            return result.iter().map(crate::node::series_of).collect();
        }
        let path = format!(
            "/api/v1/export?match%5B%5D={}&start={from_ms}&end={to_ms}",
            http::encode(SELECTOR)
        );
        // What came last is in memory until it is flushed.
        http::get(self.port, "/internal/force_flush").unwrap();
        let answer = http::get(self.port, &path).unwrap().text();
        let mut samples = Samples::new();
        for line in answer.lines() {
            let series: serde_json::Value = serde_json::from_str(line).unwrap();
            let pairs = series["timestamps"].as_array().unwrap().iter();
            let pairs = pairs.zip(series["values"].as_array().unwrap());
            let pairs = pairs.filter(|(_, value)| !value.is_null());
            let of = samples.entry(series["metric"].to_string()).or_default();
            of.extend(pairs.map(|(at, value)| (at.as_i64().unwrap(), value.to_string())));
        }
        samples
    }
}

#[test]
fn prometheus_ends_up_with_what_narthex_keeps() {
    ends_up_with_what_narthex_keeps("prometheus");
}

#[test]
fn victoria_metrics_ends_up_with_what_narthex_keeps() {
    ends_up_with_what_narthex_keeps("victoria-metrics");
}

fn ends_up_with_what_narthex_keeps(name: &str) {
    let Some(mut receiver) = Peer::start(name) else { return };
    let seconds = std::env::var("NARTHEX_OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok());
    let part = Duration::from_secs(seconds.unwrap_or(SECONDS)) / 20;
    let background = Background::start().unwrap();
    let options =
        Options { targets: TARGETS, frame_time: Duration::from_millis(900), chunk_bytes: 0 };
    let fleet = background.run(Fleet::start(bodies(300, 50), &options)).unwrap();
    let targets: Vec<String> = fleet.addresses().iter().map(ToString::to_string).collect();
    let url = format!("http://127.0.0.1:{}/api/v1/write", receiver.port);
    let from = now_ms();
    let mut narthex = Node::narthex(&config(&targets, Some(&url)));
    let kill = |narthex: &mut Node| {
        narthex.kill();
        narthex.run();
    };
    std::thread::sleep(part * 4);
    kill(&mut narthex);
    std::thread::sleep(part);
    receiver.stop();
    std::thread::sleep(part * 5);
    kill(&mut narthex);
    std::thread::sleep(part * 5);
    receiver.run();
    std::thread::sleep(part * 5);
    let to = now_ms();
    let seconds = u64::try_from(to - from).unwrap().div_ceil(1000);
    // What was scraped last may take until its batch's deadline to be sent.
    std::thread::sleep(Duration::from_secs(20));
    let (kept, got) = (narthex.raw(SELECTOR, seconds, to), receiver.samples(from, to));
    compare(&kept, &got, &narthex);
}

fn compare(kept: &Samples, got: &Samples, narthex: &Node) {
    assert!(kept.len() > TARGETS * 300, "{} series were kept: {}", kept.len(), narthex.log());
    let (mut missing, mut strange, mut disorder, mut twice) = (0, 0, 0, 0);
    let mut total = 0;
    for (series, ours) in kept {
        let none = Vec::new();
        let theirs = got.get(series).unwrap_or(&none);
        disorder += theirs.windows(2).filter(|pair| pair[0].0 > pair[1].0).count();
        let mut distinct: BTreeMap<i64, BTreeSet<u64>> = BTreeMap::new();
        for (at, value) in theirs {
            distinct.entry(*at).or_default().insert(bits(value));
        }
        twice += distinct.values().filter(|values| values.len() > 1).count();
        for (at, value) in ours {
            let same = distinct.get(at).is_some_and(|all| all.contains(&bits(value)));
            missing += usize::from(!same);
        }
        let times: BTreeSet<i64> = ours.iter().map(|&(at, _)| at).collect();
        strange += distinct.keys().filter(|at| !times.contains(at)).count();
        total += ours.len();
    }
    let found = format!(
        "{total} samples: {missing} missing, {twice} with two values, {disorder} out of order, \
         {strange} that narthex does not have"
    );
    assert_eq!((missing, twice, disorder, strange), (0, 0, 0, 0), "{found}; {}", narthex.log());
}

/// The bits of a number that was written in any way.
fn bits(text: &str) -> u64 {
    text.parse::<f64>().unwrap_or(f64::NAN).to_bits()
}
