//! Real exporter, real receiver: what Prometheus got by remote write is what narthex keeps.

use std::time::Duration;

use narthex_testkit::peers;

use crate::node::{Node, config, node_exporter, now_ms};

/// How long samples are gathered.
const SECONDS: u64 = 180;

#[test]
fn forwarded_samples_equal_kept_ones() {
    let folder = tempfile::tempdir().unwrap();
    let Some(prometheus) = peers::find("prometheus") else { return };
    let Some((_exporter, port)) = node_exporter(folder.path()) else { return };
    let receiver =
        Node::start(&prometheus, "global: {}\n", &["--web.enable-remote-write-receiver"]);
    let url = format!("http://127.0.0.1:{}/api/v1/write", receiver.port);
    let narthex = Node::narthex(&config(&[format!("127.0.0.1:{port}")], Some(&url)));
    std::thread::sleep(Duration::from_secs(SECONDS));
    let at = now_ms();
    // What was scraped last may take until its batch's deadline to be sent.
    std::thread::sleep(Duration::from_secs(15));
    let kept = narthex.raw("{job=\"node\"}", 120, at);
    let forwarded = receiver.raw("{job=\"node\"}", 120, at);
    assert!(kept.len() > 300, "only {} series were scraped: {}", kept.len(), narthex.log());
    let missing: Vec<&String> = kept.keys().filter(|k| !forwarded.contains_key(*k)).collect();
    assert!(missing.is_empty(), "series that did not arrive: {missing:?}");
    let strange: Vec<&String> = forwarded.keys().filter(|k| !kept.contains_key(*k)).collect();
    assert!(strange.is_empty(), "series that narthex does not have: {strange:?}");
    let mut samples = 0;
    for (series, ours) in &kept {
        assert_eq!(ours, &forwarded[series], "{series}");
        samples += ours.len();
    }
    let least = kept.len() * 110;
    assert!(samples >= least, "{samples} samples of {} series in 120 s", kept.len());
}
