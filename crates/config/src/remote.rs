//! Where samples are sent to.

use std::collections::BTreeMap;
use std::time::Duration;

use narthex_model::number::GoQuoted;
use narthex_model::relabel::Rule;

use crate::http::{self, HttpClient, is_reserved_header};
use crate::node::Node;
use crate::read::{Context, Fields, is_header_name};
use crate::secret::{Secret, ServerUrl};
use crate::section::{Section, section};
use crate::write::Out;

section! {
    /// One receiver of remote write.
    pub struct RemoteWrite as "config.plain", check check_write {
        /// Where samples go; set in every checked configuration.
        url: Option<ServerUrl>,
        /// Longest time of one request.
        remote_timeout: Duration = Duration::from_secs(30),
        /// Further headers. Masked, for they often hold tokens.
        headers: BTreeMap<String, Secret>,
        /// Rules for what is sent.
        write_relabel_configs: Vec<Rule>,
        /// The receiver's name, unique; see [`RemoteWrite::queue_name`].
        name: String,
        /// Whether exemplars are sent too.
        send_exemplars: bool,
        /// Whether native histograms are sent.
        send_native_histograms: bool,
        /// Accepted; connections go to the first address that answers.
        round_robin_dns: bool,
        /// `prometheus.WriteRequest`, or that of remote write 2.0.
        protobuf_message: String = WRITE_REQUEST_V1.to_owned(),
        /// Not in Prometheus: `series` (each series in order) or `live_first` (new samples go ahead
        /// of older ones that wait, for a receiver that takes any order).
        send_order: String,
        /// How the receiver is spoken to.
        http_client: HttpClient [inline] = HttpClient { enable_http2: false, ..HttpClient::default() },
        /// How samples are batched and sent again.
        queue_config: QueueConfig [always],
        /// How metadata is sent.
        metadata_config: MetadataConfig [always],
        /// Never set in a checked configuration.
        cloud: Cloud [inline],
    }
}

/// The message of remote write 1.0.
pub const WRITE_REQUEST_V1: &str = "prometheus.WriteRequest";
/// The message of remote write 2.0.
pub const WRITE_REQUEST_V2: &str = "io.prometheus.write.v2.Request";

/// A `send_order`: each series in order, as if none was given.
pub const SEND_ORDER_SERIES: &str = "series";
/// A `send_order`: what is new goes ahead of what waits.
pub const SEND_ORDER_LIVE_FIRST: &str = "live_first";

section! {
    /// `queue_config`.
    pub struct QueueConfig as "config.QueueConfig", check check_queue {
        /// Most samples that wait for one shard.
        capacity: u64 = 10_000,
        /// Most requests at a time.
        max_shards: u64 = 50,
        /// Fewest requests at a time.
        min_shards: u64 = 1,
        /// Most samples of one request. Prometheus' default is 2000; here a request of many samples
        /// costs hardly more than one of few.
        max_samples_per_send: u64 = 50_000,
        /// Longest time that a sample waits for others to be sent with.
        batch_send_deadline: Duration = Duration::from_secs(5),
        /// First pause before a request is sent again; it doubles each time.
        min_backoff: Duration = Duration::from_millis(30),
        /// Longest pause.
        max_backoff: Duration = Duration::from_secs(5),
        /// Accepted; what is refused with 429 is always sent again.
        retry_on_http_429: bool,
        /// Samples older than this are not sent; zero: all are.
        sample_age_limit: Duration,
    }
}

section! {
    /// `metadata_config`.
    pub struct MetadataConfig as "config.MetadataConfig" {
        /// Whether metadata is sent at all.
        send: bool [always] = true,
        /// Time between two rounds.
        send_interval: Duration = Duration::from_secs(60),
        /// Most families of one request.
        max_samples_per_send: u64 = 2000,
    }
}

section! {
    /// One server that queries could also read from; not done.
    pub struct RemoteRead as "config.plain", check check_read {
        /// The server; set in every checked configuration.
        url: Option<ServerUrl>,
        /// Longest time of one request.
        remote_timeout: Duration = Duration::from_secs(60),
        /// Largest frame of a streamed answer, in bytes.
        chunked_read_limit: u64 = 50_000_000,
        /// Further headers. Masked, for they often hold tokens.
        headers: BTreeMap<String, Secret>,
        /// Whether times that the local store covers are asked for too.
        read_recent: bool,
        /// The server's name, unique.
        name: String,
        /// How the server is spoken to.
        http_client: HttpClient [inline],
        /// Labels that a query must name.
        required_matchers: BTreeMap<String, String>,
        /// Whether external labels are used as filters.
        filter_external_labels: bool [always] = true,
    }
}

impl RemoteWrite {
    /// The name of the receiver: as configured, or one made from the URL without user and
    /// password, so that it stays the same from start to start.
    pub fn queue_name(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.plain_url().bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        format!("{:06x}", hash >> 40)
    }

