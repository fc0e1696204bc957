//! Turning late rows into blocks beside those of their windows.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Weak};

use narthex_model::{ABSENT, Hashing, TimeRange, Timestamp};

use super::{Chores, Upkeep, add};
use crate::block::{self, Block, ChunkHead, Finish};
use crate::head::Layout;
use crate::head::late::{LateMark, LateRow};
use crate::head::mini::RowKey;
use crate::view::{self, TMP_END, View};
use crate::{Error, RowSeq, SeriesRef, Store};

/// Late samples that are worth blocks before their time: what memory should hold at most.
const SAMPLES_MAX: u64 = 1 << 18;

/// Rows of a chunk at most.
const CHUNK_ROWS_MAX: usize = 960;

/// What upkeep remembers about late rows.
#[derive(Debug, Default)]
pub(super) struct LateChores {
    /// Views that were replaced, with the late rows that their blocks have.
    retired: Vec<(Weak<View>, LateMark)>,
    /// Since when, by the clock, late rows of sealed windows wait.
    since: Option<Timestamp>,
    forgotten: LateMark,
}

impl LateChores {
    /// Takes note of a view that is replaced.
    pub(super) fn retire(&mut self, view: &Arc<View>) {
        self.retired.push((Arc::downgrade(view), view.late));
    }
}

/// A row of a chunk.
type Gathered = BTreeMap<Timestamp, (RowSeq, Vec<LateRow>)>;

impl Store {
    /// Writes the late rows of sealed windows into blocks, when they are many or have waited for a
    /// window's time.
    pub(super) fn seal_late_if_due(
        &self,
        chores: &mut Chores,
        done: &mut Upkeep,
    ) -> Result<(), Error> {
        let view = Arc::clone(&self.view.read());
        // ORDER: the last visible row first: those up to it are in the head for sure.
        let mark = LateMark { seq: self.head.last_seq(), until: view.sealed_until };
        let layouts = self.head.late_layouts();
        let waiting: u64 = layouts.iter().map(|layout| layout.late_waiting(mark, view.late)).sum();
        if waiting == 0 {
            chores.late.since = None;
            return Ok(());
        }
        let now = self.clock.now();
        let since = *chores.late.since.get_or_insert(now);
        if self.wal.has_failed()
            || waiting < SAMPLES_MAX && now < since.plus_millis(self.head.window_ms)
        {
            return Ok(());
        }
        let sealed = self.seal_late(&layouts, mark, &view, chores);
        let counters = &self.upkeep_counters;
        match sealed {
            Ok(windows) => {
                add(&counters.late_seals, u64::from(windows));
                done.late_sealed += windows;
                chores.late.since = None;
                Ok(())
            }
            Err(error) => {
                add(&counters.seals_failed, 1);
                tracing::warn!(%error, "sealing late rows failed");
                Err(error)
            }
        }
    }

