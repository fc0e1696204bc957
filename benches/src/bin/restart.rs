//! The way back after a kill: `restart RECORDINGS NARTHEX [TARGETS COLUMNS ROWS INTERVAL-MS]` fills
//! a data folder with ROWS rows (55) of TARGETS targets (98) with at most COLUMNS columns (850), dies
//! without an end, and tells how long the program takes until it is ready, what memory it has, and
//! how many samples it finds.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use narthex_benches::fleet::Fleet;
use narthex_benches::{StandingClock, memory};
use narthex_model::Timestamp;
use narthex_store::Options;
use narthex_store::fs::DiskFs;

/// Samples between two rounds of upkeep.
const UPKEEP_EVERY: usize = 1_000_000;

/// How often the program is started.
const STARTS: usize = 5;

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: restart RECORDINGS NARTHEX [TARGETS COLUMNS ROWS INTERVAL-MS]";
    let (folder, program) = (args.first().context(usage)?, args.get(1).context(usage)?);
    let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
    let (targets, columns, rows): (usize, usize, usize) =
        (number(2, 98)?, number(3, 850)?, number(4, 55)?);
    let interval_ms = i64::try_from(number(5, 15_000)?)?;
    if folder == "--fill" {
        return fill(Path::new(program), targets, columns, rows, interval_ms);
    }
    let data = tempfile::tempdir()?;
    let stride = usize::try_from(interval_ms / 1000)?.max(1);
    Fleet::save(Path::new(folder), data.path(), stride, rows.min(2000) + 200)?;
    let mut fill = Command::new(std::env::current_exe()?);
    fill.arg("--fill").arg(data.path()).args(args.get(2..).unwrap_or(&[]));
    ensure!(!fill.status()?.success(), "it was to die");
    for start in 0..STARTS {
        self::start(program, data.path(), start)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the program that is started looks at the clock")]
fn fill(saved: &Path, targets: usize, columns: usize, rows: usize, interval_ms: i64) -> Result<()> {
    let clock = Arc::new(StandingClock::default());
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let start = now - i64::try_from(rows)? * interval_ms;
    clock.set(start);
    let fs = Arc::new(DiskFs::new(saved.join("data"))?);
    let (store, mut writer) = narthex_store::open(fs, clock.clone(), Options::default())?;
    let mut fleet = Fleet::open(saved, interval_ms)?;
    let mut series = 0;
    for _ in 0..targets {
        series += fleet.add(columns, &mut writer)?;
    }
    let (mut samples, mut unkept) = (0, 0);
    for row in 0..rows {
        for target in 0..targets {
            let at = start + i64::try_from(row)? * interval_ms + fleet.late(target);
            clock.set(at);
            unkept += fleet.append(target, row, Timestamp(at), &mut writer)?;
            if unkept > UPKEEP_EVERY {
                samples += unkept;
                unkept = 0;
                store.sync()?;
                store.upkeep()?;
            }
        }
    }
    samples += unkept;
    store.sync()?;
    let stats = store.stats();
    println!(
        "{series} series, {} rows of {samples} columns, {} samples; log {:.1} MB; {:.1} MB anonymous",
        stats.rows_appended,
        stats.samples_appended,
        megabytes(stats.wal.bytes),
        megabytes(memory::anonymous()?),
    );
    std::process::abort();
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn start(program: &str, folder: &Path, number: usize) -> Result<()> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let config = folder.join("config.yml");
    std::fs::write(&config, "scrape_configs: []\n")?;
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let began = Instant::now();
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut running = Running(child);
    while !ask(port, "/-/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
        ensure!(began.elapsed() < PATIENCE, "not ready");
        if let Some(status) = running.0.try_wait()? {
            bail!("ended: {status}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = began.elapsed();
    let anonymous = megabytes(memory::of(&running.0.id().to_string())?);
    let found = count(port)?;
    println!(
        "start {}: ready after {:.0} ms, {anonymous:.1} MB anonymous, {found} samples found",
        number + 1,
        took.as_secs_f64() * 1e3,
    );
    Ok(())
}

/// How many samples a query finds, name by name: without their names the series of a target
/// would be one.
fn count(port: u16) -> Result<u64> {
    let names = ask(port, "/api/v1/label/__name__/values?match[]=%7Bjob=%22bench%22%7D")?;
    let (_, names) = names.split_once("\"data\":[").context("no names")?;
    let names = names.split(']').next().unwrap_or_default();
    let mut found = 0;
    for name in names.split(',').map(|name| name.trim_matches('"')) {
        let query = format!("sum(count_over_time({name}%7Bjob=%22bench%22%7D%5B6h%5D))");
        let answer = ask(port, &format!("/api/v1/query?query={query}"))?;
        let count = answer.rsplit(",\"").next().and_then(|rest| rest.split('"').next());
        found += count.context("no answer")?.parse::<u64>().with_context(|| name.to_owned())?;
    }
    Ok(found)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
