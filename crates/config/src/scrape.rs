//! Jobs: what is scraped, how, and how much of it is taken.

use std::collections::BTreeMap;
use std::time::Duration;

use narthex_model::number::GoQuoted;
use narthex_model::relabel::{NameScheme, Rule};

use crate::discovery::{FileSd, TargetGroup, Unbuilt, check_addresses};
use crate::global::{EscapingScheme, Global, check_protocols, check_schemes};
use crate::http::{self, HttpClient};
use crate::node::Node;
use crate::read::{Context, Value};
use crate::relabel::restrict;
use crate::section::section;
use crate::write::Out;
use crate::write::document;

section! {
    /// One job. In a [`Config`](crate::Config) everything global has been inherited; a limit of
    /// 0 is none.
    pub struct ScrapeConfig as "config.ScrapeConfig", check check {
        /// The job's name, unique.
        job_name: String [always],
        /// Whether labels of the target win over those of discovery.
        honor_labels: bool,
        /// Whether timestamps of the target are taken.
        honor_timestamps: bool [always] = true,
        /// Whether series with timestamps become stale when they are gone.
        track_timestamps_staleness: bool [always],
        /// Parameters of the URL.
        params: BTreeMap<String, Vec<String>>,
        /// Time between two scrapes of a target.
        scrape_interval: Duration,
        /// Longest time of a scrape; never longer than the interval.
        scrape_timeout: Duration,
        /// What targets are asked for, most wanted first; never empty.
        scrape_protocols: Vec<ScrapeProtocol>,
        /// The format of bodies whose `Content-Type` says none.
        fallback_scrape_protocol: Option<ScrapeProtocol>,
        /// Whether native histograms are read where a target exposes them.
        scrape_native_histograms: Option<bool>,
        /// Whether the classic form of a histogram is kept beside a native one.
        always_scrape_classic_histograms: Option<bool>,
        /// Whether classic histograms become native ones with custom buckets.
        convert_classic_histograms_to_nhcb: Option<bool>,
        /// Where failed scrapes are logged.
        scrape_failure_log_file: Option<String>,
        /// The path of the URL.
        metrics_path: String = "/metrics".to_owned(),
        /// `http` or `https`.
        scheme: String = "http".to_owned(),
        /// Whether compressed bodies are asked for.
        enable_compression: bool [always] = true,
        /// Largest body, in bytes after decompression.
        body_size_limit: u64 [bytes],
        /// Most samples of a scrape, after relabelling.
        sample_limit: u64,
        /// Most targets.
        target_limit: u64,
        /// Most labels of a sample.
        label_limit: u64,
        /// Longest label name, in bytes.
        label_name_length_limit: u64,
        /// Longest label value, in bytes.
        label_value_length_limit: u64,
        /// Accepted; native histograms are not stored.
        native_histogram_bucket_limit: u64,
        /// Accepted; native histograms are not stored.
        native_histogram_min_bucket_factor: f64,
        /// Most dropped targets that are kept for showing.
        keep_dropped_targets: u64,
        /// Which names metrics and labels may have; set in a `Config`.
        metric_name_validation_scheme: Option<NameScheme>,
        /// How targets are asked to escape names; set in a `Config`.
        metric_name_escaping_scheme: Option<EscapingScheme>,
        /// Whether three more series are reported of each scrape.
        extra_scrape_metrics: bool,
        /// How targets are spoken to.
        http_client: HttpClient [inline],
        /// Rules for targets.
        relabel_configs: Vec<Rule>,
        /// Rules for samples.
        metric_relabel_configs: Vec<Rule>,
        /// Targets that are listed in the file.
        static_configs: Vec<TargetGroup>,
        /// Targets that are listed in other files.
        file_sd_configs: Vec<FileSd>,
        /// Always empty in a `Config`.
        unbuilt: Unbuilt [inline],
    }
}

impl ScrapeConfig {
    /// The section as YAML, as the API shows it: everything filled in, secrets as `<secret>`.
    pub fn to_yaml(&self) -> String {
        document(&self.write())
    }

    /// Whether names outside the classic alphabet are refused.
    pub fn legacy_names(&self) -> bool {
        self.metric_name_validation_scheme == Some(NameScheme::Legacy)
    }

    /// Takes over from `global` what this job does not set, and checks the result.
    pub(crate) fn inherit(&mut self, global: &Global, node: &Node, cx: &mut Context<'_>) {
        if self.scrape_interval.is_zero() {
            self.scrape_interval = global.scrape_interval;
        }
        if self.scrape_timeout > self.scrape_interval {
            let message = format!(
                "scrape timeout greater than scrape interval for scrape config with job name {}",
                GoQuoted(&self.job_name)
            );
            cx.report_key(node, "scrape_timeout", message);
        }
        if self.scrape_timeout.is_zero() {
            self.scrape_timeout = global.scrape_timeout.min(self.scrape_interval);
        }
        for (own, inherited) in [
            (&mut self.body_size_limit, global.body_size_limit),
            (&mut self.sample_limit, global.sample_limit),
            (&mut self.target_limit, global.target_limit),
            (&mut self.label_limit, global.label_limit),
            (&mut self.label_name_length_limit, global.label_name_length_limit),
            (&mut self.label_value_length_limit, global.label_value_length_limit),
            (&mut self.keep_dropped_targets, global.keep_dropped_targets),
        ] {
            if *own == 0 {
                *own = inherited;
            }
        }
        if node.get("scrape_protocols").is_some_and(|node| !node.is_null()) {
            check_protocols(&self.scrape_protocols, node, cx);
        } else {
            self.scrape_protocols.clone_from(&global.scrape_protocols);
            let native = self.scrape_native_histograms.unwrap_or(global.scrape_native_histograms);
            if native && global.scrape_protocols == ScrapeProtocol::DEFAULT {
                self.scrape_protocols = ScrapeProtocol::BINARY_FIRST.to_vec();
            }
        }
        if self.scrape_failure_log_file.is_none() {
            self.scrape_failure_log_file.clone_from(&global.scrape_failure_log_file);
        }
        self.inherit_flags(global, node);
        self.inherit_names(global, node, cx);
    }

