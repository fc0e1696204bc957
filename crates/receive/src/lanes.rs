//! Which row a sample goes into.
//!
//! A source (a target, mostly) has one or more **lanes**, each a layout whose time moves forward.
//! Samples of one request at the same time become one row of their lane. A sender may split the
//! samples of one scrape over several requests, at another place each time, or send them by
//! several connections: the second part then finds the row of its time written already and goes
//! to another lane. A series whose samples do so again and again makes that lane its home.

use std::collections::HashMap;

use narthex_model::{ABSENT, Hashing, Labels, Timestamp, is_absent};
use narthex_store::{Column, Error, LayoutRef, Row, SeriesRef, SourceRef, Writer};

use crate::answer::{Answer, Reason};
use crate::batch::{Kind, Pending};
use crate::slab::Slab;
use crate::table::{Spot, State};

/// Most lanes of one source.
const LANES_MAX: usize = 1024;

/// After so many samples in a row that did not fit into its home, a series moves.
const MISFITS_MAX: u8 = 3;

/// A lane without a row for so long is dropped, in milliseconds.
const IDLE_MS_MAX: i64 = 3_600_000;

/// A column that had no sample in so many rows of its lane is dead.
const DEAD_ROWS: u32 = 512;

/// Below this many dead columns a lane is not worth a new one.
const DEAD_COLUMNS_MIN: usize = 16;

/// No time.
const NEVER: i64 = i64::MIN;

/// Where series come from.
#[derive(Debug)]
struct Source {
    name: SourceRef,
    lanes: Vec<u32>,
    /// The time of the last sample that waits for its row.
    pending: i64,
}

/// A layout and the row that is being filled for it.
#[derive(Debug)]
struct Lane {
    source: u32,
    layout: LayoutRef,
    /// The series of each column, by its number in the table.
    members: Vec<u32>,
    row: Vec<f64>,
    /// The row, by its number, in which each column last had a sample.
    stamps: Vec<u32>,
    /// The number of the row being filled.
    generation: u32,
    filled: usize,
    /// Samples and native histograms in the row.
    samples: u64,
    histograms: u64,
    changed: Vec<Column>,
    /// Columns that the store does not know yet.
    new: Vec<SeriesRef>,
    /// The time of the row being filled.
    open: i64,
    /// The time of the last row that was stored.
    last: i64,
    /// First and last time of what waits for its row.
    expected: (i64, i64),
    /// When the last row was stored, by the clock.
    used: i64,
}

/// All lanes.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    all: Slab<Lane>,
    sources: Slab<Source>,
    by_labels: HashMap<Labels, u32, Hashing>,
    /// Lanes with a row being filled.
    open: Vec<u32>,
}

impl Lanes {
    /// The source with these labels.
    pub(crate) fn source(&mut self, labels: Labels, writer: &mut Writer) -> u32 {
        if let Some(&number) = self.by_labels.get(&labels) {
            return number;
        }
        let source = Source { name: writer.new_source(), lanes: Vec::new(), pending: NEVER };
        let number = self.sources.insert(source);
        self.by_labels.insert(labels, number);
        number
    }

    /// Takes note of a sample that waits for its row; `false`: it is older than one before it.
    #[inline]
    pub(crate) fn expect(&mut self, source: u32, at: i64) -> bool {
        let Some(source) = self.sources.get_mut(source) else { return true };
        let in_order = at >= source.pending;
        source.pending = at;
        in_order
    }

    /// Nothing waits for a source any more.
    pub(crate) fn settle(&mut self, source: u32) {
        if let Some(source) = self.sources.get_mut(source) {
            source.pending = NEVER;
        }
    }

    /// Takes note that a lane will have a row at `at`.
    pub(crate) fn expect_in(&mut self, lane: u32, at: i64) {
        if let Some(lane) = self.all.get_mut(lane) {
            let (first, last) = lane.expected;
            lane.expected = if first == NEVER { (at, at) } else { (first.min(at), last.max(at)) };
        }
    }

    /// Finds a home for a series whose first sample is at `at`: with those of its source that have
    /// samples at the same time.
    pub(crate) fn house(
        &mut self,
        number: u32,
        state: &mut State,
        at: i64,
        writer: &mut Writer,
    ) -> Result<(), Error> {
        let Some(source) = self.sources.get(state.source) else { return Ok(()) };
        let suits =
            |lane: &Lane| (lane.expected.0 <= at && at <= lane.expected.1) || lane.last == at;
        let mut lanes = source.lanes.iter().copied();
        let found = lanes.find(|&lane| self.all.get(lane).is_some_and(suits));
        let lane = match (found, source.lanes.first()) {
            (Some(lane), _) => lane,
            (None, Some(&first)) if source.lanes.len() >= LANES_MAX => first,
            (None, _) => self.add_lane(state.source, writer)?,
        };
        self.expect_in(lane, at);
        state.home = Some(self.column_in(lane, number, state));
        Ok(())
    }

