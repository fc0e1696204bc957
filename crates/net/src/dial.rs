//! The seam to the network: how a connection to a host and port comes to be.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;

use crate::error::{Failure, go_text};

/// A connection, whatever it is made of.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + Debug> Stream for T {}

/// A connection in the making.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Stream>, Failure>> + Send + 'a>>;

/// Makes connections.
pub trait Dial: Send + Sync + Debug {
    /// Connects to `port` of `host`, a name or an address without brackets. The caller holds the
    /// deadline.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a>;
}

/// How long one address of a name with several may take before the next is tried.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(2);

/// Connects by TCP, without delay of small writes. Names are looked up at each connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a> {
        Box::pin(async move {
            if let Ok(ip) = host.parse::<IpAddr>() {
                return connect(SocketAddr::new(ip, port)).await;
            }
            let found = tokio::net::lookup_host((host, port)).await;
            let addresses: Vec<SocketAddr> = found
                .map_err(|_| Failure::Dial(format!("dial tcp: lookup {host}: no such host")))?
                .collect();
            let count = addresses.len();
            let mut last = Failure::Dial(format!("dial tcp: lookup {host}: no such host"));
            for (index, address) in addresses.into_iter().enumerate() {
                if index + 1 == count {
                    return connect(address).await;
                }
                match tokio::time::timeout(ADDRESS_PATIENCE, connect(address)).await {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(failure)) => last = failure,
                    Err(_) => last = Failure::Dial(format!("dial tcp {address}: i/o timeout")),
                }
            }
            Err(last)
        })
    }
}

async fn connect(address: SocketAddr) -> Result<Box<dyn Stream>, Failure> {
    let failed =
        |e: io::Error| Failure::Dial(format!("dial tcp {address}: connect: {}", go_text(&e)));
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(Box::new(stream))
}

/// Connects to one Unix socket, whatever host is asked for.
#[derive(Clone, Debug)]
pub struct Unix {
    path: PathBuf,
}

impl Unix {
    /// Connections go to the socket at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Dial for Unix {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16) -> Dialing<'a> {
        Box::pin(async move {
            let stream = UnixStream::connect(&self.path).await.map_err(|e| {
                let path = self.path.display();
                Failure::Dial(format!("dial unix {path}: connect: {}", go_text(&e)))
            })?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// Bytes that a pipe in memory holds in each direction before the writer waits.
const PIPE_BYTES: usize = 64 << 10;

/// Connects to listeners in memory: for tests without sockets.
#[derive(Debug, Default)]
pub struct Memory {
    listeners: Mutex<HashMap<(String, u16), mpsc::UnboundedSender<DuplexStream>>>,
}

impl Memory {
    /// A network with no one on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers connections to `host` and `port` from now on, in place of any earlier listener.
    /// Dropping the listener makes further connections refused.
    pub fn listen(&self, host: &str, port: u16) -> MemoryListener {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners.lock().insert((host.to_owned(), port), sender);
        MemoryListener { receiver }
    }
}

impl Dial for Memory {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a> {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let listeners = self.listeners.lock();
        let listener = listeners.get(&(host.to_owned(), port));
        let reached = listener.is_some_and(|listener| listener.send(far).is_ok());
        Box::pin(async move {
            if reached {
                Ok(Box::new(near) as Box<dyn Stream>)
            } else {
                let text = format!("dial tcp {host}:{port}: connect: connection refused");
                Err(Failure::Dial(text))
            }
        })
    }
}

/// The answering side of a [`Memory`] address.
#[derive(Debug)]
pub struct MemoryListener {
    receiver: mpsc::UnboundedReceiver<DuplexStream>,
}

impl MemoryListener {
    /// The next connection; `None` when the address was given to another listener.
    pub async fn accept(&mut self) -> Option<DuplexStream> {
        self.receiver.recv().await
    }
}