    fn inherit_flags(&mut self, global: &Global, node: &Node) {
        for (own, inherited) in [
            (&mut self.always_scrape_classic_histograms, global.always_scrape_classic_histograms),
            (
                &mut self.convert_classic_histograms_to_nhcb,
                global.convert_classic_histograms_to_nhcb,
            ),
        ] {
            own.get_or_insert(inherited);
        }
        // Younger than Prometheus 3.5: shown only where it is on.
        if global.scrape_native_histograms {
            self.scrape_native_histograms.get_or_insert(true);
        }
        if node.get("extra_scrape_metrics").is_none() {
            self.extra_scrape_metrics = global.extra_scrape_metrics;
        }
    }

    fn inherit_names(&mut self, global: &Global, node: &Node, cx: &mut Context<'_>) {
        let names = self
            .metric_name_validation_scheme
            .or(global.metric_name_validation_scheme)
            .unwrap_or_default();
        self.metric_name_validation_scheme = Some(names);
        check_schemes(Some(names), self.metric_name_escaping_scheme, node, cx);
        let fitting = match names {
            NameScheme::Utf8 => EscapingScheme::AllowUtf8,
            NameScheme::Legacy => EscapingScheme::Underscores,
        };
        let inherited = global
            .metric_name_escaping_scheme
            .filter(|&one| names == NameScheme::Utf8 || one != EscapingScheme::AllowUtf8);
        self.metric_name_escaping_scheme =
            self.metric_name_escaping_scheme.or(inherited).or(Some(fitting));
        restrict(&mut self.relabel_configs, names, "relabel_configs", node, cx);
        restrict(&mut self.metric_relabel_configs, names, "metric_relabel_configs", node, cx);
    }
}

fn check(config: &mut ScrapeConfig, node: &Node, cx: &mut Context<'_>) {
    if config.job_name.is_empty() {
        cx.report(node.place, "job_name is empty");
    }
    if !matches!(config.scheme.as_str(), "http" | "https") {
        let message = format!("expected http or https, found {}", GoQuoted(&config.scheme));
        cx.report_key(node, "scheme", message);
    }
    http::check(&mut config.http_client, node, cx);
    // Relabelling may make an address of anything.
    if config.relabel_configs.is_empty() {
        check_addresses(&config.static_configs, node, cx);
    }
    for key in config.unbuilt.keys.drain(..) {
        let job = GoQuoted(&config.job_name);
        cx.report_key(node, key, format!("{key} is not supported yet, in job {job}"));
    }
}

/// A format that a target can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScrapeProtocol {
    /// Protobuf, the only one with native histograms.
    PrometheusProto,
    /// The text format 0.0.4.
    PrometheusText0_0_4,
    /// The text format 1.0.0, with UTF-8 names.
    PrometheusText1_0_0,
    /// OpenMetrics 0.0.1.
    OpenMetricsText0_0_1,
    /// OpenMetrics 1.0.0.
    OpenMetricsText1_0_0,
}

impl ScrapeProtocol {
    /// What targets are asked for where nothing is set.
    pub const DEFAULT: [Self; 4] = [
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// What targets are asked for where nothing is set but that native histograms are wanted.
    pub const BINARY_FIRST: [Self; 5] = [
        Self::PrometheusProto,
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    const ALL: [Self; 5] = [
        Self::OpenMetricsText0_0_1,
        Self::OpenMetricsText1_0_0,
        Self::PrometheusProto,
        Self::PrometheusText0_0_4,
        Self::PrometheusText1_0_0,
    ];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PrometheusProto => "PrometheusProto",
            Self::PrometheusText0_0_4 => "PrometheusText0.0.4",
            Self::PrometheusText1_0_0 => "PrometheusText1.0.0",
            Self::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            Self::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
        }
    }
}

impl Value for ScrapeProtocol {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = String::read(node, cx)?;
        let known = Self::ALL.into_iter().find(|protocol| protocol.as_str() == text);
        if known.is_none() {
            let names = Self::ALL.map(Self::as_str).join(" ");
            let message = format!("unknown scrape protocol {text}, supported: [{names}]");
            cx.report(node.place, message);
        }
        known
    }

    fn write(&self) -> Out {
        Out::Plain(self.as_str().to_owned())
    }
}
