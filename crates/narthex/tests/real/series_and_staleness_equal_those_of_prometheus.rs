//! Side by side with a real Prometheus on the same exporter.

use std::time::Duration;

use narthex_testkit::peers;
use narthex_testkit::process::wait_until;

use crate::node::{Node, config, node_exporter, now_ms};

#[test]
fn series_and_staleness_equal_those_of_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let Some(prometheus) = peers::find("prometheus") else { return };
    let Some((exporter, port)) = node_exporter(folder.path()) else { return };
    let text = config(&[format!("127.0.0.1:{port}")], None);
    let narthex = Node::narthex(&text);
    let prometheus = Node::start(&prometheus, &text, &[]);
    std::thread::sleep(Duration::from_secs(8));
    let job = "{job=\"node\"}";
    let (ours, theirs) = (narthex.series(job), prometheus.series(job));
    let only_ours: Vec<_> = ours.iter().filter(|s| !theirs.contains(s)).collect();
    let only_theirs: Vec<_> = theirs.iter().filter(|s| !ours.contains(s)).collect();
    assert!(only_ours.is_empty() && only_theirs.is_empty(), "{only_ours:?} {only_theirs:?}");
    for name in ["up", "scrape_duration_seconds", "scrape_series_added"] {
        assert!(ours.iter().any(|s| s.contains(&format!("\"{name}\""))), "{name} in {ours:?}");
    }
    exporter.kill();
    std::thread::sleep(Duration::from_secs(4));
    let ends: Vec<i64> = [&narthex, &prometheus].map(moment_of_the_end).to_vec();
    // Both ask once a second, each in its own phase.
    assert!((ends[0] - ends[1]).abs() <= 1000, "{ends:?}");
}

/// The time at which all series but the report's went stale: that of the first failed scrape.
fn moment_of_the_end(node: &Node) -> i64 {
    let mut first_down = None;
    let found = wait_until(Duration::from_secs(10), || {
        let up = node.raw("up{job=\"node\"}", 20, now_ms());
        let samples = up.into_values().next().unwrap_or_default();
        first_down = samples.iter().find(|(_, value)| value == "0").map(|(at, _)| *at);
        first_down.is_some()
    });
    assert!(found, "up never went to 0");
    let at = first_down.unwrap();
    let before = node.shown("{job=\"node\"}", at - 1);
    let after = node.shown("{job=\"node\"}", at);
    assert!(before.len() > 300, "{} series shown before the end", before.len());
    assert_eq!(after.len(), 5, "{after:?}");
    at
}
