//! Rows out of blocks, in the order of their places.
//!
//! Each chunk keeps the places of its rows, so the rows of all chunks are merged by place. Chunks
//! are begun when their first row is due and decoded some rows at a time, so that what is held in
//! memory depends on how many columns are filled at one time and not on how long the way is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};

use narthex_model::{Labels, Timestamp};

use crate::block::{Block, SeriesIndex, Slice, Strip};
use crate::codec::Decoder;
use crate::{Column, LayoutRef, RowBuf, RowSeq, SeriesRef};

/// Values that are decoded ahead, over all chunks that are begun, in bytes. They are fewer rows
/// of each the more columns there are, down to [`ROWS_MIN`].
const AHEAD_BYTES: u64 = 8 << 20;

/// Rows of a chunk that are decoded ahead at least: fewer would cost too much.
const ROWS_MIN: u64 = 8;

/// Rows of a chunk that are decoded ahead at most.
const ROWS_MAX: u64 = 240;

/// Rows of blocks before a given place.
#[derive(Debug)]
pub(super) struct BlockRows {
    /// Rows from this place on are sought elsewhere.
    limit: RowSeq,
    due: BinaryHeap<Reverse<(RowSeq, Due)>>,
    opened: Vec<Opened>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// The row that was read last.
    current: Option<Current>,
    decoder: Decoder,
    lost: u64,
}

/// What comes at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A block begins.
    Block(usize),
    /// A strip of a block begins: block, position among its strips.
    Strip(usize, usize),
    /// A row of a strip that was begun.
    Row(usize),
}

/// A block, which may be gone by the time it is needed.
#[derive(Debug)]
struct Opened {
    block: Weak<Block>,
    strips: Vec<Strip>,
    rows_ahead: usize,
    series: Option<Vec<(SeriesRef, SeriesIndex)>>,
}

/// A strip that was begun.
#[derive(Debug, Default)]
struct Slot {
    opened: usize,
    strip: Option<Strip>,
    slice: Slice,
    /// The next row of the slice.
    row: usize,
    /// The row before the slice.
    before: Vec<f64>,
}

#[derive(Debug)]
struct Current {
    opened: usize,
    /// Held, so that the columns of the row can be named however long its reader takes.
    block: Arc<Block>,
}

/// What [`BlockRows::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A row.
    Row,
    /// There is no row before the limit any more.
    End,
    /// A block is not served any more: its rows are in others now, or gone.
    Stale,
}

impl BlockRows {
    /// The rows from `next` on and before `limit` that `blocks` have.
    pub(super) fn new(blocks: &[Arc<Block>], next: RowSeq, limit: RowSeq) -> Self {
        let mut rows = Self {
            limit,
            due: BinaryHeap::new(),
            opened: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            current: None,
            decoder: Decoder::default(),
            lost: 0,
        };
        for block in blocks {
            let meta = block.meta();
            if meta.last_seq < next || meta.first_seq >= limit || meta.last_seq == RowSeq(0) {
                continue;
            }
            let opened = rows.opened.len();
            let (strips, series) = (Vec::new(), None);
            let block = Arc::downgrade(block);
            rows.opened.push(Opened { block, strips, rows_ahead: 1, series });
            rows.due.push(Reverse((meta.first_seq.max(next), Due::Block(opened))));
        }
        rows
    }

    /// Rows from this place on are sought elsewhere.
    pub(super) fn limit(&self) -> RowSeq {
        self.limit
    }

    /// Rows that were damaged.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Reads the row with the lowest place from `next` on into `out`.
    pub(super) fn next(&mut self, next: RowSeq, out: &mut RowBuf) -> Found {
        while let Some(Reverse((seq, due))) = self.due.pop() {
            if seq >= self.limit {
                break;
            }
            let stale = match due {
                Due::Block(opened) => self.begin_block(opened, next).is_none(),
                Due::Strip(opened, strip) => self.begin_strip((opened, strip), next).is_none(),
                Due::Row(slot) => match self.take_row(slot, out) {
                    None => true,
                    Some(()) if seq >= next => return Found::Row,
                    // Two blocks have it: a merge was stopped when it was nearly done.
                    Some(()) => false,
                },
            };
            if stale {
                return Found::Stale;
            }
        }
        Found::End
    }

    /// The columns of a layout, if the block has it that the last row came from.
    pub(super) fn columns(&self, layout: LayoutRef) -> Option<Arc<[SeriesRef]>> {
        let columns = self.current.as_ref()?.block.layout_columns(layout);
        Some(columns.ok()?.into()).filter(|columns: &Arc<[_]>| !columns.is_empty())
    }

    /// The labels of a series of the block that the last row came from.
    pub(super) fn labels(&mut self, series: SeriesRef) -> Option<Labels> {
        let Current { opened, block } = self.current.as_ref()?;
        let opened = self.opened.get_mut(*opened)?;
        let known = opened.series.get_or_insert_with(|| block.series_by_ref());
        let at = known.binary_search_by_key(&series, |&(series, _)| series).ok()?;
        block.labels(known.get(at)?.1).ok()
    }

