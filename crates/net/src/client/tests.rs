use std::time::Duration;

use http::Method;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::dial::Memory;
use crate::tls::Pem;
use crate::{Request, Stream};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    fn leaf(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn acceptor(&self, name: &str, ask_client: bool) -> tokio_rustls::TlsAcceptor {
        let (cert, key) = self.leaf(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if ask_client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                provider,
            );
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = builder.with_single_cert(vec![cert.der().clone()], key).unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }
}

async fn head(stream: &mut (impl Stream + ?Sized)) -> Option<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(text).unwrap())
}

/// Answers every request on TLS connections to `host` with the request's own head.
fn echo(memory: &Memory, host: &str, acceptor: tokio_rustls::TlsAcceptor) {
    let mut listener = memory.listen(host, 443);
    tokio::spawn(async move {
        while let Some(stream) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            while let Some(text) = head(&mut stream).await {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
                stream.write_all((answer + &text).as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    });
}

async fn ask(client: &Client, url: &str) -> Result<String, String> {
    let request = Request::get(&[], Duration::from_secs(5), 1 << 20);
    let mut body = Vec::new();
    let mut session = client.session(&Url::parse(url).unwrap());
    session.send(&request, &mut body).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(body).unwrap())
}

fn with(memory: &Arc<Memory>, tls: TlsSettings, settings: Settings) -> Client {
    Client::with(Arc::clone(memory) as _, tls, settings).unwrap()
}

#[tokio::test]
async fn trusts_whom_it_should() {
    let authority = Authority::new();
    let memory = Arc::new(Memory::new());
    echo(&memory, "good", authority.acceptor("good", false));
    echo(&memory, "odd", authority.acceptor("other-name", false));
    let ca = Some(Pem::Inline(authority.issuer.pem()));
    let tls = TlsSettings { ca, ..TlsSettings::default() };
    let client = with(&memory, tls.clone(), Settings::default());
    assert!(ask(&client, "https://good/x").await.unwrap().starts_with("GET /x HTTP/1.1\r\n"));
    let error = ask(&client, "https://odd/").await.unwrap_err();
    assert!(error.contains("tls: failed to verify certificate: x509:"), "{error}");
    let named = TlsSettings { server_name: Some("other-name".into()), ..tls };
    ask(&with(&memory, named, Settings::default()), "https://odd/").await.unwrap();
    let blind = TlsSettings { insecure_skip_verify: true, ..TlsSettings::default() };
    ask(&with(&memory, blind, Settings::default()), "https://odd/").await.unwrap();
    let strange = Some(Pem::Inline(Authority::new().issuer.pem()));
    let strange = TlsSettings { ca: strange, ..TlsSettings::default() };
    let error = ask(&with(&memory, strange, Settings::default()), "https://good/").await;
    let want = "Get \"https://good/\": tls: failed to verify certificate: x509: certificate \
                signed by unknown authority";
    assert_eq!(error.unwrap_err(), want);
    let broken = TlsSettings { ca: Some(Pem::Inline("no".into())), ..TlsSettings::default() };
    assert!(Client::with(Arc::clone(&memory) as _, broken, Settings::default()).is_err());
}

#[tokio::test]
async fn shows_its_own_certificate() {
    let authority = Authority::new();
    let memory = Arc::new(Memory::new());
    echo(&memory, "strict", authority.acceptor("strict", true));
    let tls = TlsSettings { ca: Some(Pem::Inline(authority.issuer.pem())), ..Default::default() };
    let error = ask(&with(&memory, tls.clone(), Settings::default()), "https://strict/").await;
    assert!(error.is_err());
    let (cert, key) = authority.leaf("me");
    let tls = TlsSettings {
        cert: Some(Pem::Inline(cert.pem())),
        key: Some(Pem::Inline(key.serialize_pem())),
        ..tls
    };
    ask(&with(&memory, tls, Settings::default()), "https://strict/").await.unwrap();
}

#[tokio::test]
async fn goes_through_a_proxy() {
    let authority = Authority::new();
    let memory = Arc::new(Memory::new());
    echo(&memory, "behind", authority.acceptor("behind", false));
    let mut listener = memory.listen("proxy", 3128);
    let inner = Arc::clone(&memory);
    tokio::spawn(async move {
        while let Some(mut stream) = listener.accept().await {
            let text = head(&mut stream).await.unwrap();
            assert!(text.contains("Proxy-Authorization: Basic dTpw\r\n"), "{text}");
            if !text.starts_with("CONNECT behind:443 ") {
                assert!(!text.contains("\r\nAuthorization"), "{text}");
                let answer = format!("HTTP/1.0 200 OK\r\n\r\n{text}");
                stream.write_all(answer.as_bytes()).await.unwrap();
                continue;
            }
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
            let mut far = inner.dial("behind", 443).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut far).await });
        }
    });
    let proxy = Url::parse("http://u:p@proxy:3128").unwrap();
    let settings = Settings { proxies: Proxies::fixed(&proxy, "").unwrap(), ..Settings::default() };
    let tls = TlsSettings { ca: Some(Pem::Inline(authority.issuer.pem())), ..Default::default() };
    let client = with(&memory, tls, settings);
    let text = ask(&client, "https://behind/a").await.unwrap();
    assert!(text.starts_with("GET /a HTTP/1.1\r\n") && !text.contains("Proxy-"));
    let text = ask(&client, "http://plain:8080/b?c").await.unwrap();
    assert!(text.starts_with("GET http://plain:8080/b?c HTTP/1.1\r\nHost: plain:8080\r\n"));
}

