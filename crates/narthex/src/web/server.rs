//! Listening and serving connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::quoting::Quoting;
use super::security::Security;
use super::sip::Sips;

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 128 << 10;

/// Most headers of a request.
const HEADERS_MAX: usize = 100;

/// How long open connections may go on when the program ends.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Pause after a failed accept, which mostly means that no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest handshake of TLS.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Limits of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at the same time.
    pub connections_max: usize,
    /// Longest wait for the head of a request, an idle connection's included.
    pub read_timeout: Duration,
}

/// Opens the listening sockets; `:9090` and `0.0.0.0:9090` listen on all addresses, those of IPv6
/// as well, as in Go.
pub async fn bind(addresses: &[String]) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for address in addresses {
        let all = ["", "0.0.0.0", "[::]"];
        let port = all.iter().find_map(|host| address.strip_prefix(host)?.strip_prefix(':'));
        let listener = match port {
            None => TcpListener::bind(address).await,
            Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
                // A kernel without IPv6.
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    TcpListener::bind(format!("0.0.0.0:{port}")).await
                }
                bound => bound,
            },
        };
        listeners.push(listener.map_err(|e| match e.kind() {
            io::ErrorKind::AddrInUse => {
                format!("listen tcp {address}: bind: address already in use")
            }
            _ => format!("listen tcp {address}: {e}"),
        })?);
    }
    Ok(listeners)
}

/// The addresses that are listened on.
pub fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

/// Whether a request came from this machine; every request carries it.
#[derive(Clone, Copy, Debug)]
pub struct Local(pub bool);

/// Who a request comes from; `None` when the connection has gone.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub Option<IpAddr>);

/// Serves until `stop` becomes true, then lets open requests end within a few seconds.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    limits: Limits,
    security: Option<Arc<Security>>,
    stop: watch::Receiver<bool>,
) {
    let connections = limits.connections_max.min(Semaphore::MAX_PERMITS);
    let slots = Arc::new(Semaphore::new(connections));
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        let server = Server { router: router.clone(), limits, security: security.clone() };
        accepting.spawn(accept(listener, server, Arc::clone(&slots), stop.clone()));
    }
    while accepting.join_next().await.is_some() {}
    let all = u32::try_from(connections).unwrap_or(u32::MAX);
    // What is still open after the wait is cut off with the process.
    let _ = tokio::time::timeout(DRAIN_MAX, slots.acquire_many(all)).await;
}

/// What every connection needs.
#[derive(Clone)]
struct Server {
    router: Router,
    limits: Limits,
    security: Option<Arc<Security>>,
}

async fn accept(
    listener: TcpListener,
    server: Server,
    slots: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            io::Result::Ok((stream, slot))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            () = stopped(&mut stop) => return,
        };
        match accepted {
            Ok((stream, slot)) => {
                tokio::spawn(connection(stream, slot, server.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(err = %error, "Accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
    server: Server,
    stop: watch::Receiver<bool>,
) {
    let _slot = slot;
    // Answers leave in few writes; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok().map(|peer| peer.ip().to_canonical());
    let Some(tls) = server.security.as_ref().and_then(|security| security.tls()) else {
        return speak(stream, peer, server, stop).await;
    };
    let shaking = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
    match tokio::time::timeout(HANDSHAKE_MAX, shaking).await {
        Ok(Ok(stream)) => speak(stream, peer, server, stop).await,
        Ok(Err(error)) => tracing::debug!(err = %error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

/// Answers the requests of one connection.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Option<IpAddr>,
    server: Server,
    mut stop: watch::Receiver<bool>,
) {
    let inner = TowerToHyperService::new(server.router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let extensions = request.extensions_mut();
        extensions.insert(Local(peer.is_some_and(|peer| peer.is_loopback())));
        extensions.insert(Peer(peer));
        inner.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.limits.read_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Quoting::new(Sips(stream))), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that goes away or talks nonsense is its own business.
        tracing::debug!(err = %error, "Connection ended");
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::RawQuery;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn raw_bytes_of_a_query_come_to_the_handler() {
        let listeners = bind(&["127.0.0.1:0".to_owned()]).await.unwrap();
        let address = addresses(&listeners)[0];
        let tell = |RawQuery(query): RawQuery, body: String| async move {
            format!("[{} {body}]", query.unwrap_or_default())
        };
        let router = Router::new().route("/", get(tell).post(tell));
        let limits = Limits { connections_max: 1, read_timeout: Duration::from_secs(9) };
        let (_stop, stopping) = watch::channel(false);
        let server = tokio::spawn(serve(listeners, router, limits, None, stopping));
        let mut stream = TcpStream::connect(address).await.unwrap();
        // All in one go: the second request follows a body.
        let asked = "POST /?q={a=\"b\"} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n<\"#\
                     GET /?<#\u{e9} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        assert!(answers.contains("[q={a=%22b%22} <\"#]"), "{answers}");
        assert!(answers.ends_with("[%3C%23%C3%A9 ]"), "{answers}");
        server.abort();
    }
}
