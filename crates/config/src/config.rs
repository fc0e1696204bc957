//! The configuration as a whole.

use narthex_model::number::GoQuoted;
use narthex_model::relabel::NameScheme;

use crate::alerting::Alerting;
use crate::discovery::stars_in_last_element;
use crate::error::Error;
use crate::global::{Global, Runtime};
use crate::node::Node;
use crate::otlp::Otlp;
use crate::read::{Context, Value, read_text};
use crate::remote::{RemoteRead, RemoteWrite, check_names};
use crate::scrape::{ScrapeConfig, ScrapeProtocol};
use crate::section::section;
use crate::storage::Storage;
use crate::tracing::Tracing;
use crate::write::document;

section! {
    /// A whole `prometheus.yml`, checked, with defaults filled in and global settings inherited.
    pub struct Config as "config.plain", check check {
        /// What jobs inherit.
        global: Global [always],
        /// Settings of Go's runtime, of which there is none here.
        runtime: Runtime [always],
        /// Where alerts go.
        alerting: Alerting,
        /// Patterns of rule files' names, relative to the configuration's folder.
        rule_files: Vec<String>,
        /// Patterns of the names of files with further jobs; see [`Config::include`].
        scrape_config_files: Vec<String>,
        /// The jobs.
        scrape_configs: Vec<ScrapeConfig>,
        /// The store.
        storage: Storage,
        /// Traces.
        tracing: Option<Tracing>,
        /// Receivers of samples.
        remote_write: Vec<RemoteWrite>,
        /// Servers that queries could also read from.
        remote_read: Vec<RemoteRead>,
        /// Reception by OTLP.
        otlp: Option<Otlp>,
    }
}

section! {
    /// A file with further jobs.
    struct ScrapeConfigFile as "config.ScrapeConfigs" {
        /// The jobs.
        scrape_configs: Vec<ScrapeConfig>,
    }
}

impl Config {
    /// Reads a `prometheus.yml`. `file_name` is for the messages.
    ///
    /// # Errors
    /// All that is wrong, each with its place.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, Error> {
        Self::parse_with_env(text, file_name, &|name| std::env::var(name).ok())
    }

    /// As [`parse`](Self::parse), with the environment that `external_labels` may name.
    pub fn parse_with_env(
        text: &str,
        file_name: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        read_text(text, file_name, env)
    }

    /// Adds the jobs of one of `scrape_config_files`.
    ///
    /// # Errors
    /// All that is wrong with the file, a job's name that is taken included. Nothing is added
    /// then.
    pub fn include(&mut self, text: &str, file_name: &str) -> Result<(), Error> {
        let mut cx = Context::new(file_name, &|_| None);
        let node = match Node::parse(text) {
            Ok(node) => node,
            Err(fault) => {
                cx.report(fault.place, fault.message);
                return cx.finish(());
            }
        };
        let mut file = ScrapeConfigFile::default();
        if !node.is_null() {
            file = ScrapeConfigFile::read(&node, &mut cx).unwrap_or_default();
        }
        let taken = self.scrape_configs.len();
        let mut all = self.scrape_configs.clone();
        all.append(&mut file.scrape_configs);
        if cx.issue_count() == 0
            && let Some(list) = node.get("scrape_configs")
        {
            check_jobs(&mut all, taken, &self.global, list, &mut cx);
        }
        cx.finish(())?;
        self.scrape_configs = all;
        Ok(())
    }

    /// The configuration as YAML, as `/api/v1/status/config` shows it: everything filled in,
    /// secrets as `<secret>`.
    pub fn to_yaml(&self) -> String {
        document(&self.write())
    }

    /// Has native histograms scraped wherever that is not set, as the feature of that name does.
    pub fn scrape_native_histograms(&mut self) {
        for job in &mut self.scrape_configs {
            if job.scrape_native_histograms.is_none() {
                job.scrape_native_histograms = Some(true);
                if job.scrape_protocols == ScrapeProtocol::DEFAULT {
                    job.scrape_protocols = ScrapeProtocol::BINARY_FIRST.to_vec();
                }
            }
        }
    }

    /// What is accepted and has no effect yet, one line each, by name.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        let mut note = |found: bool, what: &str| {
            if found {
                notices.push(what.to_owned());
            }
        };
        let alerting = &self.alerting;
        note(!self.rule_files.is_empty(), "rule_files: rules are checked, not evaluated yet");
        note(
            !alerting.alertmanagers.is_empty() || !alerting.alert_relabel_configs.is_empty(),
            "alerting: checked, alerts are not sent yet",
        );
        note(!self.remote_read.is_empty(), "remote_read: queries read the local store only");
        note(self.tracing.is_some(), "tracing: nothing is traced");
        let named = |otlp: &Otlp| {
            otlp.label_name_underscore_sanitization || otlp.label_name_preserve_multiple_underscores
        };
        note(
            self.otlp.as_ref().is_some_and(named),
            "otlp: label_name_*: labels are named as by Prometheus 3.5",
        );
        for receiver in &self.remote_write {
            let name = receiver.queue_name();
            let key = |key: &str| format!("remote_write {name}: {key}");
            note(receiver.round_robin_dns, &key("round_robin_dns: the first address is used"));
        }
        notices
    }
}

