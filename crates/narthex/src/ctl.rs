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

const HELP: &str = "usage: narthex ctl <command>\n\n\
  healthy [--url URL]     exit with 0 when the server answers /-/healthy, else 1\n\
  ready [--url URL]       the same for /-/ready\n\
  check-config FILE...    check configuration files and the rule files they name\n\
  import prometheus FOLDER [--storage.tsdb.path DIR] [--min-time T] [--max-time T]\n\
                          take over the data directory of a Prometheus that is stopped, blocks,\n\
                          log and head; begun again after an interruption it goes on\n\
  import openmetrics FILE... [--storage.tsdb.path DIR] [--min-time T] [--max-time T]\n\
                          take over OpenMetrics text with a timestamp on every sample, in any\n\
                          order; - is the standard input\n\
  export prometheus-blocks FOLDER [--storage.tsdb.path DIR] [--min-time T] [--max-time T]\n\
                          [--match SELECTOR]...\n\
                          write blocks that Prometheus, promtool and Thanos open\n\
  dump PATH...            print what stands in files of a data directory, or in all of it\n\
  verify PATH...          check every checksum; exit with 1 and name the place if one is wrong\n\
  stat PATH...            print sizes, counts and bytes per sample\n\
  remote status [--url URL]\n\
                          how far each receiver of remote write is, and what it refused\n\
  remote resend NAME --from T --to T [--url URL]\n\
                          offer the samples of this time to a receiver again; to be run on the\n\
                          server's machine\n\n\
T is RFC 3339, or seconds or milliseconds since 1970. DIR is data/ unless given.\n\
URL is that of the server, a route prefix included. By default it is the server that is the\n\
  first process of this container, else http://localhost:9090.\n";

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
