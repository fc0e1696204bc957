//! Queries to narthex and to a real Prometheus that hold the same samples.

use narthex_testkit::differ::{self, Data, Grammar, Question, When, compliance};
use narthex_testkit::peers;

use crate::node::{Node, now_ms};

/// Random queries; `cargo run -p narthex-benches --bin differ` asks more.
const QUERIES: usize = 500;

const SEED: u64 = 20_261_121;

/// Steps of 15 s that there are samples for.
const STEPS: usize = 400;

const CONFIG: &str = "global: {scrape_interval: 1m, evaluation_interval: 1m}\n";

#[test]
fn answers_equal_those_of_prometheus() {
    let Some(prometheus) = peers::find("prometheus") else { return };
    let flags = ["--web.enable-remote-write-receiver", "--enable-feature=native-histograms"];
    let theirs = Node::start(&prometheus, CONFIG, &flags);
    let narthex = std::path::Path::new(env!("CARGO_BIN_EXE_narthex"));
    let ours = Node::start(narthex, CONFIG, &flags);
    let end_ms = now_ms() / 60_000 * 60_000;
    let data = Data::new(SEED, end_ms, STEPS);
    data.push(theirs.port).unwrap();
    data.push(ours.port).unwrap();

    let start = end_ms - 12 * 60_000;
    let when = When::Range { start, end: end_ms - 2 * 60_000, step: 10_000 };
    let suite = compliance::queries().into_iter().map(|query| Question { query, when });
    let mut grammar = Grammar::new(SEED, data.first_ms(), end_ms, false);
    let random = (0..QUERIES).map(|_| grammar.question());
    let mut different = Vec::new();
    for question in suite.chain(random) {
        let compared = differ::ask((theirs.port, ours.port), &question).unwrap();
        if !compared.differences.is_empty() {
            different.push(compared.report());
        }
    }
    assert!(different.is_empty(), "{} differ\n{}", different.len(), different.join("\n"));
}
