//! The settings that jobs inherit.

use std::time::Duration;

use narthex_model::Labels;
use narthex_model::labels::is_legacy_label_name;
use narthex_model::number::GoQuoted;
use narthex_model::relabel::NameScheme;

use crate::node::{Node, Yaml};
use crate::read::{Context, Value};
use crate::scrape::ScrapeProtocol;
use crate::section::section;
use crate::write::Out;

/// `scrape_interval` and `evaluation_interval` where none is set.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(60);
/// `scrape_timeout` where none is set; never longer than the interval.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

section! {
    /// `global`. A limit of 0 is none.
    pub struct Global as "config.plain", check check {
        /// Time between two scrapes of a target.
        scrape_interval: Duration = INTERVAL_DEFAULT,
        /// Longest time of a scrape.
        scrape_timeout: Duration = TIMEOUT_DEFAULT,
        /// What targets are asked for, most wanted first.
        scrape_protocols: Vec<ScrapeProtocol> = ScrapeProtocol::DEFAULT.to_vec(),
        /// Time between two evaluations of a rule group.
        evaluation_interval: Duration = INTERVAL_DEFAULT,
        /// How far back in time rules look.
        rule_query_offset: Duration,
        /// Where queries are logged.
        query_log_file: Option<String>,
        /// Where failed scrapes are logged.
        scrape_failure_log_file: Option<String>,
        /// Labels of everything that leaves this node, environment variables filled in.
        external_labels: Labels,
        /// Largest body of a scrape, in bytes after decompression.
        body_size_limit: u64 [bytes],
        /// Most samples of a scrape, after relabelling.
        sample_limit: u64,
        /// Most targets of a job.
        target_limit: u64,
        /// Most labels of a sample.
        label_limit: u64,
        /// Longest label name, in bytes.
        label_name_length_limit: u64,
        /// Longest label value, in bytes.
        label_value_length_limit: u64,
        /// Most dropped targets that are kept for showing.
        keep_dropped_targets: u64,
        /// Which names metrics and labels may have.
        metric_name_validation_scheme: Option<NameScheme>,
        /// How targets are asked to escape names.
        metric_name_escaping_scheme: Option<EscapingScheme>,
        /// Whether native histograms are read where a target exposes them.
        scrape_native_histograms: bool,
        /// Whether classic histograms become native ones with custom buckets.
        convert_classic_histograms_to_nhcb: bool,
        /// Whether the classic form of a histogram is kept beside a native one.
        always_scrape_classic_histograms: bool,
        /// Whether `scrape_timeout_seconds`, `scrape_sample_limit` and
        /// `scrape_body_size_bytes` are reported.
        extra_scrape_metrics: bool,
    }
}

section! {
    /// `runtime`: settings of Go's runtime, of which there is none here.
    pub struct Runtime as "config.RuntimeConfig" {
        /// Accepted without effect.
        gogc: i64 = 75,
    }
}

fn check(global: &mut Global, node: &Node, cx: &mut Context<'_>) {
    if global.scrape_interval.is_zero() {
        global.scrape_interval = INTERVAL_DEFAULT;
    }
    if global.evaluation_interval.is_zero() {
        global.evaluation_interval = INTERVAL_DEFAULT;
    }
    let timeout_set = node.get("scrape_timeout").is_some_and(|node| !node.is_null());
    if !timeout_set || global.scrape_timeout.is_zero() {
        global.scrape_timeout = TIMEOUT_DEFAULT.min(global.scrape_interval);
    }
    if global.scrape_timeout > global.scrape_interval {
        let message = "global scrape timeout greater than scrape interval";
        cx.report_key(node, "scrape_timeout", message);
    }
    if node.get("scrape_protocols").is_some_and(|node| !node.is_null()) {
        check_protocols(&global.scrape_protocols, node, cx);
    }
    check_schemes(
        global.metric_name_validation_scheme,
        global.metric_name_escaping_scheme,
        node,
        cx,
    );
    if global.metric_name_validation_scheme == Some(NameScheme::Legacy)
        && let Some((name, _)) =
            global.external_labels.iter().find(|(name, _)| !is_legacy_label_name(name))
    {
        let message = format!("{} is not a valid label name", GoQuoted(name));
        cx.report_key(node, "external_labels", message);
    }
    let expand = |value: &str| expand_env(value, &|name| cx.env(name));
    let labels: Vec<_> = global.external_labels.iter().map(|(n, v)| (n, expand(v))).collect();
    global.external_labels = Labels::from_pairs(labels);
}

