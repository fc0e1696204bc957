//! How a client presents itself and what it trusts: the keys that every HTTP client shares.

use std::collections::BTreeMap;

use crate::node::{Node, Yaml};
use crate::read::{Context, Value, is_header_name};
use crate::secret::{Secret, ServerUrl};
use crate::section::section;
use crate::write::Out;

section! {
    /// The HTTP client of a job, a receiver or an Alertmanager. Checked: at most one way to
    /// authenticate is set, and `bearer_token(_file)` has become `authorization`.
    pub struct HttpClient as "config.HTTPClientConfig" {
        /// User name and password.
        basic_auth: Option<BasicAuth>,
        /// An `Authorization` header of another scheme.
        authorization: Option<Authorization>,
        /// A token that is fetched with client credentials.
        oauth2: Option<Box<OAuth2>>,
        /// The old spelling of `authorization.credentials`; empty once read.
        bearer_token: Option<Secret>,
        /// The old spelling of `authorization.credentials_file`; empty once read.
        bearer_token_file: Option<String>,
        /// Certificates and versions.
        tls_config: TlsConfig,
        /// Whether redirects are followed.
        follow_redirects: bool [always] = true,
        /// Accepted; HTTP/2 is not spoken.
        enable_http2: bool [always] = true,
        /// Which proxy to use.
        proxy: Proxy [inline],
        /// Further headers, by name.
        http_headers: BTreeMap<String, Header>,
    }
}

section! {
    /// User name and password.
    pub struct BasicAuth as "config.BasicAuth" {
        /// The user.
        username: Option<String>,
        /// A file with the user's name.
        username_file: Option<String>,
        /// The password.
        password: Option<Secret>,
        /// A file with the password.
        password_file: Option<String>,
    }
}

section! {
    /// An `Authorization` header.
    pub struct Authorization as "config.Authorization" {
        /// The scheme; `Bearer` unless set. Never `Basic`.
        r#type: String,
        /// What follows the scheme.
        credentials: Option<Secret>,
        /// A file with what follows the scheme.
        credentials_file: Option<String>,
    }
}

section! {
    /// OAuth 2.0 with client credentials.
    pub struct OAuth2 as "config.OAuth2" {
        /// Who asks.
        client_id: String,
        /// The secret.
        client_secret: Option<Secret>,
        /// A file with the secret.
        client_secret_file: Option<String>,
        /// What is asked for.
        scopes: Vec<String>,
        /// Where to ask.
        token_url: String,
        /// Further parameters of the request.
        endpoint_params: BTreeMap<String, String>,
        /// TLS towards the token's server.
        tls_config: TlsConfig,
        /// The proxy towards the token's server.
        proxy: Proxy [inline],
    }
}

section! {
    /// Certificates and versions of TLS. Of each pair, text and file, at most one is set.
    pub struct TlsConfig as "config.TLSConfig" {
        /// The certificate authority, PEM.
        ca: Option<String>,
        /// The client's certificate, PEM.
        cert: Option<String>,
        /// The client's key, PEM.
        key: Option<Secret>,
        /// A file with the certificate authority.
        ca_file: Option<String>,
        /// A file with the client's certificate.
        cert_file: Option<String>,
        /// A file with the client's key.
        key_file: Option<String>,
        /// The name in the server's certificate, where it is not the host's.
        server_name: Option<String>,
        /// Takes any certificate.
        insecure_skip_verify: bool [always],
        /// Lowest version.
        min_version: Option<TlsVersion>,
        /// Highest version.
        max_version: Option<TlsVersion>,
    }
}

section! {
    /// Which proxy to use.
    pub struct Proxy as "config.ProxyConfig" {
        /// The proxy.
        proxy_url: Option<ServerUrl>,
        /// Hosts that are reached without it, with commas between.
        no_proxy: Option<String>,
        /// Whether `HTTP_PROXY` and its kin are heeded.
        proxy_from_environment: bool,
        /// Headers of CONNECT requests.
        proxy_connect_header: BTreeMap<String, Vec<Secret>>,
    }
}

