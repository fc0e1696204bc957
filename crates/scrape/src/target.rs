//! One target: what discovery said of it, what relabelling made of that, and its URL.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use narthex_config::ScrapeConfig;
use narthex_model::relabel;
use narthex_model::time::{format_duration, parse_duration};
use narthex_model::{Labels, LabelsBuilder};
use url::{Position, Url};
use xxhash_rust::xxh3::xxh3_64;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";

/// A target that is to be scraped.
#[derive(Clone, Debug)]
pub struct Target {
    /// What discovery and the defaults gave, before relabelling.
    pub discovered: Labels,
    /// The labels that every sample of the target gets: nothing that begins with `__`.
    pub labels: Labels,
    /// Where to ask.
    pub url: Url,
    /// The address names the port that the scheme has anyway; `url` has lost it then.
    pub names_default_port: bool,
    /// How often, after relabelling of `__scrape_interval__`.
    pub interval: Duration,
    /// How long one scrape may take, body included; at most `interval`.
    pub timeout: Duration,
    /// Identity: labels before the `__` ones are taken away, and the URL.
    pub identity: Identity,
}

/// Tells targets of one pool apart; equal for targets that would be scraped the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(u64);

/// What became of a discovered target.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is to be scraped.
    Active(Box<Target>),
    /// Relabelling dropped it; these are the labels it had before.
    Dropped(Labels),
}

/// Why a discovered target cannot be scraped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Relabelling left no `__address__`.
    #[error("no address")]
    NoAddress,
    /// The address is no `host` or `host:port`.
    #[error("{} is not a valid hostname", narthex_model::number::GoQuoted(.0))]
    Address(String),
    /// The parts make no URL.
    #[error("invalid target url: {0}")]
    Url(String),
    /// `__scrape_interval__` or `__scrape_timeout__` is not a positive duration.
    #[error("error parsing {what}: {reason}")]
    Duration {
        /// `scrape interval` or `scrape timeout`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The timeout is longer than the interval.
    #[error("scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})")]
    TimeoutOverInterval {
        /// The timeout.
        timeout: String,
        /// The interval.
        interval: String,
    },
}

impl Target {
    /// The URL as it may be shown: a password becomes `xxxxx`, as Go's `URL.Redacted` has it, and
    /// the scheme's own port is there if the address names it.
    pub fn public_url(&self) -> String {
        let mut url = self.url.clone();
        if url.password().is_some() && url.set_password(Some("xxxxx")).is_err() {
            return String::new();
        }
        match self.names_default_port.then(|| url.port_or_known_default()).flatten() {
            Some(port) => {
                let (before, after) = (&url[..Position::AfterHost], &url[Position::AfterHost..]);
                format!("{before}:{port}{after}")
            }
            None => url.to_string(),
        }
    }

    /// Makes of one discovered label set what `config` says of it.
    pub fn from_discovered(config: &ScrapeConfig, labels: &Labels) -> Result<Fate, TargetError> {
        let mut builder = LabelsBuilder::from_labels(labels);
        for (name, value) in [
            ("job", config.job_name.as_str()),
            (INTERVAL, &format_duration(config.scrape_interval)),
            (TIMEOUT, &format_duration(config.scrape_timeout)),
            (METRICS_PATH, &config.metrics_path),
            (SCHEME, &config.scheme),
        ] {
            set_default(&mut builder, name, value);
        }
        for (name, values) in &config.params {
            if let Some(first) = values.first() {
                set_default(&mut builder, &format!("{PARAM_PREFIX}{name}"), first);
            }
        }
        let discovered = builder.build();
        if !relabel::process(&config.relabel_configs, &mut builder) {
            return Ok(Fate::Dropped(discovered));
        }
        let target = Self::from_relabelled(config, discovered, &mut builder)?;
        Ok(Fate::Active(Box::new(target)))
    }

    fn from_relabelled(
        config: &ScrapeConfig,
        discovered: Labels,
        builder: &mut LabelsBuilder,
    ) -> Result<Self, TargetError> {
        let address = builder.get(ADDRESS).unwrap_or("").to_owned();
        if address.is_empty() {
            return Err(TargetError::NoAddress);
        }
        if address.contains('/') {
            return Err(TargetError::Address(address));
        }
        let interval = positive_duration("scrape interval", builder.get(INTERVAL))?;
        let timeout = positive_duration("scrape timeout", builder.get(TIMEOUT))?;
        if timeout > interval {
            let (timeout, interval) = (format_duration(timeout), format_duration(interval));
            return Err(TargetError::TimeoutOverInterval { timeout, interval });
        }
        let url = target_url(config, builder, &address)?;
        let port = address.rsplit_once(':').map_or("", |(_, port)| port);
        let names_default_port =
            url.port().is_none() && port.parse().ok() == url.port_or_known_default();
        builder.retain(|name, _| !name.starts_with(META_PREFIX));
        set_default(builder, "instance", &address);
        let identity = identity(&builder.build(), &url);
        builder.retain(|name, _| !name.starts_with("__"));
        let labels = builder.build();
        Ok(Self { discovered, labels, url, names_default_port, interval, timeout, identity })
    }
}

impl fmt::Display for Target {
    /// The URL without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public_url())
    }
}

fn set_default(builder: &mut LabelsBuilder, name: &str, value: &str) {
    if builder.get(name).is_none() {
        builder.set(name, value);
    }
}

fn positive_duration(what: &'static str, text: Option<&str>) -> Result<Duration, TargetError> {
    let duration = parse_duration(text.unwrap_or(""))
        .map_err(|e| TargetError::Duration { what, reason: e.to_string() })?;
    if duration.is_zero() {
        return Err(TargetError::Duration { what, reason: format!("{what} cannot be 0") });
    }
    Ok(duration)
}

