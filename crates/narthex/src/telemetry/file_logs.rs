//! The query log and the logs of failed scrapes.

use std::sync::atomic::Ordering::Relaxed;

use super::text::Page;
use crate::query_log::FileLogs;

/// Writes the figures.
pub fn file_logs(page: &mut Page, logs: &FileLogs) {
    page.gauge(
        "prometheus_engine_query_log_enabled",
        "State of the query log.",
        u8::from(logs.logs_queries()).into(),
    );
    page.counter(
        "prometheus_engine_query_log_failures_total",
        "The number of query log failures.",
        logs.query_failures.load(Relaxed),
    );
    page.counter(
        "narthex_scrape_failure_log_failures_total",
        "Lines of the logs of failed scrapes that could not be written.",
        logs.scrape_failures.load(Relaxed),
    );
}
