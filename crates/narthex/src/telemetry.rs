//! What the program counts about itself, and how `/metrics` shows it.
//!
//! The figures of the store, of scraping and of remote write are counted where they arise; here
//! they get the names that Prometheus gives them, so that its dashboards and alerts work.

mod discovery;
mod engine;
mod exemplars;
mod file_logs;
mod http;
mod process;
mod receive;
mod remote;
mod scrape;
mod store;
mod text;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use narthex_model::Timestamp;

pub use discovery::discovery;
pub use engine::Engine;
pub use exemplars::{exemplars, sent_exemplars};
pub use file_logs::file_logs;
pub use http::Http;
pub use receive::receive;
pub use remote::remote;
pub use scrape::scrape;
pub use store::store;
pub use text::{Histogram, Page};

/// The counters of the program itself.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// Requests to the HTTP API.
    pub http: Http,
    /// Queries.
    pub engine: Engine,
    /// The configuration.
    pub reload: Reload,
}

/// How the last reload went.
#[derive(Debug, Default)]
pub struct Reload {
    failed: AtomicBool,
    succeeded_at_ms: AtomicI64,
}

impl Reload {
    /// The configuration was taken over.
    pub fn succeeded(&self, at: Timestamp) {
        self.failed.store(false, Relaxed);
        self.succeeded_at_ms.store(at.millis(), Relaxed);
    }

    /// A new configuration was refused.
    pub fn failed(&self) {
        self.failed.store(true, Relaxed);
    }

    /// Whether the last attempt succeeded.
    pub fn is_successful(&self) -> bool {
        !self.failed.load(Relaxed)
    }

    /// When a configuration was last taken over.
    pub fn succeeded_at(&self) -> Timestamp {
        Timestamp(self.succeeded_at_ms.load(Relaxed))
    }

    fn render(&self, page: &mut Page) {
        page.gauge(
            "prometheus_config_last_reload_successful",
            "Whether the last configuration reload attempt was successful.",
            f64::from(u8::from(self.is_successful())),
        );
        page.gauge(
            "prometheus_config_last_reload_success_timestamp_seconds",
            "Timestamp of the last successful configuration reload.",
            self.succeeded_at().seconds(),
        );
    }
}

impl Telemetry {
    /// Writes the figures of the program itself.
    pub fn render(&self, page: &mut Page, started: Timestamp) {
        build(page);
        self.reload.render(page);
        self.engine.render(page);
        self.http.render(page);
        process::render(page, started);
    }
}

fn build(page: &mut Page) {
    let labels = [
        ("branch", crate::build::BRANCH),
        ("goarch", crate::build::arch()),
        ("goos", crate::build::os()),
        ("goversion", "none (rust)"),
        ("revision", crate::build::REVISION),
        ("tags", "unknown"),
        ("version", crate::build::API_VERSION),
    ];
    page.family(
        "prometheus_build_info",
        "gauge",
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from \
         which prometheus was built, and the goos and goarch for the build.",
    )
    .put("", &labels, 1.0);
    page.family("narthex_build_info", "gauge", "The version of narthex.").put(
        "",
        &[("revision", crate::build::REVISION), ("version", crate::build::VERSION)],
        1.0,
    );
}
