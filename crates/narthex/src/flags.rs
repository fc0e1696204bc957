//! The command line: one table of flags, spelled and defaulted as Prometheus has them.
//!
//! The table is the only list: the parser, `--help`, `/api/v1/status/flags` and the docs read it.
//! Flags that only make sense for Prometheus' own insides are accepted, shown and without effect,
//! so that existing compose files and unit files go on working.

mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use narthex_config::Config;
use narthex_model::time::{format_duration, parse_duration};
use narthex_store::Retention;

pub use table::{Effect, FLAGS, Flag, Kind};

/// Why the command line was refused, or what is to be printed instead of starting.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Print this and exit with 0 (`--help`, `--version`).
    Print(String),
    /// The command line is wrong: exit with 1 and this text.
    Refused(String),
}

/// The flags that the program reads, typed, and all of them as the API shows them.
#[derive(Clone, Debug)]
pub struct Flags {
    /// The configuration file; `None` when the flag was not given.
    pub config_file: Option<PathBuf>,
    /// Addresses to listen on, at least one.
    pub listen: Vec<String>,
    /// The folder of the store.
    pub data_dir: PathBuf,
    /// Samples older than this are removed; zero: no limit.
    pub retention_time: Duration,
    /// Blocks beyond this many bytes are removed, oldest first; zero: no limit.
    pub retention_bytes: u64,
    /// The URL under which the server is reachable, without a slash at its end; may be empty.
    pub external_url: String,
    /// What stands before every path: empty, or `/prefix`.
    pub route_prefix: String,
    /// Whether `/-/reload` and `/-/quit` work.
    pub enable_lifecycle: bool,
    /// Whether the API may delete and copy.
    pub enable_admin_api: bool,
    /// Whether `/api/v1/write` takes samples.
    pub enable_receiver: bool,
    /// The messages that `/api/v1/write` takes, by their names.
    pub receiver_messages: Vec<String>,
    /// Path of the file with TLS and basic authentication; empty: none.
    pub web_config_file: String,
    /// Origins that browsers may call from: a pattern, anchored.
    pub cors_origin: String,
    /// Most connections at the same time.
    pub connections_max: usize,
    /// Most listeners to live notifications.
    pub listeners_max: usize,
    /// Longest wait for a request and longest idle connection.
    pub read_timeout: Duration,
    /// Longest that a query may take, its wait in the queue included.
    pub query_timeout: Duration,
    /// Most queries at the same time.
    pub query_concurrency: usize,
    /// Most samples that one query may hold.
    pub query_samples_max: usize,
    /// Most memory that all queries may hold together, in bytes.
    pub query_memory_bytes: usize,
    /// How far back a selector looks for a sample.
    pub lookback: Duration,
    /// How long shutdown waits for remote write to flush.
    pub remote_flush_deadline: Duration,
    /// Most samples in one answer of remote read that is not streamed; zero: no limit.
    pub read_samples_max: usize,
    /// Most remote reads at the same time; zero: no limit.
    pub read_concurrency: usize,
    /// Bytes in a frame of streamed remote read, about.
    pub read_frame_bytes: usize,
    /// How often what was appended is made durable; zero: with each row.
    pub sync_window: Duration,
    /// Least level that is logged: `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// `logfmt` or `json`.
    pub log_format: String,
    /// Names from `--enable-feature`.
    pub features: Vec<String>,
    /// Flags that were given and are without effect here.
    pub ignored: Vec<&'static str>,
    /// Every flag with its value, in the order of names.
    pub all: BTreeMap<&'static str, String>,
}

/// Reads the command line; `args` holds the program's name first.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Flags, Outcome> {
    let matches = command().try_get_matches_from(args).map_err(|error| outcome(&error))?;
    if matches.get_flag("version") {
        return Err(Outcome::Print(version_text()));
    }
    let mut given: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for flag in FLAGS {
        let values = match flag.kind {
            Kind::Bool if matches.get_flag(flag.name) => vec!["true".to_owned()],
            Kind::Bool if matches.get_flag(&negated(flag.name)) => vec!["false".to_owned()],
            Kind::Bool => continue,
            _ => match matches.get_many::<String>(flag.name) {
                Some(values) => values.cloned().collect(),
                None => continue,
            },
        };
        if values.len() > 1 && flag.kind != Kind::List {
            return Err(Outcome::Refused(format!("flag '{}' cannot be repeated", flag.name)));
        }
        given.insert(flag.name, values);
    }
    Values::new(given)?.into_flags()
}

/// `narthex, version ...` as Prometheus prints its own.
pub fn version_text() -> String {
    format!(
        "narthex, version {} (branch: {}, revision: {})\n  platform:         {}/{}\n",
        crate::build::VERSION,
        crate::build::BRANCH,
        crate::build::REVISION,
        crate::build::os(),
        crate::build::arch(),
    )
}

