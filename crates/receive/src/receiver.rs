//! A request, from its body to its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use narthex_model::{Labels, Timestamp};
use narthex_store::{Error, Part, SeriesRef, Writer};
use parking_lot::{Mutex, MutexGuard};

use crate::answer::{Answer, Failure, Reason};
use crate::batch::{Kind, PENDING_MAX, Pending};
use crate::counters::Counters;
use crate::exemplar::Waiting;
use crate::key::{Key, Keys};
use crate::labels::{Pairs, source_of};
use crate::lanes::{Lanes, reason_of};
use crate::otlp::{self, Form};
use crate::table::{Newest, State, Table};
use crate::v2::Unreadable;
use crate::wire::Malformed;
use crate::{v1, v2};

/// Largest body, compressed, in bytes.
pub const BODY_BYTES_MAX: usize = 3 << 20;

/// Largest message, in bytes: senders make requests of a few hundred KiB, and the largest of narthex
/// and of vmagent have 8 MiB.
pub const PLAIN_BYTES_MAX: usize = (8 << 20) + (64 << 10);

/// From this size on a message must not be compressed more than [`RATIO_MAX`] to one.
const RATIO_FROM_BYTES: usize = 4 << 20;

/// Real requests come to some 5 to 12 times their compressed size; the most that the format can
/// express is 21.
const RATIO_MAX: usize = 16;

/// A buffer that grew over this many bytes is not kept.
const IDLE_BYTES_MAX: usize = 1 << 20;

/// How far ahead of the clock a sample may lie, in milliseconds.
const AHEAD_MS_MAX: i64 = 10 * 60_000;

/// Rows go to the store in turns of about so many samples, between which scrapes get their turn.
const TURN_SAMPLES: usize = 4096;

/// How often what is not used any more is looked for, in milliseconds.
const SWEEP_MS: i64 = 300_000;

/// The two messages there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

/// Takes requests, one at a time.
#[derive(Debug)]
pub struct Receiver {
    pub(crate) keys: Keys,
    pub(crate) table: Table,
    pub(crate) lanes: Lanes,
    pub(crate) pending: Vec<Pending>,
    /// Samples older than the newest of their series: time, series, value.
    pub(crate) late: Vec<(i64, SeriesRef, f64)>,
    /// Exemplars that wait for the samples before them.
    pub(crate) exemplars: Vec<Waiting>,
    /// Room for a message.
    plain: Vec<u8>,
    writer: Arc<Mutex<Writer>>,
    counters: Arc<Counters>,
    swept: Timestamp,
    /// Numbers the requests.
    request: u32,
}

/// A series of a request.
#[derive(Debug)]
pub(crate) enum Met {
    /// Its number.
    Known(u32),
    /// Its key was not seen before. It is taken note of with its first sample that is taken: what
    /// brings none must leave nothing behind.
    New(Key, Labels),
    /// Its labels are none.
    Bad(Reason),
}

/// A request while it is read.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    pub(crate) receiver: &'a mut Receiver,
    pub(crate) answer: Answer,
    /// The number of the request.
    pub(crate) request: u32,
    /// Which protocol is spoken.
    pub(crate) message: Message,
    /// No sample may be older.
    pub(crate) earliest: i64,
    /// No sample may be newer.
    pub(crate) latest: i64,
    /// Whether samples may be older than the newest of their series.
    pub(crate) takes_late: bool,
    /// Whether exemplars are kept.
    pub(crate) keeps_exemplars: bool,
    /// Whether the samples of each source wait in the order of their times.
    pub(crate) in_order: bool,
    /// Why the store failed; nothing more is taken.
    failed: Option<Error>,
}

