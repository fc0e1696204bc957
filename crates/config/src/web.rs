//! The file of `--web.config.file`: TLS, users and headers of the server, as Prometheus' toolkit
//! for exporters has it.

use std::collections::BTreeMap;

use crate::Error;
use crate::http::TlsVersion;
use crate::node::{Node, Yaml};
use crate::read::{Context, Value, read_text};
use crate::secret::Secret;
use crate::section::section;
use crate::write::Out;

section! {
    /// The whole file.
    pub struct WebConfig as "web.Config", check check {
        /// TLS; without it the server speaks plainly.
        tls_server_config: Option<TlsServer>,
        /// HTTP.
        http_server_config: HttpServer,
        /// Users and the bcrypt hashes of their passwords; empty: everyone may come in.
        basic_auth_users: BTreeMap<String, Secret>,
    }
}

section! {
    /// `tls_server_config`. Of each pair, text and file, at most one is set.
    pub struct TlsServer as "web.TLSConfig", check check_tls {
        /// The server's certificate and what leads to its authority, PEM.
        cert: Option<String>,
        /// A file with the certificate.
        cert_file: Option<String>,
        /// The key, PEM.
        key: Option<Secret>,
        /// A file with the key.
        key_file: Option<String>,
        /// Whether clients show a certificate.
        client_auth_type: ClientAuth,
        /// The authority of clients' certificates, PEM.
        client_ca: Option<String>,
        /// A file with that authority.
        client_ca_file: Option<String>,
        /// Refused: names that a client's certificate must have.
        client_allowed_sans: Vec<String>,
        /// Accepted; only suites without known weakness are spoken.
        cipher_suites: Vec<String>,
        /// Accepted.
        prefer_server_cipher_suites: bool = true,
        /// Accepted.
        curve_preferences: Vec<String>,
        /// Least version; 1.2 or later.
        min_version: Option<TlsVersion>,
        /// Greatest version.
        max_version: Option<TlsVersion>,
    }
}

section! {
    /// `http_server_config`.
    pub struct HttpServer as "web.HTTPConfig", check check_http {
        /// Accepted; HTTP/2 is not spoken.
        http2: bool = true,
        /// Headers of every answer.
        headers: BTreeMap<String, String>,
    }
}

/// The headers that may be set.
const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
];

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They need not, and none is looked at.
    #[default]
    None,
    /// One that is shown must be good.
    IfGiven,
    /// They must, and it must be good.
    Required,
}

impl ClientAuth {
    const ALL: [(Self, &str); 3] = [
        (Self::None, "NoClientCert"),
        (Self::IfGiven, "VerifyClientCertIfGiven"),
        (Self::Required, "RequireAndVerifyClientCert"),
    ];
}

impl Value for ClientAuth {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = match &node.value {
            Yaml::Scalar { text, .. } => text.as_str(),
            _ => "?",
        };
        if text.is_empty() {
            return Some(Self::None);
        }
        let known = Self::ALL.iter().find(|(_, name)| *name == text);
        if known.is_none() {
            // The other two kinds let anyone in with a certificate that nobody has looked at.
            cx.expected(
                node,
                "one of NoClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert",
            );
        }
        known.map(|&(kind, _)| kind)
    }

    fn write(&self) -> Out {
        let name = Self::ALL.iter().find(|(kind, _)| kind == self).map_or("", |&(_, name)| name);
        Out::Plain(name.to_owned())
    }

    fn is_zero(&self) -> bool {
        *self == Self::None
    }
}

impl WebConfig {
    /// Reads the text of a file that is called `file` in errors.
    ///
    /// # Errors
    /// Every issue with its place.
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        read_text(text, file, &|_| None)
    }
}

fn check(config: &mut WebConfig, node: &Node, cx: &mut Context<'_>) {
    for (user, hash) in &config.basic_auth_users {
        let hash = hash.expose();
        let is_bcrypt = hash.len() == 60 && hash.starts_with("$2");
        if !is_bcrypt {
            let message = format!("user {user:?}: expected a bcrypt hash");
            cx.report_key(node, "basic_auth_users", message);
        }
    }
}

fn check_tls(tls: &mut TlsServer, node: &Node, cx: &mut Context<'_>) {
    let pairs = [
        ("cert", tls.cert.is_some(), tls.cert_file.is_some()),
        ("key", tls.key.is_some(), tls.key_file.is_some()),
    ];
    for (name, text, file) in pairs {
        if text == file {
            let message = match text {
                true => format!("at most one of {name} and {name}_file must be configured"),
                false => format!("missing {name} or {name}_file"),
            };
            cx.report_key(node, name, message);
        }
    }
    let has_authority = tls.client_ca.is_some() || tls.client_ca_file.is_some();
    if tls.client_ca.is_some() && tls.client_ca_file.is_some() {
        let message = "at most one of client_ca and client_ca_file must be configured";
        cx.report_key(node, "client_ca", message);
    }
    if (tls.client_auth_type == ClientAuth::None) == has_authority {
        let message = "client_auth_type and client_ca(_file) must be configured together";
        cx.report_key(node, "client_auth_type", message);
    }
    if !tls.client_allowed_sans.is_empty() {
        cx.report_key(node, "client_allowed_sans", "not supported yet");
    }
}

fn check_http(http: &mut HttpServer, node: &Node, cx: &mut Context<'_>) {
    for name in http.headers.keys() {
        if !HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            cx.report_key(node, "headers", format!("HTTP header {name:?} can not be configured"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay";

    #[test]
    fn reads_what_the_toolkit_reads() {
        let text = format!(
            "tls_server_config:\n  cert_file: c\n  key_file: k\n  min_version: TLS13\n\
             http_server_config:\n  headers:\n    X-Frame-Options: deny\n\
             basic_auth_users:\n  alice: {HASH}\n"
        );
        let config = WebConfig::parse(&text, "web.yml").unwrap();
        let tls = config.tls_server_config.unwrap();
        assert_eq!(
            (tls.cert_file.as_deref(), tls.min_version),
            (Some("c"), Some(TlsVersion::Tls13))
        );
        assert_eq!(config.basic_auth_users["alice"].expose(), HASH);
        assert_eq!(WebConfig::parse("", "web.yml").unwrap(), WebConfig::default());
    }

    #[test]
    fn refuses_what_would_leave_a_door_open() {
        for (text, want) in [
            ("tls_server_config: {cert_file: c}", "missing key or key_file"),
            ("basic_auth_users: {a: secret}", "expected a bcrypt hash"),
            ("http_server_config: {headers: {X-Other: a}}", "can not be configured"),
            (
                "tls_server_config: {cert_file: c, key_file: k, client_auth_type: RequireAnyClientCert}",
                "RequireAndVerifyClientCert",
            ),
            ("tls_server_config: {cert_file: c, key_file: k, client_ca_file: a}", "together"),
            (
                "tls_server_config: {cert_file: c, key_file: k, client_allowed_sans: [x]}",
                "not supported",
            ),
            ("nosuch: 1", "nosuch"),
        ] {
            let error = WebConfig::parse(text, "web.yml").unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
