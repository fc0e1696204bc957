//! The `narthex` program; everything it does stands in the library beside it, where tests reach.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    narthex::run(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()))
}
