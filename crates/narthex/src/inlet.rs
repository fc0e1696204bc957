//! Received samples on their way to the store: a thread that takes one request after the other.
//!
//! It shares the writer with the scrapes, which are on another thread and wait no longer than for
//! some rows. Requests queue up to a limit of bytes; beyond it they are refused at once, so that
//! the sender keeps them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread::JoinHandle;

use narthex_receive::counters::Counters;
use narthex_receive::otlp::{Form, Settings};
use narthex_receive::{Answer, BODY_BYTES_MAX, Failure, Message, Receiver};
use narthex_store::Writer;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Memory for the bodies that are being read or wait, at most, in bytes.
const BODIES_BYTES_MAX: usize = 7 << 19;

/// A body from this size on has to wait until there is no other such body, and is in one piece.
const LARGE_BYTES: usize = 1 << 20;

/// A body is kept in pieces, each as large as all before it together within these limits: room
/// that a client announces is not there before it sends something.
const PIECE_BYTES: (usize, usize) = (1 << 10, 32 << 10);

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

/// What a body is.
#[derive(Clone, Debug)]
pub enum Order {
    /// A remote write.
    Write(Message),
    /// Metrics of OTLP, and how they are translated.
    Otlp(Form, Arc<Settings>),
}

#[derive(Debug)]
struct Request {
    body: Body,
    order: Order,
    answer: oneshot::Sender<Result<Answer, Failure>>,
}

/// The body of a request, counted against the limit for all of them together.
#[derive(Debug)]
pub struct Body {
    pieces: Vec<Vec<u8>>,
    length: usize,
    /// Bytes of the pieces that are full or being filled.
    room: usize,
    charge: Charge,
    larges: Arc<Semaphore>,
    large: Option<OwnedSemaphorePermit>,
}

/// Memory that counts against the limit for all bodies.
#[derive(Debug)]
struct Charge {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Charge {
    /// Counts more; `false`: that is too much.
    fn add(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.all.fetch_add(bytes, SeqCst) + bytes <= BODIES_BYTES_MAX
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, SeqCst);
    }
}

impl Body {
    /// Adds what came; `false`: all bodies together are too large.
    pub async fn push(&mut self, mut bytes: &[u8]) -> bool {
        if self.length + bytes.len() > LARGE_BYTES && self.large.is_none() {
            // Whoever reads limits the time of all of this.
            self.large = Arc::clone(&self.larges).acquire_owned().await.ok();
            // Memory that is never written is none.
            let mut whole = Vec::with_capacity(BODY_BYTES_MAX);
            self.pieces.drain(..).for_each(|piece| whole.extend_from_slice(&piece));
            self.pieces.push(whole);
        }
        while !bytes.is_empty() {
            if self.length == self.room && !self.grow(bytes.len()) {
                return false;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.room - self.length));
            if let Some(last) = self.pieces.last_mut() {
                last.extend_from_slice(now);
            }
            self.length += now.len();
            bytes = later;
        }
        true
    }

    /// Makes room for some of the next bytes.
    fn grow(&mut self, next: usize) -> bool {
        let (least, most) = PIECE_BYTES;
        let more = self.length.max(next).clamp(least, most);
        self.room += more;
        if self.large.is_none() {
            self.pieces.push(Vec::with_capacity(more));
        }
        self.charge.add(more)
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All of it in one piece.
    fn join(self) -> Joined {
        let Self { mut pieces, length, charge, large, .. } = self;
        if pieces.len() == 1
            && let Some(bytes) = pieces.pop()
        {
            return Joined { bytes, _charge: charge, _large: large };
        }
        let mut bytes = Vec::with_capacity(length);
        for piece in pieces {
            bytes.extend_from_slice(&piece);
        }
        Joined { bytes, _charge: charge, _large: large }
    }
}

/// A body in one piece, counted as before.
#[derive(Debug)]
struct Joined {
    bytes: Vec<u8>,
    _charge: Charge,
    _large: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Joined {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
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
            while let Some(Request { body, order, answer }) = requests.blocking_recv() {
                // What nobody waits for any more is sent again.
                if !answer.is_closed() {
                    let _ = answer.send(match order {
                        Order::Write(message) => receiver.write(body.join(), message),
                        Order::Otlp(form, settings) => {
                            receiver.write_otlp(body.join(), form, &settings)
                        }
                    });
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

    /// An empty body.
    pub fn body(&self) -> Body {
        Body {
            pieces: Vec::new(),
            length: 0,
            room: 0,
            charge: Charge { bytes: 0, all: Arc::clone(&self.bytes) },
            larges: Arc::clone(&self.large),
            large: None,
        }
    }

    /// Whether there is little room left for bodies.
    pub fn is_tight(&self) -> bool {
        self.bytes.load(SeqCst) > BODIES_BYTES_MAX / 2
    }

    /// Counts a request that is refused before it is whole.
    pub fn refused(&self) {
        self.counters.requests.fetch_add(1, Relaxed);
        self.counters.failed.fetch_add(1, Relaxed);
    }

    /// Hands a request over and waits for what comes of it.
    ///
    /// # Errors
    /// When the program is about to end.
    pub async fn write(
        &self,
        body: Body,
        order: Order,
    ) -> Result<Result<Answer, Failure>, Stopping> {
        let sender = self.sender.lock().clone().ok_or(Stopping)?;
        let (answer, answered) = oneshot::channel();
        sender.send(Request { body, order, answer }).await.map_err(|_| Stopping)?;
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