    /// Writes a block for each window that late rows belong to. All of them are served at once.
    pub(super) fn seal_late(
        &self,
        layouts: &[Arc<Layout>],
        mark: LateMark,
        view: &Arc<View>,
        chores: &mut Chores,
    ) -> Result<u32, Error> {
        // ORDER: the log first, as for other blocks.
        self.wal.sync()?;
        let mut starts = BTreeSet::new();
        for layout in layouts {
            layout.each_late(mark, view.late, |key, _| {
                let start = key.at.0.div_euclid(self.head.window_ms);
                starts.insert(start.saturating_mul(self.head.window_ms));
            });
        }
        let mut blocks = view.blocks.clone();
        let mut written = Ok(());
        let before = blocks.len();
        for &start in &starts {
            let end = start.saturating_add(self.head.window_ms).min(mark.until.0);
            let window = TimeRange::new(Timestamp(start), Timestamp(end - 1));
            let path = view::late_block_path(chores.take_number());
            match self.write_late(layouts, (mark, view.late), window, &path) {
                Ok(block) => blocks.push(Arc::new(block)),
                Err(error) => {
                    chores.doomed.insert(path);
                    written = Err(error);
                    break;
                }
            }
        }
        if let Err(error) = written {
            // Half of them would say too much about what is in blocks.
            let gone = blocks.split_off(before);
            chores.doomed.extend(gone.iter().map(|block| block.name().to_owned()));
            return Err(error);
        }
        self.replace_view_with(chores, blocks, |view| view.late = mark);
        Ok(u32::try_from(starts.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn write_late(
        &self,
        layouts: &[Arc<Layout>],
        (mark, before): (LateMark, LateMark),
        window: TimeRange,
        path: &str,
    ) -> Result<Block, Error> {
        let tmp = format!("{path}-{}{TMP_END}", self.clock.now());
        let mut writer = block::Writer::new(Arc::clone(&self.fs), &tmp)?;
        let mut named: HashSet<SeriesRef, Hashing> = HashSet::default();
        let mut seqs: Option<(RowSeq, RowSeq)> = None;
        for layout in layouts {
            let mut rows = Gathered::new();
            layout.each_late(mark, before, |key: RowKey, row: &LateRow| {
                if !window.contains(key.at) {
                    return;
                }
                let (low, high) = seqs.unwrap_or((key.seq, key.seq));
                seqs = Some((low.min(key.seq), high.max(key.seq)));
                // Rows of one time become one; who follows the rows gets it at the later place.
                let (seq, parts) = rows.entry(key.at).or_default();
                *seq = (*seq).max(key.seq);
                parts.push(row.clone());
            });
            let rows: Vec<_> = rows.into_iter().collect();
            for rows in rows.chunks(CHUNK_ROWS_MAX) {
                self.add_late_chunk(&mut writer, layout, rows, &mut named)?;
            }
        }
        let (first_seq, last_seq) = seqs.unwrap_or_default();
        writer.finish(&Finish { window, first_seq, last_seq }, path)?;
        self.open_block(path)
    }

    fn add_late_chunk(
        &self,
        writer: &mut block::Writer,
        layout: &Layout,
        rows: &[(Timestamp, (RowSeq, Vec<LateRow>))],
        named: &mut HashSet<SeriesRef, Hashing>,
    ) -> Result<(), Error> {
        let columns = layout.columns();
        let times: Vec<Timestamp> = rows.iter().map(|&(at, _)| at).collect();
        let seqs: Vec<RowSeq> = rows.iter().map(|&(_, (seq, _))| seq).collect();
        let (layout, source) = (layout.name, layout.source);
        let head = ChunkHead { layout, source, columns: &columns, times: &times, seqs: &seqs };
        let mut values = vec![vec![]; columns.len()];
        for (row, (_, (_, parts))) in rows.iter().enumerate() {
            for &(column, value) in parts.iter().flatten() {
                let Some(column) = values.get_mut(column.index()) else { continue };
                column.resize(rows.len(), ABSENT);
                if let Some(place) = column.get_mut(row) {
                    *place = value;
                }
            }
        }
        writer.begin_chunk(&head)?;
        let deleted = Arc::clone(&self.view.read().tombstones);
        for (column, &series) in values.iter_mut().zip(&*columns) {
            deleted.blank(series, &times, column);
            if column.is_empty() {
                column.resize(rows.len(), ABSENT);
            } else if !named.contains(&series) {
                if let Some(labels) = self.labels(series) {
                    named.insert(series);
                    writer.add_series(series, &labels);
                } else {
                    // The power took both copies of its labels: nobody can ask for it.
                    column.fill(ABSENT);
                }
            }
            writer.column(column)?;
        }
        Ok(())
    }

    /// Drops from the head the late rows that the blocks of all views in use have.
    pub(super) fn forget_late(&self, chores: &mut Chores) {
        let late = &mut chores.late;
        late.retired.retain(|(view, _)| view.strong_count() > 0);
        let current = self.view.read().late;
        let in_use = late.retired.iter().map(|&(_, mark)| mark);
        let mark = in_use.chain([current]).min_by_key(|mark| mark.seq).unwrap_or_default();
        if late.forgotten != mark {
            late.forgotten = mark;
            let gone = self.head.late_layouts().iter().map(|layout| layout.forget_late(mark)).sum();
            self.head.remove_late(gone);
        }
    }
}
