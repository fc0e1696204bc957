//! The rows of one layout.

use std::sync::Arc;

use narthex_model::{ABSENT, TimeRange, Timestamp, is_absent};
use parking_lot::Mutex;

use super::glance::Glance;
use super::late::{LateMark, LateRows};
use super::mini::{FILE_ROWS, Mini, ROWS, RowKey, Scratch};
use super::sink::Sink;
use crate::codec::Decoder;
use crate::{Column, LayoutRef, RowSeq, SeriesRef, SourceRef};

/// What a reader may see of the head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// Rows before this time are in blocks.
    pub(crate) sealed_until: Timestamp,
    /// The last row that is visible.
    pub(crate) seq: RowSeq,
    /// The late rows that are in blocks.
    pub(crate) late: LateMark,
}

/// A layout and its rows that are not dropped yet. One writer appends, many readers read.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) name: LayoutRef,
    pub(crate) source: SourceRef,
    window_ms: i64,
    state: Mutex<State>,
    /// Its rows, if they are late ones.
    pub(super) late: Option<Mutex<LateRows>>,
}

#[derive(Debug, Default)]
struct State {
    /// The columns, but for those that came since somebody asked for them.
    columns: Option<Arc<[SeriesRef]>>,
    /// The columns behind those.
    added: Vec<SeriesRef>,
    /// In order of time; the open rows belong to the last.
    windows: Vec<Window>,
    open: Open,
    /// The last row there ever was.
    last_seq: RowSeq,
    life: Life,
    /// Its rows must not go to files.
    in_memory: bool,
}

/// How far a layout's life has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    #[default]
    Live,
    /// No row will come any more.
    Dropped,
    /// The same, and that was its writer's will: it has not just gone itself.
    Ended,
    /// Blocks have its rows, sealed or not.
    Spilled,
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

