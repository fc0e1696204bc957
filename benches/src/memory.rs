//! How much memory the process has.

use anyhow::{Context, Result};

/// Bytes of anonymous memory in use (`RssAnon`).
///
/// # Errors
/// When the system does not tell.
pub fn anonymous() -> Result<u64> {
    of("self")
}

/// Bytes of anonymous memory that the process `id` has in use.
///
/// # Errors
/// When the system does not tell.
pub fn of(id: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no RssAnon")?;
    Ok(kib.parse::<u64>()? * 1024)
}
