//! Asks narthex and other software the same queries over the same data, one after the other, and
//! prints what each costs the server: CPU time and the median of the time that passes.
//!
//! The data are two days of a fleet, made from recorded bodies ([`data`]) and kept in the folder
//! for the next run. narthex' answers are compared with Prometheus'.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for developers that talks to its terminal, the disk and the clock"
)]

mod answer;
mod data;
mod http;
mod load;
mod options;
mod product;
mod query;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::data::Data;
use crate::http::Connection;
use crate::options::Options;
use crate::product::{Product, Running};
use crate::query::Query;
use crate::table::{Cost, Figures};

/// A query is asked this often at least and at most.
const REPEATS: (usize, usize) = (4, 4000);
/// How often memory is looked at.
const MEMORY_INTERVAL: Duration = Duration::from_millis(20);

fn main() -> Result<()> {
    let options = Options::from_args()?;
    std::fs::create_dir_all(&options.folder)?;
    let data = Data::new(&options)?;
    eprintln!("{} series, {} rows each", data.series(), data.rows);
    let queries: Vec<Query> =
        query::ALL.into_iter().filter(|query| query.name.contains(&options.only)).collect();
    let mut all = Vec::new();
    for &product in &options.products {
        if !product.is_there(&options) {
            eprintln!("{} is not there", product.name());
            continue;
        }
        eprintln!("{}: loading", product.name());
        product.load(&options, &data)?;
        eprintln!("{}: measuring", product.name());
        all.push(measure(product, &queries, &options)?);
    }
    table::print(&queries, &all);
    let path = options.folder.join("figures.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&table::json(&queries, &all))?)?;
    println!("figures: {}", path.display());
    Ok(())
}

/// Asks one product everything.
fn measure(product: Product, queries: &[Query], options: &Options) -> Result<Figures> {
    let running = product.start(options)?;
    let watch = MemoryWatch::start(running.process.id());
    let mut connection = Connection::open(running.port)?;
    let mut figures = Figures::new(product);
    for query in queries {
        let cost = ask(query, &running, &mut connection, options, &mut figures)
            .with_context(|| format!("{}: {}", product.name(), query.name))?;
        figures.costs.push(cost);
    }
    figures.anonymous_peak = watch.stop();
    Ok(figures)
}

fn ask(
    query: &Query,
    running: &Running,
    connection: &mut Connection,
    options: &Options,
    figures: &mut Figures,
) -> Result<Cost> {
    let (path, mut body) = (query.path(), Vec::new());
    connection.ask("GET", &path, "", &[], &mut body)?;
    figures.answers.push(body.clone());
    let before = running.process.usage()?.cpu_seconds;
    let (began, mut walls) = (Instant::now(), Vec::new());
    while walls.len() < REPEATS.0
        || walls.len() < REPEATS.1 && began.elapsed().as_secs_f64() < options.seconds
    {
        let asked = Instant::now();
        connection.ask("GET", &path, "", &[], &mut body)?;
        walls.push(asked.elapsed().as_secs_f64() * 1000.0);
    }
    let used = running.process.usage()?.cpu_seconds - before;
    walls.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand repeats")]
    let cpu_ms = used * 1000.0 / walls.len() as f64;
    let wall_ms = walls.get(walls.len() / 2).copied().unwrap_or(0.0);
    Ok(Cost { cpu_ms, wall_ms })
}

/// Looks at the anonymous memory of a process all the time.
struct MemoryWatch {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl MemoryWatch {
    fn start(id: u32) -> Self {
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, highest) = (Arc::clone(&stop), Arc::clone(&peak));
        let path = format!("/proc/{id}/status");
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
                let kilobytes =
                    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
                highest.fetch_max(kilobytes.unwrap_or(0) * 1024, Ordering::Relaxed);
                std::thread::sleep(MEMORY_INTERVAL);
            }
        });
        Self { stop, peak, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        self.peak.load(Ordering::Relaxed)
    }
}
