//! Runs `*.test` scripts and prints how many evaluations are as expected:
//! `promqltest [-v] [--at-least N] FOLDER-OR-FILE...`
#![expect(clippy::print_stdout, reason = "a program for developers that talks to its terminal")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use narthex_promql::script::{self, Needs, Outcome};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut verbose, mut at_least, mut paths) = (false, 0, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-v" => verbose = true,
            "--at-least" => at_least = args.next().and_then(|n| n.parse().ok()).unwrap_or(0),
            _ => scripts(Path::new(&arg), &mut paths),
        }
    }
    let (mut all, mut broken) = (Vec::new(), 0);
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        match script::run(&text) {
            Ok(outcomes) => {
                println!("{}: {}", path.display(), summary(&outcomes));
                print_failures(&outcomes, verbose);
                all.extend(outcomes);
            }
            Err(error) => {
                println!("{}: {error}", path.display());
                broken += 1;
            }
        }
    }
    println!("all: {}", summary(&all));
    let passed = all.iter().filter(|outcome| outcome.failure.is_none()).count();
    if passed < at_least {
        println!("{passed} pass, at least {at_least} must");
    }
    if broken == 0 && passed >= at_least { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn scripts(path: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(path) else { return found.push(path.to_owned()) };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<PathBuf> =
        paths.filter(|p| p.extension() == Some("test".as_ref())).collect();
    paths.sort();
    found.extend(paths);
}

/// `passed/all pass; of those on plain numbers passed/all`.
fn summary(outcomes: &[Outcome]) -> String {
    let count = |only_plain: bool| {
        let chosen = outcomes.iter().filter(|o| !only_plain || o.needs == Needs::Nothing);
        let (passed, all) = chosen.fold((0, 0), |(passed, all), outcome| {
            (passed + usize::from(outcome.failure.is_none()), all + 1)
        });
        format!("{passed}/{all}")
    };
    format!("{} pass; without histograms and start times {}", count(false), count(true))
}

fn print_failures(outcomes: &[Outcome], verbose: bool) {
    for outcome in outcomes.iter().filter(|o| o.failure.is_some()) {
        if verbose && outcome.needs == Needs::Nothing {
            println!("  {outcome}");
        }
    }
}
