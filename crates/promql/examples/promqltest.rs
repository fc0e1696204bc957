//! Runs test scripts: `promqltest [-v] [--at-least=N] DIR_OR_FILE...`. Prints passed and total per
//! file; `-v` lists what failed. Ends with a failure when a check failed or fewer than N passed.
#![expect(clippy::print_stdout, reason = "an example that reports")]

use std::path::{Path, PathBuf};

use narthex_promql::script::{Outcome, run};

fn main() -> std::io::Result<std::process::ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let at_least = args.iter().find_map(|arg| arg.strip_prefix("--at-least=")?.parse().ok());
    let mut files = Vec::new();
    for path in args.iter().filter(|arg| !arg.starts_with('-')) {
        collect(Path::new(path), &mut files)?;
    }
    files.sort();
    let mut totals = [0; 2];
    let mut count_all = 0;
    for file in files {
        let checks = run(&std::fs::read_to_string(&file)?);
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut counts = [0; 2];
        for check in &checks {
            let place = match &check.outcome {
                Outcome::Passed => 0,
                Outcome::Failed(message) => {
                    if has("-v") {
                        println!("{name}:{} failed: {}\n    {message}", check.line, check.query);
                    }
                    1
                }
            };
            counts[place] += 1;
        }
        let [passed, failed] = counts;
        println!("{name}: {passed}/{} passed, {failed} failed", checks.len());
        totals.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        count_all += checks.len();
    }
    let [passed, failed] = totals;
    println!("all: {passed}/{count_all} passed, {failed} failed");
    let good = failed == 0 && at_least.is_none_or(|least: usize| passed >= least);
    Ok(if good { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE })
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "test") {
            files.push(path);
        }
    }
    Ok(())
}
