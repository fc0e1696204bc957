//! One target's conversation: requests, one after another, over a kept-alive connection.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use url::Url;

use crate::auth::userinfo;
use crate::client::Client;
use crate::conn::{Conn, NoHead, RawHead};
use crate::decode::gunzip;
use crate::error::{Error, Failure};
use crate::proxy::{Proxy, host_of};

/// Largest head of an answer, in bytes.
pub const HEAD_BYTES_MAX: usize = 256 << 10;

/// How many headers an answer may have.
pub const HEADERS_MAX: usize = 100;

/// How many redirects are followed, as in Go.
pub const REDIRECTS_MAX: usize = 10;

/// Largest body that is read to keep a connection whose answer was a redirect.
const REDIRECT_BODY_BYTES_MAX: usize = 64 << 10;

/// One request. What it does not name comes from the session's client.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// Headers to send. `Host`, `Content-Length`, `Authorization` (unless given here) and the
    /// client's own are added.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The body to send; empty for none.
    pub body: &'a [u8],
    /// One deadline over connecting, writing, reading and following redirects.
    pub timeout: Duration,
    /// Largest body taken, on the wire and decompressed; `usize::MAX` for no limit.
    pub body_bytes_max: usize,
}

impl<'a> Request<'a> {
    /// A GET.
    pub fn get(
        headers: &'a [(HeaderName, HeaderValue)],
        timeout: Duration,
        body_bytes_max: usize,
    ) -> Self {
        Self { method: Method::GET, headers, body: &[], timeout, body_bytes_max }
    }
}

/// Compressions that are not read, and were not asked for.
const COMPRESSIONS: [&[u8]; 5] = [b"br", b"compress", b"deflate", b"x-compress", b"zstd"];

/// What an answer says before its body.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// What the server says of the status, where that is not the usual phrase.
    pub reason: Option<Box<str>>,
    /// The headers, as they came.
    pub headers: HeaderMap,
    /// Bytes of the body on the wire, before decompression.
    pub wire_bytes: usize,
    /// Whether the end of the body was marked, by a length or a last chunk; if not, a body that
    /// was cut short looks like a whole one.
    pub delimited: bool,
}

impl Head {
    /// The status as the server put it: `404 Not Found`.
    pub fn status_text(&self) -> String {
        let usual = || self.status.canonical_reason().unwrap_or("");
        let reason = self.reason.as_deref().unwrap_or_else(usual);
        format!("{} {reason}", self.status.as_u16()).trim_end().to_owned()
    }
}

/// A conversation with one target or receiver, over one kept-alive connection that it owns.
#[derive(Debug)]
pub struct Session {
    client: Client,
    url: Url,
    /// `Authorization` that the address carries.
    userinfo: Option<HeaderValue>,
    /// Idle connections: to the address itself, and to where it redirects.
    idle: Vec<(Arc<Origin>, Conn)>,
    /// The request's first hop, made once.
    home: Option<Hop>,
    /// The head of the request being sent.
    out: Vec<u8>,
    /// The compressed body, while it is read.
    wire: Vec<u8>,
    reading_body: bool,
    /// The status of an answer whose body is being read.
    status: Option<StatusCode>,
    resent: bool,
}

/// Whom a connection reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    https: bool,
    host: String,
    port: u16,
}

/// One request on the way of a redirected one.
#[derive(Debug)]
struct Hop {
    url: Url,
    origin: Arc<Origin>,
    method: Method,
    with_body: bool,
    /// Whether this is still the host that the credentials are meant for.
    trusted: bool,
}

/// Idle connections that a session keeps.
const IDLE_MAX: usize = 2;

impl Session {
    pub(crate) fn new(client: Client, url: Url) -> Self {
        let userinfo = userinfo(&url).and_then(|text| crate::auth::sensitive(&text).ok());
        Self {
            client,
            url,
            userinfo,
            idle: Vec::new(),
            home: None,
            out: Vec::new(),
            wire: Vec::new(),
            reading_body: false,
            status: None,
            resent: false,
        }
    }

    /// Whether the last [`Session::send`] has sent its request twice, for a kept-alive connection
    /// was closed without an answer: the first may have been received.
    pub fn has_resent(&self) -> bool {
        self.resent
    }

