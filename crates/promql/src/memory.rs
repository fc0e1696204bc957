//! Memory that all running queries share.
//!
//! A query takes memory in slices as it grows. When all is taken it waits for others to end, the
//! oldest first; when every query waits, the youngest is refused, which frees what it holds. So
//! somebody always goes on, and the oldest gets to its end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::Error;

/// Memory is taken and given back in slices of this size, in bytes.
const SLICE_BYTES: usize = 256 << 10;

/// What each query has without asking, in bytes: small ones never wait for large ones.
const FREE_BYTES: usize = 256 << 10;

/// What is held beyond need before some is given back, in bytes.
const SLACK_BYTES: usize = 4 * SLICE_BYTES;

/// How long a waiting query sleeps between two looks at its own deadline.
const NAP: Duration = Duration::from_millis(20);

/// How often a query naps for answers that are being sent and do not end: 10 s.
const NAPS_MAX: u32 = 500;

/// Memory that all running queries share.
#[derive(Debug)]
pub struct SharedMemory {
    max_bytes: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    peak: usize,
    next: u64,
    seats: Vec<Seat>,
}

/// Somebody who holds memory.
#[derive(Debug)]
struct Seat {
    /// The older, the smaller.
    number: u64,
    doing: Doing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// It computes.
    Running,
    /// It waits for memory.
    Waiting,
    /// It is to end, so that others get what it holds.
    Refused,
    /// Its answer is being sent.
    Sending,
}

impl State {
    fn seat(&mut self, number: u64) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.number == number)
    }

    fn doing(&mut self, number: u64, doing: Doing) {
        if let Some(seat) = self.seat(number) {
            seat.doing = doing;
        }
    }

    fn any(&self, doing: Doing) -> bool {
        self.seats.iter().any(|seat| seat.doing == doing)
    }

    /// Whether nobody older waits.
    fn is_next(&self, number: u64) -> bool {
        !self.seats.iter().any(|seat| seat.doing == Doing::Waiting && seat.number < number)
    }
}

impl SharedMemory {
    /// So much memory for all queries together, besides a little that each one has.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, state: Mutex::default(), freed: Condvar::new() }
    }

    /// The limit, in bytes.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// How many bytes are taken now, and how many were taken at most.
    pub fn used(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.used, state.peak)
    }

    fn refusal(&self) -> Error {
        Error::TooMuchMemory { max_bytes: self.max_bytes }
    }

    /// Gives `bytes` more to a seat; `check` says when it should wait no longer.
    fn grow(
        &self,
        number: u64,
        bytes: usize,
        mut check: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut naps = 0;
        let mut state = self.state.lock();
        let outcome = loop {
            if state.seat(number).is_some_and(|seat| seat.doing == Doing::Refused) {
                break Err(self.refusal());
            }
            if state.used.saturating_add(bytes) <= self.max_bytes && state.is_next(number) {
                state.used += bytes;
                state.peak = state.peak.max(state.used);
                break Ok(());
            }
            state.doing(number, Doing::Waiting);
            if !state.any(Doing::Running) && !state.any(Doing::Refused) {
                let sending = state.any(Doing::Sending) && naps < NAPS_MAX;
                let waiting = state.seats.iter_mut().filter(|seat| seat.doing == Doing::Waiting);
                if let (false, Some(youngest)) = (sending, waiting.max_by_key(|seat| seat.number)) {
                    youngest.doing = Doing::Refused;
                    self.freed.notify_all();
                    continue;
                }
            }
            self.freed.wait_for(&mut state, NAP);
            naps += 1;
            if let Err(error) = check() {
                break Err(error);
            }
        };
        let doing = if outcome.is_ok() { Doing::Running } else { Doing::Refused };
        state.doing(number, doing);
        outcome
    }
}

/// What one query holds of the shared memory; dropped, it is given back.
pub struct Share {
    memory: Option<Arc<SharedMemory>>,
    number: Option<u64>,
    taken: usize,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Share {
    /// A share of `memory`, empty so far; without memory there is no limit.
    pub fn new(memory: Option<Arc<SharedMemory>>) -> Self {
        Self { memory, number: None, taken: 0 }
    }

    /// Sees to it that `bytes` may be held. `check` is called now and then while waiting.
    ///
    /// # Errors
    /// [`Error::TooMuchMemory`], or what `check` says.
    pub fn hold(
        &mut self,
        bytes: usize,
        check: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let own = bytes.saturating_sub(FREE_BYTES);
        if own > self.taken {
            return self.grow(own, check);
        }
        if self.taken - own > SLACK_BYTES {
            self.shrink(own);
        }
        Ok(())
    }

    /// How many bytes are held or may be, in all, if nobody else takes more.
    pub fn room(&self) -> usize {
        self.memory.as_ref().map_or(usize::MAX, |memory| memory.max_bytes + FREE_BYTES)
    }

    /// The answer is done and takes `bytes`, which are held until it is sent.
    pub fn send(&mut self, bytes: usize) {
        let own = bytes.saturating_sub(FREE_BYTES);
        if own < self.taken {
            self.shrink(own);
        }
        if let (Some(memory), Some(number)) = (&self.memory, self.number) {
            memory.state.lock().doing(number, Doing::Sending);
        }
    }

    fn grow(&mut self, own: usize, check: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
        let Some(memory) = &self.memory else { return Ok(()) };
        if own > memory.max_bytes {
            return Err(memory.refusal());
        }
        let number = *self.number.get_or_insert_with(|| {
            let mut state = memory.state.lock();
            let number = state.next;
            state.next += 1;
            state.seats.push(Seat { number, doing: Doing::Running });
            number
        });
        let to = own.next_multiple_of(SLICE_BYTES).min(memory.max_bytes);
        memory.grow(number, to - self.taken, check)?;
        self.taken = to;
        Ok(())
    }

    fn shrink(&mut self, own: usize) {
        let Some(memory) = &self.memory else { return };
        let to = own.next_multiple_of(SLICE_BYTES).min(self.taken);
        memory.state.lock().used -= self.taken - to;
        self.taken = to;
        memory.freed.notify_all();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let (Some(memory), Some(number)) = (&self.memory, self.number) else { return };
        let mut state = memory.state.lock();
        state.used -= self.taken;
        state.seats.retain(|seat| seat.number != number);
        drop(state);
        memory.freed.notify_all();
    }
}

/// What a query holds memory for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Samples, times, labels.
    Numbers,
    /// Histograms.
    Natives,
}

/// A share that the parts of one query pay from.
#[derive(Debug)]
pub(crate) struct Purse {
    share: RefCell<Share>,
    held: [Cell<usize>; 2],
}

impl Purse {
    pub(crate) fn new(share: Share) -> Self {
        Self { share: RefCell::new(share), held: Default::default() }
    }

    /// Sees to it that `part` may hold `bytes`.
    pub(crate) fn hold(
        &self,
        part: Part,
        bytes: usize,
        check: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let [numbers, natives] = &self.held;
        let (own, other) = match part {
            Part::Numbers => (numbers, natives),
            Part::Natives => (natives, numbers),
        };
        own.set(bytes);
        self.share.borrow_mut().hold(bytes.saturating_add(other.get()), check)
    }

    /// See [`Share::room`].
    pub(crate) fn room(&self) -> usize {
        self.share.borrow().room()
    }

    /// See [`Share::send`]; gives the share itself.
    pub(crate) fn end(&self, bytes: usize) -> Share {
        let mut share = self.share.replace(Share::new(None));
        share.send(bytes);
        share
    }
}

#[cfg(test)]
mod tests;
