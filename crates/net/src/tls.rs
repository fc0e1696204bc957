//! The TLS side of a client: roots, client certificate, versions, and the handshake.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore};

use crate::dial::Stream;
use crate::error::{Failure, go_text};

/// Largest certificate or key file, in bytes.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// PEM text, in the configuration or in a file that is read again at each connection.
#[derive(Clone)]
pub(crate) enum Pem {
    Inline(String),
    File(PathBuf),
}

/// What a `tls_config` asks for.
#[derive(Clone, Default)]
pub(crate) struct TlsSettings {
    pub(crate) ca: Option<Pem>,
    pub(crate) cert: Option<Pem>,
    pub(crate) key: Option<Pem>,
    pub(crate) server_name: Option<String>,
    pub(crate) insecure_skip_verify: bool,
    pub(crate) no_tls12: bool,
    pub(crate) no_tls13: bool,
}

/// Makes TLS connections as one `tls_config` asks.
pub(crate) struct Tls {
    settings: TlsSettings,
    /// The texts that the last configuration was made from, and it. It is made anew when a file
    /// has changed; until then sessions can be resumed.
    made: Mutex<Option<(Texts, Arc<ClientConfig>)>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Texts {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Fails when a file cannot be read or does not hold what it should, so that a bad
    /// configuration is refused when it is loaded.
    pub(crate) fn new(settings: TlsSettings) -> Result<Self, String> {
        let tls = Self { settings, made: Mutex::new(None) };
        let settings = &tls.settings;
        if settings.ca.is_some() || settings.cert.is_some() || settings.key.is_some() {
            tls.config()?;
        }
        Ok(tls)
    }

    /// The system's roots, no client certificate.
    pub(crate) fn bare() -> Self {
        Self { settings: TlsSettings::default(), made: Mutex::new(None) }
    }

    /// Shakes hands over `stream` with the server called `host`.
    pub(crate) async fn wrap(
        &self,
        stream: Box<dyn Stream>,
        host: &str,
    ) -> Result<Box<dyn Stream>, Failure> {
        let name = self.settings.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name)
            .map_err(|_| Failure::Tls(format!("tls: invalid server name {host:?}")))?;
        let config = self.config().map_err(Failure::Tls)?;
        let connector = tokio_rustls::TlsConnector::from(config);
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(Failure::Tls(handshake_text(&error))),
        }
    }

    fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let settings = &self.settings;
        let texts = Texts {
            ca: read(settings.ca.as_ref(), "CA cert")?,
            cert: read(settings.cert.as_ref(), "client cert")?,
            key: read(settings.key.as_ref(), "client key")?,
        };
        let mut made = self.made.lock();
        if let Some((before, config)) = &*made
            && *before == texts
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(build(settings, &texts)?);
        *made = Some((texts, Arc::clone(&config)));
        Ok(config)
    }
}

fn read(pem: Option<&Pem>, what: &str) -> Result<Option<Vec<u8>>, String> {
    match pem {
        None => Ok(None),
        Some(Pem::Inline(text)) => Ok(Some(text.as_bytes().to_vec())),
        Some(Pem::File(path)) => {
            let shown = path.display();
            let failed =
                |e: std::io::Error| format!("unable to read {what} file {shown}: {}", go_text(&e));
            let len = std::fs::metadata(path).map_err(failed)?.len();
            if len > PEM_BYTES_MAX {
                return Err(format!("{what} file {shown} is larger than {PEM_BYTES_MAX} bytes"));
            }
            std::fs::read(path).map(Some).map_err(failed)
        }
    }
}

fn build(settings: &TlsSettings, texts: &Texts) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let versions: &[&rustls::SupportedProtocolVersion] =
        match (settings.no_tls12, settings.no_tls13) {
            (false, false) => &[&rustls::version::TLS13, &rustls::version::TLS12],
            (true, false) => &[&rustls::version::TLS13],
            (false, true) => &[&rustls::version::TLS12],
            (true, true) => return Err("tls: no supported version between min and max".to_owned()),
        };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(versions).map_err(|e| format!("tls: {e}"))?;
    let builder = if settings.insecure_skip_verify {
        let verifier = Arc::new(AnyCertificate { algorithms });
        builder.dangerous().with_custom_certificate_verifier(verifier)
    } else {
        builder.with_root_certificates(roots(texts.ca.as_deref())?)
    };
    let mut config = match (&texts.cert, &texts.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let failed = |what: &str| format!("unable to use specified client cert: {what}");
            let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert)
                .collect::<Result<_, _>>()
                .map_err(|e| failed(&e.to_string()))?;
            if chain.is_empty() {
                return Err(failed("no certificate in it"));
            }
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| failed(&e.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| failed(&e.to_string()))?
        }
        _ => return Err("exactly one of client cert and client key is configured".to_owned()),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The roots in `ca`, or the system's, which are read once.
fn roots(ca: Option<&[u8]>) -> Result<Arc<RootCertStore>, String> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let Some(ca) = ca else {
        let system = SYSTEM.get_or_init(|| {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(store)
        });
        return Ok(Arc::clone(system));
    };
    let mut store = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(ca) {
        let cert = cert.map_err(|e| format!("unable to use specified CA cert: {e}"))?;
        store.add(cert).map_err(|e| format!("unable to use specified CA cert: {e}"))?;
    }
    if store.is_empty() {
        return Err("unable to use specified CA cert: no certificate in it".to_owned());
    }
    Ok(Arc::new(store))
}

/// The failure of a handshake in Go's words, where Go has words for it.
fn handshake_text(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let verify = "tls: failed to verify certificate: x509:";
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                format!("{verify} certificate signed by unknown authority")
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                format!("{verify} certificate has expired or is not yet valid")
            }
            other => format!("{verify} {other}"),
        },
        Some(rustls::Error::AlertReceived(alert)) => format!("remote error: tls: {alert:?}"),
        Some(other) => format!("tls: {other}"),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        None => format!("tls: {}", go_text(error)),
    }
}

/// Accepts any certificate, as `insecure_skip_verify` asks; signatures are still checked.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