    /// After [`Session::send`] failed: the status of the answer, if only its body could not be
    /// read, was too large, or came too late.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The address that requests go to.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Sends `request` and reads the answer; `body` is cleared and filled with the decompressed
    /// body. A kept-alive connection that the peer had closed is replaced once, silently.
    ///
    /// When this fails or is dropped half-way the connection is closed; the session stays usable.
    ///
    /// # Errors
    /// [`Error::Request`] up to the answer's head, [`Error::Body`] and [`Error::BodyTooLarge`]
    /// after it. Any status is an answer, not an error.
    pub async fn send(&mut self, request: &Request<'_>, body: &mut Vec<u8>) -> Result<Head, Error> {
        body.clear();
        self.reading_body = false;
        self.status = None;
        self.resent = false;
        let result = match tokio::time::timeout(request.timeout, self.follow(request, body)).await {
            Ok(result) => result,
            Err(_) if self.reading_body => Err(Error::Body(Failure::Deadline)),
            Err(_) => Err(failed(&request.method, &self.url, Failure::Deadline)),
        };
        if result.is_err() {
            body.clear();
        }
        result
    }

    async fn follow(&mut self, request: &Request<'_>, body: &mut Vec<u8>) -> Result<Head, Error> {
        let mut hop = match self.home.take() {
            Some(home) => home,
            None => Hop::first(&self.url)
                .map_err(|failure| failed(&request.method, &self.url, failure))?,
        };
        hop.method.clone_from(&request.method);
        // Only the hop that starts at the session's own address is kept.
        let mut home = true;
        for _ in 0..=REDIRECTS_MAX {
            let (mut conn, raw) = self.ask(&hop, request, body).await?;
            let next = if self.client.follows_redirects() { hop.next(&raw) } else { None };
            if let Some(next) = next {
                let read = conn.read_body(&raw, body, REDIRECT_BODY_BYTES_MAX).await;
                if let Ok((_, true)) = read {
                    self.keep(hop.origin, conn);
                }
                hop = next.map_err(|failure| failed(&hop.method, &hop.url, failure))?;
                home = false;
                continue;
            }
            let origin = Arc::clone(&hop.origin);
            if home {
                self.home = Some(hop);
            }
            return self.receive(origin, conn, raw, request, body).await;
        }
        Err(failed(&request.method, &hop.url, Failure::Redirects(REDIRECTS_MAX)))
    }

