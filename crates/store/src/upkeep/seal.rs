//! Turning a window of the head into a block.

use std::collections::HashSet;
use std::sync::Arc;

use narthex_model::{ABSENT, Hashing, TimeRange, Timestamp, is_absent};

use super::{Chores, Upkeep, add};
use crate::block::{self, Block, ChunkHead, Finish, Merger};
use crate::codec::Decoder;
use crate::head::Layout;
use crate::head::columns::Columns;
use crate::head::layout::SealPart;
use crate::head::mini::{Mini, Scratch};
use crate::tombstones::Tombstones;
use crate::view::{self, TMP_END};
use crate::{Error, RowSeq, SeriesRef, Store};

/// Rows of a chunk at most: more compress no better, and cost more to read a few of them.
const CHUNK_ROWS_MAX: usize = 960;

impl Store {
    /// Seals the oldest window of the head when no row can be due for it any more.
    pub(super) fn seal_if_due(&self, chores: &mut Chores, done: &mut Upkeep) -> Result<(), Error> {
        // After a failed sync the log has to get a row first.
        let due = self.window_due().filter(|_| !self.wal.has_failed());
        let Some(start) = due else { return Ok(()) };
        let began = self.clock.monotonic();
        let result = self.seal(start, chores);
        let took = self.clock.monotonic().saturating_sub(began);
        let counters = &self.upkeep_counters;
        add(&counters.seal_nanos, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        match result {
            Ok(()) => {
                add(&counters.seals, 1);
                done.sealed += 1;
                Ok(())
            }
            Err(error) => {
                add(&counters.seals_failed, 1);
                tracing::warn!(%error, window = start, "sealing failed");
                Err(error)
            }
        }
    }

    /// The start of the oldest window in the head, if it is time to seal it: half a window later
    /// than its end, by the rows and by the clock.
    fn window_due(&self) -> Option<i64> {
        let sealed_until = self.view.read().sealed_until;
        let layouts = self.head.all_layouts();
        let in_layouts = layouts.iter().filter_map(|l| l.oldest_window(sealed_until));
        let window_ms = self.head.window_ms;
        let spilled = self.view.read().spilled.clone();
        let starts = spilled.iter().map(|block| block.meta().window.end.0 - (window_ms - 1));
        let start = in_layouts.chain(starts).min()?;
        let due = start.saturating_add(self.head.window_ms).saturating_add(self.head.window_ms / 2);
        // Rows may lie ahead of the clock: they alone do not end the present window.
        let now = self.clock.now().plus_millis(self.options.ahead_ms_max);
        (self.head.max_time()?.0 >= due && now.0 >= due).then_some(start)
    }

    fn seal(&self, start: i64, chores: &mut Chores) -> Result<(), Error> {
        let end = start.saturating_add(self.head.window_ms);
        // Imported blocks end where their samples do, which may be within this window.
        let first = self.view.read().sealed_until.max(Timestamp(start));
        let window = TimeRange::new(first, Timestamp(end - 1));
        // ORDER: from here on no row enters the window, so what is collected is all of it.
        self.head.freeze(Timestamp(end));
        // ORDER: the log first. The block must not outlive the definitions of its series, or the
        // next process gives their numbers to others.
        self.wal.sync()?;
        let number = chores.take_number();
        let path = view::block_path(number);
        let tmp = format!("{path}-{}{TMP_END}", self.clock.now());
        let spilled = self.view.read().spilled_in(start, self.head.window_ms);
        let files = (tmp.as_str(), path.as_str());
        let parts = (&*self.head.all_layouts(), &*spilled);
        let written = self.write_block(start, window, files, parts);
        let opened = written.and_then(|()| self.open_block(&path));
        let block = match opened {
            Ok(block) => block,
            Err(error) => {
                // It may have got its name already; the next try writes another.
                chores.doomed.insert(path);
                return Err(error);
            }
        };
        let mut blocks = self.view.read().blocks.clone();
        blocks.push(Arc::new(block));
        self.replace_view(chores, blocks);
        Ok(())
    }

    pub(super) fn open_block(&self, path: &str) -> Result<Block, Error> {
        let bytes = self.fs.map(path).map_err(|e| Error::io("map", path, e))?;
        Block::open(path, bytes)
    }

    /// Writes what `layouts` have in the window that begins at `start`, but for those that were
    /// spilled, and all that the blocks have, as one block.
    pub(super) fn write_block(
        &self,
        start: i64,
        window: TimeRange,
        (tmp, path): (&str, &str),
        (layouts, blocks): (&[Arc<Layout>], &[Arc<Block>]),
    ) -> Result<(), Error> {
        let mut sealer = Sealer {
            store: self,
            writer: block::Writer::new(Arc::clone(&self.fs), tmp)?,
            named: HashSet::default(),
            decoder: Decoder::default(),
            seqs: None,
            deleted: Arc::clone(&self.view.read().tombstones),
        };
        let mut scratch = Scratch::default();
        for layout in layouts.iter().filter(|layout| !layout.is_spilled()) {
            if let Some(part) = layout.seal_part(start, &mut scratch) {
                sealer.add_layout(layout, &part)?;
            }
        }
        let (first_seq, last_seq) = sealer.seqs.unwrap_or((RowSeq(u64::MAX), RowSeq(0)));
        let finish = Finish { window, first_seq, last_seq };
        let mut merger = Merger::behind(sealer.writer, finish);
        let parts: Vec<&Block> = blocks.iter().map(|block| &**block).collect();
        while !merger.advance(&parts, &sealer.deleted, u64::MAX)? {}
        merger.finish(&parts, path)?;
        Ok(())
    }
}

/// Fills one block.
#[derive(Debug)]
struct Sealer<'a> {
    store: &'a Store,
    writer: block::Writer,
    /// Series whose labels the block was told.
    named: HashSet<SeriesRef, Hashing>,
    decoder: Decoder,
    seqs: Option<(RowSeq, RowSeq)>,
    deleted: Arc<Tombstones>,
}

