//! What discovery tells about itself.

/// Counters since the start, and the state of now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Targets before relabelling, per job: `prometheus_sd_discovered_targets{name="scrape"}`.
    pub discovered_targets: Vec<(String, u64)>,
    /// Modification time of each target file, in seconds: `prometheus_sd_file_mtime_seconds`.
    pub file_mtime_seconds: Vec<(String, f64)>,
    /// Files that could not be read or were not right: `prometheus_sd_file_read_errors_total`.
    pub file_read_errors: u64,
    /// Times that target files were looked at.
    pub file_scans: u64,
    /// Seconds that this took: with the number, `prometheus_sd_file_scan_duration_seconds`.
    pub file_scan_seconds: f64,
    /// Changes of a source: `prometheus_sd_received_updates_total{name="scrape"}`.
    pub received_updates: u64,
    /// Changes that were published: `prometheus_sd_updates_total{name="scrape"}`.
    pub sent_updates: u64,
}