    fn plain_url(&self) -> String {
        let Some(url) = &self.url else { return String::new() };
        let mut url = url.expose().clone();
        // Both can fail only where a URL has no host, and these have one.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.to_string()
    }
}

fn check_write(config: &mut RemoteWrite, node: &Node, cx: &mut Context<'_>) {
    check_url(config.url.as_ref(), "remote_write", node, cx);
    check_headers(&config.headers, node, cx);
    http::check(&mut config.http_client, node, cx);
    if !matches!(config.protobuf_message.as_str(), WRITE_REQUEST_V1 | WRITE_REQUEST_V2) {
        let message = format!(
            "unknown remote write protobuf message {}, supported: {WRITE_REQUEST_V1}, \
             {WRITE_REQUEST_V2}",
            config.protobuf_message
        );
        cx.report_key(node, "protobuf_message", message);
    }
    if !matches!(config.send_order.as_str(), "" | SEND_ORDER_SERIES | SEND_ORDER_LIVE_FIRST) {
        let message = format!(
            "unknown send order {}, supported: {SEND_ORDER_SERIES}, {SEND_ORDER_LIVE_FIRST}",
            config.send_order
        );
        cx.report_key(node, "send_order", message);
    }
    if config.remote_timeout.is_zero() {
        cx.report_key(node, "remote_timeout", "expected a duration greater than 0");
    }
    for key in config.cloud.keys.drain(..) {
        cx.report_key(node, key, format!("{key} is not supported"));
    }
}

fn check_read(config: &mut RemoteRead, node: &Node, cx: &mut Context<'_>) {
    check_url(config.url.as_ref(), "remote_read", node, cx);
    check_headers(&config.headers, node, cx);
    http::check(&mut config.http_client, node, cx);
}

fn check_url(url: Option<&ServerUrl>, section: &str, node: &Node, cx: &mut Context<'_>) {
    match url {
        None => cx.report(node.place, format!("url for {section} is empty")),
        Some(url) if !matches!(url.expose().scheme(), "http" | "https") => {
            let message =
                format!("expected a URL of http or https, found {}", url.expose().scheme());
            cx.report_key(node, "url", message);
        }
        Some(_) => {}
    }
}

fn check_headers(headers: &BTreeMap<String, Secret>, node: &Node, cx: &mut Context<'_>) {
    for (name, value) in headers {
        let message = if name.eq_ignore_ascii_case("authorization") {
            "authorization header must be changed via the basic_auth, authorization, oauth2, \
             sigv4, azuread or google_iam parameter"
                .to_owned()
        } else if is_reserved_header(name) {
            format!("{name} is a reserved header. It must not be changed")
        } else if !is_header_name(name) {
            format!("{} is not a valid header name", GoQuoted(name))
        } else if value.expose().contains(['\r', '\n', '\0']) {
            format!("the value of {name} is not a valid header value")
        } else {
            continue;
        };
        cx.report_key(node, "headers", message);
    }
}

fn check_queue(config: &mut QueueConfig, node: &Node, cx: &mut Context<'_>) {
    for (key, value) in [
        ("capacity", config.capacity),
        ("max_shards", config.max_shards),
        ("min_shards", config.min_shards),
        ("max_samples_per_send", config.max_samples_per_send),
    ] {
        if value == 0 {
            cx.report_key(node, key, "expected a number greater than 0");
        }
    }
    for (key, value) in [
        ("batch_send_deadline", config.batch_send_deadline),
        ("min_backoff", config.min_backoff),
        ("max_backoff", config.max_backoff),
    ] {
        if value.is_zero() {
            cx.report_key(node, key, "expected a duration greater than 0");
        }
    }
    if config.min_shards > config.max_shards {
        cx.report_key(node, "min_shards", "min_shards must not be greater than max_shards");
    }
    if config.min_backoff > config.max_backoff {
        cx.report_key(node, "min_backoff", "min_backoff must not be greater than max_backoff");
    }
}

/// The authentication of clouds, which is not built. The keys are known, the content is not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cloud {
    /// The keys that are there.
    pub keys: Vec<&'static str>,
}

impl Section for Cloud {
    fn take(&mut self, fields: &mut Fields<'_>, _cx: &mut Context<'_>) {
        for key in ["sigv4", "azuread", "google_iam"] {
            if fields.take(key).is_some_and(|node| !node.is_null()) {
                self.keys.push(key);
            }
        }
    }

    fn put(&self, _out: &mut Vec<(String, Out)>) {}
}

/// Refuses names that stand twice.
pub(crate) fn check_names<'a>(
    names: impl Iterator<Item = (usize, &'a str)>,
    key: &str,
    message: &str,
    node: &Node,
    cx: &mut Context<'_>,
) {
    let mut seen = std::collections::BTreeSet::new();
    for (index, name) in names {
        if !seen.insert(name) {
            let place = node.items().get(index).map_or(node.place, |item| item.place);
            let message = format!("{message} {}", GoQuoted(name));
            cx.within_key(key, |cx| cx.within_index(index, |cx| cx.report(place, message)));
        }
    }
}
