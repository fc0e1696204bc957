//! The receiver is down for a minute and narthex is killed in the middle: all samples arrive.

use std::time::Duration;

use narthex_testkit::background::Background;
use narthex_testkit::fleet::{Fleet, Options};
use narthex_testkit::process::{free_port, wait_until};
use narthex_testkit::receiver::Receiver;

use crate::node::{Node, arrived, bodies, config, now_ms};

const OUTAGE: Duration = Duration::from_secs(60);
const SELECTOR: &str = "{job=\"node\"}";
const PATH: &str = "/api/v1/receive";

#[test]
fn an_outage_of_the_receiver_loses_nothing() {
    let background = Background::start().unwrap();
    let options = Options { targets: 3, frame_time: Duration::from_millis(900), chunk_bytes: 0 };
    let fleet = background.run(Fleet::start(bodies(40, 50), &options)).unwrap();
    let targets: Vec<String> = fleet.addresses().iter().map(ToString::to_string).collect();
    let port = free_port().unwrap();
    let first = background.run(Receiver::start(port, true)).unwrap();
    let url = format!("http://127.0.0.1:{port}{PATH}");
    let mut narthex = Node::narthex(&config(&targets, Some(&url)));
    std::thread::sleep(Duration::from_secs(12));
    let before = background.run(first.stop()).remove(PATH).unwrap_or_default();
    assert!(before.samples > 500, "{} samples before the outage", before.samples);
    std::thread::sleep(OUTAGE / 2);
    narthex.kill();
    narthex.run();
    std::thread::sleep(OUTAGE / 2);
    let second = background.run(Receiver::start(port, true)).unwrap();
    let end = now_ms();
    let caught_up = wait_until(Duration::from_secs(60), || {
        second.look(PATH, |r| r.series.values().any(|s| s.last_ms > end + 2000))
    });
    assert!(caught_up, "nothing new arrived after the outage: {}", narthex.log());
    let after = second.received(PATH);
    assert_eq!((before.out_of_order, after.out_of_order), (0, 0), "order was broken");
    let kept = narthex.raw(SELECTOR, 300, end);
    let arrived = arrived([&before, &after]);
    let mut samples = 0;
    for (series, ours) in &kept {
        let theirs = arrived.get(series).unwrap_or_else(|| panic!("{series} did not arrive"));
        for sample in ours {
            assert!(theirs.contains(sample), "{series}: {sample:?} did not arrive");
            samples += 1;
        }
    }
    assert!(samples > 120 * 60, "only {samples} samples were kept");
}
