//! `narthex ctl remote status` tells how a receiver is doing, and `resend` offers it again what it
//! has lost.

use std::process::Command;
use std::time::Duration;

use narthex_testkit::background::Background;
use narthex_testkit::fleet::{Fleet, Options};
use narthex_testkit::process::{free_port, wait_until};
use narthex_testkit::receiver::{Receiver, Trouble};

use crate::node::{Node, bodies, config, now_ms};

const SELECTOR: &str = "{job=\"node\"}";
const PATH: &str = "/api/v1/receive";
const PATIENCE: Duration = Duration::from_secs(40);

/// What `narthex ctl remote` says.
fn remote(narthex: &Node, words: &[&str]) -> String {
    let url = format!("http://127.0.0.1:{}", narthex.port);
    let mut command = Command::new(env!("CARGO_BIN_EXE_narthex"));
    let output =
        command.args(["ctl", "remote"]).args(words).args(["--url", &url]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_remote_commands_tell_and_repair() {
    let background = Background::start().unwrap();
    let options = Options { targets: 1, frame_time: Duration::from_millis(900), chunk_bytes: 0 };
    let fleet = background.run(Fleet::start(bodies(30, 50), &options)).unwrap();
    let targets: Vec<String> = fleet.addresses().iter().map(ToString::to_string).collect();
    let port = free_port().unwrap();
    let first = background.run(Receiver::start(port, true)).unwrap();
    let mut text = config(&targets, Some(&format!("http://127.0.0.1:{port}{PATH}")));
    text.push_str("  name: thanos\n  queue_config: {batch_send_deadline: 1s}\n");
    let from = now_ms();
    let narthex = Node::narthex(&text);
    let some = || first.look(PATH, |came| came.distinct() > 200);
    assert!(wait_until(PATIENCE, some), "{}", narthex.log());
    let status = remote(&narthex, &["status"]);
    assert!(status.contains("thanos") && status.contains(&port.to_string()), "{status}");

    // The receiver loses what it had, and says for a while that it is ill.
    background.run(first.stop());
    let second = background.run(Receiver::start(port, true)).unwrap();
    second.trouble(PATH, Some(Trouble::Status(500, None)));
    let to = now_ms();
    let ill = || remote(&narthex, &["status"]).contains("500");
    assert!(wait_until(PATIENCE, ill), "{}", remote(&narthex, &["status"]));
    second.trouble(PATH, None);
    let goes_on =
        || second.look(PATH, |came| came.series.values().any(|series| series.last_ms > to));
    assert!(wait_until(PATIENCE, goes_on), "{}", narthex.log());

    let kept = narthex.raw(SELECTOR, u64::try_from(to - from).unwrap() / 1000, to);
    // What comes again is older than what the receiver has since: it only counts it.
    let since = second.look(PATH, |came| came.series.values().map(|one| one.first_ms).min());
    let lost = kept.values().flatten().filter(|(at, _)| Some(*at) < since).count() as u64;
    assert!(lost > 200, "{lost} samples to send again");
    let missing = || second.look(PATH, |came| came.out_of_order) < lost;
    assert!(missing());
    let seconds = |ms: i64| (ms / 1000).to_string();
    let said = remote(
        &narthex,
        &["resend", "thanos", "--from", &seconds(from), "--to", &seconds(to + 1000)],
    );
    assert!(said.contains("thanos"), "{said}");
    assert!(wait_until(PATIENCE, || !missing()), "{}", remote(&narthex, &["status"]));
    let came = second.received(PATH);
    assert_eq!((came.contradicted, came.malformed), (0, 0));
}
