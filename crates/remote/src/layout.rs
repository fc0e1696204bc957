//! A layout as it is sent: its columns' labels encoded once, in segments.

use narthex_model::{Labels, LabelsBuilder, is_absent, relabel};
use narthex_store::{LayoutRef, SeriesRef, Store};

use crate::encode::{TimeBytes, put_labels, put_series, value_offset_from_end};
use crate::template::{Template, TemplateMaker};

/// Most columns of a segment: one bit each in a mask.
pub(crate) const SEGMENT_COLUMNS_MAX: usize = 64;

/// A segment takes no further column once its labels take this many bytes.
const SEGMENT_LABEL_BYTES: usize = 256 << 10;

/// Rows with the same columns that make a segment worth a template.
const STEADY_ROWS_MIN: u32 = 3;

/// Most rows that are waited for before a template is made again.
const STEADY_ROWS_MAX: u32 = 1024;

/// What happens to labels on their way out.
#[derive(Debug, Default)]
pub(crate) struct Prepare {
    /// Added where a series lacks them.
    pub(crate) external: Labels,
    /// The `write_relabel_configs`.
    pub(crate) rules: Vec<relabel::Rule>,
}

/// Where labels come from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) store: &'a Store,
    pub(crate) prepare: &'a Prepare,
}

/// A row on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passing<'a> {
    pub(crate) layout: LayoutRef,
    pub(crate) at: TimeBytes,
    pub(crate) values: &'a [f64],
}

/// One layout's columns as they are sent.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub(crate) segments: Vec<Segment>,
    columns: usize,
}

/// Up to 64 neighbouring columns.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    start: usize,
    len: usize,
    /// The columns that are sent.
    kept: u64,
    /// The columns whose series the store does not know any more.
    unknown: u64,
    /// The label blocks of the kept columns; given up for the template, and made again.
    blocks: Option<Blocks>,
    template: Option<Template>,
    /// The columns sent at the last row, and at how many rows before.
    mask: u64,
    steady: u32,
    /// How many steady rows the next template takes: more after each that was in vain.
    steady_needed: u32,
}

#[derive(Debug, Default)]
struct Blocks {
    bytes: Vec<u8>,
    /// Where each column's block ends.
    ends: Vec<usize>,
}

/// What a row holds for a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// The columns to send.
    pub(crate) mask: u64,
    /// Samples that relabelling drops.
    pub(crate) dropped: u32,
    /// Samples of series that the store does not know any more.
    pub(crate) unknown: u32,
}

/// Buffers that are used from segment to segment.
pub(crate) struct Encoder {
    raw: Vec<u8>,
    values: Vec<usize>,
    compressed: Vec<u8>,
    snap: snap::raw::Encoder,
    maker: TemplateMaker,
    builder: LabelsBuilder,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            raw: Vec::new(),
            values: Vec::new(),
            compressed: Vec::new(),
            snap: snap::raw::Encoder::new(),
            maker: TemplateMaker::default(),
            builder: LabelsBuilder::default(),
        }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Prepare {
    /// The labels that are sent for `labels`, left in `builder`; `false` when nothing is.
    fn apply(&self, labels: &Labels, builder: &mut LabelsBuilder) -> bool {
        builder.clear();
        for (name, value) in labels {
            builder.set(name, value);
        }
        for (name, value) in &self.external {
            if builder.get(name).is_none() {
                builder.set(name, value);
            }
        }
        relabel::process(&self.rules, builder) && !builder.is_empty()
    }
}

impl Outline {
    /// Takes in the columns that `layout` has beyond those known, so that there are `columns`.
    /// Segments have at most `segment_columns_max`.
    pub(crate) fn grow(
        &mut self,
        layout: LayoutRef,
        columns: usize,
        segment_columns_max: usize,
        source: Source<'_>,
        encoder: &mut Encoder,
    ) {
        if self.columns >= columns {
            return;
        }
        let series = source.store.layout(layout);
        let series = series.as_deref().unwrap_or_default();
        // A segment with room is made anew with the new columns.
        let last = self.segments.pop_if(|last| last.len < segment_columns_max);
        let mut start = last.map_or(self.columns, |last| last.start);
        while start < columns {
            let len = segment_columns_max.min(SEGMENT_COLUMNS_MAX).min(columns - start);
            let end = (start + len).min(series.len());
            let of_segment = series.get(start..end).unwrap_or_default();
            let segment = Segment::new(start, len, of_segment, source, encoder);
            start += segment.len;
            self.segments.push(segment);
        }
        self.columns = columns;
    }

    /// Bytes that the cached texts take.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.segments.iter().map(Segment::heap_bytes).sum()
    }
}

