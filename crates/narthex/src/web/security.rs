//! TLS, users and headers of the server, as `--web.config.file` asks for them.
//!
//! The file, and the certificates that it names, are read again when they have changed. What then
//! cannot be used is logged, and what was read before stays: a mistake never opens a door.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use narthex_config::WebConfig;
use narthex_config::http::TlsVersion;
use narthex_config::web::{ClientAuth, TlsServer};
use parking_lot::Mutex;
use ring::hmac;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::sync::Semaphore;

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Passwords that are checked at the same time: each takes a processor for a tenth of a second.
const CHECKS_MAX: usize = 2;

/// Remembered outcomes of checks; beyond it all are forgotten.
const REMEMBERED_MAX: usize = 100;

/// The hash that a user who does not exist is checked against, so that the time tells nothing. No
/// password belongs to it.
const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// What the file asks for, kept up to date.
pub struct Security {
    path: PathBuf,
    loaded: Mutex<Arc<Loaded>>,
    /// For the keys of `remembered`: passwords are not kept.
    secret: hmac::Key,
    remembered: Mutex<HashMap<Vec<u8>, bool>>,
    checks: Semaphore,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Security").field("path", &self.path).finish_non_exhaustive()
    }
}

/// One reading of the file.
struct Loaded {
    stamps: Vec<Stamp>,
    config: WebConfig,
    headers: Vec<(HeaderName, HeaderValue)>,
    tls: Option<Arc<ServerConfig>>,
}

/// A file and how it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    changed: Option<(SystemTime, u64)>,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let data = std::fs::metadata(path).ok();
        let changed = data.and_then(|data| Some((data.modified().ok()?, data.len())));
        Self { path: path.to_owned(), changed }
    }
}

impl Security {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A text that names the file and what is wrong.
    pub fn new(path: &str) -> Result<Self, String> {
        let path = PathBuf::from(path);
        let loaded = load(&path).map_err(|e| format!("--web.config.file: {e}"))?;
        let random = ring::rand::SystemRandom::new();
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &random);
        Ok(Self {
            path,
            loaded: Mutex::new(Arc::new(loaded)),
            secret: secret.map_err(|_| "no random numbers to be had".to_owned())?,
            remembered: Mutex::default(),
            checks: Semaphore::new(CHECKS_MAX),
        })
    }

    fn current(&self) -> Arc<Loaded> {
        let mut loaded = self.loaded.lock();
        if loaded.stamps.iter().all(|stamp| Stamp::of(&stamp.path) == *stamp) {
            return Arc::clone(&loaded);
        }
        match load(&self.path) {
            Ok(new) => {
                tracing::info!(file = %self.path.display(), "Read the web configuration again");
                *loaded = Arc::new(new);
            }
            Err(error) => {
                tracing::error!(err = error, "The web configuration before stays in force");
                // Not tried again until something changes.
                let stamps = loaded.stamps.iter().map(|stamp| Stamp::of(&stamp.path)).collect();
                let (config, headers) = (loaded.config.clone(), loaded.headers.clone());
                *loaded = Arc::new(Loaded { stamps, config, headers, tls: loaded.tls.clone() });
            }
        }
        Arc::clone(&loaded)
    }

    /// How connections are encrypted; `None`: they are not.
    pub fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.current().tls.clone()
    }

    /// Adds the headers of every answer.
    pub fn put_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.current().headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Whether who sends these headers may come in.
    pub async fn admits(&self, headers: &HeaderMap) -> bool {
        let loaded = self.current();
        let users = &loaded.config.basic_auth_users;
        if users.is_empty() {
            return true;
        }
        let Some((user, password)) = headers.get(AUTHORIZATION).and_then(credentials) else {
            return false;
        };
        let known = users.get(&user).map(|hash| hash.expose().to_owned());
        let exists = known.is_some();
        let hash = known.unwrap_or_else(|| NOBODY.to_owned());
        let mut signed = hmac::Context::with_key(&self.secret);
        for part in [user.as_bytes(), hash.as_bytes(), password.as_bytes()] {
            signed.update(&(part.len() as u64).to_le_bytes());
            signed.update(part);
        }
        let key = signed.sign().as_ref().to_vec();
        if let Some(&remembered) = self.remembered.lock().get(&key) {
            return remembered;
        }
        let Ok(_turn) = self.checks.acquire().await else { return false };
        let check = move || bcrypt::verify(password.as_bytes(), &hash).unwrap_or(false);
        let right = tokio::task::spawn_blocking(check).await.unwrap_or(false) && exists;
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(key, right);
        right
    }
}