    fn add_lane(&mut self, source: u32, writer: &mut Writer) -> Result<u32, Error> {
        let Some(of) = self.sources.get_mut(source) else { return Err(Error::Exhausted("lanes")) };
        let layout = writer.new_layout(of.name)?;
        let lane = self.all.insert(Lane {
            source,
            layout,
            members: Vec::new(),
            row: Vec::new(),
            stamps: Vec::new(),
            generation: 1,
            filled: 0,
            samples: 0,
            histograms: 0,
            changed: Vec::new(),
            new: Vec::new(),
            open: NEVER,
            last: NEVER,
            expected: (NEVER, NEVER),
            used: i64::MAX,
        });
        of.lanes.push(lane);
        Ok(lane)
    }

    /// The column of a series in a lane; a new one if it has none.
    fn column_in(&mut self, number: u32, series: u32, state: &State) -> Spot {
        if let Some(spot) = state.spot_in(number) {
            return spot;
        }
        let mut spot = Spot { lane: number, column: 0 };
        if let Some(lane) = self.all.get_mut(number) {
            spot.column = u32::try_from(lane.members.len()).unwrap_or(u32::MAX);
            lane.members.push(series);
            lane.row.push(ABSENT);
            lane.stamps.push(lane.generation.wrapping_sub(1));
            lane.new.push(state.series);
        }
        spot
    }

    /// Puts a sample into a row. Rows that are complete by that go to the store.
    #[inline]
    pub(crate) fn put(
        &mut self,
        sample: &Pending,
        state: &mut State,
        writer: &mut Writer,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        let (number, at) = (sample.state, sample.at);
        let Some(home) = state.home else { return Ok(()) };
        let spot = match self.all.get(home.lane) {
            Some(lane) if lane.takes(at) => {
                state.misfits = 0;
                home
            }
            _ => {
                let Some(spot) = self.elsewhere(number, state, at, writer)? else {
                    answer.refused.add(Reason::OutOfOrder, 1, String::new);
                    return Ok(());
                };
                spot
            }
        };
        let Some(lane) = self.all.get_mut(spot.lane) else { return Ok(()) };
        if lane.open != at {
            if lane.open == NEVER {
                self.open.push(spot.lane);
            } else {
                lane.flush(writer, answer)?;
            }
            lane.open = at;
        }
        lane.set(spot.column, sample.value);
        match sample.kind {
            Kind::Sample => lane.samples += 1,
            Kind::Histogram => lane.histograms += 1,
            Kind::Part | Kind::Note => {}
        }
        Ok(())
    }

    /// Another lane for a sample that does not fit into its home.
    #[cold]
    fn elsewhere(
        &mut self,
        number: u32,
        state: &mut State,
        at: i64,
        writer: &mut Writer,
    ) -> Result<Option<Spot>, Error> {
        let Some(source) = self.sources.get(state.source) else { return Ok(None) };
        let lanes = source.lanes.iter().filter_map(|&n| Some((n, self.all.get(n)?)));
        // A row that is open at this very time is best, then a lane that has a column already.
        let rank = |&(n, lane): &(u32, &Lane)| match (lane.open == at, state.spot_in(n)) {
            (true, Some(_)) => 0,
            (true, None) => 1,
            (false, Some(_)) => 2,
            (false, None) => 3,
        };
        let found = lanes.filter(|(_, lane)| lane.takes(at)).min_by_key(rank).map(|(n, _)| n);
        let lane = match found {
            Some(lane) => lane,
            None if source.lanes.len() >= LANES_MAX => return Ok(None),
            None => self.add_lane(state.source, writer)?,
        };
        let spot = self.column_in(lane, number, state);
        if state.spot_in(lane).is_none() {
            state.others.push(spot);
        }
        state.misfits += 1;
        if state.misfits >= MISFITS_MAX {
            state.misfits = 0;
            state.others.retain(|other| *other != spot);
            state.others.extend(state.home.replace(spot));
        }
        Ok(Some(spot))
    }

    /// Hands all rows to the store.
    pub(crate) fn flush(&mut self, writer: &mut Writer, answer: &mut Answer) -> Result<(), Error> {
        while let Some(number) = self.open.last().copied() {
            if let Some(lane) = self.all.get_mut(number) {
                lane.flush(writer, answer)?;
                lane.expected = (NEVER, NEVER);
            }
            self.open.pop();
        }
        Ok(())
    }