#[tokio::test]
async fn asks_for_a_token_and_keeps_it() {
    let memory = Arc::new(Memory::new());
    let mut tokens = memory.listen("auth", 80);
    tokio::spawn(async move {
        let mut count = 0;
        while let Some(mut stream) = tokens.accept().await {
            let text = head(&mut stream).await.unwrap();
            assert!(text.contains("authorization: Basic aWQ6c2VjcmV0\r\n"), "{text}");
            let mut body = vec![0; 46];
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(body, b"grant_type=client_credentials&scope=a+b&k=v%26");
            count += 1;
            let token = format!(r#"{{"access_token":"t{count}","expires_in":3600}}"#);
            let answer = format!("HTTP/1.0 200 OK\r\n\r\n{token}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let mut target = memory.listen("target", 80);
    tokio::spawn(async move {
        while let Some(mut stream) = target.accept().await {
            let text = head(&mut stream).await.unwrap();
            stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{text}").as_bytes()).await.unwrap();
        }
    });
    let oauth2 = crate::auth::OAuth2 {
        client: Client::plain(Arc::clone(&memory) as _),
        token_url: Url::parse("http://auth/token").unwrap(),
        client_id: "id".into(),
        client_secret: Source::Inline("secret".into()),
        scopes: vec!["a".into(), "b".into()],
        params: vec![("k".into(), "v&".into())],
        token: tokio::sync::Mutex::new(None),
    };
    let settings = Settings { auth: Auth::OAuth2(Box::new(oauth2)), ..Settings::default() };
    let client = with(&memory, TlsSettings::default(), settings);
    for _ in 0..2 {
        let text = ask(&client, "http://target/").await.unwrap();
        assert!(text.contains("Authorization: Bearer t1\r\n"), "{text}");
    }
}

#[tokio::test]
async fn reads_secrets_from_files_at_each_use() {
    let memory = Arc::new(Memory::new());
    let mut target = memory.listen("target", 80);
    tokio::spawn(async move {
        while let Some(mut stream) = target.accept().await {
            let text = head(&mut stream).await.unwrap();
            stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{text}").as_bytes()).await.unwrap();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let auth = Auth::scheme("Bearer", Source::File(path.clone())).unwrap();
    let headers = vec![(HeaderName::from_static("x-tenant"), Source::Inline("t".into()))];
    let settings = Settings { auth, headers, ..Settings::default() };
    let client = with(&memory, TlsSettings::default(), settings);
    let error = ask(&client, "http://target/").await.unwrap_err();
    assert!(error.contains("unable to read authorization credentials file"), "{error}");
    for token in ["one", "two"] {
        std::fs::write(&path, format!("{token}\n")).unwrap();
        let text = ask(&client, "http://target/").await.unwrap();
        assert!(text.contains(&format!("Authorization: Bearer {token}\r\n")), "{text}");
        assert!(text.contains("x-tenant: t\r\n"), "{text}");
    }
    let request = Request {
        method: Method::POST,
        headers: &[],
        body: &vec![b'x'; 1 << 20],
        timeout: Duration::from_secs(5),
        body_bytes_max: 10,
    };
    let mut session = client.session(&Url::parse("http://target/").unwrap());
    let error = session.send(&request, &mut Vec::new()).await.unwrap_err();
    assert!(error.is_body_limit(), "{error}");
}

fn configured(memory: &Arc<Memory>, http: &str) -> Result<Client, Error> {
    let text = format!("scrape_configs:\n- job_name: a\n{http}");
    let config = narthex_config::Config::parse(&text, "test.yml").unwrap();
    let client = &config.scrape_configs[0].http_client;
    Client::new(client, std::path::Path::new("/base"), Arc::clone(memory) as _)
}

#[tokio::test]
async fn does_as_it_is_configured() {
    let memory = Arc::new(Memory::new());
    for (host, port) in [("target", 80), ("proxy", 3128)] {
        let mut listener = memory.listen(host, port);
        tokio::spawn(async move {
            while let Some(mut stream) = listener.accept().await {
                let text = head(&mut stream).await.unwrap();
                let answer = format!("HTTP/1.0 302 F\r\nLocation: /x\r\n\r\n{text}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }
    for (yaml, want) in [
        ("  basic_auth: {username: u, password: p}\n", "Authorization: Basic dTpw\r\n"),
        ("  bearer_token: t\n", "Authorization: Bearer t\r\n"),
        ("  authorization: {type: Own, credentials: c}\n", "Authorization: Own c\r\n"),
        ("  http_headers: {X-A: {values: [b], secrets: [c]}}\n", "x-a: b\r\nx-a: c\r\n"),
        ("  proxy_url: http://proxy:3128\n", "GET http://target:80/ HTTP/1.1\r\nHost: target\r\n"),
        ("  proxy_url: http://nowhere\n  no_proxy: target\n", "GET / HTTP/1.1\r\n"),
    ] {
        let yaml = format!("  follow_redirects: false\n{yaml}");
        let text = ask(&configured(&memory, &yaml).unwrap(), "http://target/").await.unwrap();
        assert!(text.contains(want), "{yaml}{text}");
    }
    let looping = configured(&memory, "").unwrap();
    let error = ask(&looping, "http://target/").await.unwrap_err();
    assert_eq!(error, r#"Get "http://target/x": stopped after 10 redirects"#);
    let credentials = "  authorization: {credentials_file: token}\n";
    let error = ask(&configured(&memory, credentials).unwrap(), "http://target/").await;
    let want = "Get \"http://target/\": unable to read authorization credentials file /base/token: \
                no such file or directory";
    assert_eq!(error.unwrap_err(), want);
    for (yaml, want) in [
        ("  proxy_url: socks5://p:1\n", "proxy scheme \"socks5\" not supported"),
        (
            "  tls_config: {max_version: TLS11}\n",
            "tls_config max_version: TLS before 1.2 is not supported",
        ),
        (
            "  tls_config: {ca_file: ca.pem}\n",
            "unable to read CA cert file /base/ca.pem: no such file or directory",
        ),
    ] {
        assert_eq!(configured(&memory, yaml).unwrap_err().to_string(), want);
    }
}
