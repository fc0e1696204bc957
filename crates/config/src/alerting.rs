//! Where alerts are sent to. Read and checked; nothing is sent yet.

use std::time::Duration;

use narthex_model::number::GoQuoted;
use narthex_model::relabel::Rule;

use crate::discovery::{FileSd, TargetGroup, Unbuilt, check_addresses};
use crate::http::{self, HttpClient};
use crate::node::Node;
use crate::read::Context;
use crate::section::section;

section! {
    /// `alerting`.
    pub struct Alerting as "config.plain" {
        /// Rules for alerts.
        alert_relabel_configs: Vec<Rule>,
        /// The Alertmanagers.
        alertmanagers: Vec<AlertmanagerConfig>,
    }
}

section! {
    /// One group of Alertmanagers.
    pub struct AlertmanagerConfig as "config.AlertmanagerConfig", check check {
        /// How they are spoken to.
        http_client: HttpClient [inline],
        /// `http` or `https`.
        scheme: String = "http".to_owned(),
        /// What stands before the paths of the API.
        path_prefix: String,
        /// Longest time of one request.
        timeout: Duration = Duration::from_secs(10),
        /// `v2`, the only one there is.
        api_version: String = "v2".to_owned(),
        /// Rules for the Alertmanagers.
        relabel_configs: Vec<Rule>,
        /// Rules for alerts to these.
        alert_relabel_configs: Vec<Rule>,
        /// Addresses that are listed in the file.
        static_configs: Vec<TargetGroup>,
        /// Addresses that are listed in other files.
        file_sd_configs: Vec<FileSd>,
        /// Ways to find them that are not built.
        unbuilt: Unbuilt [inline],
    }
}

fn check(config: &mut AlertmanagerConfig, node: &Node, cx: &mut Context<'_>) {
    if config.api_version != "v2" {
        let message = format!(
            "expected Alertmanager api version to be one of [v2] but got {}",
            config.api_version
        );
        cx.report_key(node, "api_version", message);
    }
    if !matches!(config.scheme.as_str(), "http" | "https") {
        let message = format!("expected http or https, found {}", GoQuoted(&config.scheme));
        cx.report_key(node, "scheme", message);
    }
    http::check(&mut config.http_client, node, cx);
    if config.relabel_configs.is_empty() {
        check_addresses(&config.static_configs, node, cx);
    }
}
