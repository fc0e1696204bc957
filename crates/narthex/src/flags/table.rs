//! The table itself, and the kinds of values in it.

use std::fmt::Write as _;

use narthex_model::time::{format_duration, parse_duration};

/// What a flag's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A duration such as `1h30m`.
    Duration,
    /// A size such as `512MB`; units are powers of two.
    Bytes,
    /// A whole number, `5e7` allowed.
    Int,
    /// A number.
    Float,
    /// On or off: `--x` and `--no-x`.
    Bool,
    /// May be given several times; commas separate as well.
    List,
}

/// Whether a flag does something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what Prometheus does.
    Honoured,
    /// It is read, checked and shown, and changes nothing.
    Accepted,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// The name, without dashes.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The value when it is not given.
    pub default: &'static str,
    /// Whether it does something.
    pub effect: Effect,
    /// One sentence for `--help`.
    pub help: &'static str,
}

impl Kind {
    /// The word for the value in `--help`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Duration => "DURATION",
            Self::Bytes => "SIZE",
            Self::Int | Self::Float => "NUMBER",
            Self::Bool => "",
            Self::List => "LIST",
        }
    }

    /// Checks `text` and prints it as `/api/v1/status/flags` shows it.
    pub(super) fn normal(self, text: &str) -> Result<String, String> {
        match self {
            Self::Text | Self::List | Self::Bool => Ok(text.to_owned()),
            Self::Duration => parse_duration(text).map(format_duration).map_err(|e| e.to_string()),
            Self::Bytes => parse_bytes(text).map(format_bytes),
            Self::Float => number(text).map(|value| value.to_string()),
            Self::Int => {
                let value = number(text)?;
                if value.fract() != 0.0 || value.abs() > 9e15 {
                    return Err(format!("invalid whole number {text:?}"));
                }
                Ok(value.to_string())
            }
        }
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"))
}

const UNITS: [(&str, u32); 7] =
    [("E", 60), ("P", 50), ("T", 40), ("G", 30), ("M", 20), ("K", 10), ("", 0)];

/// Reads `512MB`, `15GiB`, `1.5G`... as bytes; units are powers of two, and needed unless zero.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    if text.is_empty() || text == "0" {
        return Ok(0);
    }
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let bare = unit.strip_suffix("iB").or_else(|| unit.strip_suffix('B'));
    let bare = bare.filter(|bare| !unit.is_empty() && bare.len() <= 1);
    let shift = bare.and_then(|bare| UNITS.iter().find(|(name, _)| *name == bare));
    let Some(&(_, shift)) = shift else {
        return Err(match unit {
            "" => format!("units: missing unit in {text}"),
            _ => format!("units: unknown unit {unit} in {text}"),
        });
    };
    let value: f64 = digits.parse().map_err(|_| format!("units: invalid {text}"))?;
    let bytes = value * 2f64.powi(i32::try_from(shift).unwrap_or(0));
    if !(0.0..9e18).contains(&bytes) {
        return Err(format!("units: {text} is out of range"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Ok(bytes as u64)
}

/// Prints bytes with the units that Prometheus prints: `15GiB`, `1GiB512MiB`, `0B`.
pub(super) fn format_bytes(bytes: u64) -> String {
    let mut rest = bytes;
    let mut out = String::new();
    for (name, shift) in UNITS {
        let count = rest >> shift;
        rest -= count << shift;
        if count > 0 {
            let unit = if name.is_empty() { "B".to_owned() } else { format!("{name}iB") };
            let _ = write!(out, "{count}{unit}");
        }
    }
    if out.is_empty() { "0B".to_owned() } else { out }
}

const fn works(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, effect: Effect::Honoured, help }
}

const fn mute(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, effect: Effect::Accepted, help }
}

