//! Gives records their meaning: keeps the definitions, decodes the rows, counts what is missing.

use std::collections::HashMap;

use narthex_model::{Hashing, Labels, Timestamp};

use super::decode::Decoder;
use super::definition::{self, Head, NextIds};
use super::encode::Against;
use super::frame::{BASE, FULL, Kind};
use super::scan::Found;
use super::varint::{Fields, unzigzag};
use crate::{LayoutRef, RowBuf, RowSeq, SeriesRef, SourceRef};

/// Receives what the log holds, in the order in which it was written.
///
/// Every segment begins with the definitions that were in use, so a definition can come again;
/// columns come once only. A series that columns name may be unknown when both copies of its
/// definition were damaged.
pub(crate) trait Replay {
    /// Numbers below these were given out.
    fn ids(&mut self, ids: NextIds);
    /// A series has these labels.
    fn series(&mut self, series: SeriesRef, labels: Labels);
    /// A layout belongs to this source.
    fn layout(&mut self, layout: LayoutRef, source: SourceRef);

    /// The numbers of series up to this one were given out, though their definitions may be lost:
    /// rows may lie under them, so no other series may get one.
    fn given_out(&mut self, _highest: SeriesRef) {}
    /// A layout got these columns, of which the first is its column number `first`. They may have
    /// been told before.
    fn columns(&mut self, layout: LayoutRef, first: u32, series: &[SeriesRef]);
    /// No more rows come for a layout.
    fn drop_layout(&mut self, layout: LayoutRef);
    /// A row.
    fn row(&mut self, row: &RowBuf);
    /// A row that was written again, behind rows that came after it. It may have been told before.
    fn late_row(&mut self, _row: &RowBuf) {}
    /// Whether a row is of use. One that is not may be left out, or told all the same.
    fn wants_row(&self, _layout: LayoutRef, _seq: RowSeq) -> bool {
        true
    }
    /// Whether rows are to tell what changed since the row before; it costs to find out. Always
    /// the same answer.
    fn wants_changes(&self) -> bool {
        true
    }
}

/// What a record turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Played {
    /// A row, now in the buffer.
    Row,
    /// A row, now in the buffer, that stands behind rows which came after it: it was written
    /// again, for a sync had failed.
    Late,
    /// The segment was closed in good order, and the next row has this place.
    End(RowSeq),
    /// Something without a row.
    Other,
    /// Nothing that can be read, or that belongs here.
    Malformed,
}

#[derive(Debug)]
struct Layout {
    columns: u32,
    segment: u64,
    decoder: Decoder,
}

/// The state that records build up, over segments.
#[derive(Debug, Default)]
pub(super) struct Player {
    layouts: HashMap<LayoutRef, Layout, Hashing>,
    head: Option<Head>,
    /// The place that the next row should have; `None` before anything is known.
    expected: Option<RowSeq>,
    lost: u64,
    last_at: Timestamp,
    series: Vec<SeriesRef>,
    /// The place after the highest row of the segment.
    segment_end: RowSeq,
}

impl Player {
    /// Starts with the place that the first row should have.
    pub(super) fn expecting(seq: RowSeq) -> Self {
        Self { expected: Some(seq), ..Self::default() }
    }

    /// The next segment begins: what rows are encoded against begins anew.
    pub(super) fn begin_segment(&mut self) {
        self.segment_end = RowSeq(0);
        // A layout that the last segment did not name is not in use any more.
        if let Some(head) = self.head.take() {
            self.layouts.retain(|_, layout| layout.segment >= head.segment);
        }
        for layout in self.layouts.values_mut() {
            layout.decoder.forget();
        }
    }

    /// The head of the segment, when it was found.
    pub(super) fn head(&self) -> Option<Head> {
        self.head
    }

    /// The place after the highest row that was found in the segment.
    pub(super) fn segment_end(&self) -> RowSeq {
        self.segment_end
    }

    /// Rows whose places were passed without a row to read.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// The rows before `next` came from elsewhere.
    pub(super) fn pass(&mut self, next: RowSeq) {
        self.expected = self.expected.max(Some(next));
    }

    /// The place after the last row.
    pub(super) fn reached(&self) -> RowSeq {
        self.expected.unwrap_or(RowSeq(1))
    }

    /// The time of the last row.
    pub(super) fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// Takes a record. A row is left in `row`; all else is told to `replay`.
    pub(super) fn play(
        &mut self,
        found: Found,
        payload: &[u8],
        row: &mut RowBuf,
        replay: Option<&mut dyn Replay>,
    ) -> Played {
        let fields = Fields::new(payload);
        let played = match found.frame.kind {
            Kind::Head => self.play_head(fields, replay),
            Kind::Series => play_series(fields, replay),
            Kind::Layout => self.play_layout(fields, replay),
            Kind::Columns => self.play_columns(fields, replay),
            Kind::Drop => self.play_drop(fields, replay),
            Kind::Row => {
                let played = self.play_row(found, fields, replay.as_deref(), row);
                return played.unwrap_or(Played::Malformed);
            }
            Kind::Filler => Some(()),
            Kind::End => return play_end(fields),
        };
        if played.is_some() { Played::Other } else { Played::Malformed }
    }

