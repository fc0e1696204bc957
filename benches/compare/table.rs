//! What was measured, as a table and as JSON.

use serde_json::{Value, json};

use crate::options::Options;

/// The figures of one product.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) cpu_seconds: f64,
    /// Samples that the CPU time is divided by.
    pub(crate) samples: u64,
    /// Samples that the receiver got while measuring.
    pub(crate) delivered: u64,
    pub(crate) wire_bytes: u64,
    pub(crate) rss_peak_bytes: u64,
    pub(crate) anonymous_bytes: u64,
    pub(crate) written_bytes: u64,
    /// Series that arrived since the start.
    pub(crate) series: u64,
    /// Targets whose `up` arrived.
    pub(crate) targets: u64,
    /// Scrapes without an `up` sample, between the first and the last.
    pub(crate) missed_scrapes: u64,
    /// Samples that are missing in series which every body holds.
    pub(crate) lost_samples: u64,
    pub(crate) out_of_order: u64,
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
impl Figures {
    fn cpu_per_million(&self) -> f64 {
        self.cpu_seconds / (self.samples.max(1) as f64 / 1e6)
    }

    fn per_sample(&self, bytes: u64) -> f64 {
        bytes as f64 / self.samples.max(1) as f64
    }
}

/// Prints a line for each product, and narthex's share of each other's cost.
pub(crate) fn print(rows: &[Figures], options: &Options) {
    println!(
        "\n{} targets x {} series every {:?}, measured for {:?}\n",
        options.targets, options.series, options.interval, options.duration
    );
    println!(
        "{:<16} {:>12} {:>9} {:>9} {:>11} {:>10} {:>10} {:>8} {:>6} {:>6}",
        "",
        "CPU s/M",
        "RSS MB",
        "anon MB",
        "disk B/smp",
        "wire B/smp",
        "delivered",
        "series",
        "missed",
        "lost"
    );
    for row in rows {
        println!(
            "{:<16} {:>12.4} {:>9.1} {:>9.1} {:>11.2} {:>10.2} {:>10} {:>8} {:>6} {:>6}",
            row.name,
            row.cpu_per_million(),
            megabytes(row.rss_peak_bytes),
            megabytes(row.anonymous_bytes),
            row.per_sample(row.written_bytes),
            row.per_sample(row.wire_bytes),
            row.delivered,
            row.series,
            row.missed_scrapes,
            row.lost_samples,
        );
    }
    for alone in rows {
        let Some(name) = alone.name.strip_suffix("-alone") else { continue };
        let Some(with) = rows.iter().find(|row| row.name == name) else { continue };
        let more = with.cpu_per_million() - alone.cpu_per_million();
        println!("{name}: remote write costs {more:.4} CPU s per million samples");
    }
    let Some(own) = rows.iter().find(|row| row.name == "narthex") else { return };
    for row in rows.iter().filter(|row| !row.name.starts_with("narthex")) {
        println!(
            "narthex : {:<16} CPU 1/{:.1}, RSS peak 1/{:.1}, anonymous 1/{:.1}",
            row.name,
            row.cpu_per_million() / own.cpu_per_million(),
            megabytes(row.rss_peak_bytes) / megabytes(own.rss_peak_bytes),
            megabytes(row.anonymous_bytes) / megabytes(own.anonymous_bytes),
        );
    }
}

/// The same for a program to read.
pub(crate) fn json(rows: &[Figures], options: &Options) -> Value {
    let products: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "cpu_seconds_per_million_samples": row.cpu_per_million(),
                "cpu_seconds": row.cpu_seconds,
                "samples": row.samples,
                "delivered": row.delivered,
                "rss_peak_bytes": row.rss_peak_bytes,
                "anonymous_bytes": row.anonymous_bytes,
                "written_bytes_per_sample": row.per_sample(row.written_bytes),
                "wire_bytes_per_sample": row.per_sample(row.wire_bytes),
                "series": row.series,
                "targets": row.targets,
                "missed_scrapes": row.missed_scrapes,
                "lost_samples": row.lost_samples,
                "out_of_order": row.out_of_order,
            })
        })
        .collect();
    json!({
        "targets": options.targets,
        "series_per_target": options.series,
        "interval_seconds": options.interval.as_secs_f64(),
        "duration_seconds": options.duration.as_secs_f64(),
        "products": products,
    })
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory are far below 2^53")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