impl Receiver {
    /// A receiver that hands rows to `writer`.
    pub fn new(writer: Arc<Mutex<Writer>>) -> Self {
        Self {
            keys: Keys::default(),
            table: Table::default(),
            lanes: Lanes::default(),
            pending: Vec::new(),
            late: Vec::new(),
            exemplars: Vec::new(),
            plain: Vec::new(),
            writer,
            counters: Arc::default(),
            swept: Timestamp::MIN,
            request: 0,
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Takes a request in: `body` is the message compressed with snappy's block format; it is
    /// dropped as soon as it is decompressed. When this returns, everything that the answer counts
    /// as stored is in the log.
    ///
    /// # Errors
    /// When the request as a whole is refused, or the store failed.
    pub fn write(&mut self, body: impl AsRef<[u8]>, message: Message) -> Result<Answer, Failure> {
        let unpack = |plain: &mut Vec<u8>| decompress(body.as_ref(), plain);
        self.receive(message, unpack, |plain, intake| match message {
            Message::V1 => v1::walk(plain, intake),
            Message::V2 => v2::walk(plain, intake),
        })
    }

    /// Takes a request of OTLP in, as [`Receiver::write`] does.
    ///
    /// # Errors
    /// When the request as a whole is refused, or the store failed.
    pub fn write_otlp(
        &mut self,
        body: impl AsRef<[u8]>,
        form: Form,
        settings: &otlp::Settings,
    ) -> Result<Answer, Failure> {
        let unpack = |plain: &mut Vec<u8>| form.unpack(body.as_ref(), plain);
        self.receive(Message::V1, unpack, |plain, intake| otlp::walk(plain, settings, intake))
    }

    fn receive(
        &mut self,
        message: Message,
        unpack: impl FnOnce(&mut Vec<u8>) -> Result<usize, Failure>,
        walk: impl FnOnce(&[u8], &mut Intake<'_>) -> Result<(), Unreadable>,
    ) -> Result<Answer, Failure> {
        let mut plain = std::mem::take(&mut self.plain);
        let outcome = match unpack(&mut plain) {
            Ok(length) => self.take(plain.get(..length).unwrap_or_default(), message, walk),
            Err(failure) => Err(failure),
        };
        if plain.capacity() <= IDLE_BYTES_MAX {
            self.plain = plain;
        }
        if self.pending.capacity() * size_of::<Pending>() > IDLE_BYTES_MAX {
            self.pending = Vec::new();
        }
        self.exemplars.shrink_to(IDLE_BYTES_MAX / size_of::<Waiting>());
        self.counters.requests.fetch_add(1, Relaxed);
        match &outcome {
            Ok(answer) => self.counters.answered(answer),
            Err(_) => {
                self.counters.failed.fetch_add(1, Relaxed);
            }
        }
        self.counters.series.store(self.table.len() as u64, Relaxed);
        outcome
    }

    fn take(
        &mut self,
        plain: &[u8],
        message: Message,
        walk: impl FnOnce(&[u8], &mut Intake<'_>) -> Result<(), Unreadable>,
    ) -> Result<Answer, Failure> {
        let (earliest, now, takes_late, keeps_exemplars) = {
            let writer = self.writer.lock();
            let keeps_exemplars = writer.keep_exemplars().is_some();
            (writer.oldest_accepted().0, writer.now(), writer.takes_late(), keeps_exemplars)
        };
        self.sweep(now);
        self.request = self.request.wrapping_add(1);
        let latest = now.0.saturating_add(AHEAD_MS_MAX);
        let answer = Answer::default();
        let mut intake = Intake {
            request: self.request,
            receiver: self,
            answer,
            message,
            earliest,
            latest,
            takes_late,
            keeps_exemplars,
            in_order: true,
            failed: None,
        };
        if let Err(unreadable) = walk(plain, &mut intake) {
            intake.undo();
            return Err(Failure::Malformed(format!("cannot read the message: {unreadable}")));
        }
        intake.apply();
        match intake.failed {
            Some(error) => Err(Failure::Store(error)),
            None => Ok(intake.answer),
        }
    }

    /// Forgets what no sample came for in a long time.
    fn sweep(&mut self, now: Timestamp) {
        if now.0 < self.swept.0.saturating_add(SWEEP_MS) {
            return;
        }
        self.swept = now;
        let mut homeless = Vec::new();
        let table = &mut self.table;
        self.lanes.sweep(now, &mut self.writer.lock(), |series, lane| {
            leave(table, series, lane, &mut homeless);
        });
        self.table.remove(&homeless);
    }
}

fn leave(table: &mut Table, series: u32, lane: u32, homeless: &mut Vec<u32>) {
    if let Some(state) = table.get_mut(series)
        && !state.leave(lane)
    {
        homeless.push(series);
    }
}

impl Intake<'_> {
    /// The number of the series with this key, if it is known.
    #[inline]
    fn known(&mut self, key: Key) -> Option<u32> {
        if self.receiver.pending.len() + self.receiver.late.len() >= PENDING_MAX {
            self.apply();
        }
        self.receiver.table.find(key)
    }

    /// The series with this key, whose labels `pairs` reads if the key was not seen before.
    pub(crate) fn meet<'p>(
        &mut self,
        key: Key,
        pairs: impl FnOnce() -> Result<Result<Pairs<'p>, Reason>, Malformed>,
    ) -> Result<Met, Malformed> {
        if let Some(number) = self.known(key) {
            return Ok(Met::Known(number));
        }
        Ok(match pairs()?.and_then(Pairs::build) {
            Ok(labels) => Met::New(key, labels),
            Err(reason) => Met::Bad(reason),
        })
    }

    /// Takes note of a series that has a key not seen before.
    pub(crate) fn learn(&mut self, key: Key, labels: &Labels) -> Result<u32, Reason> {
        let receiver = &mut *self.receiver;
        let mut writer = receiver.writer.lock();
        let series = match writer.resolve(labels) {
            Ok(series) => series,
            Err(Error::LabelsTooLong { .. }) => return Err(Reason::LabelTooLong),
            Err(Error::SeriesLimit { .. } | Error::Exhausted(_)) => {
                return Err(Reason::SeriesLimit);
            }
            Err(error) => {
                self.failed.get_or_insert(error);
                return Err(Reason::SeriesLimit);
            }
        };
        let number = receiver.table.find_series(series).unwrap_or_else(|| {
            let last = writer.last_sample(series);
            let newest = last.map_or(Newest { at: i64::MIN, bits: 0 }, |sample| Newest {
                at: sample.at.0,
                bits: sample.value.to_bits(),
            });
            let source = receiver.lanes.source(source_of(labels), &mut writer);
            receiver.table.insert(State::new(series, source, newest))
        });
        receiver.table.know(key, number);
        Ok(number)
    }

    /// Whether the store has a series with these labels.
    pub(crate) fn has(&self, labels: &Labels) -> bool {
        self.receiver.writer.lock().find(labels).is_some()
    }

    /// The number of a part of the series `whole`, whose labels `labels` tells.
    pub(crate) fn part(
        &mut self,
        whole: u32,
        part: Part,
        labels: impl Fn() -> Option<Labels>,
    ) -> Result<u32, Reason> {
        let receiver = &mut *self.receiver;
        if let Some(number) = receiver.table.find_part(whole, part) {
            return Ok(number);
        }
        let labels = labels().ok_or(Reason::BadUtf8)?;
        let mut writer = receiver.writer.lock();
        let series = match writer.resolve(&part.labels(&labels)) {
            Ok(series) => series,
            Err(Error::LabelsTooLong { .. }) => return Err(Reason::LabelTooLong),
            Err(_) => return Err(Reason::SeriesLimit),
        };
        let newest = Newest { at: i64::MIN, bits: 0 };
        let last = writer.last_sample(series);
        let Some(state) = receiver.table.get_mut(whole) else { return Err(Reason::SeriesLimit) };
        if let Some(last) = last.filter(|last| last.at.0 > state.newest.at) {
            state.newest = Newest { at: last.at.0, bits: 0 };
        }
        let source = state.source;
        let state = State::new(series, source, newest);
        Ok(receiver.table.insert_part(whole, part, state))
    }

    /// Hands what waits to the store.
    #[cold]
    pub(crate) fn apply(&mut self) {
        if self.failed.is_some() {
            return self.undo();
        }
        let mut pending = std::mem::take(&mut self.receiver.pending);
        if !self.in_order {
            pending.sort_by_key(|sample| sample.at);
        }
        let writer = Arc::clone(&self.receiver.writer);
        let stored =
            self.rows(&pending, writer.lock()).and_then(|()| self.late_rows(&mut writer.lock()));
        if stored.is_ok() && !self.receiver.exemplars.is_empty() {
            self.keep_exemplars(&writer.lock());
        }
        for sample in &pending {
            if let Some(state) = self.receiver.table.get(sample.state) {
                self.receiver.lanes.settle(state.source);
            }
        }
        self.receiver.pending = pending;
        match stored {
            Ok(()) => self.receiver.pending.clear(),
            Err(error) => {
                self.failed = Some(error);
                self.undo();
            }
        }
        self.in_order = true;
    }

    fn rows(
        &mut self,
        pending: &[Pending],
        mut writer: MutexGuard<'_, Writer>,
    ) -> Result<(), Error> {
        let Receiver { table, lanes, .. } = &mut *self.receiver;
        let mut homeless = false;
        for sample in pending.iter().filter(|sample| sample.kind != Kind::Note) {
            match table.get(sample.state).map(|state| state.home) {
                Some(Some(home)) => lanes.expect_in(home.lane, sample.at),
                _ => homeless = true,
            }
        }
        if homeless {
            for sample in pending.iter().filter(|sample| sample.kind != Kind::Note) {
                if let Some(state) = table.get_mut(sample.state).filter(|s| s.home.is_none()) {
                    lanes.house(sample.state, state, sample.at, &mut writer)?;
                }
            }
        }
        for (index, sample) in pending.iter().enumerate() {
            let Some(state) = table.get_mut(sample.state) else { continue };
            if sample.kind != Kind::Note {
                lanes.put(sample, state, &mut writer, &mut self.answer)?;
            }
            if index % TURN_SAMPLES == TURN_SAMPLES - 1 {
                MutexGuard::bump(&mut writer);
            }
        }
        lanes.flush(&mut writer, &mut self.answer)
    }

    /// Hands the store what is older than the newest of its series.
    fn late_rows(&mut self, writer: &mut Writer) -> Result<(), Error> {
        let late = &mut self.receiver.late;
        if late.is_empty() {
            return Ok(());
        }
        late.sort_by_key(|&(at, ..)| at);
        let mut row = Vec::new();
        for samples in late.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(at, ..)) = samples.first() else { continue };
            row.clear();
            row.extend(samples.iter().map(|&(_, series, value)| (series, value)));
            let count = row.len() as u64;
            match writer.append_late(Timestamp(at), &row) {
                Ok(_) => self.answer.samples += count,
                Err(error) => {
                    let reason = reason_of(&error).ok_or(error)?;
                    self.answer.refused.add(reason, count, || format!("at {}", Timestamp(at)));
                }
            }
        }
        late.clear();
        Ok(())
    }

