//! Each way in which a receiver may ask who is there, and a proxy on the way, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails where it must")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use narthex_config::Config;
use narthex_model::{Labels, Timestamp};
use narthex_net::dial::Tcp;
use narthex_remote::Manager;
use narthex_store::testing::{HandClock, memory_store};
use narthex_store::{Row, Writer};
use narthex_testkit::proto::WriteRequest;
use prost::Message;
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const AT: i64 = 1_795_000_000_123;

/// A sender whose section is `more` beside the address; the first row is on its way.
async fn sender(url: &str, more: &str, folder: &Path) -> (Manager, Writer) {
    let (store, mut writer) = memory_store();
    let clock = Arc::new(HandClock::new(Timestamp(AT)));
    let manager = Manager::new(store, clock, Arc::new(Tcp), folder.to_str().unwrap(), None);
    let text = format!(
        "remote_write:\n- url: {url}\n  queue_config: {{batch_send_deadline: 50ms}}\n  \
         metadata_config: {{send: false}}\n{more}"
    );
    let sections = Config::parse(&text, "test.yml").unwrap().remote_write;
    manager.apply(&sections, &Labels::empty()).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    let series = writer.resolve(&Labels::from_pairs([("__name__", "up")])).unwrap();
    writer.add_columns(layout, &[series]).unwrap();
    writer.append(&Row { layout, at: Timestamp(AT), values: &[1.0], changed: None }).unwrap();
    (manager, writer)
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Takes a request and answers it; gives back its head and its body.
async fn take(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: &str,
) -> (String, Vec<u8>) {
    let head = head(stream).await;
    let len = head.to_lowercase();
    let len = len.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap();
    let mut body = vec![0; len.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.unwrap();
    (head, body)
}

const YES: &str = "204 No Content\r\n\r\n";

/// That the one sample came.
fn check(body: &[u8]) {
    let plain = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let request = WriteRequest::decode(&plain[..]).unwrap();
    assert_eq!(request.timeseries[0].samples[0].timestamp, AT);
}

/// The head with which a sender comes to a receiver without TLS.
async fn plain(more: &str, folder: &Path) -> String {
    let (listener, port) = listen().await;
    let _sender = sender(&format!("http://127.0.0.1:{port}/write"), more, folder).await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let (head, body) = take(&mut stream, YES).await;
    check(&body);
    head.to_lowercase()
}

#[tokio::test]
async fn by_a_password_a_token_or_headers() {
    let folder = tempfile::tempdir().unwrap();
    let head = plain("  basic_auth: {username: u, password: p}\n", folder.path()).await;
    assert!(head.contains("\r\nauthorization: basic dtpw\r\n"), "{head}");
    std::fs::write(folder.path().join("token"), "abc\n").unwrap();
    let more = "  authorization: {credentials_file: token}\n";
    let head = plain(more, folder.path()).await;
    assert!(head.contains("\r\nauthorization: bearer abc\r\n"), "{head}");
    let more = "  headers: {THANOS-TENANT: house}\n";
    let head = plain(more, folder.path()).await;
    assert!(head.contains("\r\nthanos-tenant: house\r\n"), "{head}");
    assert!(!head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn by_a_token_of_oauth2() {
    let folder = tempfile::tempdir().unwrap();
    let (tokens, token_port) = listen().await;
    let giving = tokio::spawn(async move {
        let (mut stream, _) = tokens.accept().await.unwrap();
        let json = r#"{"access_token":"t0k","token_type":"bearer","expires_in":3600}"#;
        let answer = format!(
            "200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
            json.len()
        );
        take(&mut stream, &answer).await
    });
    let more = format!(
        "  oauth2: {{client_id: me, client_secret: s, scopes: [write], \
         token_url: 'http://127.0.0.1:{token_port}/token'}}\n"
    );
    let head = plain(&more, folder.path()).await;
    assert!(head.contains("\r\nauthorization: bearer t0k\r\n"), "{head}");
    let (asked, form) = giving.await.unwrap();
    let form = String::from_utf8(form).unwrap();
    assert!(asked.starts_with("POST /token "), "{asked}");
    assert!(
        form.contains("grant_type=client_credentials") && form.contains("scope=write"),
        "{form}"
    );
}

#[tokio::test]
async fn through_a_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let (proxy, proxy_port) = listen().await;
    let more = format!("  proxy_url: 'http://127.0.0.1:{proxy_port}'\n");
    let _sender = sender("http://far.example:19291/api/v1/receive", &more, folder.path()).await;
    let (mut stream, _) = proxy.accept().await.unwrap();
    let (head, body) = take(&mut stream, YES).await;
    check(&body);
    assert!(
        head.starts_with("POST http://far.example:19291/api/v1/receive HTTP/1.1\r\n"),
        "{head}"
    );
}

/// Signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn leaf(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// Speaks TLS as 127.0.0.1 with those that have a certificate of the same authority.
    fn acceptor(&self) -> TlsAcceptor {
        let (cert, key) = self.leaf("127.0.0.1");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let roots = Arc::new(roots);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.unwrap())
            .with_single_cert(vec![cert.der().clone()], key);
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

#[tokio::test]
async fn by_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (name, of) in [("good", &authority), ("bad", &stranger)] {
        let (cert, key) = of.leaf("sender");
        std::fs::write(folder.path().join(format!("{name}.crt")), cert.pem()).unwrap();
        std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    std::fs::write(folder.path().join("ca.crt"), authority.0.pem()).unwrap();
    let (listener, port) = listen().await;
    let url = format!("https://127.0.0.1:{port}/write");
    let more = |name: &str| {
        format!("  tls_config: {{ca_file: ca.crt, cert_file: {name}.crt, key_file: {name}.key}}\n")
    };
    let acceptor = authority.acceptor();
    let accept = async || -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
        let (stream, _) = listener.accept().await?;
        acceptor.accept(stream).await
    };
    {
        let (refused, _writer) = sender(&url, &more("bad"), folder.path()).await;
        assert!(accept().await.is_err(), "a stranger was let in");
        let tried = async {
            while refused.stats()[0].last_error.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), tried).await.unwrap();
        refused.stop(Duration::ZERO).await;
    }
    let _sender = sender(&url, &more("good"), folder.path()).await;
    let mut stream = loop {
        // The one before may have been about to try again.
        if let Ok(stream) = accept().await {
            break stream;
        }
    };
    let (_, body) = take(&mut stream, YES).await;
    check(&body);
}
