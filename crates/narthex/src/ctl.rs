//! `narthex ctl`: what an operator, or a container's health check, asks without a shell.

use std::io::Write;

mod args;
mod ask;
mod check_config;
mod export;
mod import;
mod inspect;
mod progress;
mod remote;

/// How the command ended: well, or with a text that says why not.
pub type Outcome = Result<(), String>;

/// What `help` shows.
const HELP: &str = include_str!("ctl/help.txt");

/// Runs a command; `args` are the words after `ctl`. What it finds goes to `out`, what it has to
/// say meanwhile to `notes`.
pub fn run(args: &[String], out: &mut dyn Write, notes: &mut dyn Write) -> Outcome {
    use inspect::Command::{Dump, Stat, Verify};
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["healthy", rest @ ..] => ask::run(rest, "/-/healthy", out),
        ["ready", rest @ ..] => ask::run(rest, "/-/ready", out),
        ["check-config", files @ ..] if !files.is_empty() => check_config::run(files, out),
        ["import", rest @ ..] => import::run(rest, out, notes),
        ["export", rest @ ..] => export::run(rest, out, notes),
        ["dump", paths @ ..] if !paths.is_empty() => inspect::run(Dump, paths, out),
        ["verify", paths @ ..] if !paths.is_empty() => inspect::run(Verify, paths, out),
        ["stat", paths @ ..] if !paths.is_empty() => inspect::run(Stat, paths, out),
        ["remote", rest @ ..] => remote::run(rest, out),
        ["help" | "--help" | "-h"] => say(out, HELP),
        _ => Err(HELP.to_owned()),
    }
}

/// Writes a text; a reader that is gone ends the command.
fn say(out: &mut dyn Write, text: &str) -> Outcome {
    out.write_all(text.as_bytes()).map_err(|e| format!("{e}\n"))
}
