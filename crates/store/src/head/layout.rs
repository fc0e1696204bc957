//! The rows of one layout.

use std::sync::Arc;

use narthex_model::{ABSENT, TimeRange, Timestamp, is_absent};
use parking_lot::Mutex;

use super::mini::{Mini, ROWS, RowKey, Scratch};
use crate::codec::{Damaged, Decoder};
use crate::{Column, LayoutRef, RowSeq, SeriesRef, SourceRef};

/// What a reader may see of the head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// Rows before this time are in blocks.
    pub(crate) sealed_until: Timestamp,
    /// The last row that is visible.
    pub(crate) seq: RowSeq,
}

/// A layout and its rows that are not dropped yet. One writer appends, many readers read.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) name: LayoutRef,
    pub(crate) source: SourceRef,
    window_ms: i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    columns: Vec<SeriesRef>,
    /// `columns` as it is shared with readers, once one asked.
    shared: Option<Arc<[SeriesRef]>>,
    /// In order of time; the open rows belong to the last.
    windows: Vec<Window>,
    open: Open,
    /// The last row there ever was.
    last_seq: RowSeq,
    dropped: bool,
}

/// The rows of one window of time, but for the open ones.
#[derive(Debug)]
struct Window {
    start: i64,
    minis: Vec<Arc<Mini>>,
    /// A bit per column: whether it has a sample in `minis`.
    seen: Vec<u64>,
    /// Time and place of the first row, open or not.
    first: RowKey,
    /// Time of the last row, open or not.
    last: Timestamp,
}

/// The last rows, row after row.
#[derive(Debug, Default)]
struct Open {
    keys: Vec<RowKey>,
    /// Room for [`ROWS`] rows of `stride` values; what was never written is [`ABSENT`].
    values: Vec<f64>,
    stride: usize,
}

/// What a layout has in one window, ready to be sealed.
#[derive(Debug)]
pub(crate) struct SealPart {
    pub(crate) columns: Arc<[SeriesRef]>,
    pub(crate) minis: Vec<Arc<Mini>>,
}

/// Where a reader wants the samples of columns.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub(crate) times: &'a mut Vec<Timestamp>,
    pub(crate) values: &'a mut Vec<f64>,
    /// The places of the samples' rows, if they are wanted.
    pub(crate) seqs: Option<&'a mut Vec<RowSeq>>,
}

/// Figures of a layout.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LayoutStats {
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
    pub(crate) first_seq: Option<RowSeq>,
    /// The last row there ever was.
    pub(crate) last_seq: RowSeq,
    pub(crate) dropped: bool,
}

impl Layout {
    pub(crate) fn new(name: LayoutRef, source: SourceRef, window_ms: i64) -> Self {
        Self { name, source, window_ms, state: Mutex::default() }
    }

    /// Appends columns; earlier rows have holes there.
    pub(crate) fn add_columns(&self, series: &[SeriesRef]) {
        let mut state = self.state.lock();
        state.columns.extend_from_slice(series);
        state.shared = None;
    }

    /// The columns so far.
    pub(crate) fn columns(&self) -> Arc<[SeriesRef]> {
        self.state.lock().columns()
    }

    /// Says that no row will come any more.
    pub(crate) fn drop_rows(&self, scratch: &mut Scratch) {
        let mut state = self.state.lock();
        state.dropped = true;
        state.flush(scratch);
        state.open = Open::default();
    }

    /// Appends a row that is later than all before; `values` may be fewer than the columns.
    /// `false`: the row lies before `frozen_until` and was not taken.
    pub(crate) fn push(
        &self,
        key: RowKey,
        values: &[f64],
        frozen_until: impl FnOnce() -> i64,
        scratch: &mut Scratch,
    ) -> bool {
        let mut state = self.state.lock();
        // ORDER: whoever seals raises the limit before it takes this lock, so a row is either
        // seen by the seal or refused here.
        if key.at.0 < frozen_until() {
            return false;
        }
        let state = &mut *state;
        state.last_seq = key.seq;
        match state.windows.last_mut() {
            Some(window) if key.at.0 - window.start < self.window_ms => window.last = key.at,
            _ => state.begin_window(key, self.window_ms, scratch),
        }
        if state.open.stride < state.columns.len() {
            state.open.widen(state.columns.len());
        }
        state.open.push(key, values);
        if state.open.keys.len() == ROWS {
            state.flush(scratch);
        }
        true
    }

    /// Takes note of a row that a block has.
    pub(crate) fn pass(&self, seq: RowSeq) {
        self.state.lock().last_seq = seq;
    }

    /// Whether no row will come any more.
    pub(crate) fn is_dropped(&self) -> bool {
        self.state.lock().dropped
    }