fn check(config: &mut Config, node: &Node, cx: &mut Context<'_>) {
    for (key, kind, names) in [
        ("rule_files", "rule", &config.rule_files),
        ("scrape_config_files", "scrape config", &config.scrape_config_files),
    ] {
        for name in names.iter().filter(|name| !stars_in_last_element(name)) {
            let message = format!("invalid {kind} file path {}", GoQuoted(name));
            cx.report_key(node, key, message);
        }
    }
    if let Some(otlp) = &config.otlp
        && otlp.translation_strategy.keeps_names()
        && config.global.metric_name_validation_scheme == Some(NameScheme::Legacy)
    {
        let strategy = GoQuoted(otlp.translation_strategy.as_str());
        let message =
            format!("OTLP translation strategy {strategy} is not allowed when UTF8 is disabled");
        cx.report_key(node, "otlp", message);
    }
    if let Some(list) = node.get("scrape_configs") {
        check_jobs(&mut config.scrape_configs, 0, &config.global, list, cx);
    }
    if let Some(list) = node.get("remote_write") {
        let message = "found multiple remote write configs with job name";
        let names: Vec<String> = config.remote_write.iter().map(RemoteWrite::queue_name).collect();
        let names = names.iter().map(String::as_str).enumerate();
        check_names(names, "remote_write", message, list, cx);
    }
    if let Some(list) = node.get("remote_read") {
        let message = "found multiple remote read configs with job name";
        let names = config.remote_read.iter().map(|read| read.name.as_str()).enumerate();
        let names = names.filter(|(_, name)| !name.is_empty());
        check_names(names, "remote_read", message, list, cx);
    }
}

/// Lets the jobs from `first` on, which stand in `list`, inherit, and refuses names that stand
/// twice.
fn check_jobs(
    jobs: &mut [ScrapeConfig],
    first: usize,
    global: &Global,
    list: &Node,
    cx: &mut Context<'_>,
) {
    const KEY: &str = "scrape_configs";
    let (taken, new) = jobs.split_at_mut(first);
    let mut seen: std::collections::BTreeSet<String> =
        taken.iter().map(|job| job.job_name.clone()).collect();
    for (index, (job, node)) in new.iter_mut().zip(list.items()).enumerate() {
        cx.within_key(KEY, |cx| {
            cx.within_index(index, |cx| {
                job.inherit(global, node, cx);
                if !seen.insert(job.job_name.clone()) {
                    let name = GoQuoted(&job.job_name);
                    let message = format!("found multiple scrape configs with job name {name}");
                    cx.report_key(node, "job_name", message);
                }
            });
        });
    }
}

#[cfg(test)]
mod tests;
