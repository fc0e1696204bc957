//! Following the rows of the store in their order, from the log or out of blocks.

use std::collections::HashSet;
use std::sync::Arc;

use narthex_model::{Hashing, Labels};
use parking_lot::RwLock;

use crate::head::Head;
use crate::view::View;
use crate::wal::{LogReader, Logged, WalHandle};
use crate::{Column, Error, LayoutRef, RowBuf, RowSeq, SeriesRef};

mod aged;
mod blocks;

pub(crate) use aged::Aged;

use blocks::{BlockRows, Found};

/// Layouts whose last row is known; with more of them, all columns of a row may count as changed.
const MET_MAX: usize = 1 << 14;

/// After so many rows out of memory the file is closed in which the log was left.
const AHEAD_MAX: u32 = 1 << 14;

/// Reads the rows of the store in the order of their places, behind the writer.
///
/// Close behind the writer a row comes out of memory, as it was appended.
/// A row is read once it is wholly written. Rows that the log no longer has come out of blocks, in
/// the same order, so a reader may be as far behind as the retention reaches; it holds no more
/// memory for that, and no file but the block that its last row came from. Rows that are gone, by
/// damage or because the retention passed them, are passed over and counted.
#[derive(Debug)]
pub struct RowReader {
    sources: Sources,
    from: From,
    /// No row before this place is wanted any more.
    next: RowSeq,
    /// Rows lost, but for those that `from` counts.
    lost: u64,
    /// How much of what the retention removed was looked at, and up to which place.
    aged_seen: (u64, RowSeq),
    /// Layouts of which a row was read since rows came from elsewhere.
    met: HashSet<LayoutRef, Hashing>,
    /// How many rows came last out of the writer's memory: so far the log is behind.
    ahead: u32,
}

/// Where rows can be.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) wal: WalHandle,
    pub(crate) view: Arc<RwLock<Arc<View>>>,
    pub(crate) head: Arc<Head>,
    pub(crate) aged: Arc<Aged>,
}

/// Where rows come from at present.
#[derive(Debug)]
enum From {
    Log(Box<LogReader>),
    /// Out of blocks, for the log lacks these; with the number of places that the log should
    /// have and that no row was found for yet.
    Blocks {
        rows: Box<BlockRows>,
        missing: Option<u64>,
    },
}

impl Drop for RowReader {
    fn drop(&mut self) {
        self.sources.wal.recent().leave();
    }
}

impl RowReader {
    pub(crate) fn new(sources: Sources, after: RowSeq) -> Self {
        let from = From::Log(Box::new(sources.wal.rows_after(after)));
        sources.wal.recent().follow();
        Self {
            sources,
            from,
            next: after.next(),
            lost: 0,
            aged_seen: (0, RowSeq(0)),
            met: HashSet::default(),
            ahead: 0,
        }
    }

    /// Reads the next row into `out`; `false` when there is none yet. After an error it goes on
    /// where it was.
    pub fn next(&mut self, out: &mut RowBuf) -> Result<bool, Error> {
        if let From::Log(log) = &mut self.from
            && let Some(found) = self.sources.wal.recent().get(self.next, out)
        {
            if !found {
                return Ok(false);
            }
            // Only the log knows of rows that are lost, so none may be between.
            log.pass(out.seq.next());
            self.ahead += 1;
            self.pass(out);
            if self.ahead == AHEAD_MAX {
                self.let_go();
            }
            return Ok(true);
        }
        if std::mem::take(&mut self.ahead) > 0 {
            // What changed since the last row that it gave is not what changed since this one.
            self.met.clear();
        }
        loop {
            match &mut self.from {
                From::Log(log) => match log.next_or_gap(out)? {
                    Logged::Row => {
                        self.pass(out);
                        return Ok(true);
                    }
                    Logged::Nothing => return Ok(false),
                    Logged::Gap { from, until, damaged } => {
                        self.lost += log.lost();
                        self.next = self.next.max(from);
                        let missing = until.0.saturating_sub(self.next.0);
                        self.enter_blocks(until, damaged.then_some(missing));
                    }
                },
                From::Blocks { rows, missing } => match rows.next(self.next, out) {
                    Found::Row => {
                        if let Some(missing) = missing {
                            *missing = missing.saturating_sub(1);
                        }
                        self.pass(out);
                        return Ok(true);
                    }
                    Found::Stale => {
                        let (limit, missing) = (rows.limit(), *missing);
                        self.lost += rows.lost();
                        self.enter_blocks(limit, missing);
                    }
                    Found::End => self.leave_blocks(),
                },
            }
        }
    }

