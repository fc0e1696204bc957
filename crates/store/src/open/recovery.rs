//! Filling the head from the log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use narthex_model::{Hashing, Labels, Timestamp, is_absent};

use crate::block::Block;
use crate::head::files::Stored;
use crate::head::index::{Place, hash_labels};
use crate::head::late::LateRow;
use crate::head::mini::{RowKey, Scratch};
use crate::head::{Head, Layout};
use crate::view::View;
use crate::wal::{NextIds, Replay};
use crate::{Column, LayoutRef, RowBuf, RowSeq, SeriesRef, SourceRef};

/// Takes what the log holds and puts it into the head, but for the rows that blocks have.
#[derive(Debug)]
pub(super) struct Recovery<'a> {
    head: &'a Head,
    sealed_until: Timestamp,
    sealed_late: SealedLate<'a>,
    ids: NextIds,
    ids_found: bool,
    scratch: Scratch,
    /// What chunk files have of layouts that the log did not name yet.
    chunks: HashMap<LayoutRef, Vec<Stored>, Hashing>,
    /// Layouts whose first rows came from chunk files, with the last of these.
    restored: HashMap<LayoutRef, RowSeq, Hashing>,
    /// Columns of series whose labels are not known yet: they may stand further on.
    nameless: Vec<(SeriesRef, Place)>,
    /// Rows that came back behind later ones of their layout, by layout and time.
    late: BTreeMap<(LayoutRef, Timestamp), RowBuf>,
}

impl<'a> Recovery<'a> {
    pub(super) fn new(
        head: &'a Head,
        view: &'a View,
        chunks: HashMap<LayoutRef, Vec<Stored>, Hashing>,
    ) -> Self {
        let ids = NextIds { series: 1, source: 1, layout: 1 };
        Self {
            head,
            sealed_until: view.sealed_until,
            sealed_late: SealedLate { blocks: &view.blocks, places: None },
            ids,
            ids_found: false,
            scratch: Scratch::default(),
            chunks,
            restored: HashMap::default(),
            nameless: Vec::new(),
            late: BTreeMap::new(),
        }
    }

    /// Whether the log told which numbers were given out.
    pub(super) fn knows_ids(&self) -> bool {
        self.ids_found
    }

    /// Ends the layouts, whose writer is gone, and forgets those without rows here or from
    /// `wanted_from` on. Gives the numbers to go on with.
    pub(super) fn finish(mut self, wanted_from: RowSeq) -> NextIds {
        self.place_late_rows();
        for (series, place) in &self.nameless {
            tracing::warn!(%series, layout = %place.layout, "labels of a column are lost");
        }
        for layout in self.head.all_layouts() {
            layout.drop_rows(&mut self.scratch);
        }
        self.head.forget(self.sealed_until, wanted_from);
        self.ids
    }
}

impl Recovery<'_> {
    /// Rows of a layout only go forward in time: late ones get a layout of their own, with the
    /// same columns. Reading stitches them.
    fn place_late_rows(&mut self) {
        let mut copies: BTreeMap<LayoutRef, LayoutRef> = BTreeMap::new();
        for ((name, _), row) in std::mem::take(&mut self.late) {
            let Some(layout) = self.head.layout(name) else { continue };
            let copy = *copies.entry(name).or_insert_with(|| {
                // A chunk file would say that it has all rows up to its last one.
                layout.keep_in_memory();
                let copy = LayoutRef(self.ids.layout);
                self.layout(copy, layout.source);
                // The log does not know it by this name.
                if let Some(copy) = self.head.layout(copy) {
                    copy.keep_in_memory();
                }
                self.columns(copy, 0, &layout.columns());
                copy
            });
            self.place(&RowBuf { layout: copy, ..row });
        }
    }

    /// Takes a row that came out of order, if no block has it.
    fn place_late(&mut self, layout: &Layout, row: &RowBuf) {
        if row.at < self.sealed_until && self.sealed_late.has(row) {
            return layout.pass(row.seq);
        }
        let samples = (0..).map(Column).zip(row.values.iter().copied());
        let samples: LateRow = samples.filter(|&(_, value)| !is_absent(value)).collect();
        self.head.add_late(samples.len() as u64);
        layout.push_late(RowKey { at: row.at, seq: row.seq }, samples);
        self.head.raise_max_time(row.at);
    }

    fn place(&mut self, row: &RowBuf) {
        let Some(layout) = self.head.layout(row.layout) else { return };
        let key = RowKey { at: row.at, seq: row.seq };
        layout.push(key, &row.values, || i64::MIN, &mut self.scratch);
        self.head.raise_max_time(row.at);
    }
}