    /// Forgets what waits, as if it had not come.
    #[cold]
    fn undo(&mut self) {
        let Receiver { table, lanes, pending, late, exemplars, writer, .. } = &mut *self.receiver;
        late.clear();
        exemplars.clear();
        let mut homeless = Vec::new();
        for sample in pending.drain(..).rev() {
            if let Some(state) = table.get_mut(sample.state) {
                state.newest = sample.before;
                lanes.settle(state.source);
                if state.home.is_none() && sample.kind != Kind::Note {
                    homeless.push(sample.state);
                }
            }
        }
        lanes.give_up(&mut writer.lock(), |series, lane| {
            leave(table, series, lane, &mut homeless);
        });
        table.remove(&homeless);
    }
}

/// Decompresses into `plain`, which grows as needed; returns the length of the message.
pub(crate) fn decompress(body: &[u8], plain: &mut Vec<u8>) -> Result<usize, Failure> {
    let corrupt = || Failure::Malformed("snappy: corrupt input".to_owned());
    if body.len() > BODY_BYTES_MAX {
        let text = format!("the body has {} bytes, {BODY_BYTES_MAX} are allowed", body.len());
        return Err(Failure::TooLarge(text));
    }
    // ORDER: what the body says of its size is checked before there is room for it.
    let length = match snap::raw::decompress_len(body) {
        Ok(length) => length,
        Err(snap::Error::TooBig { .. }) => usize::MAX,
        Err(_) => return Err(corrupt()),
    };
    if length > PLAIN_BYTES_MAX {
        let text = format!("snappy: the message is larger than {PLAIN_BYTES_MAX} bytes");
        return Err(Failure::TooLarge(text));
    }
    if length > RATIO_FROM_BYTES && length / RATIO_MAX > body.len() {
        let text = format!("snappy: a large message compressed more than {RATIO_MAX} to 1");
        return Err(Failure::TooLarge(text));
    }
    if plain.len() < length {
        // From the system, so that pages that are never written take no memory.
        *plain = vec![0; length];
    }
    let room = plain.get_mut(..length).unwrap_or_default();
    let written = snap::raw::Decoder::new().decompress(body, room).map_err(|_| corrupt())?;
    match written == length {
        true => Ok(length),
        false => Err(corrupt()),
    }
}

#[cfg(test)]
mod tests;