section! {
    /// The values of one further header.
    pub struct Header as "config.Header" {
        /// Values that may be shown.
        values: Vec<String>,
        /// Values that may not.
        secrets: Vec<Secret>,
        /// Files with values.
        files: Vec<String>,
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.0, which is not spoken: the lowest is 1.2.
    Tls10,
    /// 1.1, which is not spoken: the lowest is 1.2.
    Tls11,
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

impl TlsVersion {
    const ALL: [(Self, &str); 4] = [
        (Self::Tls10, "TLS10"),
        (Self::Tls11, "TLS11"),
        (Self::Tls12, "TLS12"),
        (Self::Tls13, "TLS13"),
    ];
}

impl Value for TlsVersion {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let known = match &node.value {
            Yaml::Scalar { text, .. } => Self::ALL.iter().find(|(_, name)| name == text),
            _ => None,
        };
        if known.is_none() {
            cx.expected(node, "one of TLS10, TLS11, TLS12, TLS13");
        }
        known.map(|&(version, _)| version)
    }

    fn write(&self) -> Out {
        let name = Self::ALL.iter().find(|(version, _)| version == self).map_or("", |&(_, n)| n);
        Out::Plain(name.to_owned())
    }
}

/// Headers that the program sets itself.
const RESERVED: [&str; 15] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
];

/// Checks the client's keys among those of `node`, and settles the old spellings.
pub(crate) fn check(client: &mut HttpClient, node: &Node, cx: &mut Context<'_>) {
    let token = client.bearer_token.is_some();
    let token_file = client.bearer_token_file.is_some();
    let ways = usize::from(client.basic_auth.is_some())
        + usize::from(client.oauth2.is_some())
        + usize::from(client.authorization.is_some())
        + usize::from(token)
        + usize::from(token_file);
    if ways > 1 {
        cx.report(
            node.place,
            "at most one of basic_auth, authorization, oauth2, bearer_token and \
             bearer_token_file must be configured",
        );
    }
    if let Some(basic) = &client.basic_auth {
        one_of(
            node,
            cx,
            "basic_auth",
            &[
                ("username", basic.username.is_some()),
                ("username_file", basic.username_file.is_some()),
            ],
        );
        one_of(
            node,
            cx,
            "basic_auth",
            &[
                ("password", basic.password.is_some()),
                ("password_file", basic.password_file.is_some()),
            ],
        );
    }
    if token || token_file {
        client.authorization = Some(Authorization {
            credentials: client.bearer_token.take(),
            credentials_file: client.bearer_token_file.take(),
            ..Authorization::default()
        });
    }
    if let Some(authorization) = &mut client.authorization {
        check_authorization(authorization, node, cx);
    }
    if let Some(oauth2) = &client.oauth2 {
        check_oauth2(oauth2, node, cx);
    }
    check_tls(&client.tls_config, "tls_config", node, cx);
    check_proxy(&client.proxy, node, cx);
    for name in client.http_headers.keys() {
        if !is_header_name(name) || RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
            cx.report_key(node, "http_headers", format!("setting header {name:?} is not allowed"));
        }
    }
}

fn one_of(node: &Node, cx: &mut Context<'_>, section: &str, set: &[(&str, bool)]) {
    if set.iter().filter(|(_, is_set)| *is_set).count() > 1 {
        let names: Vec<&str> = set.iter().map(|&(name, _)| name).collect();
        let message = format!("at most one of {} must be configured", names.join(" & "));
        cx.report_key(node, section, message);
    }
}

