//! What the program takes in memory, seen from outside: `footprint NARTHEX [TARGETS SERIES SCRAPES
//! INTERVAL-MS SHARE]` starts it with TARGETS targets (20) of SERIES series (5,000) each, and prints
//! its anonymous memory while each is scraped SCRAPES times (480), INTERVAL-MS (500) apart. The
//! targets are a process of their own, and what they answer changes as exporters' answers do; SHARE
//! percent (0) of the series are new in each answer.
#![expect(clippy::print_stdout, reason = "a program that prints its figures")]
#![expect(
    clippy::disallowed_methods,
    reason = "a measurement, of a program that looks at the clock"
)]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use narthex_benches::memory;

/// How often memory is looked at.
const EVERY: Duration = Duration::from_millis(500);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let program = args.first().context("usage: footprint NARTHEX [TARGETS SERIES SCRAPES MS]")?;
    let number = |at: usize, default| args.get(at).map_or(Ok(default), |text| text.parse());
    let (targets, series): (u8, usize) = (u8::try_from(number(1, 20)?)?, number(2, 5000)?);
    let (scrapes, interval_ms) = (number(3, 480)?, number(4, 500)?);
    let share = number(5, 0)?;
    let port = u16::try_from(number(6, 0)?)?;
    if program == "--serve" {
        return serve(targets, (series, series * share / 100), port);
    }
    let [own, port] = [free_port()?, free_port()?];
    let folder = tempfile::tempdir()?;
    let mut exporter = Ended(exporter(targets, series, share, port)?);
    write_config(folder.path(), targets, interval_ms, port)?;
    let started = Command::new(program)
        .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{own}"))
        .args(["--log.level=warn"])
        .stdout(Stdio::null())
        .spawn()
        .context("starting the program")?;
    let program = Ended(started);
    let id = program.0.id().to_string();
    let (mut most, mut told) = (0, 0);
    let began = Instant::now();
    let all = Duration::from_millis(u64::try_from(scrapes * interval_ms)?) + 2 * EVERY;
    while began.elapsed() < all {
        std::thread::sleep(EVERY);
        ensure!(exporter.0.try_wait()?.is_none(), "the targets are gone");
        let now = memory::of(&id)?;
        most = most.max(now);
        let twelfths = began.elapsed().as_millis() * 12 / all.as_millis();
        if twelfths > told {
            told = twelfths;
            let so_far = began.elapsed().as_millis() / u128::try_from(interval_ms)?;
            tell(&format!("{so_far} scrapes"), now, usize::from(targets) * series);
        }
    }
    tell("at most", most, usize::from(targets) * series);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures for the eye")]
fn tell(what: &str, bytes: u64, series: usize) {
    let (mb, each) = (bytes as f64 / 1e6, bytes as f64 / series as f64);
    println!("{what:>12}: {mb:.1} MB anonymous, {each:.0} bytes for a series");
}

/// A process that ends with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn write_config(folder: &Path, targets: u8, interval_ms: usize, port: u16) -> Result<()> {
    let addresses: Vec<String> = (1..=targets).map(|n| format!("'127.0.0.{n}:{port}'")).collect();
    let config = format!(
        "global: {{scrape_interval: {interval_ms}ms, scrape_timeout: {interval_ms}ms}}\n\
         scrape_configs: [{{job_name: bench, static_configs: [{{targets: [{}]}}]}}]\n",
        addresses.join(", ")
    );
    std::fs::write(folder.join("prometheus.yml"), config).context("writing the configuration")
}

fn exporter(targets: u8, series: usize, share: usize, port: u16) -> Result<Child> {
    let numbers = [usize::from(targets), series, 0, 0, share, usize::from(port)];
    let args = numbers.map(|number| number.to_string());
    let child = Command::new(std::env::current_exe()?).arg("--serve").args(args).spawn()?;
    let began = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        ensure!(began.elapsed() < Duration::from_secs(10), "the targets do not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(child)
}

/// Answers on one loopback address per target.
fn serve(targets: u8, series: (usize, usize), port: u16) -> Result<()> {
    let threads: Vec<_> = (1..=targets)
        .map(|target| {
            let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, target), port))?;
            Ok(std::thread::spawn(move || {
                let mut scrape = 0;
                for mut stream in listener.incoming().flatten() {
                    drop(answer(&mut stream, series, &mut scrape));
                }
            }))
        })
        .collect::<Result<_>>()?;
    for thread in threads {
        drop(thread.join());
    }
    Ok(())
}

/// Answers the requests of one connection.
fn answer(stream: &mut TcpStream, series: (usize, usize), scrape: &mut usize) -> Result<()> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..read]);
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            let body = body(series, *scrape)?;
            *scrape += 1;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(body.as_bytes())?;
        }
    }
}

/// Families of 25 series; of four series one never changes, one counts, one is measured, and one
/// changes now and then. `new` of them take the places of others in each answer.
fn body((series, new): (usize, usize), scrape: usize) -> Result<String> {
    let mut body = String::with_capacity(series * 100);
    let first = new * scrape;
    for number in first..first + series {
        let (family, member) = (number % series / 25, number);
        if member % 25 == 0 {
            writeln!(body, "# HELP bench_family_{family}_total What this family counts.")?;
            writeln!(body, "# TYPE bench_family_{family}_total counter")?;
        }
        write!(
            body,
            "bench_family_{family}_total{{device=\"disk{member}\",mode=\"m{}\"}} ",
            number % 3
        )?;
        let scrape_f = f64::from(u32::try_from(scrape)?);
        let member_f = f64::from(u32::try_from(number % 97)?);
        match number % 4 {
            0 => writeln!(body, "{number}")?,
            1 => writeln!(body, "{}", scrape * (number % 97 + 1) * 1009)?,
            2 => writeln!(body, "{:.3}", (scrape_f * 0.37 + member_f).sin() * 1000.0)?,
            _ => writeln!(body, "{}", scrape / (number % 50 + 10) * 512)?,
        }
    }
    Ok(body)
}
