//! Discovery, under Prometheus' names.

use narthex_discovery::Stats;

use super::text::Page;

/// Writes the figures of discovery.
pub fn discovery(page: &mut Page, stats: &Stats) {
    let help = "Current number of discovered targets.";
    let mut family = page.family("prometheus_sd_discovered_targets", "gauge", help);
    for (job, count) in &stats.discovered_targets {
        family.count(&[("config", job), ("name", "scrape")], *count);
    }
    let help = "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time.";
    let mut family = page.family("prometheus_sd_file_mtime_seconds", "gauge", help);
    for (file, seconds) in &stats.file_mtime_seconds {
        family.put("", &[("filename", file)], *seconds);
    }
    let help = "The number of File-SD read errors.";
    page.counter("prometheus_sd_file_read_errors_total", help, stats.file_read_errors);
    let help = "The duration of the File-SD scan in seconds.";
    page.family("prometheus_sd_file_scan_duration_seconds", "summary", help).totals(
        &[],
        stats.file_scan_seconds,
        stats.file_scans,
    );
    let scrape = &[("name", "scrape")];
    let help = "Total number of update events received from the SD providers.";
    page.family("prometheus_sd_received_updates_total", "counter", help)
        .count(scrape, stats.received_updates);
    let help = "Total number of update events sent to the SD consumers.";
    page.family("prometheus_sd_updates_total", "counter", help).count(scrape, stats.sent_updates);
}