fn command() -> Command {
    let mut command = Command::new("narthex")
        .about("The narthex monitoring server: a drop-in for Prometheus on small nodes")
        .disable_version_flag(true)
        .arg(
            Arg::new("version").long("version").action(ArgAction::SetTrue).help("Show the version"),
        );
    for flag in FLAGS {
        let mut help = flag.help.to_owned();
        if flag.effect == Effect::Accepted {
            help.push_str(" [accepted, without effect]");
        }
        let arg = Arg::new(flag.name).long(flag.name);
        if flag.kind == Kind::Bool {
            let no = negated(flag.name);
            command = command
                .arg(arg.action(ArgAction::SetTrue).overrides_with(no.clone()).help(help))
                .arg(
                    Arg::new(no.clone())
                        .long(no)
                        .action(ArgAction::SetTrue)
                        .overrides_with(flag.name)
                        .hide(true),
                );
        } else {
            if !flag.default.is_empty() {
                help = format!("{help} [default: {}]", flag.default);
            }
            command = command.arg(
                arg.action(ArgAction::Append).num_args(1).value_name(flag.kind.word()).help(help),
            );
        }
    }
    command
}

fn negated(name: &str) -> String {
    format!("no-{name}")
}

/// Says what clap found in the words that Prometheus uses.
fn outcome(error: &clap::Error) -> Outcome {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let arg = named(ContextKind::InvalidArg);
    let flag = arg.split([' ', '=']).next().unwrap_or_default().to_owned();
    Outcome::Refused(match error.kind() {
        ErrorKind::DisplayHelp => return Outcome::Print(error.to_string()),
        ErrorKind::UnknownArgument if flag.starts_with("--") => {
            format!("unknown long flag '{flag}'")
        }
        ErrorKind::UnknownArgument if flag.starts_with('-') && flag.len() > 1 => {
            format!("unknown short flag '{flag}'")
        }
        ErrorKind::UnknownArgument => format!("unexpected {arg}"),
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::NoEquals => {
            format!("expected argument for flag '{flag}'")
        }
        ErrorKind::TooManyValues => format!("unexpected {}", named(ContextKind::InvalidValue)),
        ErrorKind::ArgumentConflict => {
            format!("flag '{}' cannot be repeated", flag.trim_start_matches('-'))
        }
        _ => error.to_string().lines().next().unwrap_or_default().to_owned(),
    })
}

/// The values as given or by default, checked by kind when they are taken.
struct Values {
    given: BTreeMap<&'static str, Vec<String>>,
    all: BTreeMap<&'static str, String>,
}

impl Values {
    fn new(given: BTreeMap<&'static str, Vec<String>>) -> Result<Self, Outcome> {
        let mut all = BTreeMap::new();
        for flag in FLAGS {
            let text = match given.get(flag.name) {
                Some(values) => values.join(","),
                None => flag.default.to_owned(),
            };
            let text = flag.kind.normal(&text).map_err(Outcome::Refused)?;
            all.insert(flag.name, text);
        }
        Ok(Self { given, all })
    }

    fn text(&self, name: &str) -> &str {
        debug_assert!(self.all.contains_key(name), "{name} is not in the table");
        self.all.get(name).map_or("", String::as_str)
    }

    fn on(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    fn duration(&self, name: &str) -> Duration {
        parse_duration(self.text(name)).unwrap_or_default()
    }

    fn count(&self, name: &str) -> Result<usize, Outcome> {
        let text = self.text(name);
        text.parse()
            .map_err(|_| Outcome::Refused(format!("invalid value {text:?} for flag '--{name}'")))
    }

    /// A size, which must not be nothing.
    fn bytes(&self, name: &str) -> Result<usize, Outcome> {
        let text = self.text(name);
        let bytes = table::parse_bytes(text).ok().and_then(|bytes| usize::try_from(bytes).ok());
        let refused = || Outcome::Refused(format!("invalid value {text:?} for flag '--{name}'"));
        bytes.filter(|bytes| *bytes > 0).ok_or_else(refused)
    }

    /// A number that may be written as a float: `5e7`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    fn number(&self, name: &str) -> Result<usize, Outcome> {
        let text = self.text(name);
        let number =
            text.parse::<f64>().ok().filter(|n| n.fract() == 0.0 && (0.0..1e15).contains(n));
        let refused = || Outcome::Refused(format!("invalid value {text:?} for flag '--{name}'"));
        number.map(|number| number as usize).ok_or_else(refused)
    }

    fn list(&self, name: &str) -> Vec<String> {
        let commas = self.text(name).split(',');
        commas.map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
    }

