//! Real software to test against: found in the folder that `NARTHEX_PEERS` names, or in `PATH`.

use std::path::{Path, PathBuf};

/// The environment variable that names the folder with the peers' programs.
pub const FOLDER: &str = "NARTHEX_PEERS";

/// The environment variable that makes a missing peer a failure instead of a skipped test.
pub const REQUIRED: &str = "NARTHEX_PEERS_REQUIRED";

/// The path of a peer's program, by its Debian name (`prometheus`, `prometheus-node-exporter`).
/// When it is missing this says so on stderr, and the test should end there.
///
/// # Panics
/// When it is missing and [`REQUIRED`] is set.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn find(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = folder
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|program| is_program(program));
    if found.is_none() {
        assert!(std::env::var_os(REQUIRED).is_none(), "{name} is required ({REQUIRED} is set)");
        eprintln!("SKIPPED: {name} is not installed; set {FOLDER} to the folder that holds it");
    }
    found
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}