    /// Whether there is a row at `at`.
    pub(crate) fn has_row(&self, at: Timestamp) -> bool {
        let state = self.state.lock();
        let range = TimeRange::new(at, at);
        let minis = state.windows.iter().flat_map(|window| window.minis_in(range));
        let mut keys = minis.flat_map(|mini| mini.times());
        keys.any(|time| time == at) || state.open.keys.iter().any(|key| key.at == at)
    }

    /// The time of the last row.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.state.lock().windows.last().map(|window| window.last)
    }

    /// Whether `column` may have a sample in `range` that `sight` shows.
    pub(crate) fn has(&self, column: Column, range: TimeRange, sight: Sight) -> bool {
        let state = self.state.lock();
        let column = column.index();
        let last = state.windows.len().saturating_sub(1);
        state.windows.iter().enumerate().any(|(index, window)| {
            window.is_visible(range, sight)
                && (window.has_seen(column) || index == last && state.open.has(column))
        })
    }

    /// Adds the samples of `column` in `range` that `sight` shows to `sink`, in order of time.
    /// Damaged chunks are left out; their number is returned.
    pub(crate) fn read(
        &self,
        column: Column,
        range: TimeRange,
        sight: Sight,
        decoder: &mut Decoder,
        sink: &mut Sink<'_>,
    ) -> usize {
        let column = column.index();
        let mut minis = Vec::new();
        let mut open = Vec::new();
        {
            // Decoding waits until the lock is free for the writer again.
            let state = self.state.lock();
            for window in state.windows.iter().filter(|window| window.is_visible(range, sight)) {
                if window.has_seen(column) {
                    minis.extend(window.minis_in(range).iter().map(Arc::clone));
                }
            }
            if state.windows.last().is_some_and(|window| window.is_visible(range, sight)) {
                let samples = state.open.column(column);
                open.extend(samples.filter(|(key, _)| sight.shows(range, *key)));
            }
        }
        let mut damaged = 0;
        for mini in minis {
            damaged += usize::from(sink.add_mini(&mini, column, range, sight, decoder).is_err());
        }
        for (key, value) in open {
            sink.add_key(key);
            sink.values.push(value);
        }
        damaged
    }

    /// The start of the oldest window that is not before `from`.
    pub(crate) fn oldest_window(&self, from: Timestamp) -> Option<i64> {
        let state = self.state.lock();
        state.windows.iter().find(|window| window.last >= from).map(|window| window.start)
    }

    /// What there is in the window that begins at `start`. No row may come to it any more.
    pub(crate) fn seal_part(&self, start: i64, scratch: &mut Scratch) -> Option<SealPart> {
        let mut state = self.state.lock();
        let is_last = state.windows.last()?.start == start;
        if is_last {
            state.flush(scratch);
        }
        let window = state.windows.iter().find(|window| window.start == start)?;
        let minis = window.minis.clone();
        Some(SealPart { columns: state.columns(), minis })
    }

    /// Drops the rows of the windows that end at `until` or before. Returns whether any row is
    /// left.
    pub(crate) fn forget(&self, until: Timestamp) -> bool {
        let mut state = self.state.lock();
        let ends_by = |window: &Window| window.start.saturating_add(self.window_ms) <= until.0;
        if state.windows.last().is_some_and(ends_by) {
            state.open.keys.clear();
        }
        state.windows.retain(|window| !ends_by(window));
        !state.windows.is_empty()
    }

    /// Figures of the rows from `from` on.
    pub(crate) fn stats(&self, from: Timestamp) -> LayoutStats {
        let state = self.state.lock();
        let mut found = LayoutStats {
            last_seq: state.last_seq,
            dropped: state.dropped,
            ..LayoutStats::default()
        };
        found.bytes += (state.open.values.len() * size_of::<f64>()) as u64;
        for window in state.windows.iter().filter(|window| window.last >= from) {
            found.first.get_or_insert(window.first.at);
            found.first_seq.get_or_insert(window.first.seq);
            found.last = Some(window.last);
            found.chunks += state.columns.len() as u64;
            found.bytes += window.minis.iter().map(|mini| mini.heap_bytes() as u64).sum::<u64>();
        }
        found
    }
}

impl State {
    fn columns(&mut self) -> Arc<[SeriesRef]> {
        let columns = &self.columns;
        Arc::clone(self.shared.get_or_insert_with(|| columns.as_slice().into()))
    }

    #[cold]
    fn begin_window(&mut self, key: RowKey, window_ms: i64, scratch: &mut Scratch) {
        self.flush(scratch);
        let start = key.at.0.div_euclid(window_ms).saturating_mul(window_ms);
        let (minis, seen) = (Vec::new(), Vec::new());
        self.windows.push(Window { start, minis, seen, first: key, last: key.at });
    }

