//! What was built: version, revision, platform.

/// The version of narthex.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version that the HTTP API tells: clients such as Grafana choose their calls by the Prometheus
/// version whose API this is, so that one stands first and our own behind it.
pub const API_VERSION: &str = concat!("3.5.0+narthex.", env!("CARGO_PKG_VERSION"));

/// The revision that was built, when the builder told it.
pub const REVISION: &str = match option_env!("NARTHEX_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The branch that was built, when the builder told it.
pub const BRANCH: &str = match option_env!("NARTHEX_BRANCH") {
    Some(branch) => branch,
    None => "unknown",
};

/// The operating system in Go's words.
pub fn os() -> &'static str {
    std::env::consts::OS
}

/// The processor in Go's words.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
