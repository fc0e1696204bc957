//! The `narthex` program: flags, start-up, reload, shutdown, HTTP API.
//!
//! [`run`] is the whole program; `main.rs` only calls it. The command line is read by [`flags`],
//! events are written by [`logging`], time comes from [`clock`], the HTTP API stands in [`web`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

pub mod app;
pub mod build;
pub mod clock;
pub mod flags;
pub mod logging;
pub mod query_pool;
pub mod telemetry;
pub mod web;

/// Runs the program with these arguments, the program's name first, until it is told to stop.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line answers there")]
pub fn run(args: impl IntoIterator<Item = String>) -> ExitCode {
    match flags::parse(args) {
        Ok(_) => ExitCode::SUCCESS,
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