/// Every flag.
#[rustfmt::skip]
pub const FLAGS: &[Flag] = &[
    works("config.file", Kind::Text, "prometheus.yml", "Path of the configuration file; without it and without ./prometheus.yml a built-in one is used."),
    mute("config.auto-reload", Kind::Bool, "false", "Reload when the configuration file changes."),
    mute("config.auto-reload-interval", Kind::Duration, "30s", "How often to look whether the configuration file changed."),
    works("web.listen-address", Kind::List, "0.0.0.0:9090", "Address to listen on; may be repeated."),
    works("web.config.file", Kind::Text, "", "File that turns on TLS or authentication for the server."),
    works("web.read-timeout", Kind::Duration, "5m", "Longest wait for a request, and longest idle connection."),
    works("web.max-connections", Kind::Int, "512", "Most connections at the same time."),
    works("web.max-notifications-subscribers", Kind::Int, "16", "Most listeners to live notifications."),
    works("web.external-url", Kind::Text, "", "The URL under which the server is reachable."),
    works("web.route-prefix", Kind::Text, "", "Prefix of every path; by default the path of --web.external-url."),
    mute("web.local-assets", Kind::Text, "", "Folder of static files."),
    mute("web.user-assets", Kind::Text, "", "Folder of static files, served at /user."),
    works("web.enable-lifecycle", Kind::Bool, "false", "Allow reload and shutdown by HTTP request."),
    works("web.enable-admin-api", Kind::Bool, "false", "Allow the API's admin actions: deleting series, snapshots."),
    works("web.enable-remote-write-receiver", Kind::Bool, "false", "Accept remote-write requests."),
    works("web.remote-write-receiver.accepted-protobuf-messages", Kind::List, "prometheus.WriteRequest,io.prometheus.write.v2.Request", "Messages that the remote-write receiver takes."),
    works("web.enable-otlp-receiver", Kind::Bool, "false", "Accept OTLP metrics."),
    mute("web.console.templates", Kind::Text, "consoles", "Folder of console templates."),
    mute("web.console.libraries", Kind::Text, "console_libraries", "Folder of console libraries."),
    mute("web.page-title", Kind::Text, "Prometheus Time Series Collection and Processing Server", "Title of the web page."),
    works("web.cors.origin", Kind::Text, ".*", "Pattern of the origins that browsers may call from; anchored."),
    works("storage.tsdb.path", Kind::Text, "data/", "Folder of the store."),
    works("storage.tsdb.retention.time", Kind::Duration, "30d", "How long samples are kept; 0: no limit by age."),
    works("storage.tsdb.retention.size", Kind::Bytes, "15GB", "How many bytes the store may take; powers of two; 0: no limit by size."),
    works("storage.narthex.sync-window", Kind::Duration, "1s", "How much the power may take: samples are made durable together this often; 0s: each scrape before it can be queried."),
    mute("storage.tsdb.no-lockfile", Kind::Bool, "false", "Do not lock the data folder."),
    mute("storage.tsdb.allow-overlapping-blocks", Kind::Bool, "true", "Allow overlapping blocks."),
    mute("storage.tsdb.allow-overlapping-compaction", Kind::Bool, "true", "Compact overlapping blocks."),
    mute("storage.tsdb.wal-compression", Kind::Bool, "true", "Compress the log."),
    mute("storage.tsdb.wal-compression-type", Kind::Text, "snappy", "How the log is compressed."),
    mute("storage.tsdb.wal-segment-size", Kind::Bytes, "0B", "Size of a log segment."),
    mute("storage.tsdb.min-block-duration", Kind::Duration, "2h", "Shortest time in a block."),
    mute("storage.tsdb.max-block-duration", Kind::Duration, "3d", "Longest time in a block."),
    mute("storage.tsdb.max-block-chunk-segment-size", Kind::Bytes, "0B", "Size of a chunk file."),
    mute("storage.tsdb.head-chunks-write-queue-size", Kind::Int, "0", "Queue for chunks to the disk."),
    mute("storage.tsdb.delay-compact-file.path", Kind::Text, "", "File that holds compaction back."),
    mute("storage.tsdb.delayed-compaction.max-percent", Kind::Int, "10", "Longest delay of a compaction."),
    mute("storage.tsdb.samples-per-chunk", Kind::Int, "120", "Samples in a chunk."),
    works("storage.remote.flush-deadline", Kind::Duration, "1m", "How long shutdown waits for remote write."),
    works("storage.remote.read-sample-limit", Kind::Int, "5e7", "Most samples that remote read answers."),
    works("storage.remote.read-concurrent-limit", Kind::Int, "10", "Most remote reads at the same time."),
    works("storage.remote.read-max-bytes-in-frame", Kind::Int, "1048576", "Bytes in a frame of streamed remote read."),
    mute("storage.agent.path", Kind::Text, "data-agent/", "Folder of the store in agent mode."),
    mute("storage.agent.wal-segment-size", Kind::Bytes, "0B", "Size of a log segment in agent mode."),
    mute("storage.agent.wal-compression", Kind::Bool, "true", "Compress the log in agent mode."),
    mute("storage.agent.wal-compression-type", Kind::Text, "snappy", "How the log is compressed in agent mode."),
    mute("storage.agent.wal-truncate-frequency", Kind::Duration, "0s", "How often the log is cut in agent mode."),
    mute("storage.agent.retention.min-time", Kind::Duration, "0s", "Least age to drop samples in agent mode."),
    mute("storage.agent.retention.max-time", Kind::Duration, "0s", "Greatest age of samples in agent mode."),
    mute("storage.agent.no-lockfile", Kind::Bool, "false", "Do not lock the folder in agent mode."),
    mute("rules.alert.for-outage-tolerance", Kind::Duration, "1h", "Longest outage after which alert state is restored."),
    mute("rules.alert.for-grace-period", Kind::Duration, "10m", "Least time between an alert and its restored state."),
    mute("rules.alert.resend-delay", Kind::Duration, "1m", "Least time before an alert is sent again."),
    mute("rules.max-concurrent-evals", Kind::Int, "4", "Most independent rules at the same time."),
    mute("scrape.adjust-timestamps", Kind::Bool, "true", "Align scrape times within the tolerance."),
    mute("scrape.timestamp-tolerance", Kind::Duration, "2ms", "Tolerance of the alignment."),
    mute("scrape.discovery-reload-interval", Kind::Duration, "5s", "How often discovered targets are taken over."),
    mute("alertmanager.notification-queue-capacity", Kind::Int, "10000", "Notifications that may wait."),
    mute("alertmanager.notification-batch-size", Kind::Int, "256", "Notifications in a batch."),
    mute("alertmanager.drain-notification-queue-on-shutdown", Kind::Bool, "true", "Send what waits when shutting down."),
    works("query.lookback-delta", Kind::Duration, "5m", "How far back a selector looks for a sample."),
    works("query.timeout", Kind::Duration, "2m", "Longest that a query may take."),
    works("query.max-concurrency", Kind::Int, "20", "Most queries at the same time."),
    works("query.narthex.max-memory", Kind::Bytes, "64MB", "Most memory that all queries and their answers may hold together; powers of two."),
    works("query.max-samples", Kind::Int, "50000000", "Most samples that one query may hold."),
    works("enable-feature", Kind::List, "", "Names of features to enable, separated by commas."),
    mute("auto-gomaxprocs", Kind::Bool, "true", "Set by Go's scheduler in Prometheus."),
    mute("auto-gomemlimit", Kind::Bool, "true", "Set by Go's memory limit in Prometheus."),
    mute("auto-gomemlimit.ratio", Kind::Float, "0.9", "Share of the memory for Go in Prometheus."),
    mute("auto-gomemlimit.refresh-interval", Kind::Duration, "0s", "How often the limit is read in Prometheus."),
    works("agent", Kind::Bool, "false", "Agent mode."),
    works("log.level", Kind::Text, "info", "Least level that is logged: debug, info, warn or error."),
    works("log.format", Kind::Text, "logfmt", "logfmt or json."),
];
