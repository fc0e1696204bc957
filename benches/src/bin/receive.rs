//! How many samples a second the remote-write receiver takes, beside that of Prometheus.
//!
//! `cargo run --release -p narthex-benches --bin receive -- [--narthex PROGRAM] [--samples N]`
//! makes requests as Prometheus sends them (one sample per series, 2,000 of them, snappy), and
//! sends the same ones to each product in turn, over four connections, each of which has its own
//! targets. Prometheus is found as for the tests (`NARTHEX_PEERS`).
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a report for a person")]
#![expect(clippy::disallowed_methods, reason = "starts programs, touches files and the clock")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Arg;
use narthex_testkit::peers;
use narthex_testkit::process::Server;
use narthex_testkit::proto::{Label, Sample, TimeSeries, WriteRequest};
use prost::Message as _;

/// Connections that send at the same time.
const CONNECTIONS: usize = 4;

/// Targets, each with [`SERIES`] series.
const TARGETS: usize = 20;

/// Series of a target.
const SERIES: usize = 500;

/// Samples of a request, as `max_samples_per_send` has it.
const SAMPLES_PER_REQUEST: usize = 2000;

/// From one scrape to the next.
const INTERVAL_MS: i64 = 15_000;

fn main() -> Result<()> {
    let matches = clap::Command::new("receive")
        .about("measures the remote-write receiver")
        .arg(Arg::new("narthex").long("narthex").default_value("target/release/narthex"))
        .arg(Arg::new("samples").long("samples").default_value("5000000"))
        .get_matches();
    let text = |name| matches.get_one::<String>(name).context("it has a default");
    let narthex = PathBuf::from(text("narthex")?);
    let samples: usize = text("samples")?.parse().context("--samples")?;
    let steps = samples / (TARGETS * SERIES);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let first_ms = i64::try_from(now.as_millis())? - i64::try_from(steps)? * INTERVAL_MS;
    let requests: Vec<Vec<Vec<u8>>> =
        (0..CONNECTIONS).map(|connection| requests(connection, first_ms, steps)).collect();
    let bytes: usize = requests.iter().flatten().map(Vec::len).sum();
    println!("{} samples, {bytes} bytes compressed", steps * TARGETS * SERIES);
    let folder = tempfile::tempdir()?;
    let mut products = vec![("narthex", narthex)];
    products.extend(peers::find("prometheus").map(|path| ("prometheus", path)));
    for (name, program) in products {
        let Server { mut process, port } = start(&program, &folder.path().join(name))?;
        let idle = process.usage()?;
        let began = Instant::now();
        std::thread::scope(|scope| {
            let senders: Vec<_> =
                requests.iter().map(|bodies| scope.spawn(|| send(port, bodies))).collect();
            senders.into_iter().try_for_each(|sender| match sender.join() {
                Ok(sent) => sent,
                Err(_) => bail!("a sender panicked"),
            })
        })
        .with_context(|| format!("send to {name}"))?;
        let took = began.elapsed().as_secs_f64();
        let used = process.usage()?;
        #[expect(clippy::cast_precision_loss, reason = "a figure for a person")]
        let count = (steps * TARGETS * SERIES) as f64;
        println!(
            "{name:12} {:9.0} samples/s  {:5.2} CPU s per million  {:?}",
            count / took,
            (used.cpu_seconds - idle.cpu_seconds) / count * 1e6,
            used
        );
        ensure!(process.ended().is_none(), "{name} has ended");
        process.kill();
    }
    Ok(())
}

/// The bodies of one connection, in order of time.
fn requests(connection: usize, first_ms: i64, steps: usize) -> Vec<Vec<u8>> {
    let targets = (0..TARGETS).filter(|target| target % CONNECTIONS == connection);
    let series: Vec<Vec<Label>> =
        targets.flat_map(|target| (0..SERIES).map(move |n| labels(target, n))).collect();
    let mut bodies = Vec::new();
    let mut request = WriteRequest::default();
    for step in 0..steps {
        let timestamp = first_ms + i64::try_from(step).unwrap_or(0) * INTERVAL_MS;
        for (number, labels) in series.iter().enumerate() {
            let samples = vec![Sample { value: value(number, step), timestamp }];
            let labels = labels.clone();
            request.timeseries.push(TimeSeries { labels, samples, ..TimeSeries::default() });
            if request.timeseries.len() == SAMPLES_PER_REQUEST {
                bodies.push(packed(&request));
                request.timeseries.clear();
            }
        }
    }
    if !request.timeseries.is_empty() {
        bodies.push(packed(&request));
    }
    bodies
}

/// The labels of a series as node_exporter has them.
fn labels(target: usize, number: usize) -> Vec<Label> {
    let label = |name: &str, value: String| Label { name: name.to_owned(), value };
    vec![
        label("__name__", format!("node_metric_{}_seconds_total", number / 8)),
        label("cpu", (number % 8).to_string()),
        label("instance", format!("node-{target}.example.org:9100")),
        label("job", "node".to_owned()),
        label("mode", ["idle", "user", "system", "iowait"][number % 4].to_owned()),
    ]
}

/// Some stand still, some count, some are fractions.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn value(number: usize, step: usize) -> f64 {
    match number % 4 {
        0 => number as f64,
        1 => (number * 1000 + step * (number % 17)) as f64,
        2 => number as f64 + step as f64 * 0.25,
        _ => (number * 31 + step * 7919 % 1009) as f64 * 0.01,
    }
}

fn packed(request: &WriteRequest) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap_or_default()
}

fn start(program: &Path, folder: &Path) -> Result<Server> {
    std::fs::create_dir(folder)?;
    let flags = ["--web.enable-remote-write-receiver"];
    // It runs in a folder of its own, so its name must not lead from this one.
    let program = std::fs::canonicalize(program).context("find the program")?;
    let config = |_| "global: {scrape_interval: 1m}\n".to_owned();
    Ok(Server::start(&program, folder, &flags, config)?)
}

/// Sends all bodies over one connection, each when the one before was answered.
fn send(port: u16, bodies: &[Vec<u8>]) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut answer = Vec::new();
    let mut message = Vec::new();
    for body in bodies {
        message.clear();
        write!(
            message,
            "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: snappy\r\n\
             Content-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        message.extend_from_slice(body);
        stream.write_all(&message)?;
        answer.clear();
        let mut piece = [0; 1024];
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            let count = stream.read(&mut piece)?;
            ensure!(count > 0, "the connection ended");
            answer.extend_from_slice(piece.get(..count).unwrap_or_default());
        }
        ensure!(answer.starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