    /// Reads and decodes the body behind `raw`.
    async fn receive(
        &mut self,
        origin: Arc<Origin>,
        mut conn: Conn,
        raw: RawHead,
        request: &Request<'_>,
        body: &mut Vec<u8>,
    ) -> Result<Head, Error> {
        self.reading_body = true;
        self.status = Some(raw.status);
        let (wire_bytes, reusable) = conn.read_body(&raw, body, request.body_bytes_max).await?;
        if reusable {
            self.keep(origin, conn);
        }
        let delimited = raw.framing != crate::conn::Framing::UntilClose;
        match raw.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"" | b"identity") => {}
            // An answer without a body is not compressed, whatever it says.
            Some(_) if body.is_empty() => {}
            Some(b"gzip" | b"x-gzip") => {
                std::mem::swap(body, &mut self.wire);
                body.clear();
                gunzip(&self.wire, body, request.body_bytes_max)?;
            }
            Some(other) if COMPRESSIONS.iter().any(|one| other.eq_ignore_ascii_case(one)) => {
                let name = String::from_utf8_lossy(other).into_owned();
                let text = format!("unsupported content encoding {name:?}");
                return Err(Error::Body(Failure::Decode(text)));
            }
            // Some servers put a charset here; the body is what it is.
            Some(_) => {}
        }
        let RawHead { status, reason, headers, .. } = raw;
        Ok(Head { status, reason, headers, wire_bytes, delimited })
    }

    /// Gets the head of the answer to one hop, reconnecting once if an idle connection turns out
    /// to be closed.
    async fn ask(
        &mut self,
        hop: &Hop,
        request: &Request<'_>,
        body: &mut Vec<u8>,
    ) -> Result<(Conn, RawHead), Error> {
        let proxy = self.client.proxy(hop.origin.https, &hop.origin.host, hop.origin.port).cloned();
        self.write_head(hop, request, proxy.as_ref())
            .await
            .map_err(|failure| failed(&hop.method, &hop.url, failure))?;
        let sent = if hop.with_body { request.body } else { &[] };
        loop {
            let mut conn = if let Some(conn) = self.take(&hop.origin) {
                conn
            } else {
                let connected = connect(&self.client, &hop.origin, proxy.as_ref()).await;
                connected.map_err(|failure| failed(&hop.method, &hop.url, failure))?
            };
            match conn.ask(&self.out, sent, hop.method == Method::HEAD, body).await {
                Ok(head) => return Ok((conn, head)),
                Err(NoHead { silent: true, .. }) if conn.used => self.resent = true,
                Err(no_head) => return Err(failed(&hop.method, &hop.url, no_head.failure)),
            }
        }
    }

    /// Writes the head of the request for `hop` into `self.out`.
    async fn write_head(
        &mut self,
        hop: &Hop,
        request: &Request<'_>,
        proxy: Option<&Proxy>,
    ) -> Result<(), Failure> {
        self.out.clear();
        let out = &mut self.out;
        out.extend_from_slice(hop.method.as_str().as_bytes());
        out.push(b' ');
        let plain_proxy = proxy.filter(|_| !hop.origin.https);
        if plain_proxy.is_some() {
            let authority = authority(&hop.origin.host, hop.origin.port);
            out.extend_from_slice(b"http://");
            out.extend_from_slice(authority.as_bytes());
        }
        out.extend_from_slice(hop.url.path().as_bytes());
        if let Some(query) = hop.url.query() {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        out.extend_from_slice(hop.url.host_str().unwrap_or_default().as_bytes());
        if let Some(port) = hop.url.port() {
            // Writing to a Vec does not fail.
            let _ = write!(out, ":{port}");
        }
        out.extend_from_slice(b"\r\n");
        let has = |wanted: &HeaderName| request.headers.iter().any(|(name, _)| name == wanted);
        if !has(&header::USER_AGENT) {
            put(out, "User-Agent", crate::USER_AGENT.as_bytes());
        }
        for (name, value) in request.headers {
            let secret = *name == header::AUTHORIZATION || *name == header::COOKIE;
            let describes_body = *name == header::CONTENT_TYPE || *name == header::CONTENT_ENCODING;
            let overridden = self.client.headers().iter().any(|(own, _)| own == name);
            if !(secret && !hop.trusted || describes_body && !hop.with_body || overridden) {
                put(out, name.as_str(), value.as_bytes());
            }
        }
        if let Some(Proxy { authorization: Some(value), .. }) = plain_proxy {
            put(out, "Proxy-Authorization", value.0.as_bytes());
        }
        if hop.trusted {
            for (name, source) in self.client.headers() {
                put(out, name.as_str(), source.read("header")?.as_bytes());
            }
            let auth = match self.client.auth().header().await? {
                Some(value) => Some(value),
                None => self.userinfo.clone(),
            };
            if let Some(value) = auth.filter(|_| !has(&header::AUTHORIZATION)) {
                put(out, "Authorization", value.as_bytes());
            }
        }
        let len = if hop.with_body { request.body.len() } else { 0 };
        if len > 0 || hop.method == Method::POST || hop.method == Method::PUT {
            let _ = write!(out, "Content-Length: {len}\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn take(&mut self, origin: &Origin) -> Option<Conn> {
        let at = self.idle.iter().position(|(idle, _)| **idle == *origin)?;
        Some(self.idle.swap_remove(at).1)
    }

    fn keep(&mut self, origin: Arc<Origin>, mut conn: Conn) {
        conn.used = true;
        if self.idle.len() >= IDLE_MAX {
            self.idle.remove(0);
        }
        self.idle.push((origin, conn));
    }
}

impl Hop {
    fn first(url: &Url) -> Result<Self, Failure> {
        let origin = Arc::new(Origin::new(url)?);
        let method = Method::GET;
        Ok(Self { url: url.clone(), origin, method, with_body: true, trusted: true })
    }

    /// Where the answer `raw` sends this request on to, if it does.
    fn next(&self, raw: &RawHead) -> Option<Result<Self, Failure>> {
        let keep_method = match raw.status.as_u16() {
            301..=303 => self.method == Method::GET || self.method == Method::HEAD,
            307 | 308 => true,
            _ => return None,
        };
        let location = raw.headers.get(header::LOCATION)?;
        let location = String::from_utf8_lossy(location.as_bytes());
        let mut url = match self.url.join(&location) {
            Ok(url) => url,
            Err(e) => {
                let text = format!("failed to parse Location header {location:?}: {e}");
                return Some(Err(Failure::Protocol(text)));
            }
        };
        // A redirect brings no credentials of its own.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        let origin = match Origin::new(&url) {
            Ok(origin) => Arc::new(origin),
            Err(failure) => return Some(Err(failure)),
        };
        // ORDER: once untrusted, always untrusted: coming back must not bring the secrets back
        // to a request that a stranger has written. Nor may they go from TLS to plain text.
        let trusted =
            self.trusted && self.origin.host == origin.host && (origin.https || !self.origin.https);
        let method = if keep_method { self.method.clone() } else { Method::GET };
        Some(Ok(Self { url, origin, method, with_body: self.with_body && keep_method, trusted }))
    }
}

impl Origin {
    fn new(url: &Url) -> Result<Self, Failure> {
        let https = match url.scheme() {
            "http" => false,
            "https" => true,
            other => {
                return Err(Failure::Protocol(format!("unsupported protocol scheme {other:?}")));
            }
        };
        let no_host = || Failure::Protocol("http: no Host in request URL".to_owned());
        let host = host_of(url).ok_or_else(no_host)?;
        Ok(Self { https, host, port: url.port_or_known_default().unwrap_or(80) })
    }
}

/// A new connection, through `proxy` and TLS as needed.
async fn connect(client: &Client, origin: &Origin, proxy: Option<&Proxy>) -> Result<Conn, Failure> {
    let Some(proxy) = proxy else {
        let stream = client.dial().dial(&origin.host, origin.port).await?;
        if origin.https {
            return Ok(Conn::new(client.tls().wrap(stream, &origin.host).await?));
        }
        return Ok(Conn::new(stream));
    };
    let through_proxy = |failure| match failure {
        Failure::Dial(text) => {
            Failure::Dial(text.replacen("dial tcp", "proxyconnect tcp: dial tcp", 1))
        }
        other => other,
    };
    let mut stream = client.dial().dial(&proxy.host, proxy.port).await.map_err(through_proxy)?;
    if proxy.tls {
        stream = client.tls().wrap(stream, &proxy.host).await?;
    }
    if !origin.https {
        return Ok(Conn::new(stream));
    }
    let mut conn = Conn::new(stream);
    let authority = authority(&origin.host, origin.port);
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(value) = &proxy.authorization {
        put(&mut head, "Proxy-Authorization", value.0.as_bytes());
    }
    for (name, value) in client.connect_headers() {
        put(&mut head, name.as_str(), value.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    let mut answer = Vec::new();
    let raw = conn.ask(&head, &[], true, &mut answer).await.map_err(|no_head| no_head.failure)?;
    if !raw.status.is_success() {
        let reason = raw.status.canonical_reason().unwrap_or("proxy refused to connect");
        return Err(Failure::Protocol(reason.to_owned()));
    }
    if answer.len() > raw.len {
        return Err(Failure::Protocol("unsolicited bytes from the proxy".to_owned()));
    }
    let stream = client.tls().wrap(conn.into_stream(), &origin.host).await?;
    Ok(Conn::new(stream))
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn failed(method: &Method, url: &Url, failure: Failure) -> Error {
    let mut name = method.as_str().to_ascii_lowercase();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Error::Request { method: name, url: shown(url), failure }
}

/// The address as errors show it: a password is masked as Go masks it.
fn shown(url: &Url) -> String {
    if url.password().is_none() {
        return url.to_string();
    }
    let mut url = url.clone();
    let _ = url.set_password(Some("***"));
    url.to_string()
}

#[cfg(test)]
mod tests;
