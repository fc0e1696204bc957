//! One line per event, as Prometheus' log looks: logfmt or JSON, to standard error.
//!
//! Secrets have no way here: `config::Secret` cannot be printed, and URLs are logged without user
//! and query by those who log them.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::Arc;

use narthex_model::Clock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::clock::rfc3339;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `key=value` pairs.
    Logfmt,
    /// One JSON object.
    Json,
}

/// Longest value of a field in a line, in bytes; what is longer is cut.
const VALUE_BYTES_MAX: usize = 4096;

/// Starts logging for the whole process; a second call changes nothing.
pub fn init(level: &str, format: &str, clock: Arc<dyn Clock>) {
    let level = match level {
        "debug" => Level::DEBUG,
        "warn" => Level::WARN,
        "error" => Level::ERROR,
        _ => Level::INFO,
    };
    let format = if format == "json" { Format::Json } else { Format::Logfmt };
    let lines = Lines { level, format, clock };
    // Only a second call fails: the first one's logger stays, as the doc says.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
}

/// The layer that writes the lines.
#[derive(Debug)]
struct Lines {
    level: Level,
    format: Format,
    clock: Arc<dyn Clock>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        *metadata.level() <= self.level
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = render(self.format, &rfc3339(self.clock.now()), event.metadata(), &fields);
        // Nobody is left to tell when standard error is gone.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

#[derive(Debug, Default)]
struct Fields {
    message: String,
    pairs: Vec<(&'static str, Text)>,
}

/// A value of a field; what is a number or a boolean stands bare in JSON.
#[derive(Debug)]
struct Text {
    text: String,
    bare: bool,
}

impl Fields {
    fn put_bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.pairs.push((field.name(), Text { text: value.to_string(), bare: true }));
    }

    fn put(&mut self, field: &Field, mut value: String) {
        if value.len() > VALUE_BYTES_MAX {
            value.truncate(value.floor_char_boundary(VALUE_BYTES_MAX));
            value.push_str("...");
        }
        match field.name() {
            "message" => self.message = value,
            name => self.pairs.push((name, Text { text: value, bare: false })),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_bare(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

fn render(format: Format, time: &str, metadata: &Metadata<'_>, fields: &Fields) -> String {
    let file = metadata.file().unwrap_or("unknown");
    let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let source = format!("{file}:{}", metadata.line().unwrap_or(0));
    let head = [
        ("time", time),
        ("level", metadata.level().as_str()),
        ("source", source.as_str()),
        ("msg", fields.message.as_str()),
    ];
    let head = head.map(|(name, value)| (name, value, false));
    let pairs = fields.pairs.iter().map(|(name, value)| (*name, &*value.text, value.bare));
    let mut line = String::with_capacity(160);
    for (name, value, bare) in head.into_iter().chain(pairs) {
        match format {
            Format::Logfmt if line.is_empty() => {}
            Format::Logfmt => line.push(' '),
            Format::Json => line.push(if line.is_empty() { '{' } else { ',' }),
        }
        match format {
            Format::Logfmt => logfmt_pair(&mut line, name, value),
            Format::Json => json_pair(&mut line, name, value, bare),
        }
    }
    line.push_str(if format == Format::Json { "}\n" } else { "\n" });
    line
}

fn logfmt_pair(line: &mut String, name: &str, value: &str) {
    line.push_str(name);
    line.push('=');
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '"' && c != '=';
    if !value.is_empty() && value.chars().all(plain) {
        line.push_str(value);
    } else {
        // Writing into a String cannot fail.
        let _ = write!(line, "{}", narthex_model::number::GoQuoted(value));
    }
}

fn json_pair(line: &mut String, name: &str, value: &str, bare: bool) {
    let mut bytes = Vec::with_capacity(name.len() + value.len() + 8);
    crate::web::json::string(&mut bytes, name);
    bytes.push(b':');
    if bare {
        bytes.extend_from_slice(value.as_bytes());
    } else {
        crate::web::json::string(&mut bytes, value);
    }
    line.push_str(&String::from_utf8_lossy(&bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs one event through a layer that keeps the line.
    fn line(format: Format) -> String {
        struct Keep(Format, Arc<parking_lot::Mutex<String>>);
        impl<S: Subscriber> Layer<S> for Keep {
            fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
                let mut fields = Fields::default();
                event.record(&mut fields);
                *self.1.lock() = render(self.0, "T", event.metadata(), &fields);
            }
        }
        let kept = Arc::new(parking_lot::Mutex::new(String::new()));
        let layers = tracing_subscriber::registry().with(Keep(format, Arc::clone(&kept)));
        tracing::subscriber::with_default(layers, || {
            tracing::warn!(job = "a b", count = 3, err = "", "said \"so\"");
        });
        let line = kept.lock().clone();
        let at = line.find("logging.rs:").unwrap();
        let end = line[at + 11..].find(|c: char| !c.is_ascii_digit()).unwrap();
        format!("{}N{}", &line[..at + 11], &line[at + 11 + end..])
    }

    #[test]
    fn lines_look_like_those_of_prometheus() {
        assert_eq!(
            line(Format::Logfmt),
            "time=T level=WARN source=logging.rs:N msg=\"said \\\"so\\\"\" job=\"a b\" count=3 err=\"\"\n"
        );
        assert_eq!(
            line(Format::Json),
            "{\"time\":\"T\",\"level\":\"WARN\",\"source\":\"logging.rs:N\",\
             \"msg\":\"said \\\"so\\\"\",\"job\":\"a b\",\"count\":3,\"err\":\"\"}\n"
        );
    }
}