    /// Looks at what a block has; `None` when it is gone.
    fn begin_block(&mut self, number: usize, next: RowSeq) -> Option<()> {
        let opened = self.opened.get_mut(number)?;
        let block = opened.block.upgrade()?;
        match block.strips() {
            Ok(mut strips) => {
                strips.retain(|strip| strip.last >= next);
                opened.rows_ahead = rows_ahead(&strips);
                opened.strips = strips;
            }
            Err(error) => tracing::warn!(%error, "a block's rows cannot be read"),
        }
        self.due_strip((number, 0), next);
        Some(())
    }

    fn due_strip(&mut self, (opened, strip): (usize, usize), next: RowSeq) {
        let strips = self.opened.get(opened).map_or(&[][..], |opened| &opened.strips);
        if let Some(found) = strips.get(strip) {
            self.due.push(Reverse((found.first.max(next), Due::Strip(opened, strip))));
        }
    }

    fn begin_strip(&mut self, (opened, strip): (usize, usize), next: RowSeq) -> Option<()> {
        self.due_strip((opened, strip + 1), next);
        let found = *self.opened.get(opened)?.strips.get(strip)?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let taken = self.slots.get_mut(slot)?;
        taken.opened = opened;
        taken.strip = Some(found);
        taken.before.clear();
        self.refill(slot, next)
    }

    /// Decodes the rows of a slot from `next` on; without any the slot is free. `None` when the
    /// block is gone.
    fn refill(&mut self, number: usize, next: RowSeq) -> Option<()> {
        let slot = self.slots.get_mut(number)?;
        let opened = self.opened.get(slot.opened)?;
        let block = opened.block.upgrade()?;
        let strip = slot.strip?;
        slot.row = 0;
        let range = (next, opened.rows_ahead);
        if let Err(error) = block.read_strip(&strip, range, &mut self.decoder, &mut slot.slice) {
            let rows = block.rows_behind(&strip, RowSeq(next.0.saturating_sub(1)));
            self.lost += rows;
            tracing::warn!(%error, rows, "rows cannot be read again");
            slot.slice.keys.clear();
        }
        if let Some(&(_, seq)) = slot.slice.keys.first() {
            self.due.push(Reverse((seq, Due::Row(number))));
        } else {
            // Its memory goes as well: the next strip may be much narrower.
            *slot = Slot::default();
            self.free.push(number);
        }
        Some(())
    }

    /// Gives the next row of a slot; `None` when the block is gone.
    fn take_row(&mut self, number: usize, out: &mut RowBuf) -> Option<()> {
        let slot = self.slots.get_mut(number)?;
        if self.current.as_ref().is_none_or(|current| current.opened != slot.opened) {
            let block = self.opened.get(slot.opened)?.block.upgrade()?;
            self.current = Some(Current { opened: slot.opened, block });
        }
        let &(at, seq) = slot.slice.keys.get(slot.row)?;
        slot.copy_row((at, seq), out);
        slot.row += 1;
        if let Some(&(_, seq)) = slot.slice.keys.get(slot.row) {
            self.due.push(Reverse((seq, Due::Row(number))));
            return Some(());
        }
        slot.before.clear();
        slot.before.extend_from_slice(&out.values);
        // That the block is gone shows again when the next row is wanted.
        if self.refill(number, seq.next()).is_none() {
            self.due.push(Reverse((seq.next(), Due::Row(usize::MAX))));
        }
        Some(())
    }
}

impl Slot {
    fn copy_row(&self, (at, seq): (Timestamp, RowSeq), out: &mut RowBuf) {
        let values = self.slice.row(self.row);
        let earlier = self.row.checked_sub(1).map(|row| self.slice.row(row));
        let before = earlier.unwrap_or(&self.before);
        out.seq = seq;
        out.at = at;
        out.layout = self.strip.map_or(LayoutRef(0), |strip| strip.layout);
        out.values.clear();
        out.values.extend_from_slice(values);
        out.changed.clear();
        for (column, value) in (0..).zip(values) {
            let same = before.get(column as usize).is_some_and(|b| b.to_bits() == value.to_bits());
            if !same {
                out.changed.push(Column(column));
            }
        }
    }
}

/// How many rows of each strip are decoded at once, so that all that are begun at a time stay
/// within [`AHEAD_BYTES`].
fn rows_ahead(strips: &[Strip]) -> usize {
    let places = |strip: &Strip| u128::from(strip.last.0 - strip.first.0.min(strip.last.0)) + 1;
    let area: u128 = strips.iter().map(|strip| u128::from(strip.columns) * places(strip)).sum();
    let first = strips.first().map_or(0, |strip| strip.first.0);
    let last = strips.iter().map(|strip| strip.last.0).max().unwrap_or(0);
    let columns = area.div_ceil(u128::from(last.saturating_sub(first)) + 1).max(1);
    let columns = u64::try_from(columns).unwrap_or(u64::MAX);
    let rows = (AHEAD_BYTES / 8 / columns).clamp(ROWS_MIN, ROWS_MAX);
    usize::try_from(rows).unwrap_or(1)
}