fn check_authorization(authorization: &mut Authorization, node: &Node, cx: &mut Context<'_>) {
    authorization.r#type = authorization.r#type.trim().to_owned();
    if authorization.r#type.is_empty() {
        "Bearer".clone_into(&mut authorization.r#type);
    }
    if authorization.r#type.eq_ignore_ascii_case("basic") {
        let message = "authorization type cannot be set to \"basic\", use \"basic_auth\" instead";
        cx.report_key(node, "authorization", message);
    }
    one_of(
        node,
        cx,
        "authorization",
        &[
            ("credentials", authorization.credentials.is_some()),
            ("credentials_file", authorization.credentials_file.is_some()),
        ],
    );
}

fn check_oauth2(oauth2: &OAuth2, node: &Node, cx: &mut Context<'_>) {
    for (key, value) in [("client_id", &oauth2.client_id), ("token_url", &oauth2.token_url)] {
        if value.is_empty() {
            cx.report_key(node, "oauth2", format!("oauth2 {key} must be configured"));
        }
    }
    one_of(
        node,
        cx,
        "oauth2",
        &[
            ("client_secret", oauth2.client_secret.is_some()),
            ("client_secret_file", oauth2.client_secret_file.is_some()),
        ],
    );
    if let Some(inner) = node.get("oauth2") {
        cx.within_key("oauth2", |cx| {
            check_tls(&oauth2.tls_config, "tls_config", inner, cx);
            check_proxy(&oauth2.proxy, inner, cx);
        });
    }
}

fn check_tls(tls: &TlsConfig, key: &str, node: &Node, cx: &mut Context<'_>) {
    one_of(node, cx, key, &[("ca", tls.ca.is_some()), ("ca_file", tls.ca_file.is_some())]);
    one_of(node, cx, key, &[("cert", tls.cert.is_some()), ("cert_file", tls.cert_file.is_some())]);
    one_of(node, cx, key, &[("key", tls.key.is_some()), ("key_file", tls.key_file.is_some())]);
    let cert = tls.cert.is_some() || tls.cert_file.is_some();
    let has_key = tls.key.is_some() || tls.key_file.is_some();
    if cert != has_key {
        let (missing, present) = if cert { ("key", "certificate") } else { ("cert", "key") };
        let message = format!(
            "exactly one of {missing} or {missing}_file must be configured when a client \
             {present} is configured"
        );
        cx.report_key(node, key, message);
    }
    if tls.min_version.zip(tls.max_version).is_some_and(|(min, max)| min > max) {
        cx.report_key(node, key, "min_version must not be higher than max_version");
    }
}

fn check_proxy(proxy: &Proxy, node: &Node, cx: &mut Context<'_>) {
    let has_url = proxy.proxy_url.is_some();
    let exempts = proxy.no_proxy.as_deref().is_some_and(|hosts| !hosts.is_empty());
    if !proxy.proxy_connect_header.is_empty() && !proxy.proxy_from_environment && !has_url {
        let message = "if proxy_connect_header is configured, proxy_url or \
                       proxy_from_environment must also be configured";
        cx.report_key(node, "proxy_connect_header", message);
    }
    if proxy.proxy_from_environment && has_url {
        let message = "if proxy_from_environment is configured, proxy_url must not be configured";
        cx.report_key(node, "proxy_from_environment", message);
    }
    if proxy.proxy_from_environment && exempts {
        let message = "if proxy_from_environment is configured, no_proxy must not be configured";
        cx.report_key(node, "no_proxy", message);
    }
    if exempts && !has_url && !proxy.proxy_from_environment {
        let message = "if no_proxy is configured, proxy_url must also be configured";
        cx.report_key(node, "no_proxy", message);
    }
    for name in proxy.proxy_connect_header.keys().filter(|name| !is_header_name(name)) {
        let message = format!("{name:?} is not a valid header name");
        cx.report_key(node, "proxy_connect_header", message);
    }
}

/// Whether `name` is a header that the program sets itself.
pub(crate) fn is_reserved_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    RESERVED.contains(&lower.as_str()) || lower.starts_with("proxy-")
}