/// Puts scheme, address, path and parameters together; a `__param_x` label stands for the first
/// value of parameter `x`.
fn target_url(
    config: &ScrapeConfig,
    builder: &LabelsBuilder,
    address: &str,
) -> Result<Url, TargetError> {
    let scheme = builder.get(SCHEME).unwrap_or("");
    let mut url = Url::parse(&format!("{scheme}://{address}"))
        .map_err(|e| TargetError::Url(format!("{address}: {e}")))?;
    url.set_path(builder.get(METRICS_PATH).unwrap_or(""));
    let mut params: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, values) in &config.params {
        params.insert(name, values.iter().map(String::as_str).collect());
    }
    for (label, value) in builder.iter() {
        if let Some(name) = label.strip_prefix(PARAM_PREFIX) {
            let values = params.entry(name).or_default();
            match values.first_mut() {
                Some(first) => *first = value,
                None => values.push(value),
            }
        }
    }
    if params.values().any(|values| !values.is_empty()) {
        let mut query = url.query_pairs_mut();
        for (name, values) in &params {
            for value in values {
                query.append_pair(name, value);
            }
        }
    }
    Ok(url)
}

/// About so many targets have their turn at the same time.
const TARGETS_PER_TURN: usize = 4;

/// An interval is cut into this many turns at least. A power of two above one.
const TURNS_MIN: usize = 8;

fn identity(labels: &Labels, url: &Url) -> Identity {
    let mut text = labels.as_encoded().to_owned();
    text.push('\0');
    text.push_str(url.as_str());
    Identity(xxh3_64(text.as_bytes()))
}

impl Identity {
    /// Where in each interval the target's turn is, so that targets spread evenly and keep their
    /// phase over restarts: milliseconds from the grid point, below `interval`. `targets` is how
    /// many share the interval: a few of them have their turn together.
    ///
    /// To wake up, with caches that others have filled meanwhile, costs more than to scrape. `seed`
    /// moves all turns alike, so that jobs with the same interval share them too.
    pub fn offset_ms(self, interval: Duration, targets: usize, seed: u64) -> u64 {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let turns = (targets / TARGETS_PER_TURN).next_power_of_two().max(TURNS_MIN) as u64;
        // With twice the turns, a target's turn is the same or half an old turn's length later.
        let turn = self.0 >> (u64::BITS - turns.trailing_zeros());
        let within = u128::from(interval_ms) * u128::from(turn) / u128::from(turns);
        let within = u64::try_from(within).unwrap_or(0);
        (seed % interval_ms + within) % interval_ms
    }
}

#[cfg(test)]
mod tests {
    use narthex_config::Config;

    use super::*;

    const EVERY: Duration = Duration::from_secs(15);

    /// Identities as they come: hashes.
    fn identities(count: u64) -> impl Iterator<Item = Identity> {
        (0..count).map(|n| Identity(xxh3_64(&n.to_le_bytes())))
    }

    #[test]
    fn a_few_targets_share_a_turn() {
        let mut at = std::collections::BTreeMap::new();
        for identity in identities(1000) {
            let offset_ms = identity.offset_ms(EVERY, 1000, 12_345);
            assert!(offset_ms < 15_000);
            *at.entry(offset_ms).or_insert(0) += 1;
        }
        assert!((200..=256).contains(&at.len()), "{} turns", at.len());
        assert!(at.values().all(|&count| count < 16), "{at:?}");
    }

    #[test]
    fn the_seed_moves_all_turns_alike() {
        for identity in identities(20) {
            let (one, other) =
                (identity.offset_ms(EVERY, 20, 0), identity.offset_ms(EVERY, 20, 15_007));
            assert_eq!(other, (one + 7) % 15_000);
        }
    }

    #[test]
    fn more_targets_move_a_turn_by_less_than_its_length() {
        for identity in identities(100) {
            let (few, many) = (identity.offset_ms(EVERY, 4, 0), identity.offset_ms(EVERY, 60, 0));
            assert!((few..few + 15_000 / TURNS_MIN as u64).contains(&many));
        }
    }

    #[test]
    fn short_intervals_and_many_targets() {
        for identity in identities(100) {
            assert_eq!(identity.offset_ms(Duration::ZERO, 1, u64::MAX), 0);
            assert!(identity.offset_ms(Duration::from_millis(3), usize::MAX / 8, 1) < 3);
        }
    }

    fn target(scheme: &str, address: &str) -> Result<Fate, TargetError> {
        let text = format!("scrape_configs: [{{job_name: j, scheme: {scheme}}}]");
        let config = Config::parse(&text, "test.yml").expect("a valid configuration");
        let labels = Labels::from_pairs([(ADDRESS, address)]);
        Target::from_discovered(config.scrape_configs.first().expect("one job"), &labels)
    }

    fn shown(scheme: &str, address: &str) -> String {
        match target(scheme, address) {
            Ok(Fate::Active(target)) => target.public_url(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_url_shows_the_port_that_the_address_names() {
        assert_eq!(shown("http", "h:80"), "http://h:80/metrics");
        assert_eq!(shown("http", "h"), "http://h/metrics");
        assert_eq!(shown("https", "h:443"), "https://h:443/metrics");
        assert_eq!(shown("https", "h:80"), "https://h:80/metrics");
        assert_eq!(shown("http", "[::1]:80"), "http://[::1]:80/metrics");
        assert_eq!(shown("http", "[::1]"), "http://[::1]/metrics");
    }

    #[test]
    fn a_target_needs_an_address() {
        assert_eq!(target("http", "").map(|_| ()), Err(TargetError::NoAddress));
        let bad = TargetError::Address("a/b".to_owned());
        assert_eq!(target("http", "a/b").map(|_| ()), Err(bad));
    }
}
