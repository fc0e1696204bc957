//! The configuration.

use narthex_config::Config;

/// A configuration file; what is accepted is printed, and the print is accepted again.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(config) = Config::parse(text, "prometheus.yml") {
        drop(config.to_yaml());
    }
}
