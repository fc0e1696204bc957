//! Where targets come from.

use std::time::Duration;

use narthex_model::Labels;
use narthex_model::number::GoQuoted;

use crate::node::Node;
use crate::read::{Context, Fields};
use crate::section::{Section, section};
use crate::write::Out;

/// The mechanisms that Prometheus has and that are not built here.
const UNBUILT: [&str; 30] = [
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "docker_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "eureka_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "http_sd_configs",
    "ionos_sd_configs",
    "kubernetes_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "oci_sd_configs",
    "openstack_sd_configs",
    "outscale_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];

section! {
    /// Targets that share labels: an entry of `static_configs` and of target files.
    pub struct TargetGroup as "targetgroup.Group", check check_group {
        /// Addresses, `host:port`.
        targets: Vec<String>,
        /// Labels of each of them.
        labels: Labels,
    }
}

section! {
    /// An entry of `file_sd_configs`.
    pub struct FileSd as "file.plain", check check_file_sd {
        /// File names, relative to the configuration's folder; the last element may hold one or
        /// more `*`, and ends with `.json`, `.yml` or `.yaml`.
        files: Vec<String>,
        /// Longest time until a change is seen.
        refresh_interval: Duration = Duration::from_secs(300),
    }
}

fn check_group(group: &mut TargetGroup, node: &Node, cx: &mut Context<'_>) {
    if group.targets.iter().any(String::is_empty) {
        cx.report_key(node, "targets", "expected an address such as host:9100, found \"\"");
    }
}

fn check_file_sd(config: &mut FileSd, node: &Node, cx: &mut Context<'_>) {
    if config.files.is_empty() {
        let message = "file service discovery config must contain at least one path name";
        cx.report(node.place, message);
    }
    for name in config.files.iter().filter(|name| !is_target_file_name(name)) {
        let message = format!("path name {} is not valid for file discovery", GoQuoted(name));
        cx.report_key(node, "files", message);
    }
}

/// Stars only in the last element, and an ending that names the format.
fn is_target_file_name(name: &str) -> bool {
    let ending = [".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"]
        .iter()
        .any(|ending| name.len() > ending.len() && name.ends_with(ending));
    ending && stars_in_last_element(name)
}

/// Whether no `/` follows a `*`.
pub(crate) fn stars_in_last_element(name: &str) -> bool {
    !name.split_once('*').is_some_and(|(_, tail)| tail.contains('/'))
}

/// The mechanisms of a job that are not built. Their keys are known, their content is not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unbuilt {
    /// The keys that hold something.
    pub keys: Vec<&'static str>,
}

impl Section for Unbuilt {
    fn take(&mut self, fields: &mut Fields<'_>, cx: &mut Context<'_>) {
        for key in UNBUILT {
            let Some(node) = fields.take(key) else { continue };
            if !node.is_null() && !node.is_list() {
                cx.within_key(key, |cx| cx.expected_kind(node, "a list"));
            } else if !node.items().is_empty() {
                self.keys.push(key);
            }
        }
    }

    fn put(&self, _out: &mut Vec<(String, Out)>) {}
}

/// Refuses targets that are URLs: a path belongs into `metrics_path`.
pub(crate) fn check_addresses(groups: &[TargetGroup], node: &Node, cx: &mut Context<'_>) {
    for target in groups.iter().flat_map(|group| &group.targets) {
        if target.contains('/') {
            let message = format!("{} is not a valid hostname", GoQuoted(target));
            cx.report_key(node, "static_configs", message);
        }
    }
}
