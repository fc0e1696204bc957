//! Nine ways in which a receiver can fail, at the same time and each with a queue of its own:
//! nothing is missing afterwards, nothing out of order, and no sample has two values.

use std::fmt::Write as _;
use std::time::Duration;

use narthex_testkit::background::Background;
use narthex_testkit::fleet::{Fleet, Options};
use narthex_testkit::process::{free_port, wait_until};
use narthex_testkit::receiver::{Received, Receiver, Trouble};

use crate::node::{Node, Samples, arrived, bodies, config, now_ms};

const SELECTOR: &str = "{job=\"node\"}";
const TARGETS: usize = 3;

/// How long all goes well, and then how long it does not.
const WELL: Duration = Duration::from_secs(8);
const ILL: Duration = Duration::from_secs(15);

/// The series that one receiver refuses.
const BAD_SERIES: &str = "at=\"7\"";

fn troubles() -> Vec<(&'static str, Option<Trouble>)> {
    vec![
        ("/refuse", None),
        ("/503", Some(Trouble::Status(503, None))),
        ("/429", Some(Trouble::Status(429, Some(2)))),
        ("/500", Some(Trouble::Status(500, None))),
        ("/hang", Some(Trouble::Hang)),
        ("/slow", Some(Trouble::Slow(Duration::from_millis(1500)))),
        ("/reset", Some(Trouble::Reset)),
        ("/lost-answer", Some(Trouble::LoseAnswer)),
        ("/bad-series", Some(Trouble::RefuseSeries(BAD_SERIES.to_owned()))),
    ]
}

#[test]
fn receivers_in_trouble_get_everything() {
    let background = Background::start().unwrap();
    let options =
        Options { targets: TARGETS, frame_time: Duration::from_millis(900), chunk_bytes: 0 };
    let fleet = background.run(Fleet::start(bodies(60, 50), &options)).unwrap();
    let targets: Vec<String> = fleet.addresses().iter().map(ToString::to_string).collect();
    let others = background.run(Receiver::start(0, true)).unwrap();
    let refusing = free_port().unwrap();
    let mut text = config(&targets, None);
    text.push_str("remote_write:\n");
    for (path, trouble) in troubles() {
        let port = if trouble.is_some() { others.address().port() } else { refusing };
        let _ = writeln!(
            text,
            "- {{name: '{path}', url: 'http://127.0.0.1:{port}{path}', remote_timeout: 2s, \
             queue_config: {{batch_send_deadline: 1s, max_samples_per_send: 300}}}}"
        );
    }
    let narthex = Node::narthex(&text);
    let from = now_ms();
    std::thread::sleep(WELL);
    for (path, trouble) in troubles() {
        others.trouble(path, trouble);
    }
    std::thread::sleep(ILL);
    for (path, _) in troubles().into_iter().filter(|(path, _)| *path != "/bad-series") {
        others.trouble(path, None);
    }
    let recovered = background.run(Receiver::start(refusing, true)).unwrap();
    let end = now_ms();
    let kept = narthex.raw(SELECTOR, u64::try_from(end - from).unwrap() / 1000, end);
    assert!(kept.len() > TARGETS * 60, "{} series: {}", kept.len(), narthex.log());
    for (path, trouble) in troubles() {
        let receiver = if trouble.is_some() { &others } else { &recovered };
        let bad = if path == "/bad-series" { BAD_SERIES } else { "none" };
        let caught_up = wait_until(Duration::from_secs(60), || {
            receiver.look(path, |came| came.series.values().any(|one| one.last_ms > end + 2000))
        });
        assert!(caught_up, "{path} is behind: {}", narthex.log());
        check(path, &kept, &receiver.received(path), bad, &narthex);
    }
}

/// `came` is all that is `kept`, but for the series that was refused on purpose.
fn check(path: &str, kept: &Samples, came: &Received, bad: &str, narthex: &Node) {
    let arrived = arrived([came]);
    // As JSON has it.
    let bad = bad.replace('=', "\":").replacen("at", "\"at", 1);
    let (mut missing, mut total) = (0, 0);
    for (series, ours) in kept.iter().filter(|(series, _)| !series.contains(&bad)) {
        let none = Vec::new();
        let theirs = arrived.get(series).unwrap_or(&none);
        missing += ours.iter().filter(|sample| !theirs.contains(sample)).count();
        total += ours.len();
    }
    let found = (missing, came.out_of_order, came.contradicted, came.malformed);
    assert_eq!(found, (0, 0, 0, 0), "{path}, of {total} samples: {}", narthex.log());
}
