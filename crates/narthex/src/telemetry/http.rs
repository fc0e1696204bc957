//! Requests to the HTTP side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::text::{Histogram, Page};

static DURATIONS: [f64; 9] = [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
static SIZES: [f64; 8] = [1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Counts of requests by handler. Handlers are routes of the program, so their number is bounded.
#[derive(Debug, Default)]
pub struct Http {
    handlers: Mutex<BTreeMap<Arc<str>, Handler>>,
}

#[derive(Debug)]
struct Handler {
    codes: BTreeMap<u16, u64>,
    durations: Histogram<9>,
    sizes: Histogram<8>,
}

impl Default for Handler {
    fn default() -> Self {
        let (durations, sizes) = (Histogram::new(&DURATIONS), Histogram::new(&SIZES));
        Self { codes: BTreeMap::new(), durations, sizes }
    }
}

impl Http {
    /// A request was answered.
    pub fn answered(&self, handler: &Arc<str>, code: u16, took: Duration) {
        let mut handlers = self.handlers.lock();
        let handler = handlers.entry(Arc::clone(handler)).or_default();
        *handler.codes.entry(code).or_default() += 1;
        handler.durations.observe(took.as_secs_f64());
    }

    /// The body of an answer has left.
    #[expect(clippy::cast_precision_loss, reason = "a size in a histogram")]
    pub fn sent(&self, handler: &Arc<str>, bytes: u64) {
        let mut handlers = self.handlers.lock();
        handlers.entry(Arc::clone(handler)).or_default().sizes.observe(bytes as f64);
    }

    /// Writes the figures.
    pub fn render(&self, page: &mut Page) {
        let handlers = self.handlers.lock();
        let mut family =
            page.family("prometheus_http_requests_total", "counter", "Counter of HTTP requests.");
        for (name, handler) in handlers.iter() {
            for (code, count) in &handler.codes {
                family.count(&[("code", &code.to_string()), ("handler", name)], *count);
            }
        }
        let help = "Histogram of latencies for HTTP requests.";
        let mut family = page.family("prometheus_http_request_duration_seconds", "histogram", help);
        for (name, handler) in handlers.iter() {
            family.histogram(&[("handler", name)], &handler.durations);
        }
        let help = "Histogram of response size for HTTP requests.";
        let mut family = page.family("prometheus_http_response_size_bytes", "histogram", help);
        for (name, handler) in handlers.iter() {
            family.histogram(&[("handler", name)], &handler.sizes);
        }
    }

    #[cfg(test)]
    pub(crate) fn render_to_string(&self) -> String {
        let mut page = Page::default();
        self.render(&mut page);
        page.into_text()
    }
}