    fn play_head(&mut self, fields: Fields<'_>, replay: Option<&mut dyn Replay>) -> Option<()> {
        let head = Head::decode(fields)?;
        if let Some(expected) = self.expected {
            self.lost += head.seq_reached.0.saturating_sub(expected.0);
        }
        self.expected = Some(self.expected.unwrap_or_default().max(head.seq_first));
        self.head = Some(head);
        if let Some(replay) = replay {
            replay.ids(head.ids);
        }
        Some(())
    }

    fn segment(&self) -> u64 {
        self.head.map_or(u64::MAX, |head| head.segment)
    }

    fn play_layout(&mut self, fields: Fields<'_>, replay: Option<&mut dyn Replay>) -> Option<()> {
        let (layout, source) = definition::decode_layout(fields)?;
        let segment = self.segment();
        let new = || Layout { columns: 0, segment, decoder: Decoder::default() };
        self.layouts.entry(layout).or_insert_with(new).segment = segment;
        if let Some(replay) = replay {
            replay.layout(layout, source);
        }
        Some(())
    }

    fn play_columns(&mut self, fields: Fields<'_>, replay: Option<&mut dyn Replay>) -> Option<()> {
        let (layout, start) = definition::decode_columns(fields, &mut self.series)?;
        let highest = self.series.iter().max().copied();
        let mut replay = replay;
        if let (Some(replay), Some(highest)) = (replay.as_deref_mut(), highest) {
            replay.given_out(highest);
        }
        let state = self.layouts.get_mut(&layout)?;
        // Those that are known already are left out; a hole before them cannot be filled.
        let first = state.columns;
        let known = first.checked_sub(start)?;
        let fresh = self.series.get(known as usize..).unwrap_or_default();
        state.columns = state.columns.checked_add(u32::try_from(fresh.len()).ok()?)?;
        if let Some(replay) = replay.filter(|_| !fresh.is_empty()) {
            replay.columns(layout, first, fresh);
        }
        Some(())
    }

    fn play_drop(&mut self, fields: Fields<'_>, replay: Option<&mut dyn Replay>) -> Option<()> {
        let layout = definition::decode_drop(fields)?;
        self.layouts.remove(&layout);
        if let Some(replay) = replay {
            replay.drop_layout(layout);
        }
        Some(())
    }

    fn play_row(
        &mut self,
        found: Found,
        mut fields: Fields<'_>,
        replay: Option<&dyn Replay>,
        row: &mut RowBuf,
    ) -> Option<Played> {
        let head = self.head?;
        row.seq = RowSeq(head.seq_first.0.checked_add(fields.varint()?)?);
        row.layout = LayoutRef(fields.varint_u32()?);
        row.at = Timestamp(head.at.0.wrapping_add(unzigzag(fields.varint()?)));
        self.segment_end = self.segment_end.max(row.seq.next());
        let against = match found.frame.flags & (BASE | FULL) {
            0 => Against::Base(fields.varint_u32()?),
            BASE => Against::OldBase(fields.varint_u32()?),
            _ => Against::Nothing,
        };
        let width = fields.varint_u32()?;
        let layout = self.layouts.get_mut(&row.layout).filter(|it| width <= it.columns)?;
        let (ordinal, width) = (found.ordinal, width as usize);
        let wanted = match replay {
            Some(replay) => replay.wants_row(row.layout, row.seq),
            // Who reads rows only, in order, was given those before.
            None => self.expected.is_none_or(|expected| row.seq >= expected),
        };
        // Later rows lean on a base, wanted or not.
        if wanted || !matches!(against, Against::Base(_)) {
            // What changed is told against the last row that was wanted.
            let changes = wanted && replay.is_none_or(Replay::wants_changes);
            layout.decoder.decode(&mut fields, against, ordinal, width, changes, row)?;
        }
        let expected = self.expected.unwrap_or(row.seq);
        self.lost += row.seq.0.saturating_sub(expected.0);
        self.expected = Some(expected.max(row.seq.next()));
        self.last_at = row.at;
        if !wanted {
            return Some(Played::Other);
        }
        Some(if row.seq < expected { Played::Late } else { Played::Row })
    }
}

fn play_series(fields: Fields<'_>, replay: Option<&mut dyn Replay>) -> Option<()> {
    // Who reads rows only does not pay for the labels.
    if let Some(replay) = replay {
        let (series, labels) = definition::decode_series(fields)?;
        replay.series(series, labels);
    }
    Some(())
}

fn play_end(mut fields: Fields<'_>) -> Played {
    fields.u64().map_or(Played::Malformed, |seq| Played::End(RowSeq(seq)))
}