/// Fills in `$NAME` and `${NAME}` as Go's `os.Expand` does; `$$` is a dollar sign, and an unset
/// variable is empty.
fn expand_env(text: &str, env: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, tail) = if let Some(inner) = after.strip_prefix('{') {
            match inner.split_once('}') {
                Some(parts) => parts,
                // Go drops an opening that never closes.
                None => ("", inner),
            }
        } else {
            let is_special = |c: char| "*#$@!?-".contains(c) || c.is_ascii_digit();
            let len = match after.chars().next() {
                Some(c) if is_special(c) => 1,
                _ => after
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .unwrap_or(after.len()),
            };
            let (name, tail) = after.split_at(len);
            if name.is_empty() {
                out.push('$');
            }
            (name, tail)
        };
        match name {
            "" => {}
            "$" => out.push('$'),
            name => out.push_str(&env(name).unwrap_or_default()),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// A list of protocols that was set must have some, each once.
pub(crate) fn check_protocols(protocols: &[ScrapeProtocol], node: &Node, cx: &mut Context<'_>) {
    if protocols.is_empty() {
        cx.report_key(node, "scrape_protocols", "scrape_protocols cannot be empty");
    }
    for (index, protocol) in protocols.iter().enumerate() {
        if protocols.iter().take(index).any(|earlier| earlier == protocol) {
            let message =
                format!("duplicated protocol in scrape_protocols, got {}", protocol.as_str());
            cx.report_key(node, "scrape_protocols", message);
        }
    }
}

/// Names outside the classic alphabet can be asked for only where they are allowed.
pub(crate) fn check_schemes(
    names: Option<NameScheme>,
    escaping: Option<EscapingScheme>,
    node: &Node,
    cx: &mut Context<'_>,
) {
    if names == Some(NameScheme::Legacy) && escaping == Some(EscapingScheme::AllowUtf8) {
        let message = "utf8 metric names requested but validation scheme is not set to UTF8";
        cx.report_key(node, "metric_name_escaping_scheme", message);
    }
}

/// How targets are asked to escape names that are not of the classic alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscapingScheme {
    /// Not at all.
    AllowUtf8,
    /// With underscores.
    Underscores,
    /// With words between underscores.
    Dots,
    /// So that the name can be had back.
    Values,
}

impl EscapingScheme {
    const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    /// The word in the configuration and in `Accept` headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

impl Value for EscapingScheme {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let known = match &node.value {
            Yaml::Scalar { text, .. } => Self::ALL.into_iter().find(|one| one.as_str() == text),
            _ => None,
        };
        if known.is_none() {
            cx.expected(node, "one of allow-utf-8, underscores, dots, values");
        }
        known
    }

    fn write(&self) -> Out {
        Out::Plain(self.as_str().to_owned())
    }
}

impl Value for NameScheme {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let known = match &node.value {
            Yaml::Scalar { text, .. } => match text.as_str() {
                "utf8" => Some(Self::Utf8),
                "legacy" => Some(Self::Legacy),
                _ => None,
            },
            _ => None,
        };
        if known.is_none() {
            cx.expected(node, "utf8 or legacy");
        }
        known
    }

    fn write(&self) -> Out {
        Out::Plain(if *self == Self::Utf8 { "utf8" } else { "legacy" }.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_the_environment() {
        let env = |name: &str| (name == "HOST").then(|| "n1".to_owned());
        for (text, want) in [
            ("$HOST", "n1"),
            ("a-${HOST}-b", "a-n1-b"),
            ("$$HOST", "$HOST"),
            ("$GONE.x", ".x"),
            ("5$", "5$"),
            ("$ x", "$ x"),
            ("${HOST", "HOST"),
        ] {
            assert_eq!(expand_env(text, &env), want, "{text}");
        }
    }
}