    /// Compresses the open rows.
    fn flush(&mut self, scratch: &mut Scratch) {
        let Some(window) = self.windows.last_mut() else { return };
        if self.open.keys.is_empty() {
            return;
        }
        let columns = self.columns.len().min(self.open.stride);
        window.seen.resize(columns.div_ceil(64), 0);
        let seen = &mut window.seen;
        let mini = Mini::compress(
            &self.open.keys,
            &self.open.values,
            self.open.stride,
            columns,
            scratch,
            |column| {
                if let Some(word) = seen.get_mut(column / 64) {
                    *word |= 1 << (column % 64);
                }
            },
        );
        debug_assert!(mini.is_some());
        window.minis.extend(mini.map(Arc::new));
        self.open.keys.clear();
    }
}

impl Window {
    fn is_visible(&self, range: TimeRange, sight: Sight) -> bool {
        self.last >= sight.sealed_until
            && self.first.seq <= sight.seq
            && range.overlaps(TimeRange::new(self.first.at, self.last))
    }

    fn has_seen(&self, column: usize) -> bool {
        self.seen.get(column / 64).is_some_and(|word| word >> (column % 64) & 1 == 1)
    }

    /// The mini chunks that overlap `range`.
    fn minis_in(&self, range: TimeRange) -> &[Arc<Mini>] {
        let from = self.minis.partition_point(|mini| mini.last_key().at < range.start);
        let to = self.minis.partition_point(|mini| mini.first_key().at <= range.end);
        self.minis.get(from..to).unwrap_or(&[])
    }
}

impl Open {
    #[inline]
    fn push(&mut self, key: RowKey, values: &[f64]) {
        let start = self.keys.len() * self.stride;
        let room = self.values.get_mut(start..start + self.stride);
        let Some((room, rest)) = room.and_then(|row| row.split_at_mut_checked(values.len())) else {
            debug_assert!(false, "a row is as wide as its layout");
            return;
        };
        room.copy_from_slice(values);
        if !rest.is_empty() {
            // An earlier row of a wider time may have stood here.
            rest.fill(ABSENT);
        }
        self.keys.push(key);
    }

    /// Makes room for `columns` columns and some more to come.
    #[cold]
    fn widen(&mut self, columns: usize) {
        let stride = if self.stride == 0 { columns } else { columns + columns / 8 };
        let mut values = vec![ABSENT; stride * ROWS];
        if self.stride > 0 {
            let rows = values.chunks_exact_mut(stride).zip(self.values.chunks_exact(self.stride));
            for (wide, narrow) in rows.take(self.keys.len()) {
                if let Some(place) = wide.get_mut(..narrow.len()) {
                    place.copy_from_slice(narrow);
                }
            }
        }
        self.keys.reserve_exact(ROWS - self.keys.len());
        self.values = values;
        self.stride = stride;
    }

    fn column(&self, column: usize) -> impl Iterator<Item = (RowKey, f64)> {
        let width = if column < self.stride { self.stride } else { 0 };
        let values = self.values.get(column..).unwrap_or(&[]).iter().step_by(width.max(1));
        let keys = if width == 0 { &[][..] } else { self.keys.as_slice() };
        keys.iter().copied().zip(values.copied()).filter(|&(_, value)| !is_absent(value))
    }

    fn has(&self, column: usize) -> bool {
        self.column(column).next().is_some()
    }
}

impl Sight {
    fn shows(self, range: TimeRange, key: RowKey) -> bool {
        range.contains(key.at) && key.seq <= self.seq
    }
}

impl Sink<'_> {
    fn add_mini(
        &mut self,
        mini: &Mini,
        column: usize,
        range: TimeRange,
        sight: Sight,
        decoder: &mut Decoder,
    ) -> Result<(), Damaged> {
        let start = self.values.len();
        mini.column(column, decoder, self.values)?;
        let values = self.values.get(start..).unwrap_or(&[]);
        let holes = values.iter().fold(false, |any, &value| any | is_absent(value));
        let (first, last) = (mini.first_key(), mini.last_key());
        if !holes && sight.shows(range, first) && sight.shows(range, last) {
            self.times.extend(mini.times());
            if let Some(seqs) = &mut self.seqs {
                seqs.extend(mini.keys().map(|key| key.seq));
            }
            return Ok(());
        }
        let mut kept = start;
        for (row, key) in mini.keys().enumerate() {
            let Some(&value) = self.values.get(start + row) else { break };
            if is_absent(value) || !sight.shows(range, key) {
                continue;
            }
            self.add_key(key);
            if let Some(place) = self.values.get_mut(kept) {
                *place = value;
            }
            kept += 1;
        }
        self.values.truncate(kept);
        Ok(())
    }

    fn add_key(&mut self, key: RowKey) {
        self.times.push(key.at);
        if let Some(seqs) = &mut self.seqs {
            seqs.push(key.seq);
        }
    }
}