/// Mini chunks of a window whose rows can go to a file, as one chunk.
#[derive(Debug)]
pub(crate) struct Due {
    /// The window's start.
    pub(crate) start: i64,
    /// The layout's row before them.
    pub(crate) follows: RowKey,
    pub(crate) minis: Vec<Arc<Mini>>,
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
        let late = (source == SourceRef::LATE).then(Mutex::default);
        Self { name, source, window_ms, state: Mutex::default(), late }
    }

    /// Appends columns; earlier rows have holes there.
    pub(crate) fn add_columns(&self, series: &[SeriesRef]) {
        self.state.lock().added.extend_from_slice(series);
    }

    /// The columns so far.
    pub(crate) fn columns(&self) -> Arc<[SeriesRef]> {
        self.state.lock().columns()
    }

    /// Says that no row will come any more.
    pub(crate) fn drop_rows(&self, scratch: &mut Scratch) {
        let mut state = self.state.lock();
        state.life = state.life.max(Life::Dropped);
        state.flush(scratch);
        state.open = Open::default();
    }

    /// Says that its writer has dropped it, and has not just gone itself.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.life = state.life.max(Life::Ended);
    }

    /// The last row there ever was, if the layout has ended.
    pub(crate) fn ended_with(&self) -> Option<RowSeq> {
        let state = self.state.lock();
        (state.life == Life::Ended).then_some(state.last_seq)
    }

    /// Says that blocks have its rows.
    pub(crate) fn set_spilled(&self) {
        self.state.lock().life = Life::Spilled;
    }

    /// Whether blocks have its rows.
    pub(crate) fn is_spilled(&self) -> bool {
        self.state.lock().life == Life::Spilled
    }

    /// Number of columns.
    pub(crate) fn width(&self) -> usize {
        self.state.lock().width()
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
        if state.open.stride < state.width() {
            state.open.widen(state.width());
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

    /// Says that its rows must not go to files, for the log does not name it.
    pub(crate) fn keep_in_memory(&self) {
        self.state.lock().in_memory = true;
    }

    /// Whether there is a row at `at`.
    pub(crate) fn has_row(&self, at: Timestamp) -> bool {
        let state = self.state.lock();
        let range = TimeRange::new(at, at);
        let minis = state.windows.iter().flat_map(|window| window.minis_in(range));
        let mut times = minis.flat_map(|mini| mini.times());
        times.any(|time| time == at) || state.open.keys.iter().any(|key| key.at == at)
    }

    /// The time of the last row.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.state.lock().windows.last().map(|window| window.last)
    }

    /// Whether `column` may have a sample in `range` that `sight` shows.
    pub(crate) fn has(&self, column: Column, range: TimeRange, sight: Sight) -> bool {
        if let Some(late) = &self.late {
            return late.lock().has(column, range, sight);
        }
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
        if let Some(late) = &self.late {
            for (key, value) in late.lock().samples_of(column, range, sight) {
                sink.add_key(key);
                sink.values.push(value);
            }
            return 0;
        }
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

    /// Takes the rows in `range` that `sight` shows; none if it has none, or late ones.
    pub(crate) fn glance(&self, range: TimeRange, sight: Sight) -> Option<Glance> {
        if self.late.is_some() {
            return None;
        }
        let state = self.state.lock();
        let last = state.windows.last()?;
        let visible = state.windows.iter().filter(|window| window.is_visible(range, sight));
        let minis: Vec<_> = visible.flat_map(|window| window.minis_in(range)).cloned().collect();
        let open = if last.is_visible(range, sight) { state.open.keys.as_slice() } else { &[] };
        let stride = state.open.stride;
        let values = state.open.values.get(..open.len() * stride).unwrap_or(&[]);
        let (keys, values) = (open.to_vec(), values.to_vec());
        drop(state);
        Some(Glance::new(minis, (&keys, values, stride), range, sight))
    }

    /// The start of the oldest window that is not before `from`.
    pub(crate) fn oldest_window(&self, from: Timestamp) -> Option<i64> {
        let state = self.state.lock();
        state.windows.iter().find(|window| window.last >= from).map(|window| window.start)
    }

    /// The starts of the windows with rows that are not before `from`.
    pub(crate) fn window_starts(&self, from: Timestamp) -> Vec<i64> {
        let state = self.state.lock();
        let windows = state.windows.iter().filter(|window| window.last >= from);
        windows.map(|window| window.start).collect()
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
        if let Some(late) = &self.late {
            return late.lock().samples() > 0;
        }
        let mut state = self.state.lock();
        let ends_by = |window: &Window| window.start.saturating_add(self.window_ms) <= until.0;
        if state.windows.last().is_some_and(ends_by) {
            state.open.keys.clear();
        }
        state.windows.retain(|window| !ends_by(window));
        !state.windows.is_empty()
    }

    /// What can go to files: full chunks of rows before `before`, and from windows and layouts
    /// that get no more rows what is left.
    pub(crate) fn due_for_file(&self, from: Timestamp, before: RowSeq) -> Vec<Due> {
        let state = self.state.lock();
        let mut due = Vec::new();
        if state.in_memory {
            return due;
        }
        let mut follows = RowKey::NONE;
        for (index, window) in state.windows.iter().enumerate() {
            let last = window.minis.last().map(|mini| mini.last_key());
            if window.start < from.0 {
                follows = last.unwrap_or(follows);
                continue;
            }
            let is_over = state.life > Life::Live || index + 1 < state.windows.len();
            let on_heap = window.minis.partition_point(|mini| !mini.is_on_heap());
            let (in_files, mut rest) = window.minis.split_at(on_heap);
            follows = in_files.last().map_or(follows, |mini| mini.last_key());
            loop {
                let mut rows = 0;
                let count = rest
                    .iter()
                    .take_while(|mini| {
                        rows += mini.rows();
                        rows <= FILE_ROWS && mini.last_key().seq < before
                    })
                    .count();
                let (minis, behind) = rest.split_at(count);
                let rows: usize = minis.iter().map(|mini| mini.rows()).sum();
                if rows == 0 || !is_over && rows + ROWS <= FILE_ROWS {
                    break;
                }
                due.push(Due { start: window.start, follows, minis: minis.to_vec() });
                follows = minis.last().map_or(follows, |mini| mini.last_key());
                rest = behind;
            }
            follows = last.unwrap_or(follows);
        }
        due
    }

    /// Puts `chunk`, which is in a file, in the place of the mini chunks it was made from.
    pub(crate) fn replace(&self, due: &Due, chunk: Mini) {
        let mut state = self.state.lock();
        let Some(window) = state.windows.iter_mut().find(|window| window.start == due.start) else {
            return;
        };
        let first = due.minis.first();
        let at = window
            .minis
            .iter()
            .position(|mini| first.is_some_and(|first| Arc::ptr_eq(mini, first)));
        if let Some(at) = at {
            window.minis.splice(at..at + due.minis.len(), [Arc::new(chunk)]);
        }
    }

    /// Takes a chunk that a file still has, at a start, if it is the next one: it goes behind the
    /// row `follows`, which is the last one here, or lies before `sealed_until`.
    pub(crate) fn restore(&self, chunk: Mini, follows: RowKey, sealed_until: Timestamp) -> bool {
        let (first, last) = (chunk.first_key(), chunk.last_key());
        let start = window_start(first.at, self.window_ms);
        if last.at.0.saturating_sub(start) >= self.window_ms {
            return false;
        }
        let mut state = self.state.lock();
        let is_first = state.windows.is_empty() && follows.at < sealed_until;
        if !is_first && state.last_seq != follows.seq {
            return false;
        }
        match state.windows.last() {
            Some(window) if first.at <= window.last => return false,
            Some(window) if window.start == start => {}
            _ => state.windows.push(Window::new(start, first)),
        }
        let Some(window) = state.windows.last_mut() else { return false };
        window.see(chunk.columns());
        chunk.each_seen(|column| mark(&mut window.seen, column));
        window.last = last.at;
        window.minis.push(Arc::new(chunk));
        state.last_seq = last.seq;
        true
    }

    /// Figures of the rows from `from` on.
    pub(crate) fn stats(&self, from: Timestamp) -> LayoutStats {
        let state = self.state.lock();
        let mut found = LayoutStats {
            last_seq: state.last_seq,
            dropped: state.life > Life::Live,
            ..LayoutStats::default()
        };
        found.bytes += (state.open.values.len() * size_of::<f64>()) as u64;
        if let Some(late) = &self.late {
            let late = late.lock();
            found.first_seq = late.first_seq();
            found.bytes += late.samples() * size_of::<(Column, f64)>() as u64;
        }
        for window in state.windows.iter().filter(|window| window.last >= from) {
            found.first.get_or_insert(window.first.at);
            found.first_seq.get_or_insert(window.first.seq);
            found.last = Some(window.last);
            found.chunks += state.width() as u64;
            found.bytes += window.minis.iter().map(|mini| mini.heap_bytes() as u64).sum::<u64>();
        }
        found
    }
}

impl State {
    fn columns(&mut self) -> Arc<[SeriesRef]> {
        let columns = match self.columns.take() {
            Some(columns) if self.added.is_empty() => columns,
            columns => {
                let known = columns.as_deref().unwrap_or(&[]);
                known.iter().copied().chain(std::mem::take(&mut self.added)).collect()
            }
        };
        self.columns = Some(Arc::clone(&columns));
        columns
    }

    /// Number of columns.
    fn width(&self) -> usize {
        self.columns.as_deref().map_or(0, <[_]>::len) + self.added.len()
    }

    #[cold]
    fn begin_window(&mut self, key: RowKey, window_ms: i64, scratch: &mut Scratch) {
        self.flush(scratch);
        self.windows.push(Window::new(window_start(key.at, window_ms), key));
    }

    /// Compresses the open rows.
    fn flush(&mut self, scratch: &mut Scratch) {
        let columns = self.width().min(self.open.stride);
        let Some(window) = self.windows.last_mut() else { return };
        if self.open.keys.is_empty() {
            return;
        }
        window.see(columns);
        let seen = &mut window.seen;
        let mini = Mini::compress(
            &self.open.keys,
            &self.open.values,
            self.open.stride,
            columns,
            scratch,
            |column| mark(seen, column),
        );
        debug_assert!(mini.is_some());
        window.minis.extend(mini.map(Arc::new));
        self.open.keys.clear();
    }
}

/// The start of the window that `at` lies in.
fn window_start(at: Timestamp, window_ms: i64) -> i64 {
    at.0.div_euclid(window_ms).saturating_mul(window_ms)
}

/// Sets the bit of a column.
fn mark(seen: &mut [u64], column: usize) {
    if let Some(word) = seen.get_mut(column / 64) {
        *word |= 1 << (column % 64);
    }
}

impl Window {
    /// The window that begins at `start`, with its first row.
    fn new(start: i64, first: RowKey) -> Self {
        Self { start, minis: Vec::new(), seen: Vec::new(), first, last: first.at }
    }

    /// Makes room for the bits of so many columns.
    fn see(&mut self, columns: usize) {
        let words = columns.div_ceil(64);
        if self.seen.len() < words {
            self.seen.resize(words, 0);
        }
    }

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
    pub(super) fn shows(self, range: TimeRange, key: RowKey) -> bool {
        range.contains(key.at) && key.seq <= self.seq
    }
}
