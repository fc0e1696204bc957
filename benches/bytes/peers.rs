//! The same samples in other software.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use narthex_testkit::process::{Process, free_port, wait_until};
use narthex_testkit::{http, peers};

use crate::ours::Contents;

/// Prometheus' blocks, one for all: bytes of chunks and of the index.
pub(crate) fn prometheus(contents: &Contents) -> Result<Option<(u64, u64)>> {
    let Some(promtool) = peers::find("promtool") else { return Ok(None) };
    let folder = tempfile::tempdir()?;
    let input = folder.path().join("input");
    std::fs::write(&input, open_metrics(contents))?;
    let output = folder.path().join("data");
    let status = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "--max-block-duration=24h", "openmetrics"])
        .args([&input, &output])
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "promtool failed");
    let (mut chunks, mut index) = (0, 0);
    for block in std::fs::read_dir(&output)? {
        let block = block?.path();
        if block.is_dir() {
            chunks += folder_bytes(&block.join("chunks"))?;
            index += std::fs::metadata(block.join("index"))?.len();
        }
    }
    Ok(Some((chunks, index)))
}

fn open_metrics(contents: &Contents) -> String {
    let mut text = String::new();
    for (labels, samples) in &contents.0 {
        let mut series = labels.get("__name__").unwrap_or_default().to_owned();
        series.push('{');
        let others = labels.iter().filter(|&(name, _)| name != "__name__");
        for (number, (name, value)) in others.enumerate() {
            let comma = if number > 0 { "," } else { "" };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(series, "{comma}{name}=\"{value}\"");
        }
        series.push('}');
        for (at, value) in samples {
            let _ = writeln!(text, "{series} {value:e} {}.{:03}", at / 1000, at % 1000);
        }
    }
    text.push_str("# EOF\n");
    text
}

/// VictoriaMetrics after it has flushed and merged: bytes of data and of the index.
pub(crate) fn victoria_metrics(contents: &Contents) -> Result<Option<(u64, u64)>> {
    let Some(program) = peers::find("victoria-metrics") else { return Ok(None) };
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let port = free_port()?;
    let log = folder.path().join("log");
    let mut command = Command::new(program);
    command
        .arg(format!("-storageDataPath={}", data.display()))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .args(["-retentionPeriod=100y", "-memory.allowedBytes=512MB"]);
    let process = Process::start(&mut command, &log)?;
    let up = || http::get(port, "/health").is_ok_and(|answer| answer.status == 200);
    ensure!(wait_until(Duration::from_secs(60), up), "VictoriaMetrics does not answer");
    for series in contents.0.chunks(100) {
        let mut body = Vec::new();
        series.iter().try_for_each(|(labels, samples)| -> Result<()> {
            let metric: serde_json::Map<String, serde_json::Value> =
                labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            let values: Vec<f64> = samples.iter().map(|&(_, value)| value).collect();
            let times: Vec<i64> = samples.iter().map(|&(at, _)| at).collect();
            let line = serde_json::json!({
                "metric": metric,
                "values": values.iter().map(|&v| number(v)).collect::<Vec<_>>(),
                "timestamps": times,
            });
            Ok(writeln!(body, "{line}")?)
        })?;
        let answer = http::ask(port, "POST", "/api/v1/import", "", &body)?;
        ensure!(answer.status == 204, "import: {} {}", answer.status, answer.text());
    }
    http::get(port, "/internal/force_flush")?;
    http::get(port, "/internal/force_merge")?;
    // The merge runs in the background, and inverted indexes are written some seconds later.
    let merging = || -> Option<f64> {
        let text = http::get(port, "/metrics").ok()?.text();
        let active = text.lines().filter(|line| line.starts_with("vm_active_merges"));
        Some(active.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    };
    ensure!(
        wait_until(Duration::from_secs(120), || merging() == Some(0.0)),
        "VictoriaMetrics does not come to an end of merging"
    );
    check_count(port, contents.count_numbers())?;
    process.terminate(Duration::from_secs(30)).context("VictoriaMetrics did not end in order")?;
    // Older releases keep the index beside the data.
    let beside = data.join("indexdb");
    let within = data.join("data/indexdb");
    let values = folder_bytes(&data.join("data/small"))? + folder_bytes(&data.join("data/big"))?;
    let index = if within.exists() { within } else { beside };
    Ok(Some((values, folder_bytes(&index)?)))
}

/// As JSON: what is no number, as the text that VictoriaMetrics takes for it.
fn number(value: f64) -> serde_json::Value {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        value.into()
    }
}

/// That all samples are there; VictoriaMetrics does not give NaN back.
fn check_count(port: u16, wanted: u64) -> Result<()> {
    let answer = http::get(port, "/api/v1/export?match[]=%7B__name__!=%22%22%7D&start=0")?;
    let mut found = 0;
    for line in answer.text().lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        found += line["values"].as_array().map_or(0, Vec::len) as u64;
    }
    ensure!(found * 1000 >= wanted * 999, "VictoriaMetrics has {found} of {wanted} samples");
    Ok(())
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += if kind.is_dir() { folder_bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