    /// The columns of a layout, at least those of the row that was read last if it is its layout.
    /// `None` when nothing tells of the layout any more.
    pub fn columns(&self, layout: LayoutRef) -> Option<Arc<[SeriesRef]>> {
        let known = self.sources.head.layout(layout).map(|layout| layout.columns());
        match &self.from {
            From::Blocks { rows, .. } => known.or_else(|| rows.columns(layout)),
            From::Log(_) => known,
        }
    }

    /// The labels of a series. They are known of each column for which the row that was read last
    /// has a sample; of a column without one there may be nothing yet, so ask again when it has.
    pub fn labels(&mut self, series: SeriesRef) -> Option<Labels> {
        let known = self.sources.head.index.read().labels(series.get());
        match &mut self.from {
            From::Blocks { rows, .. } => known.or_else(|| rows.labels(series)),
            From::Log(_) => known,
        }
    }

    /// How many rows no longer existed when they were due: damaged, or removed by the retention
    /// since the store was opened.
    pub fn lost(&self) -> u64 {
        self.lost
            + match &self.from {
                From::Log(log) => log.lost(),
                From::Blocks { rows, .. } => rows.lost(),
            }
    }

    /// Closes the file in which the log was left: it may be long gone but for this reader.
    fn let_go(&mut self) {
        if let From::Log(log) = &mut self.from {
            self.lost += log.lost();
            let after = RowSeq(self.next.0.saturating_sub(1));
            **log = self.sources.wal.rows_after(after);
        }
        self.ahead = 1;
    }

    fn pass(&mut self, row: &mut RowBuf) {
        self.next = row.seq.next();
        if self.met.len() >= MET_MAX {
            self.met.clear();
        }
        if self.met.insert(row.layout) {
            // What the row before was, another source may know.
            row.changed.clear();
            row.changed.extend((0..).take(row.values.len()).map(Column));
        }
    }

    /// Goes on with what blocks have before `limit`.
    fn enter_blocks(&mut self, limit: RowSeq, missing: Option<u64>) {
        // ORDER: the blocks before what was removed of them: what goes meanwhile is met as stale.
        let view = Arc::clone(&self.sources.view.read());
        self.count_aged(limit);
        self.met.clear();
        let rows = Box::new(BlockRows::new(&view.blocks, self.next, limit));
        self.from = From::Blocks { rows, missing };
    }

    /// Goes back to the log, at the place where it goes on.
    fn leave_blocks(&mut self) {
        let From::Blocks { rows, missing } = &self.from else { return };
        let limit = rows.limit();
        self.lost += missing.unwrap_or_else(|| rows.lost());
        self.count_aged(limit);
        self.next = self.next.max(limit);
        self.met.clear();
        let after = RowSeq(self.next.0.saturating_sub(1));
        self.from = From::Log(Box::new(self.sources.wal.rows_after(after)));
    }

    /// Counts what the retention has removed between the next row and `limit`.
    fn count_aged(&mut self, limit: RowSeq) {
        let Self { sources, next, lost, aged_seen, .. } = self;
        let (seen, reached) = aged_seen;
        *lost += sources.aged.count((*next).max(*reached)..limit, 0..*seen);
        *lost += sources.aged.count(*next..limit, *seen..u64::MAX);
        *aged_seen = (sources.aged.len(), limit.max(*reached));
    }
}
