//! What catching up costs: `catchup RECORDINGS NARTHEX [HOURS SERIES]` lets the receiver be away
//! while HOURS (1) of SERIES (5,000) come at 15 s, and tells how long narthex takes from the
//! return of the receiver until nothing is behind, and of how much of a core. Targets are scraped
//! all the while, so that live samples flow too.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a report for a person")]
#![expect(clippy::cast_precision_loss, reason = "figures for a person")]
#![expect(clippy::disallowed_methods, reason = "starts programs, touches files and the clock")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use narthex_benches::StandingClock;
use narthex_benches::fleet::Fleet;
use narthex_model::Timestamp;
use narthex_store::Options;
use narthex_store::fs::DiskFs;
use narthex_testkit::background::Background;
use narthex_testkit::process::{Process, free_port, wait_until};
use narthex_testkit::receiver::Receiver;
use narthex_testkit::{fleet, http, recording};

/// From one scrape to the next, of the backlog and of the live targets.
const INTERVAL_MS: i64 = 15_000;

/// Series of a target, but for the last.
const TARGET_SERIES: usize = 500;

/// Live targets beside the backlog.
const LIVE_TARGETS: usize = 10;

/// How long the receiver stays away while the program runs, so that starting is not counted.
const AWAY: Duration = Duration::from_secs(20);

/// What catching up may take.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

const PATH: &str = "/api/v1/write";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: catchup RECORDINGS NARTHEX [HOURS SERIES]";
    let (recordings, program) = (args.first().context(usage)?, args.get(1).context(usage)?);
    let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
    let (hours, series): (usize, usize) = (number(2, 1)?, number(3, 5000)?);
    let rows = hours * 3600 * 1000 / usize::try_from(INTERVAL_MS)?;
    let (recordings, program) = (Path::new(recordings), Path::new(program));
    let folder = tempfile::tempdir()?;
    let background = Background::start()?;
    let exporters = background.run(fleet::Fleet::start(
        bodies(recordings)?,
        &fleet::Options {
            targets: LIVE_TARGETS,
            frame_time: Duration::from_secs(14),
            chunk_bytes: 0,
        },
    ))?;
    let port = free_port()?;
    let targets: Vec<String> = exporters.addresses().iter().map(ToString::to_string).collect();
    let node = Node { program, folder: folder.path(), config: config(port, &targets) };

    // ORDER: the queue has its place before there are rows, so that all of them are due.
    node.start()?.terminate(Duration::from_secs(20));
    fill(recordings, folder.path(), rows, series)?;
    let process = node.start()?;
    std::thread::sleep(AWAY);

    let before = process.usage()?;
    let receiver = background.run(Receiver::start(port, false))?;
    let (back, began) = (now_ms()?, Instant::now());
    let is_live =
        || receiver.look(PATH, |came| came.series.values().any(|series| series.last_ms > back));
    ensure!(wait_until(PATIENCE, is_live), "not caught up after {PATIENCE:?}");
    let (took, after) = (began.elapsed().as_secs_f64(), process.usage()?);

    let came = receiver.received(PATH);
    let of_backlog = || came.series.iter().filter(|(key, _)| key.contains("job=\"bench\""));
    let arrived: u64 = of_backlog().map(|(_, series)| series.count).sum();
    let (cpu, samples) = (after.cpu_seconds - before.cpu_seconds, came.samples as f64);
    println!(
        "{rows} rows of {} series: caught up after {took:.1} s, {:.0} times real time; {cpu:.2} \
         CPU s are {:.3} of a core, {:.2} CPU s per million samples",
        of_backlog().count(),
        (rows as u64 * INTERVAL_MS.unsigned_abs()) as f64 / 1e3 / took,
        cpu / took,
        cpu / samples * 1e6,
    );
    println!(
        "{arrived} samples of the backlog, {} in all, {} out of order, {} requests, {:.1} bytes \
         each sample; {:.1} MB anonymous",
        came.samples,
        came.out_of_order,
        came.requests,
        came.wire_bytes as f64 / samples,
        after.anonymous_bytes as f64 / 1e6,
    );
    ensure!(came.out_of_order == 0, "order was broken");
    ensure!(arrived == (rows * series) as u64, "{} samples are due", rows * series);
    Ok(())
}

/// The program and its folder.
struct Node<'a> {
    program: &'a Path,
    folder: &'a Path,
    config: String,
}

impl Node<'_> {
    fn start(&self) -> Result<Process> {
        let (config, port) = (self.folder.join("prometheus.yml"), free_port()?);
        std::fs::write(&config, &self.config)?;
        let mut command = Command::new(self.program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", self.folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::start(&mut command, &self.folder.join("log"))?;
        let ready = wait_until(Duration::from_secs(60), || {
            http::get(port, "/-/ready").is_ok_and(|answer| answer.status == 200)
        });
        ensure!(ready, "{} is not ready", self.program.display());
        Ok(process)
    }
}

fn config(port: u16, targets: &[String]) -> String {
    format!(
        "global: {{scrape_interval: 15s}}\n\
         scrape_configs: [{{job_name: live, static_configs: [{{targets: {targets:?}}}]}}]\n\
         remote_write: [{{name: away, url: 'http://127.0.0.1:{port}{PATH}'}}]\n"
    )
}

fn bodies(recordings: &Path) -> Result<Vec<bytes::Bytes>> {
    let frames = recording::read(&recordings.join("node.rec.zst"))?;
    Ok(frames.into_iter().step_by(15).map(|frame| frame.body.into()).collect())
}

/// Appends what was scraped while the receiver was away, up to now.
fn fill(recordings: &Path, folder: &Path, rows: usize, series: usize) -> Result<()> {
    let stride = usize::try_from(INTERVAL_MS / 1000)?;
    Fleet::save(recordings, folder, stride, rows.min(2000) + 200)?;
    let start = now_ms()? - i64::try_from(rows)? * INTERVAL_MS;
    let clock = Arc::new(StandingClock::default());
    clock.set(start);
    let fs = Arc::new(DiskFs::new(folder.join("data"))?);
    let (store, mut writer) = narthex_store::open(fs, clock.clone(), Options::default())?;
    let mut fleet = Fleet::open(folder, INTERVAL_MS)?;
    let mut left = series;
    while left > 0 {
        left -= fleet.add(TARGET_SERIES.min(left), &mut writer)?;
    }
    for row in 0..rows {
        for target in 0..fleet.len() {
            let at = start + i64::try_from(row)? * INTERVAL_MS + fleet.late(target);
            clock.set(at);
            fleet.append(target, row, Timestamp(at), &mut writer)?;
        }
        store.upkeep()?;
    }
    store.sync()?;
    Ok(())
}

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
