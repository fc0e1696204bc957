//! Historic rows, written straight into blocks.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use narthex_model::{Hashing, Labels, TimeRange, Timestamp};

use crate::block::{self, ChunkHead, Finish};
use crate::head::index::hash_labels;
use crate::view::{self, TMP_END};
use crate::{BlockMeta, Error, LayoutRef, RowSeq, SeriesRef, SourceRef, Store, Writer};

mod journal;

use journal::Journal;

/// How many series and layouts are set aside at a time.
const RESERVED: u32 = 1 << 16;

/// Series whose numbers are remembered from block to block; beyond it they get new ones.
const KNOWN_MAX: usize = 1 << 19;

/// Windows of an imported block at most, so that it is what merging would make of them.
const WINDOWS_MAX: i64 = 9;

/// Writes historic rows into blocks of their own, past the log, and keeps a journal of what was
/// imported from where. It takes the place of the store's writer: nothing else is appended
/// meanwhile, and what was imported is seen once the store is opened again.
///
/// Imported rows have no place in the order of all rows, so that nobody who follows the rows
/// (remote write) is given them.
#[derive(Debug)]
pub struct Import {
    writer: Writer,
    journal: Journal,
    source: SourceRef,
    series: Range<u32>,
    layouts: Range<u32>,
    known: HashMap<Labels, SeriesRef, Hashing>,
}

impl Import {
    /// Begins, or goes on with, an import from `origin`: a text that names where the samples come
    /// from, the same for each attempt.
    pub fn begin(mut writer: Writer, origin: &str) -> Result<Self, Error> {
        let view = Arc::clone(&writer.store.view.read());
        let is_there = |id| view.blocks.iter().any(|block| block.id() == id);
        let journal = Journal::open(&*writer.store.fs, origin, is_there)?;
        let source = writer.new_source();
        Ok(Self { writer, journal, source, series: 0..0, layouts: 0..0, known: HashMap::default() })
    }

    /// What was imported from this origin before, in the order in which it was.
    pub fn done(&self) -> &[TimeRange] {
        self.journal.done()
    }

    /// The length of a block's window at most, in milliseconds; windows start at whole multiples.
    pub fn span_ms(&self) -> i64 {
        self.store().head.window_ms.saturating_mul(WINDOWS_MAX)
    }

    /// What keeps `window` from being imported, if anything does: samples that the store has in
    /// it already, or, for rows that are in no block yet, before its end. Windows of blocks may
    /// overlap where their samples do not: reading puts them together by time.
    pub fn obstacle(&self, window: TimeRange) -> Option<TimeRange> {
        let view = Arc::clone(&self.store().view.read());
        let mut blocks = view.blocks.iter().map(|block| block.meta().times);
        let overlaps = |times: &TimeRange| times.start <= times.end && times.overlaps(window);
        if let Some(found) = blocks.find(overlaps) {
            return Some(found);
        }
        // Blocks have everything before the end of the last one.
        let head = self.store().head.totals(view.sealed_until).range;
        head.filter(|range| range.start <= window.end)
    }

    /// Starts the block for `window`, which must hold nothing of the store's own.
    pub fn block(&mut self, window: TimeRange) -> Result<ImportBlock<'_>, Error> {
        if let Some(obstacle) = self.obstacle(window) {
            return Err(Error::Occupied(obstacle));
        }
        let store = self.store();
        let path = view::block_path(store.chores.lock().take_number());
        let tmp = format!("{path}-{}{TMP_END}", store.clock.now());
        let writer = block::Writer::new(Arc::clone(&store.fs), &tmp)?;
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        Ok(ImportBlock { import: self, writer, window, path })
    }

    /// Ends the import and closes the store.
    pub fn finish(self) -> Result<(), Error> {
        self.store().close()
    }

    fn store(&self) -> &Store {
        &self.writer.store
    }

    fn series(&mut self, labels: &Labels) -> Result<SeriesRef, Error> {
        if let Some(&series) = self.known.get(labels) {
            return Ok(series);
        }
        let of_head = self.store().head.index.write().find(hash_labels(labels), labels);
        // What was deleted of a series must not hide what is imported now.
        let view = Arc::clone(&self.store().view.read());
        let of_head = of_head.filter(|&series| view.tombstones.of(series).is_empty());
        let series = if let Some(series) = of_head {
            series
        } else {
            if self.series.is_empty() {
                self.reserve()?;
            }
            self.series.next().and_then(SeriesRef::new).ok_or(Error::Exhausted("series"))?
        };
        self.known.insert(labels.clone(), series);
        Ok(series)
    }

    fn layout(&mut self) -> Result<LayoutRef, Error> {
        if self.layouts.is_empty() {
            self.reserve()?;
        }
        self.layouts.next().map(LayoutRef).ok_or(Error::Exhausted("layouts"))
    }

    /// What is left of the numbers set aside before is given up.
    fn reserve(&mut self) -> Result<(), Error> {
        let (series, layouts) = self.writer.reserve(RESERVED, RESERVED)?;
        self.series = series..series.saturating_add(RESERVED);
        self.layouts = layouts..layouts.saturating_add(RESERVED);
        Ok(())
    }
}

/// A block that is being filled. Dropped before [`ImportBlock::finish`], it leaves nothing.
#[derive(Debug)]
pub struct ImportBlock<'a> {
    import: &'a mut Import,
    writer: block::Writer,
    window: TimeRange,
    path: String,
}

impl ImportBlock<'_> {
    /// The number of the series with these labels.
    pub fn series(&mut self, labels: &Labels) -> Result<SeriesRef, Error> {
        let series = self.import.series(labels)?;
        self.writer.add_series(series, labels);
        Ok(series)
    }

    /// Names a new layout.
    pub fn layout(&mut self) -> Result<LayoutRef, Error> {
        self.import.layout()
    }

    /// Starts a chunk of a layout with all its columns so far, which only grow; one
    /// [`ImportBlock::column`] follows for each.
    ///
    /// # Panics
    /// If there are no times, more than 65,536, or they do not rise; if a column of the chunk
    /// before is missing.
    pub fn chunk(
        &mut self,
        layout: LayoutRef,
        columns: &[SeriesRef],
        times: &[Timestamp],
    ) -> Result<(), Error> {
        let source = self.import.source;
        self.writer.begin_chunk(&ChunkHead { layout, source, columns, times, seqs: &[] })
    }

    /// Adds the next column of the chunk: a value per row, [`narthex_model::ABSENT`] where there
    /// is none.
    ///
    /// # Panics
    /// If no column is due, or there is not one value per row.
    pub fn column(&mut self, values: &[f64]) -> Result<(), Error> {
        self.writer.column(values)
    }

    /// Writes the block durably and notes it in the journal. A window without samples is only
    /// noted, and there is no block.
    pub fn finish(self) -> Result<Option<BlockMeta>, Error> {
        let Self { import, writer, window, path } = self;
        let id = writer.id();
        // ORDER: the journal first. Whether the block came to be is then told by its id.
        import.journal.begin(window, id)?;
        let meta = if writer.samples() > 0 {
            // No consumer of the rows waits for these.
            let finish = Finish { window, first_seq: RowSeq(0), last_seq: RowSeq(0) };
            Some(writer.finish(&finish, &path)?)
        } else {
            None
        };
        import.journal.end(window, id)?;
        Ok(meta)
    }
}

#[cfg(test)]
mod tests;
