//! `kill -9` during ingest: what a query had shown is there after the restart.

use std::time::{Duration, Instant};

use narthex_testkit::background::Background;
use narthex_testkit::fleet::{Fleet, Options};

use crate::node::{Node, Samples, bodies, config, lost, merge, now_ms};

const KILLS: u64 = 30;
const RESTART_MAX: Duration = Duration::from_secs(1);
const SELECTOR: &str = "{job=\"node\"}";

#[test]
fn a_kill_loses_nothing_that_was_shown() {
    let background = Background::start().unwrap();
    let options = Options { targets: 3, frame_time: Duration::from_millis(700), chunk_bytes: 2048 };
    let fleet = background.run(Fleet::start(bodies(60, 50), &options)).unwrap();
    let targets: Vec<String> = fleet.addresses().iter().map(ToString::to_string).collect();
    let mut narthex = Node::narthex(&config(&targets, None));
    let mut shown = Samples::new();
    let begin = Instant::now();
    let mut random = Random(now_ms().unsigned_abs());
    println!("seed {}", random.0);
    for round in 0..KILLS {
        let until = Instant::now() + Duration::from_millis(700 + random.below(1800));
        while Instant::now() < until {
            merge(&mut shown, narthex.raw(SELECTOR, 5, now_ms()));
        }
        narthex.kill();
        let took = narthex.run();
        assert!(took < RESTART_MAX, "restart {round} took {took:?}: {}", narthex.log());
        let seconds = begin.elapsed().as_secs() + 10;
        let kept = narthex.raw(SELECTOR, seconds, now_ms());
        let lost = lost(&shown, &kept);
        assert!(lost.is_empty(), "kill {round} lost {lost:?}: {}", narthex.log());
    }
    let samples: usize = shown.values().map(Vec::len).sum();
    assert!(samples > 3000, "only {samples} samples were shown: {}", narthex.log());
}

/// A small generator of numbers that need no quality.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}
