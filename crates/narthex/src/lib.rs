//! The `narthex` program: flags, start-up, reload, shutdown, HTTP API.
//!
//! [`run`] is the whole program; `main.rs` only calls it. The command line is read by [`flags`],
//! the configuration by [`settings`] (or it is the [`builtin`] one); [`runtime`] is the life of
//! the process and says which thread does what. [`web`] answers requests from what [`app`] holds,
//! queries among them run on the [`query_pool`]. [`telemetry`] is `/metrics`, [`logging`] the
//! log, [`clock`] the time, [`ctl`] the commands of `narthex ctl`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

pub mod app;
pub mod build;
pub mod builtin;
pub mod clock;
pub mod ctl;
pub mod engine;
pub mod file_log;
pub mod flags;
pub mod inlet;
pub mod logging;
pub mod look;
pub mod notifications;
pub mod query_log;
pub mod query_pool;
pub mod runtime;
pub mod settings;
pub mod telemetry;
pub mod threads;
pub mod web;

/// Runs the program with these arguments, the program's name first, until it is told to stop.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line answers there")]
pub fn run(args: impl IntoIterator<Item = String>) -> ExitCode {
    narthex_store::give_back_freed_memory();
    let args: Vec<String> = args.into_iter().collect();
    if let [_, word, rest @ ..] = args.as_slice()
        && word == "ctl"
    {
        let (mut out, mut notes) = (std::io::stdout().lock(), std::io::stderr());
        return match ctl::run(rest, &mut out, &mut notes) {
            Ok(()) => ExitCode::SUCCESS,
            Err(text) => {
                eprint!("{text}");
                ExitCode::FAILURE
            }
        };
    }
    match flags::parse(args) {
        Ok(flags) => runtime::run(flags),
        Err(flags::Outcome::Print(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(flags::Outcome::Refused(text)) => {
            eprintln!("narthex: error: {text}, try --help");
            ExitCode::FAILURE
        }
    }
}
