//! From a line of the body to the labels of its series.

use narthex_config::ScrapeConfig;
use narthex_model::labels::METRIC_NAME;
use narthex_model::number::GoQuoted;
use narthex_model::{Labels, LabelsBuilder, PART, relabel};

/// Why a line's series makes the whole scrape fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Relabelling took the metric's name away.
    #[error("missing metric name (__name__ label)")]
    NoName,
    /// Legacy name validation is configured and the name or a label name is outside its alphabet.
    #[error("invalid metric name or label names: {0}")]
    InvalidName(String),
    /// A line has the label that is kept for the parts of histograms.
    #[error("invalid label name: \"\\x01\" is reserved")]
    Reserved,
    /// More labels than `label_limit`.
    #[error("label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {limit})")]
    TooManyLabels {
        /// The metric's name, cut to 50 bytes.
        metric: String,
        /// Labels there are.
        count: usize,
        /// Labels there may be.
        limit: usize,
    },
    /// A label's name or value is longer than its limit.
    #[error(
        "{limit_name} exceeded (metric: {metric}, label name: {label}, {shown}length: {length}, \
         limit: {limit})"
    )]
    TooLong {
        /// `label_name_length_limit` or `label_value_length_limit`.
        limit_name: &'static str,
        /// The metric's name, cut to 50 bytes.
        metric: String,
        /// The label's name, cut to 50 bytes.
        label: String,
        /// `value: ` and the value, cut to 50 bytes, when that is what is too long.
        shown: String,
        /// Bytes it has.
        length: usize,
        /// Bytes it may have.
        limit: usize,
    },
}

/// Gives `exposed` the target's labels, runs `metric_relabel_configs` and checks the limits.
/// `None`: relabelling dropped the series.
///
/// `blank` names the labels that the line exposes with an empty value: they do not exist in the
/// result, but with `honor_labels` they keep the target's label out, as a push gateway needs it.
/// Only where `has_parts` may the line be a part of a histogram; rules and limits do not see that.
pub(crate) fn resolve(
    config: &ScrapeConfig,
    target_labels: &Labels,
    exposed: &mut LabelsBuilder,
    blank: &[String],
    has_parts: bool,
) -> Result<Option<Labels>, ResolveError> {
    let part = exposed.get(PART).map(str::to_owned);
    if part.is_some() {
        if !has_parts {
            return Err(ResolveError::Reserved);
        }
        exposed.remove(PART);
    }
    if config.honor_labels {
        for (name, value) in target_labels {
            if exposed.get(name).is_none() && !blank.iter().any(|b| b == name) {
                exposed.set(name, value);
            }
        }
    } else {
        rename_clashes(target_labels, exposed);
    }
    if !relabel::process(&config.metric_relabel_configs, exposed) || exposed.is_empty() {
        return Ok(None);
    }
    if exposed.get(PART).is_some() {
        return Err(ResolveError::Reserved);
    }
    check_limits(config, exposed)?;
    if let Some(part) = part {
        exposed.set(PART, &part);
    }
    Ok(Some(exposed.build()))
}

/// The target's labels win; what they displace is kept as `exported_<name>`, with as many
/// `exported_` as it takes to be free, shorter names first.
fn rename_clashes(target_labels: &Labels, exposed: &mut LabelsBuilder) {
    let mut displaced: Vec<(String, String)> = Vec::new();
    let original: Vec<String> = match target_labels.iter().any(|(n, _)| exposed.get(n).is_some()) {
        true => exposed.iter().map(|(name, _)| name.to_owned()).collect(),
        false => Vec::new(),
    };
    for (name, value) in target_labels {
        if let Some(old) = exposed.get(name) {
            displaced.push((name.to_owned(), old.to_owned()));
        }
        exposed.set(name, value);
    }
    displaced.sort_by_key(|(name, _)| name.len());
    for (name, value) in displaced {
        let mut free = format!("exported_{name}");
        while original.contains(&free) || exposed.get(&free).is_some() {
            free.insert_str(0, "exported_");
        }
        exposed.set(&free, &value);
    }
}

fn check_limits(config: &ScrapeConfig, labels: &LabelsBuilder) -> Result<(), ResolveError> {
    let Some(name) = labels.get(METRIC_NAME) else {
        return Err(ResolveError::NoName);
    };
    let limit = as_limit(config.label_limit);
    if labels.len() > limit {
        let (metric, count) = (cut(name), labels.len());
        return Err(ResolveError::TooManyLabels { metric, count, limit });
    }
    let name_limit = as_limit(config.label_name_length_limit);
    let value_limit = as_limit(config.label_value_length_limit);
    for (label, value) in labels.iter() {
        for (limit_name, length, limit) in [
            ("label_name_length_limit", label.len(), name_limit),
            (VALUE_LIMIT, value.len(), value_limit),
        ] {
            if length > limit {
                let (metric, label) = (cut(name), cut(label));
                let shown = match limit_name {
                    VALUE_LIMIT => format!("value: {}, ", GoQuoted(cut_at(value))),
                    _ => String::new(),
                };
                return Err(ResolveError::TooLong {
                    limit_name,
                    metric,
                    label,
                    shown,
                    length,
                    limit,
                });
            }
        }
    }
    if config.legacy_names() {
        check_legacy_names(name, labels)?;
    }
    Ok(())
}

fn check_legacy_names(name: &str, labels: &LabelsBuilder) -> Result<(), ResolveError> {
    use narthex_model::labels::{is_legacy_label_name, is_legacy_metric_name};
    let legal =
        is_legacy_metric_name(name) && labels.iter().all(|(label, _)| is_legacy_label_name(label));
    match legal {
        true => Ok(()),
        false => Err(ResolveError::InvalidName(labels.build().to_string())),
    }
}

const VALUE_LIMIT: &str = "label_value_length_limit";

/// In the file 0 means no limit.
fn as_limit(configured: u64) -> usize {
    match configured {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    }
}

fn cut(text: &str) -> String {
    let quoted = GoQuoted(cut_at(text)).to_string();
    quoted.trim_matches('"').to_owned()
}

fn cut_at(text: &str) -> &str {
    const SHOWN_BYTES_MAX: usize = 50;
    let mut end = text.len().min(SHOWN_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

/// A series that narthex itself writes for a target: the target's labels and a name.
pub(crate) fn target_labels_with_name(target_labels: &Labels, name: &str) -> Labels {
    let mut builder = LabelsBuilder::from_labels(target_labels);
    builder.set(METRIC_NAME, name).build()
}