impl Sealer<'_> {
    fn add_layout(&mut self, layout: &Layout, part: &SealPart) -> Result<(), Error> {
        let mut rest = part.minis.as_slice();
        let mut rows: usize = rest.iter().map(|mini| mini.rows()).sum();
        while rows > 0 {
            // Chunks of about equal length, each of whole mini chunks.
            let want = rows.div_ceil(rows.div_ceil(CHUNK_ROWS_MAX));
            let mut taken = 0;
            let count = rest.iter().position(|mini| {
                taken += mini.rows();
                taken >= want
            });
            let (minis, after) = rest.split_at(count.map_or(rest.len(), |last| last + 1));
            self.add_chunk(layout, &part.columns, minis)?;
            rows -= taken.min(rows);
            rest = after;
        }
        Ok(())
    }

    fn add_chunk(
        &mut self,
        layout: &Layout,
        columns: &[SeriesRef],
        minis: &[Arc<Mini>],
    ) -> Result<(), Error> {
        let keys = || minis.iter().flat_map(|mini| mini.keys());
        let times: Vec<Timestamp> = keys().map(|key| key.at).collect();
        let seqs: Vec<RowSeq> = keys().map(|key| key.seq).collect();
        if let (Some(&first), Some(&last)) = (seqs.first(), seqs.last()) {
            let (low, high) = self.seqs.unwrap_or((first, last));
            self.seqs = Some((low.min(first), high.max(last)));
        }
        let width = minis.iter().map(|mini| mini.columns()).max().unwrap_or(0);
        let columns = columns.get(..width).unwrap_or(columns);
        let (layout, source) = (layout.name, layout.source);
        let head = ChunkHead { layout, source, columns, times: &times, seqs: &seqs };
        self.writer.begin_chunk(&head)?;
        let mut values = Vec::with_capacity(times.len());
        let mut parts = Columns::new(minis.iter().map(|mini| &**mini));
        for &series in columns {
            values.clear();
            parts.advance();
            if let Some(value) = parts.constant(&mut self.decoder) {
                if !is_absent(value) && !self.deleted.names(series) && self.name(series) {
                    self.writer.constant_column(value)?;
                    continue;
                }
                values.resize(times.len(), value);
            } else if parts.read(&mut self.decoder, &mut values) > 0 {
                // The other columns must not suffer; at the next start the log has it.
                tracing::warn!(%series, "rows of a series are lost");
            }
            self.deleted.blank(series, &times, &mut values);
            if values.iter().any(|&value| !is_absent(value)) && !self.name(series) {
                // The power took both copies of its labels: nobody can ask for it.
                values.fill(ABSENT);
            }
            self.writer.column(&values)?;
        }
        Ok(())
    }

    /// Tells the block the labels of a series; `false`: they are not known.
    fn name(&mut self, series: SeriesRef) -> bool {
        if self.named.contains(&series) {
            return true;
        }
        let Some(labels) = self.store.labels(series) else { return false };
        self.writer.add_series(series, &labels);
        self.named.insert(series)
    }
}
