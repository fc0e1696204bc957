//! `narthex ctl check-config`.

use std::io::Write;
use std::path::Path;

use super::{Outcome, say};
use crate::settings::Settings;

/// Reads each file as the server would, with the files that it names.
pub(super) fn run(files: &[&str], out: &mut dyn Write) -> Outcome {
    for file in files {
        let settings = Settings::load(Path::new(file));
        let text = match &settings {
            Ok(_) => format!("Checking {file}\n SUCCESS: {file} is valid\n"),
            Err(_) => format!("Checking {file}\n"),
        };
        say(out, &text)?;
        settings.map_err(|e| format!("  FAILED: {e}\n"))?;
    }
    Ok(())
}
