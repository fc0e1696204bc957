//! The same samples in narthex and in Prometheus, the same queries to both: what differs?
//!
//! `cargo run --release -p narthex-benches --bin differ -- --narthex PROGRAM [--queries 5000]
//! [--seed 1]` prints every query whose answers differ, with both answers, and at the end the
//! counts. Prometheus is found as for the tests (`NARTHEX_PEERS`). Exits with 1 when anything
//! differs.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a report for a person")]
#![expect(clippy::disallowed_methods, reason = "starts programs and touches their files")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Arg, ArgAction};
use narthex_testkit::differ::{self, Data, Grammar, Question, When, compliance};
use narthex_testkit::process::{Process, free_port, wait_until};
use narthex_testkit::{http, peers};
use serde_json::Value;

/// Steps of 15 s that there are samples for: two hours and a half.
const STEPS: usize = 600;

#[derive(Debug)]
struct Options {
    /// The narthex program.
    narthex: PathBuf,
    /// How many random queries.
    queries: usize,
    /// What they follow from.
    seed: u64,
    /// Whether experimental functions are on in both.
    experimental: bool,
    /// Whether both go on until a line comes on standard input.
    hold: bool,
}

impl Options {
    fn parse() -> Result<Self> {
        let value =
            |name, default, help| Arg::new(name).long(name).default_value(default).help(help);
        let on = |name, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
        let matches = clap::Command::new("differ")
            .about("compares the answers of narthex with those of Prometheus")
            .arg(value("narthex", "target/release/narthex", "the program"))
            .arg(value("queries", "5000", "random queries"))
            .arg(value("seed", "1", "what they follow from"))
            .arg(on("experimental", "experimental functions are on in both"))
            .arg(on("hold", "leave both running until a line is typed"))
            .get_matches();
        let text = |name| matches.get_one::<String>(name).context("it has a default");
        Ok(Self {
            narthex: text("narthex")?.into(),
            queries: text("queries")?.parse().context("--queries")?,
            seed: text("seed")?.parse().context("--seed")?,
            experimental: matches.get_flag("experimental"),
            hold: matches.get_flag("hold"),
        })
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse()?;
    let prometheus = peers::find("prometheus").context("no Prometheus to compare with")?;
    let folder = tempfile::tempdir()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let end_ms = i64::try_from(now.as_millis())? / 60_000 * 60_000;
    let data = Data::new(options.seed, end_ms, STEPS);
    let start = |program: &Path| start(program, folder.path(), &options);
    let (theirs, their_port) = start(&prometheus)?;
    let (ours, our_port) = start(&options.narthex)?;
    data.push(their_port).context("push to Prometheus")?;
    data.push(our_port).context("push to narthex")?;
    println!("{} samples in both", data.samples());

    let mut counts = Counts::default();
    for question in compliance_questions(end_ms) {
        counts.ask((their_port, our_port), &question)?;
    }
    println!("compliance: {counts:?}");
    let mut grammar = Grammar::new(options.seed, data.first_ms(), end_ms, options.experimental);
    let mut random = Counts::default();
    for _ in 0..options.queries {
        random.ask((their_port, our_port), &grammar.question())?;
    }
    println!("compliance: {counts:?}\nrandom:     {random:?}");
    if options.hold {
        println!("Prometheus: port {their_port}, narthex: port {our_port}, data to {end_ms}");
        std::io::stdin().read_line(&mut String::new())?;
    }
    theirs.kill();
    ours.kill();
    let equal = counts.different + random.different == 0;
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each query of the suite as it is asked there, over a range, and at instants.
fn compliance_questions(end_ms: i64) -> Vec<Question> {
    let start = end_ms - 12 * 60_000;
    let mut questions = Vec::new();
    for query in compliance::queries() {
        for when in [
            When::Range { start, end: end_ms - 2 * 60_000, step: 10_000 },
            When::At(end_ms - 2 * 60_000),
            When::At(end_ms - 3_333_333),
        ] {
            questions.push(Question { query: query.clone(), when });
        }
    }
    questions
}

fn start(program: &Path, folder: &Path, options: &Options) -> Result<(Process, u16)> {
    let port = free_port()?;
    let folder = folder.join(port.to_string());
    std::fs::create_dir(&folder)?;
    let config = folder.join("prometheus.yml");
    // The interval is the step of subqueries that name none.
    std::fs::write(&config, "global: {scrape_interval: 1m, evaluation_interval: 1m}\n")?;
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--web.enable-remote-write-receiver");
    // Native histograms are an option of Prometheus 3.5, and always on in narthex.
    let experimental = if options.experimental { ",promql-experimental-functions" } else { "" };
    command.arg(format!("--enable-feature=native-histograms{experimental}"));
    let process = Process::start(&mut command, &folder.join("log"))?;
    let ready = wait_until(Duration::from_secs(30), || {
        http::get(port, "/-/ready").is_ok_and(|answer| answer.status == 200)
    });
    ensure!(ready, "{} is not ready", program.display());
    Ok((process, port))
}

/// What came of all questions.
#[derive(Debug, Default)]
struct Counts {
    asked: usize,
    /// Both answered with an error.
    failed: usize,
    different: usize,
    /// Equal errors whose texts differ.
    other_words: usize,
    /// Equal annotations that name another place of the query.
    other_places: usize,
    /// Prometheus answers otherwise when it is asked again.
    undecided: usize,
}

impl Counts {
    fn ask(&mut self, ports: (u16, u16), question: &Question) -> Result<()> {
        let compared =
            differ::ask(ports, question).with_context(|| format!("ask {}", question.query))?;
        self.asked += 1;
        self.failed += usize::from(compared.failed);
        self.other_words += usize::from(compared.other_words);
        self.other_places += usize::from(compared.other_places);
        self.undecided += usize::from(compared.undecided);
        if compared.other_words {
            let (theirs, ours) = (&compared.first["error"], &compared.second["error"]);
            println!("other words: {}\n  {theirs}\n  {ours}", question.query);
        }
        if compared.other_places {
            let notes = |answer: &Value| format!("{} {}", answer["warnings"], answer["infos"]);
            let (theirs, ours) = (notes(&compared.first), notes(&compared.second));
            println!("other places: {}\n  {theirs}\n  {ours}", question.query);
        }
        if compared.undecided {
            println!("undecided: {}", question.query);
        }
        if !compared.differences.is_empty() {
            self.different += 1;
            println!("DIFFERENT {}", compared.report());
        }
        Ok(())
    }
}