/// User and password of an `Authorization` header.
fn credentials(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn load(path: &Path) -> Result<Loaded, String> {
    let name = path.display().to_string();
    let mut stamps = vec![Stamp::of(path)];
    let text = String::from_utf8(read(path)?).map_err(|_| format!("{name}: not UTF-8"))?;
    let config = WebConfig::parse(&text, &name).map_err(|e| e.to_string())?;
    let base = path.parent().unwrap_or(Path::new(""));
    let tls = match &config.tls_server_config {
        None => None,
        Some(tls) => Some(Arc::new(server_config(tls, base, &mut stamps)?)),
    };
    let mut headers = Vec::new();
    for (name, value) in &config.http_server_config.headers {
        let parsed =
            HeaderName::try_from(name.as_str()).ok().zip(HeaderValue::from_str(value).ok());
        headers.push(parsed.ok_or_else(|| format!("header {name}: not a header"))?);
    }
    Ok(Loaded { stamps, config, headers, tls })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(format!("{}: larger than {FILE_BYTES_MAX} bytes", path.display()));
    }
    std::fs::read(path).map_err(failed)
}

fn server_config(
    tls: &TlsServer,
    base: &Path,
    stamps: &mut Vec<Stamp>,
) -> Result<ServerConfig, String> {
    let mut pem = |text: Option<&str>, file: Option<&String>| match (text, file) {
        (Some(text), _) => Ok(text.as_bytes().to_vec()),
        (None, Some(file)) => {
            let path = base.join(file);
            stamps.push(Stamp::of(&path));
            read(&path)
        }
        (None, None) => Ok(Vec::new()),
    };
    let key = pem(tls.key.as_ref().map(narthex_config::Secret::expose), tls.key_file.as_ref())?;
    let chain = certificates(&pem(tls.cert.as_deref(), tls.cert_file.as_ref())?)?;
    let roots = pem(tls.client_ca.as_deref(), tls.client_ca_file.as_ref())?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| format!("key: {e}"))?;
    let versions: Vec<&'static SupportedProtocolVersion> = [
        (TlsVersion::Tls12, &rustls::version::TLS12),
        (TlsVersion::Tls13, &rustls::version::TLS13),
    ]
    .into_iter()
    .filter(|(version, _)| tls.min_version.is_none_or(|least| *version >= least))
    .filter(|(version, _)| tls.max_version.is_none_or(|most| *version <= most))
    .map(|(_, version)| version)
    .collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|e| format!("versions of TLS: {e}"))?;
    let builder = if tls.client_auth_type == ClientAuth::None {
        builder.with_no_client_auth()
    } else {
        let mut store = RootCertStore::empty();
        for root in certificates(&roots)? {
            store.add(root).map_err(|e| format!("client_ca: {e}"))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
        let verifier = match tls.client_auth_type {
            ClientAuth::IfGiven => verifier.allow_unauthenticated(),
            _ => verifier,
        };
        builder.with_client_cert_verifier(verifier.build().map_err(|e| e.to_string())?)
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|e| format!("cert: {e}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err("no certificate in the PEM text".to_owned()),
        Err(error) => Err(format!("certificate: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(user: &str, password: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let text = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&text).unwrap());
        headers
    }

    #[tokio::test]
    async fn only_users_come_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        let hash = bcrypt::hash("pass:word", 4).unwrap();
        let text = format!(
            "basic_auth_users: {{alice: {hash}}}\n\
             http_server_config: {{headers: {{X-Frame-Options: deny}}}}\n"
        );
        std::fs::write(&path, text).unwrap();
        let security = Security::new(path.to_str().unwrap()).unwrap();
        assert!(security.tls().is_none());
        // Twice: the second time it is remembered.
        for _ in 0..2 {
            assert!(security.admits(&header("alice", "pass:word")).await);
            assert!(!security.admits(&header("alice", "wrong")).await);
            assert!(!security.admits(&header("bob", "pass:word")).await);
        }
        assert!(!security.admits(&HeaderMap::new()).await);
        let mut headers = HeaderMap::new();
        security.put_headers(&mut headers);
        assert_eq!(headers["x-frame-options"], "deny");
        // A file that has become bad does not open the door, a good one counts at once.
        std::fs::write(&path, "nonsense: [").unwrap();
        assert!(!security.admits(&HeaderMap::new()).await);
        assert!(security.admits(&header("alice", "pass:word")).await);
        std::fs::write(&path, "# nobody\n").unwrap();
        assert!(security.admits(&HeaderMap::new()).await);
    }
}