    /// Forgets what waits for its row, and every lane of which the store does not know all
    /// columns. `leave` is told each series and the lane that it loses.
    pub(crate) fn give_up(&mut self, writer: &mut Writer, leave: impl FnMut(u32, u32)) {
        let mut broken = Vec::new();
        for number in self.open.drain(..) {
            let Some(lane) = self.all.get_mut(number) else { continue };
            lane.end_row();
            lane.expected = (NEVER, NEVER);
        }
        for (number, lane) in self.all.iter() {
            if !lane.new.is_empty() {
                broken.push(number);
            }
        }
        self.drop_lanes(&broken, writer, leave);
    }

    /// Drops lanes that no row came for, and those most columns of which are dead. `leave` is told
    /// each series and the lane that it loses.
    pub(crate) fn sweep(
        &mut self,
        now: Timestamp,
        writer: &mut Writer,
        leave: impl FnMut(u32, u32),
    ) {
        let idle = |lane: &Lane| lane.used.saturating_add(IDLE_MS_MAX) < now.0;
        let lanes = self.all.iter().filter(|(_, lane)| idle(lane) || lane.is_mostly_dead());
        let gone: Vec<u32> = lanes.map(|(number, _)| number).collect();
        self.drop_lanes(&gone, writer, leave);
    }

    fn drop_lanes(&mut self, gone: &[u32], writer: &mut Writer, mut leave: impl FnMut(u32, u32)) {
        for &number in gone {
            let Some(lane) = self.all.remove(number) else { continue };
            writer.drop_layout(lane.layout);
            for &member in &lane.members {
                leave(member, number);
            }
            if let Some(source) = self.sources.get_mut(lane.source) {
                source.lanes.retain(|&n| n != number);
                if source.lanes.is_empty() {
                    self.sources.remove(lane.source);
                }
            }
        }
        if !gone.is_empty() {
            let sources = &self.sources;
            self.by_labels.retain(|_, source| sources.get(*source).is_some());
        }
    }
}

impl Lane {
    /// Whether a sample at `at` can go into this lane.
    #[inline]
    fn takes(&self, at: i64) -> bool {
        if self.open == NEVER { self.last < at } else { self.open <= at }
    }

    #[inline]
    fn set(&mut self, column: u32, value: f64) {
        let index = column as usize;
        let (Some(slot), Some(stamp)) = (self.row.get_mut(index), self.stamps.get_mut(index))
        else {
            return;
        };
        *stamp = self.generation;
        self.filled += 1;
        if slot.to_bits() != value.to_bits() {
            *slot = value;
            self.changed.push(Column(column));
        }
    }

    /// Hands the row to the store.
    fn flush(&mut self, writer: &mut Writer, answer: &mut Answer) -> Result<(), Error> {
        if !self.new.is_empty() {
            writer.add_columns(self.layout, &self.new)?;
            self.new.clear();
        }
        if self.filled < self.row.len() {
            self.blank_the_rest();
        }
        let at = Timestamp(self.open);
        let changed = Some(self.changed.as_slice());
        let row = Row { layout: self.layout, at, values: &self.row, changed };
        let stored = writer.append(&row);
        match stored {
            Ok(_) => {
                answer.samples += self.samples;
                answer.histograms += self.histograms;
                self.last = self.open;
                self.used = writer.now().0;
            }
            Err(error) => {
                let reason = reason_of(&error).ok_or(error)?;
                let count = self.samples + self.histograms;
                answer.refused.add(reason, count, || format!("at {at}"));
            }
        }
        self.end_row();
        Ok(())
    }

    fn end_row(&mut self) {
        self.open = NEVER;
        self.generation = self.generation.wrapping_add(1);
        self.filled = 0;
        (self.samples, self.histograms) = (0, 0);
        self.changed.clear();
    }

    /// Columns without a sample in this row are holes.
    fn blank_the_rest(&mut self) {
        let columns = (0..).zip(self.row.iter_mut().zip(&self.stamps));
        for (column, (slot, &stamp)) in columns {
            if stamp != self.generation && !is_absent(*slot) {
                *slot = ABSENT;
                self.changed.push(Column(column));
            }
        }
    }

    fn is_mostly_dead(&self) -> bool {
        let is_dead = |stamp: &&u32| self.generation.wrapping_sub(**stamp) > DEAD_ROWS;
        let dead = self.stamps.iter().filter(is_dead).count();
        dead >= DEAD_COLUMNS_MIN && 2 * dead > self.stamps.len()
    }
}

/// Why the store refused a row; `None`: it failed.
pub(crate) fn reason_of(error: &Error) -> Option<Reason> {
    Some(match error {
        Error::OutOfOrder { .. } => Reason::OutOfOrder,
        Error::Duplicate { .. } => Reason::Duplicate,
        Error::TooOld { .. } => Reason::TooOld,
        Error::TooFarAhead { .. } => Reason::TooFarAhead,
        _ => return None,
    })
}
