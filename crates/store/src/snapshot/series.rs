//! One series of a selection, and how its samples are put together.

use std::cell::RefCell;
use std::sync::Arc;

use narthex_model::{Labels, TimeRange, Timestamp};

use super::{Reader, Samples};
use crate::block::{Scratch, SeriesIndex};
use crate::codec::Decoder;
use crate::head::layout::{Layout, Sight};
use crate::head::sink::Sink;
use crate::histogram::PartSeries;
use crate::view::View;
use crate::{Column, Error, RowSeq, SeriesRef};

/// A series of a selection.
#[derive(Clone, Debug)]
pub struct Series {
    number: u32,
    labels: Labels,
    sight: Sight,
    view: Arc<View>,
    head: Vec<HeadPart>,
    blocks: Vec<BlockPart>,
    /// What holds its histograms and start times, by part.
    parts: Vec<PartSeries>,
    /// The times at which samples are deleted.
    deleted: Option<Arc<[TimeRange]>>,
}

/// A column of the head that has samples of the series.
#[derive(Clone, Debug)]
pub(super) struct HeadPart {
    pub(super) layout: Arc<Layout>,
    pub(super) column: Column,
}

/// A block that has samples of the series.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockPart {
    /// The block's position in the view.
    pub(super) position: usize,
    pub(super) index: SeriesIndex,
}

/// Memory that reading uses again and again.
#[derive(Debug, Default)]
struct Buffers {
    block: Scratch,
    decoder: Decoder,
    /// Samples of several columns, before they are in order.
    times: Vec<Timestamp>,
    values: Vec<f64>,
    seqs: Vec<RowSeq>,
    several: Vec<(Timestamp, RowSeq, f64)>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

impl Series {
    pub(super) fn new(
        number: u32,
        labels: Labels,
        head: Vec<HeadPart>,
        blocks: Vec<BlockPart>,
        view: Arc<View>,
        sight: Sight,
    ) -> Self {
        Self { number, labels, sight, view, head, blocks, parts: Vec::new(), deleted: None }
    }

    /// Takes note of what is deleted of it; it also has the numbers `others`.
    pub(super) fn delete(&mut self, others: &[u32]) {
        let numbers = others.iter().chain([&self.number]).filter_map(|&n| SeriesRef::new(n));
        let ranges = numbers.flat_map(|series| self.view.tombstones.of(series).iter().copied());
        let ranges: Arc<[TimeRange]> = ranges.collect();
        self.deleted = Some(ranges).filter(|ranges| !ranges.is_empty());
    }

    /// Whether all that it had in `range` is deleted.
    pub(super) fn is_deleted(&self, range: TimeRange, samples: &mut Samples) -> bool {
        let parts_are = |part: &PartSeries| part.series.is_deleted_or_empty(range);
        self.deleted.is_some() && self.parts.iter().all(parts_are) && {
            self.read(range, samples).is_ok() && samples.is_empty()
        }
    }

    fn is_deleted_or_empty(&self, range: TimeRange) -> bool {
        let mut samples = Samples::default();
        self.read(range, &mut samples).is_ok() && samples.is_empty()
    }

    /// What holds its histograms and start times, by part.
    pub(crate) fn parts(&self) -> &[PartSeries] {
        &self.parts
    }

    pub(crate) fn set_parts(&mut self, parts: Vec<PartSeries>) {
        self.parts = parts;
    }

    /// Whether it has samples that are numbers (in some range).
    pub(crate) fn has_numbers(&self) -> bool {
        !(self.head.is_empty() && self.blocks.is_empty())
    }

    /// Where it stands among the series: those with close numbers are stored close together and
    /// read fastest one after the other.
    pub fn shelf(&self) -> u32 {
        // One of histograms only has no number itself.
        let own = Some(self.number).filter(|&number| number != 0);
        own.into_iter().chain(self.parts.iter().map(|part| part.series.number)).min().unwrap_or(0)
    }

    /// Its labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Reads the samples in `range` into `out`, which is cleared first: in order of time, each
    /// instant once (the first sample stored wins), staleness markers included. A damaged chunk is
    /// left out and named in `out.warnings`.
    pub fn read(&self, range: TimeRange, out: &mut Samples) -> Result<(), Error> {
        self.read_through(range, None, out);
        Ok(())
    }

    pub(super) fn read_through(
        &self,
        range: TimeRange,
        reader: Option<&mut Reader>,
        out: &mut Samples,
    ) {
        out.clear();
        BUFFERS.with_borrow_mut(|buffers| {
            for part in &self.blocks {
                let Some(block) = self.view.shown_at(part.position) else { continue };
                let from = out.times.len();
                block.read_with(part.index, range, &mut buffers.block, out);
                // Late rows have blocks of their own, and a block may have two series with the same
                // labels.
                sort_from(from, out);
            }
            let from = out.times.len();
            self.read_head(range, reader, buffers, out);
            sort_from(from, out);
        });
        for range in self.deleted.iter().flat_map(|deleted| deleted.iter()) {
            let start = out.times.partition_point(|&at| at < range.start);
            let end = out.times.partition_point(|&at| at <= range.end).max(start);
            out.times.drain(start..end);
            out.values.drain(start..end);
        }
    }

    fn read_head(
        &self,
        range: TimeRange,
        reader: Option<&mut Reader>,
        buffers: &mut Buffers,
        out: &mut Samples,
    ) {
        let mut damaged = 0;
        if let [part] = self.head.as_slice() {
            let decoder = &mut buffers.decoder;
            let read = reader.and_then(|r| r.read_column(part, self.sight, decoder, out));
            damaged = read.unwrap_or_else(|| {
                let mut sink = Sink { times: &mut out.times, values: &mut out.values, seqs: None };
                part.layout.read(part.column, range, self.sight, decoder, &mut sink)
            });
        } else if !self.head.is_empty() {
            let Buffers { decoder, times, values, seqs, several, .. } = buffers;
            times.clear();
            values.clear();
            seqs.clear();
            for part in &self.head {
                let mut sink = Sink { times, values, seqs: Some(seqs) };
                damaged += part.layout.read(part.column, range, self.sight, decoder, &mut sink);
            }
            several.clear();
            let samples = times.iter().zip(seqs.iter()).zip(values.iter());
            several.extend(samples.map(|((&at, &seq), &value)| (at, seq, value)));
            // Of the samples at one instant the one stored first stays.
            several.sort_by_key(|&(at, seq, _)| (at, seq));
            several.dedup_by_key(|&mut (at, ..)| at);
            out.times.extend(several.iter().map(|&(at, ..)| at));
            out.values.extend(several.iter().map(|&(.., value)| value));
        }
        if damaged > 0 {
            out.warnings.push(format!("{damaged} damaged chunks in memory: {}", self.labels));
        }
    }
}

/// Brings all samples into the order of time when those from `from` on are not behind the others.
/// Of the samples at one instant the first stays.
fn sort_from(from: usize, out: &mut Samples) {
    let Some((before, after)) = out.times.split_at_checked(from) else { return };
    match (before.last(), after.first()) {
        (Some(before), Some(after)) if before >= after => {}
        _ => return,
    }
    let first = after.first().copied().unwrap_or(Timestamp::MIN);
    let start = before.partition_point(|&at| at < first);
    let mut all: Vec<_> = out.times.drain(start..).zip(out.values.drain(start..)).collect();
    all.sort_by_key(|&(at, _)| at);
    all.dedup_by_key(|&mut (at, _)| at);
    for (at, value) in all {
        out.times.push(at);
        out.values.push(value);
    }
}