    fn into_flags(mut self) -> Result<Flags, Outcome> {
        let external_url = external_url(self.text("web.external-url"))?;
        let route_prefix = match self.text("web.route-prefix") {
            "" => url_path(&external_url),
            prefix => format!("/{}", prefix.trim_matches('/')).trim_end_matches('/').to_owned(),
        };
        let shown_prefix = if route_prefix.is_empty() { "/" } else { &route_prefix };
        self.all.insert("web.route-prefix", shown_prefix.to_owned());
        let query_concurrency = self.count("query.max-concurrency")?.max(1);
        one_of("log level", self.text("log.level"), &["debug", "info", "warn", "error"])?;
        one_of("log format", self.text("log.format"), &["logfmt", "json"])?;
        for refused in ["agent"] {
            if self.on(refused) {
                return Err(Outcome::Refused(format!("flag '--{refused}' is not supported yet")));
            }
        }
        let ignored = FLAGS.iter().filter(|flag| flag.effect == Effect::Accepted);
        let ignored = ignored.map(|flag| flag.name).filter(|name| self.given.contains_key(name));
        Ok(Flags {
            config_file: self.given.get("config.file").map(|_| self.text("config.file").into()),
            listen: self.list("web.listen-address"),
            data_dir: self.text("storage.tsdb.path").into(),
            retention_time: self.duration("storage.tsdb.retention.time"),
            retention_bytes: table::parse_bytes(self.text("storage.tsdb.retention.size"))
                .unwrap_or(0),
            enable_lifecycle: self.on("web.enable-lifecycle"),
            enable_admin_api: self.on("web.enable-admin-api"),
            enable_receiver: self.on("web.enable-remote-write-receiver"),
            receiver_messages: self.list("web.remote-write-receiver.accepted-protobuf-messages"),
            web_config_file: self.text("web.config.file").to_owned(),
            cors_origin: self.text("web.cors.origin").to_owned(),
            connections_max: self.count("web.max-connections")?.max(1),
            listeners_max: self.count("web.max-notifications-subscribers")?,
            read_timeout: self.duration("web.read-timeout"),
            query_timeout: self.duration("query.timeout"),
            query_concurrency,
            query_samples_max: self.count("query.max-samples")?,
            query_memory_bytes: self.bytes("query.narthex.max-memory")?,
            lookback: self.duration("query.lookback-delta"),
            remote_flush_deadline: self.duration("storage.remote.flush-deadline"),
            read_samples_max: self.number("storage.remote.read-sample-limit")?,
            read_concurrency: self.number("storage.remote.read-concurrent-limit")?,
            read_frame_bytes: self.number("storage.remote.read-max-bytes-in-frame")?,
            sync_window: self.duration("storage.narthex.sync-window"),
            log_level: self.text("log.level").to_owned(),
            log_format: self.text("log.format").to_owned(),
            features: self.list("enable-feature"),
            ignored: ignored.collect(),
            external_url,
            route_prefix,
            all: self.all,
        })
    }
}

impl Flags {
    /// Whether `/api/v1/otlp/v1/metrics` takes metrics.
    pub fn takes_otlp(&self) -> bool {
        self.all.get("web.enable-otlp-receiver").is_some_and(|value| value == "true")
    }

    /// Whether `--enable-feature` names this feature.
    pub fn has_feature(&self, name: &str) -> bool {
        self.features.iter().any(|feature| feature == name)
    }

    /// What is kept: as the configuration says, else as the flags say.
    pub fn retention(&self, config: &Config) -> Retention {
        let (mut age, mut bytes) = (self.retention_time, self.retention_bytes);
        let tsdb = config.storage.tsdb.as_ref();
        if let Some(set) = tsdb.and_then(|tsdb| tsdb.retention.as_ref()) {
            age = if set.time.is_zero() { age } else { set.time };
            bytes = if set.size == 0 { bytes } else { set.size };
        }
        Retention {
            age: Some(age).filter(|age| !age.is_zero()),
            bytes: Some(bytes).filter(|bytes| *bytes > 0),
        }
    }
}

/// The retention in the words of `/api/v1/status/runtimeinfo`: `30d or 15GiB`.
pub fn retention_text(retention: Retention) -> String {
    let age = retention.age.map(format_duration);
    let bytes = retention.bytes.map(table::format_bytes);
    age.into_iter().chain(bytes).collect::<Vec<_>>().join(" or ")
}

fn one_of(what: &str, value: &str, known: &[&str]) -> Result<(), Outcome> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(Outcome::Refused(format!("unrecognized {what} {value}")))
}

/// The external URL without the slash at its end; empty stays empty.
fn external_url(text: &str) -> Result<String, Outcome> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let url = url::Url::parse(text).ok().filter(url::Url::has_host);
    // The user's text is not echoed: it may hold a password.
    let url = url.ok_or_else(|| Outcome::Refused("parse external URL: invalid URL".to_owned()))?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn url_path(url: &str) -> String {
    let path = url::Url::parse(url).map(|url| url.path().to_owned()).unwrap_or_default();
    path.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests;