/// Which late rows blocks have, by their places.
#[derive(Debug)]
struct SealedLate<'a> {
    blocks: &'a [Arc<Block>],
    /// Looked up when first needed.
    places: Option<HashSet<RowSeq, Hashing>>,
}

impl SealedLate<'_> {
    fn has(&mut self, row: &RowBuf) -> bool {
        let places = self.places.get_or_insert_with(|| {
            let mut places = HashSet::default();
            for block in self.blocks {
                // What cannot be read is taken from the log once more.
                block.places_of(SourceRef::LATE, |seq| {
                    places.insert(seq);
                });
            }
            places
        });
        places.contains(&row.seq)
    }
}

impl Replay for Recovery<'_> {
    fn ids(&mut self, ids: NextIds) {
        self.ids_found = true;
        self.ids.series = self.ids.series.max(ids.series);
        self.ids.source = self.ids.source.max(ids.source);
        self.ids.layout = self.ids.layout.max(ids.layout);
    }

    fn series(&mut self, series: SeriesRef, labels: Labels) {
        self.ids.series = self.ids.series.max(series.get().saturating_add(1));
        let mut index = self.head.index.write();
        index.insert(series, hash_labels(&labels), &labels);
        self.nameless.retain(|&(nameless, place)| {
            nameless != series || index.add_place(series, place).is_err()
        });
    }

    fn layout(&mut self, layout: LayoutRef, source: SourceRef) {
        self.ids.layout = self.ids.layout.max(layout.0.saturating_add(1));
        if source != SourceRef::LATE {
            self.ids.source = self.ids.source.max(source.0.saturating_add(1));
        }
        if self.head.layout(layout).is_some() {
            return;
        }
        let fresh = Layout::new(layout, source, self.head.window_ms);
        for Stored { chunk, follows } in self.chunks.remove(&layout).unwrap_or_default() {
            let last = chunk.last_key();
            if last.at >= self.sealed_until && fresh.restore(chunk, follows, self.sealed_until) {
                self.restored.insert(layout, last.seq);
                self.head.raise_max_time(last.at);
            }
        }
        self.head.layouts.write().insert(layout.0, Arc::new(fresh));
    }

    fn given_out(&mut self, highest: SeriesRef) {
        self.ids.series = self.ids.series.max(highest.get().saturating_add(1));
    }

    fn columns(&mut self, layout: LayoutRef, first: u32, series: &[SeriesRef]) {
        let Some(found) = self.head.layout(layout) else { return };
        // A layout may be told once more, for rows of it that were written again.
        let start = u32::try_from(found.columns().len()).unwrap_or(u32::MAX);
        let fresh = start.checked_sub(first).and_then(|known| series.get(known as usize..));
        let series = fresh.unwrap_or_default();
        if series.is_empty() {
            return;
        }
        found.add_columns(series);
        let mut index = self.head.index.write();
        for (&series, column) in series.iter().zip(start..) {
            let place = Place { layout, column: Column(column) };
            if index.add_place(series, place).is_err() {
                self.nameless.push((series, place));
            }
        }
    }

    fn drop_layout(&mut self, layout: LayoutRef) {
        if let Some(layout) = self.head.layout(layout) {
            layout.drop_rows(&mut self.scratch);
            layout.end();
        }
    }

    fn wants_row(&self, layout: LayoutRef, seq: RowSeq) -> bool {
        self.restored.get(&layout).is_none_or(|&last| seq > last)
    }

    fn row(&mut self, row: &RowBuf) {
        let Some(layout) = self.head.layout(row.layout) else { return };
        if layout.is_late() {
            return self.place_late(&layout, row);
        }
        if row.at < self.sealed_until {
            return layout.pass(row.seq);
        }
        if layout.last().is_none_or(|last| row.at > last) {
            self.place(row);
        }
    }

    fn late_row(&mut self, row: &RowBuf) {
        let Some(layout) = self.head.layout(row.layout) else { return };
        if layout.is_late() {
            return self.place_late(&layout, row);
        }
        if row.at < self.sealed_until || layout.has_row(row.at) {
            return;
        }
        self.late.insert((row.layout, row.at), row.clone());
    }

    fn wants_changes(&self) -> bool {
        false
    }
}