impl Segment {
    /// The segment of `len` columns from `start` on, or of fewer when their labels are long.
    /// Columns beyond `series` are unknown.
    fn new(
        start: usize,
        len: usize,
        series: &[SeriesRef],
        source: Source<'_>,
        encoder: &mut Encoder,
    ) -> Self {
        let mut segment = Self { start, steady_needed: STEADY_ROWS_MIN, ..Self::default() };
        let mut blocks = Blocks::default();
        for column in 0..len {
            let labels = series.get(column).and_then(|&series| source.store.labels(series));
            match labels {
                None => segment.unknown |= 1 << column,
                // The parts of histograms are no series for a receiver.
                Some(labels) if labels.part().is_some() => {}
                Some(labels) if source.prepare.apply(&labels, &mut encoder.builder) => {
                    put_labels(&mut blocks.bytes, &encoder.builder);
                    segment.kept |= 1 << column;
                }
                Some(_) => {}
            }
            blocks.ends.push(blocks.bytes.len());
            segment.len += 1;
            if blocks.bytes.len() > SEGMENT_LABEL_BYTES {
                break;
            }
        }
        segment.blocks = Some(blocks);
        segment
    }

    /// What the row `values` holds for this segment.
    pub(crate) fn share(&self, values: &[f64]) -> Share {
        let mut present = 0u64;
        for (column, &value) in self.slice(values).iter().enumerate() {
            present |= u64::from(!is_absent(value)) << column;
        }
        let dropped = present & !self.kept & !self.unknown;
        Share {
            mask: present & self.kept,
            dropped: dropped.count_ones(),
            unknown: (present & self.unknown).count_ones(),
        }
    }

    /// Appends the samples in `mask` (not none) to `out` as snappy elements; returns how
    /// many samples they are, and the length of what they stand for.
    pub(crate) fn put(
        &mut self,
        row: &Passing<'_>,
        mask: u64,
        source: Source<'_>,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
    ) -> (usize, usize) {
        if mask == self.mask {
            self.steady = self.steady.saturating_add(1);
        } else {
            self.mask = mask;
            self.steady = 0;
            if self.template.take().is_some() {
                self.steady_needed = (self.steady_needed * 2).min(STEADY_ROWS_MAX);
            }
        }
        self.template.take_if(|template| !template.fits(&row.at));
        if self.template.is_none() {
            self.write_raw(row, source, encoder);
            if self.steady < self.steady_needed {
                return (encoder.values.len(), encoder.compress(out));
            }
            self.template = Some(encoder.maker.make(&encoder.raw, &encoder.values, row.at.len()));
            self.blocks = None;
        }
        let (mask, values) = (self.mask, self.slice(row.values));
        let Some(template) = &self.template else { return (0, 0) };
        if mask.count_ones() as usize == values.len() {
            template.put(out, &row.at, values.iter().copied());
        } else {
            template.put(
                out,
                &row.at,
                columns(mask).filter_map(|column| values.get(column).copied()),
            );
        }
        (mask.count_ones() as usize, template.raw_len())
    }

    /// Encodes the samples in `self.mask` into `encoder.raw`.
    fn write_raw(&mut self, row: &Passing<'_>, source: Source<'_>, encoder: &mut Encoder) {
        if self.blocks.is_none() {
            let series = source.store.layout(row.layout);
            let series =
                series.as_deref().and_then(|all| all.get(self.start..self.start + self.len));
            let made = Self::new(self.start, self.len, series.unwrap_or_default(), source, encoder);
            // The same series and rules give the same labels, but for those forgotten since.
            self.blocks = made.blocks;
            self.kept = made.kept;
            self.unknown = made.unknown;
            self.mask &= made.kept;
        }
        let Some(blocks) = &self.blocks else { return };
        let values = self.slice(row.values);
        encoder.raw.clear();
        encoder.values.clear();
        for column in columns(self.mask) {
            let start = match column.checked_sub(1) {
                Some(before) => blocks.ends.get(before).copied().unwrap_or(0),
                None => 0,
            };
            let block = blocks.ends.get(column).and_then(|&end| blocks.bytes.get(start..end));
            if let (Some(block), Some(&value)) = (block, values.get(column)) {
                put_series(&mut encoder.raw, block, value, &row.at);
                encoder.values.push(encoder.raw.len() - value_offset_from_end(&row.at));
            }
        }
    }

    fn slice<'a>(&self, values: &'a [f64]) -> &'a [f64] {
        values.get(self.start..(self.start + self.len).min(values.len())).unwrap_or_default()
    }

    fn heap_bytes(&self) -> usize {
        let blocks = self.blocks.as_ref().map_or(0, |b| b.bytes.capacity() + 8 * b.ends.capacity());
        blocks + self.template.as_ref().map_or(0, Template::heap_bytes)
    }
}

impl Encoder {
    /// Appends `self.raw`, compressed, to `out`; returns its length before.
    fn compress(&mut self, out: &mut Vec<u8>) -> usize {
        self.compressed.resize(snap::raw::max_compress_len(self.raw.len()), 0);
        // Fails only for a buffer too small or an input of 4 GiB; neither can be.
        let Ok(len) = self.snap.compress(&self.raw, &mut self.compressed) else { return 0 };
        let compressed = self.compressed.get(..len).unwrap_or_default();
        // The length in front is the whole request's affair.
        let head = compressed.iter().take_while(|&&byte| byte & 0x80 != 0).count() + 1;
        out.extend_from_slice(compressed.get(head..).unwrap_or_default());
        self.raw.len()
    }
}

/// The columns in `mask`, rising.
fn columns(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let column = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        Some(column)
    })
}

#[cfg(test)]
mod tests;
