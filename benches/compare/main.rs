//! Runs narthex beside other software on the same simulated exporters and prints what each costs.
//!
//! A fleet of exporters replays recorded bodies; every product scrapes all of them at the same
//! interval and forwards to the same receiver, which counts what arrives. All products run at
//! once, so they share whatever else the machine does: the ratios are what to look at.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for developers that talks to its terminal, the disk and the clock"
)]

mod options;
mod product;
mod table;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use narthex_testkit::fleet::{self, Fleet};
use narthex_testkit::process::{Meter, Process, Usage};
use narthex_testkit::receiver::Receiver;
use narthex_testkit::recording::{self, Subset};

use crate::options::Options;
use crate::product::Product;
use crate::table::Figures;

/// How often the threads of each product are looked at: what one that ends has used since is lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let options = Options::from_args()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(&options))
}

async fn compare(options: &Options) -> Result<()> {
    let bodies = bodies(options)?;
    let fleet_options = fleet::Options {
        targets: options.targets,
        frame_time: options.interval,
        chunk_bytes: options.chunk_bytes,
    };
    let fleet = Fleet::start(bodies, &fleet_options).await?;
    let receiver = Receiver::start(0, false).await?;
    let folder = options.folder.as_path();
    std::fs::create_dir_all(folder)?;
    let mut running = Vec::new();
    for product in options.products()? {
        let process = product.start(options, &fleet, receiver.address(), folder)?;
        running.push(Running::new(product, process));
    }
    if running.is_empty() {
        bail!("nothing to compare: no product was found");
    }
    eprintln!("warming up for {:?}", options.warm_up);
    tokio::time::sleep(options.warm_up).await;
    for one in &mut running {
        one.begin(&receiver)?;
    }
    eprintln!("measuring for {:?}", options.duration);
    let start = Instant::now();
    while let Some(left) = options.duration.checked_sub(start.elapsed()).filter(|it| !it.is_zero())
    {
        tokio::time::sleep(left.min(LOOK_INTERVAL)).await;
        for one in &mut running {
            one.meter.look()?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut rows = Vec::new();
    for one in &mut running {
        rows.push(one.figures(&receiver, options, seconds)?);
    }
    // What was scraped before the end may still be on its way.
    tokio::time::sleep(Duration::from_secs(10).min(options.duration)).await;
    for (one, row) in running.iter_mut().zip(&mut rows) {
        one.check_delivery(&receiver, options, row);
    }
    table::print(&rows, options);
    let path = folder.join("figures.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&table::json(&rows, options))?)?;
    println!("figures: {}", path.display());
    Ok(())
}

/// A product that is being measured.
struct Running {
    product: Product,
    process: Process,
    meter: Meter,
    cpu_before: f64,
    before: Usage,
    samples_before: u64,
    wire_before: u64,
}

impl Running {
    fn new(product: Product, process: Process) -> Self {
        let meter = Meter::new(process.id());
        let before = Usage::default();
        Self { product, process, meter, cpu_before: 0.0, before, samples_before: 0, wire_before: 0 }
    }

    fn usage(&mut self) -> Result<Usage> {
        let name = self.product.name;
        if let Some(code) = self.process.ended() {
            bail!("{name} ended by itself with exit code {code:?}; see its log");
        }
        self.process.usage().with_context(|| format!("reading what {name} uses"))
    }

    fn begin(&mut self, receiver: &Receiver) -> Result<()> {
        self.before = self.usage()?;
        self.cpu_before = self.meter.look()?;
        let path = self.product.path();
        (self.samples_before, self.wire_before) =
            receiver.look(&path, |received| (received.samples, received.wire_bytes));
        Ok(())
    }

    fn figures(&mut self, receiver: &Receiver, options: &Options, seconds: f64) -> Result<Figures> {
        let after = self.usage()?;
        let path = self.product.path();
        let (samples, wire) = receiver.look(&path, |r| (r.samples, r.wire_bytes));
        let delivered = samples - self.samples_before;
        // A product that does not forward is charged for what it must have scraped.
        let scraped = match delivered {
            0 => expected_samples(options, seconds),
            delivered => delivered,
        };
        Ok(Figures {
            name: self.product.name.to_owned(),
            cpu_seconds: self.meter.look()? - self.cpu_before,
            samples: scraped,
            delivered,
            wire_bytes: wire - self.wire_before,
            rss_peak_bytes: after.rss_peak_bytes,
            anonymous_bytes: after.anonymous_bytes,
            written_bytes: after.written_bytes - self.before.written_bytes,
            ..Figures::default()
        })
    }

    /// Looks at every series that came whether a scrape is missing in it.
    fn check_delivery(&mut self, receiver: &Receiver, options: &Options, row: &mut Figures) {
        let interval_ms = i64::try_from(options.interval.as_millis()).unwrap_or(1).max(1);
        receiver.look(&self.product.path(), |received| {
            row.series = received.series.len() as u64;
            row.out_of_order = received.out_of_order;
            for (key, series) in &received.series {
                let span = series.last_ms - series.first_ms;
                let expected =
                    u64::try_from((span + interval_ms / 2) / interval_ms).unwrap_or(0) + 1;
                let missing = expected.saturating_sub(series.count);
                if key.contains("__name__=\"up\"") {
                    row.missed_scrapes += missing;
                    row.targets += 1;
                } else if key.contains("__name__=\"node_load1\"") {
                    // A series that every body has: what is missing here was lost on the way.
                    row.lost_samples += missing;
                }
            }
        });
    }
}

fn expected_samples(options: &Options, seconds: f64) -> u64 {
    let per_scrape = (options.series + 5) * options.targets;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a count of samples far below 2^53"
    )]
    let samples = (per_scrape as f64 * seconds / options.interval.as_secs_f64()) as u64;
    samples
}

/// Bodies of `series` series: a node_exporter's, filled up with VictoriaMetrics' own.
fn bodies(options: &Options) -> Result<Vec<bytes::Bytes>> {
    let read = |name: &str| {
        let path = options.recordings.join(name);
        recording::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    let (node, vm) = (read("node.rec.zst")?, read("vm.rec.zst")?);
    let (Some(first_node), Some(first_vm)) = (node.first(), vm.first()) else {
        bail!("the recordings hold no bodies");
    };
    let node_series = count_samples(&first_node.body);
    let more = options.series.saturating_sub(node_series);
    let of_vm = |series: &[u8]| series.starts_with(b"vm_") || series.starts_with(b"flag");
    let subset = Subset::first(&first_vm.body, more, of_vm);
    let mut bodies = Vec::new();
    for (node, vm) in node.iter().zip(&vm) {
        let mut body = node.body.clone();
        subset.copy(&vm.body, &mut body);
        bodies.push(bytes::Bytes::from(body));
    }
    Ok(bodies)
}

fn count_samples(body: &[u8]) -> usize {
    body.split(|&b| b == b'\n').filter(|l| l.first().is_some_and(|&b| b != b'#')).count()
}

/// A data folder that is empty.
fn fresh_folder(path: &Path) -> Result<()> {
    if path.exists() {
        std::fs::remove_dir_all(path).with_context(|| format!("emptying {}", path.display()))?;
    }
    Ok(std::fs::create_dir_all(path)?)
}
