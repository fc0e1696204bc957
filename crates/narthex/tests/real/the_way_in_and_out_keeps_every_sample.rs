//! What a real Prometheus wrote is imported and answered alike, and goes back to Prometheus.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use narthex_testkit::process::wait_until;
use narthex_testkit::{http, peers};
use serde_json::Value;

use crate::node::{Node, config, node_exporter, now_ms};

/// Nothing is scraped: what is answered is what was there.
const NO_TARGETS: &str = "global:\n  scrape_interval: 15s\nscrape_configs: []\n";

/// Blocks so short that a minute leaves blocks, a log with a checkpoint, and chunks of the head.
const SHORT_BLOCKS: [&str; 4] = [
    "--storage.tsdb.min-block-duration=30s",
    "--storage.tsdb.max-block-duration=90s",
    "--web.enable-admin-api",
    "--storage.tsdb.wal-compression",
];

const QUERIES: [&str; 12] = [
    "{__name__=~\".+\"}",
    "up",
    "rate(node_cpu_seconds_total[10s])",
    "sum by (mode) (rate(node_cpu_seconds_total[20s]))",
    "sum(node_memory_MemFree_bytes) / sum(node_memory_MemTotal_bytes)",
    "sum by (job) ({__name__=~\"node_.+\"})",
    "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[30s])))",
    "count by (__name__) ({job=~\".+\"})",
    "avg_over_time(node_load1[15s])",
    "irate(prometheus_tsdb_head_samples_appended_total[10s])",
    "stddev_over_time(scrape_duration_seconds[20s])",
    "changes(process_start_time_seconds[1m])",
];

#[test]
fn the_way_in_and_out_keeps_every_sample() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = peers::find("prometheus") else { return };
    let Some(promtool) = peers::find("promtool") else { return };
    let Some((exporter, port)) = node_exporter(folder.path()) else { return };
    let start = now_ms();
    let data = folder.path().join("prometheus");
    let text = config(&[format!("127.0.0.1:{port}")], None);
    let mut scraping = Node::start_in(Some(&data), &program, &text, &SHORT_BLOCKS);
    let text = config(&[format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", scraping.port)], None);
    scraping.configure(&text);
    // Long enough for a block, and until there is a full chunk behind it, which Prometheus writes
    // when it ends: it has a block made once the head is one and a half times as long.
    delete_soon(&scraping);
    let blocks = || {
        let entries = std::fs::read_dir(&data).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().len() == 26).count()
    };
    let is_due = || blocks() > 0 && (2..12).contains(&(now_ms() / 1000 % 30));
    assert!(wait_until(Duration::from_secs(150), is_due), "no block");
    scraping.stop();
    let chunks = |data: &Path| count(&data.join("chunks_head"));
    assert!(chunks(&data) > 0, "no chunks of the head");
    check_round(&promtool, &data, &folder.path().join("stopped"));
    // Then what is there after a kill.
    scraping.run();
    delete_soon(&scraping);
    scraping.kill();
    drop(exporter);
    let left = folder.path().join("left");
    copy(&data, &left);
    assert!(count(&left.join("wal")) > 0, "no log");
    let end = now_ms();
    let killed = folder.path().join("killed");
    check_round(&promtool, &left, &killed);
    let theirs = Node::start_in(Some(&data), &program, NO_TARGETS, &[]);
    let ours = Node::narthex_in(&killed.join("narthex"), NO_TARGETS);
    let back = Node::start_in(Some(&killed.join("blocks")), &program, NO_TARGETS, &[]);
    for query in QUERIES {
        let want = range(&theirs, query, (start, end));
        assert!(!want.is_empty(), "nothing to compare in {query}");
        compare(query, &want, &range(&ours, query, (start, end)));
        compare(query, &want, &range(&back, query, (start, end)));
    }
    let seconds = u64::try_from((end - start) / 1000 + 5).unwrap();
    let raw = |node: &Node| node.raw("{job=\"node\"}", seconds, end);
    let want = raw(&theirs);
    let samples: usize = want.values().map(Vec::len).sum();
    assert!(want.len() > 800 && samples > 40_000, "{samples} samples of {}", want.len());
    assert!(raw(&ours) == want && raw(&back) == want, "raw samples differ");
}

/// Deletes a series after some scrapes, and waits for some more.
fn delete_soon(node: &Node) {
    std::thread::sleep(Duration::from_secs(4));
    let path = "/api/v1/admin/tsdb/delete_series?match%5B%5D=node_load5";
    let answer = http::ask(node.port, "POST", path, "", &[]).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    std::thread::sleep(Duration::from_secs(4));
}

/// Imports `data` into `folder/narthex`, a second time without effect, exports that to
/// `folder/blocks`, and has promtool say that both hold the same.
fn check_round(promtool: &Path, data: &Path, folder: &Path) {
    let (store, blocks) = (folder.join("narthex"), folder.join("blocks"));
    let path = format!("--storage.tsdb.path={}", store.display());
    let said = ctl(&["import", "prometheus", &data.display().to_string(), &path]);
    let again = ctl(&["import", "prometheus", &data.display().to_string(), &path]);
    assert_eq!(again, "imported 0 samples as 0 blocks of 0 bytes\n");
    let exported = ctl(&["export", "prometheus-blocks", &blocks.display().to_string(), &path]);
    assert_eq!(said.split(' ').nth(1), exported.split(' ').nth(1), "{said}{exported}");
    let dump = |data: &Path| {
        let output = Command::new(promtool).args(["tsdb", "dump"]).arg(data).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut lines: Vec<String> =
            String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (before, after) = (dump(data), dump(&blocks));
    assert!(before.len() > 10_000, "only {} samples", before.len());
    assert_eq!(Some(before.len().to_string().as_str()), said.split(' ').nth(1));
    let differs = before.iter().zip(&after).find(|(a, b)| a != b);
    assert!(before.len() == after.len() && differs.is_none(), "{differs:?}");
    let output = Command::new(promtool).args(["tsdb", "analyze"]).arg(&blocks).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn ctl(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narthex"));
    let output = command.arg("ctl").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Each series of a range query, as text that shows every bit of its numbers.
fn range(node: &Node, query: &str, (start, end): (i64, i64)) -> Vec<String> {
    let path = format!(
        "/api/v1/query_range?query={}&start={}&end={}&step=1",
        http::encode(query),
        start / 1000,
        end / 1000 + 1
    );
    let answer = http::get(node.port, &path).unwrap();
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    let result = answer.json()["data"]["result"].take();
    let mut series: Vec<String> = result.as_array().unwrap().iter().map(Value::to_string).collect();
    series.sort();
    series
}

fn compare(query: &str, want: &[String], found: &[String]) {
    let differs = want.iter().zip(found).find(|(a, b)| a != b);
    assert!(differs.is_none(), "{query}: {differs:?}");
    assert_eq!(want.len(), found.len(), "series of {query}");
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}
