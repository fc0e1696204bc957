//! Received samples on their way to the store: a thread that takes one request after the other.
//!
//! It shares the writer with the scrapes, which are on another thread and wait no longer than for
//! some rows. Requests queue up to a limit of bytes; beyond it they are refused at once, so that
//! the sender keeps them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;

use narthex_receive::counters::Counters;
use narthex_receive::{Answer, Failure, Message, Receiver};
use narthex_store::Writer;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Bytes of the bodies that are being read or wait, at most.
const BODIES_BYTES_MAX: usize = 5 << 20;

/// A body from this size on has to wait until there is no other such body.
const LARGE_BYTES: usize = 1 << 20;

/// Requests that wait at most.
const WAITING_MAX: usize = 256;

/// The way in.
#[derive(Debug)]
pub struct Inlet {
    sender: Mutex<Option<mpsc::Sender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<Counters>,
    bytes: Arc<AtomicUsize>,
    /// Held by the large body that is being read or waits.
    large: Arc<Semaphore>,
}

#[derive(Debug)]
struct Request {
    body: Body,
    message: Message,
    answer: oneshot::Sender<Result<Answer, Failure>>,
}

/// The body of a request, counted against the limit for all of them together.
#[derive(Debug)]
pub struct Body {
    bytes: Vec<u8>,
    /// How many bytes there are going to be, as the client said.
    announced: usize,
    all: Arc<AtomicUsize>,
    larges: Arc<Semaphore>,
    large: Option<OwnedSemaphorePermit>,
}

impl Body {
    /// Adds what came; `false`: all bodies together are too large.
    pub async fn push(&mut self, piece: &[u8]) -> bool {
        let length = self.bytes.len() + piece.len();
        if length > LARGE_BYTES && self.large.is_none() {
            // Whoever reads limits the time of all of this.
            self.large = Arc::clone(&self.larges).acquire_owned().await.ok();
            self.bytes.reserve_exact(self.announced.max(length) - self.bytes.len());
        }
        let before = self.all.fetch_add(piece.len(), SeqCst);
        self.bytes.extend_from_slice(piece);
        before + piece.len() <= BODIES_BYTES_MAX
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes.len(), SeqCst);
    }
}

/// The program is shutting down.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server is shutting down")]
pub struct Stopping;

impl Inlet {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(writer: Arc<Mutex<Writer>>) -> io::Result<Arc<Self>> {
        let mut receiver = Receiver::new(writer);
        let counters = receiver.counters();
        let (sender, mut requests) = mpsc::channel::<Request>(WAITING_MAX);
        let thread = std::thread::Builder::new().name("receive".to_owned()).spawn(move || {
            while let Some(Request { body, message, answer }) = requests.blocking_recv() {
                // What nobody waits for any more is sent again.
                if !answer.is_closed() {
                    let _ = answer.send(receiver.write(&body.bytes, message));
                }
            }
        })?;
        let (sender, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        let large = Arc::new(Semaphore::new(1));
        Ok(Arc::new(Self { sender, thread, counters, bytes: Arc::default(), large }))
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// An empty body, which the client said has `announced` bytes.
    pub fn body(&self, announced: usize) -> Body {
        Body {
            bytes: Vec::with_capacity(announced.min(LARGE_BYTES)),
            announced,
            all: Arc::clone(&self.bytes),
            larges: Arc::clone(&self.large),
            large: None,
        }
    }

    /// Hands a request over and waits for what comes of it.
    ///
    /// # Errors
    /// When the program is about to end.
    pub async fn write(
        &self,
        body: Body,
        message: Message,
    ) -> Result<Result<Answer, Failure>, Stopping> {
        let sender = self.sender.lock().clone().ok_or(Stopping)?;
        let (answer, answered) = oneshot::channel();
        sender.send(Request { body, message, answer }).await.map_err(|_| Stopping)?;
        drop(sender);
        answered.await.map_err(|_| Stopping)
    }

    /// Takes nothing more, and waits for what was taken.
    pub fn stop(&self) {
        drop(self.sender.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}
