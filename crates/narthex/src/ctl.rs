//! `narthex ctl`: what an operator, or a container's health check, asks without a shell.

use std::io::Write;

mod ask;
mod check_config;

/// How the command ended: well, or with a text that says why not.
pub type Outcome = Result<(), String>;

const HELP: &str = "usage: narthex ctl <command>\n\n\
  healthy [--url URL]     exit with 0 when the server answers /-/healthy, else 1\n\
  ready [--url URL]       the same for /-/ready\n\
  check-config FILE...    check configuration files and the rule files they name\n\n\
URL is that of the server, a route prefix included. By default it is the server that is the\n\
  first process of this container, else http://localhost:9090.\n";

/// Runs a command; `args` are the words after `ctl`. What it finds goes to `out`, what it has to
/// say meanwhile to `notes`.
pub fn run(args: &[String], out: &mut dyn Write, _notes: &mut dyn Write) -> Outcome {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["healthy", rest @ ..] => ask::run(rest, "/-/healthy", out),
        ["ready", rest @ ..] => ask::run(rest, "/-/ready", out),
        ["check-config", files @ ..] if !files.is_empty() => check_config::run(files, out),
        ["help" | "--help" | "-h"] => out.write_all(HELP.as_bytes()).map_err(|e| e.to_string()),
        _ => Err(HELP.to_owned()),
    }
}
