//! A layout as it is sent: its columns' labels encoded once, in segments.

use std::sync::Arc;

use narthex_model::{Labels, LabelsBuilder, is_absent};
use narthex_store::{Column, LayoutRef, RowReader, SeriesRef};

use crate::composite::Composites;
use crate::encode::{TimeBytes, put_labels, put_series, put_series_of, value_offset_from_end};
use crate::metadata::Families;
use crate::prepare::Prepare;
use crate::symbols::Symbols;
use crate::template::{Template, TemplateMaker};

/// One bit for each column of a segment.
pub(crate) type Mask = u128;

/// Most columns of a segment. The first series of a segment has no labels before it to be copied
/// from, so wide ones are shorter on the wire; but one column that comes or goes costs the whole
/// segment its template.
pub(crate) const SEGMENT_COLUMNS_MAX: usize = Mask::BITS as usize;

/// A segment takes no further column once its labels take this many bytes.
const SEGMENT_LABEL_BYTES: usize = 256 << 10;

/// Rows with the same columns that make a segment worth a template.
const STEADY_ROWS_MIN: u32 = 3;

/// Most rows that are waited for before a template is made again.
const STEADY_ROWS_MAX: u32 = 1024;

/// Knows the columns of layouts and the labels of series.
pub(crate) trait Lookup {
    /// The columns that a layout has so far.
    fn columns(&self, layout: LayoutRef) -> Option<Arc<[SeriesRef]>>;
    /// The labels of a series; at least of those that have a sample in the row at hand.
    fn labels(&mut self, series: SeriesRef) -> Option<Labels>;
}

impl Lookup for RowReader {
    fn columns(&self, layout: LayoutRef) -> Option<Arc<[SeriesRef]>> {
        RowReader::columns(self, layout)
    }

    fn labels(&mut self, series: SeriesRef) -> Option<Labels> {
        RowReader::labels(self, series)
    }
}

/// Where labels come from.
pub(crate) struct Source<'a> {
    pub(crate) rows: &'a mut dyn Lookup,
    pub(crate) prepare: &'a Prepare,
}

/// A row on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passing<'a> {
    pub(crate) layout: LayoutRef,
    pub(crate) at: TimeBytes,
    pub(crate) values: &'a [f64],
    /// What of the layout is no plain number.
    pub(crate) composites: &'a Composites,
}

impl Passing<'_> {
    /// When the number in `column` began to count.
    fn start_ms(&self, column: usize) -> Option<i64> {
        self.composites.start_ms(column, self.values)
    }
}

/// One layout's columns as they are sent.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub(crate) segments: Vec<Segment>,
    pub(crate) composites: Composites,
    columns: usize,
}

/// Up to [`SEGMENT_COLUMNS_MAX`] neighbouring columns.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    start: usize,
    len: usize,
    /// The columns that are sent.
    kept: Mask,
    /// The columns whose series the store does not know any more.
    unknown: Mask,
    /// The columns that are parts of histograms.
    parts: Mask,
    /// The columns that are sent in a request of their own, for the receiver refused them.
    suspects: Mask,
    /// The label blocks of the kept columns; given up for the template, and made again.
    blocks: Option<Blocks>,
    /// With the values of the last row that was noted.
    template: Option<Template>,
    /// The columns that had a sample in that row.
    present: Mask,
    /// Whether a row was noted at all.
    noted: bool,
    /// The columns sent at the last row, and at how many rows before.
    mask: Mask,
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

/// What is known of a column.
#[derive(Clone, Copy, Debug)]
enum Known<'a> {
    Nothing,
    /// Relabelling drops it.
    Dropped,
    /// It is sent with this block.
    Sent(&'a [u8]),
}

/// What a row holds for a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// The columns to send.
    pub(crate) mask: Mask,
    /// The columns to send apart.
    pub(crate) apart: Mask,
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
    pub(crate) builder: LabelsBuilder,
    /// Protocol 2.0, if that is spoken.
    pub(crate) symbols: Option<Symbols>,
    pub(crate) families: Arc<Families>,
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
            symbols: None,
            families: Arc::default(),
        }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
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
        source: &mut Source<'_>,
        encoder: &mut Encoder,
    ) {
        if self.columns >= columns {
            return;
        }
        let series = source.rows.columns(layout);
        let series = series.as_deref().unwrap_or_default();
        // A segment with room is made anew with the new columns.
        let last = self.segments.pop_if(|last| last.len < segment_columns_max);
        let mut start = last.map_or(self.columns, |last| last.start);
        while start < columns {
            let len = segment_columns_max.min(SEGMENT_COLUMNS_MAX).min(columns - start);
            let end = (start + len).min(series.len());
            let of_segment = series.get(start..end).unwrap_or_default();
            let segment = Segment::new(start, len, of_segment, None, source, encoder);
            start += segment.len;
            self.segments.push(segment);
        }
        self.columns = columns;
        self.gather(layout, source, encoder);
    }

    /// Looks for histograms and start times, if there are columns with parts that were not looked
    /// at yet.
    pub(crate) fn gather(
        &mut self,
        layout: LayoutRef,
        source: &mut Source<'_>,
        encoder: &mut Encoder,
    ) {
        let found: u32 = self.segments.iter().map(|segment| segment.parts.count_ones()).sum();
        if found != self.composites.columns {
            let of = |segment: &Segment| {
                let start = segment.start;
                columns(segment.parts).map(move |column| start + column)
            };
            let parts = self.segments.iter().flat_map(of);
            self.composites = Composites::gather(layout, parts, source, encoder);
        }
    }

    /// Bytes that the cached texts take.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.segments.iter().map(Segment::heap_bytes).sum()
    }
}

impl Segment {
    /// The segment of `len` columns from `start` on, or of fewer when their labels are long.
    /// Columns beyond `series` are unknown, and so are those whose labels neither `source` nor
    /// the segment `before` knows.
    fn new(
        start: usize,
        len: usize,
        series: &[SeriesRef],
        before: Option<&Self>,
        source: &mut Source<'_>,
        encoder: &mut Encoder,
    ) -> Self {
        let mut segment = Self { start, steady_needed: STEADY_ROWS_MIN, ..Self::default() };
        let mut blocks = Blocks::default();
        for column in 0..len {
            let labels = series.get(column).and_then(|&series| source.rows.labels(series));
            match labels {
                // The parts of histograms are no series for a receiver.
                Some(labels) if labels.part().is_some() => segment.parts |= 1 << column,
                Some(labels) if source.prepare.apply(&labels, &mut encoder.builder) => {
                    encoder.put_block(&mut blocks.bytes);
                    segment.kept |= 1 << column;
                }
                Some(_) => {}
                None => match before.map(|before| before.known(column)) {
                    Some(Known::Sent(block)) => {
                        blocks.bytes.extend_from_slice(block);
                        segment.kept |= 1 << column;
                    }
                    Some(Known::Dropped) => {}
                    Some(Known::Nothing) | None => segment.unknown |= 1 << column,
                },
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

    fn known(&self, column: usize) -> Known<'_> {
        let bit = u32::try_from(column).ok().and_then(|column| Mask::checked_shl(1, column));
        let bit = bit.filter(|bit| column < self.len && self.unknown & bit == 0).unwrap_or(0);
        if bit != 0 && self.kept & bit == 0 {
            return Known::Dropped;
        }
        let block = self.blocks.as_ref().filter(|_| bit != 0);
        block.and_then(|blocks| blocks.get(column)).map_or(Known::Nothing, Known::Sent)
    }

    /// The column that the segment begins with.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Whether `column` of the layout is in this segment.
    pub(crate) fn has(&self, column: usize) -> bool {
        (self.start..self.start + self.len).contains(&column)
    }

    /// Has `column` of the layout sent in a request of its own from now on, or not any more.
    pub(crate) fn suspect(&mut self, column: usize, yes: bool) {
        let bit = column.checked_sub(self.start).filter(|&bit| bit < self.len);
        let bit = bit.map_or(0, |bit| 1 << bit);
        self.suspects = if yes { self.suspects | bit } else { self.suspects & !bit };
    }

    /// The column behind the last.
    pub(crate) fn end(&self) -> usize {
        self.start + self.len
    }

    /// Takes in the values of a row: of the `changed` columns up to the first that is not of this
    /// segment, or of all columns when no row was noted yet; returns the rest of `changed`. Every
    /// row of the layout must come here, or the next one must go to [`Segment::note_all`].
    pub(crate) fn note<'a>(&mut self, values: &[f64], changed: &'a [Column]) -> &'a [Column] {
        if !self.noted {
            self.note_all(values);
        }
        // A row that is read again may be from before the last columns came.
        let width = values.len().saturating_sub(self.start);
        if width < self.len {
            self.lose(!((1 << width) - 1));
        }
        let values = values.get(self.start..self.end().min(values.len())).unwrap_or_default();
        let mut rest = changed;
        while let Some((column, after)) = rest.split_first() {
            let column = column.index().wrapping_sub(self.start);
            let Some(&value) = values.get(column) else { break };
            rest = after;
            if is_absent(value) {
                self.lose(1 << column);
            } else if !self.template.as_mut().is_some_and(|it| it.set(column, value)) {
                // ORDER: a column that the template has a hole for is present already.
                self.present |= 1 << column;
            }
        }
        rest
    }

    /// Columns have no sample any more.
    fn lose(&mut self, columns: Mask) {
        if self.present & columns != 0 {
            self.present &= !columns;
            self.lose_template();
        }
    }

    /// The template is not for the columns that are to be sent now.
    fn lose_template(&mut self) {
        if self.template.take().is_some() {
            self.steady_needed = (self.steady_needed * 2).min(STEADY_ROWS_MAX);
        }
    }

    /// Takes in all values of a row.
    pub(crate) fn note_all(&mut self, values: &[f64]) {
        let before = self.present;
        (self.present, self.noted) = (0, true);
        let values = values.get(self.start..self.end().min(values.len())).unwrap_or_default();
        for (column, &value) in values.iter().enumerate() {
            self.present |= Mask::from(!is_absent(value)) << column;
            if let Some(template) = &mut self.template {
                template.set(column, value);
            }
        }
        if before & !self.present != 0 {
            self.lose_template();
        }
    }

    /// What the row that was noted last holds for this segment.
    pub(crate) fn share(&self) -> Share {
        let present = self.present;
        if present == self.kept && self.suspects == 0 {
            return Share { mask: present, ..Share::default() };
        }
        let dropped = present & !self.kept & !self.unknown & !self.parts;
        Share {
            mask: present & self.kept & !self.suspects,
            apart: present & self.kept & self.suspects,
            dropped: dropped.count_ones(),
            unknown: (present & self.unknown).count_ones(),
        }
    }

    /// Appends the samples in `mask` (not none) to `out`, and new texts to `symbols`; returns how
    /// many samples they are, and the length of what they stand for.
    pub(crate) fn put(
        &mut self,
        row: &Passing<'_>,
        mask: Mask,
        source: &mut Source<'_>,
        encoder: &mut Encoder,
        (out, symbols): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> (usize, usize) {
        if encoder.symbols.is_some() {
            let start = out.len();
            let samples = self.put_messages(row, mask, source, encoder, (&mut *out, symbols));
            return (samples, out.len() - start);
        }
        if mask == self.mask {
            self.steady = self.steady.saturating_add(1);
        } else {
            self.mask = mask;
            self.steady = 0;
            self.lose_template();
        }
        self.template.take_if(|template| !template.fits(&row.at));
        if self.template.is_none() {
            self.mask = self.write_raw(row, mask, source, encoder);
            if self.steady < self.steady_needed {
                return (encoder.values.len(), encoder.compress(out));
            }
            self.template = Some(self.make_template(row, encoder));
            self.blocks = None;
        }
        let Some(template) = &mut self.template else { return (0, 0) };
        template.put(out, &row.at);
        (self.mask.count_ones() as usize, template.raw_len())
    }

    /// The template of what stands in `encoder.raw`, with the values of `row`.
    fn make_template(&self, row: &Passing<'_>, encoder: &mut Encoder) -> Template {
        let mut template = encoder.maker.make(&encoder.raw, &encoder.values, row.at.len());
        template.spread(self.mask);
        for (column, &value) in self.slice(row.values).iter().enumerate() {
            template.set(column, value);
        }
        template
    }

    /// Appends the samples in `mask`, as [`Segment::put`] does, but without a thought of rows to
    /// come.
    pub(crate) fn put_once(
        &mut self,
        row: &Passing<'_>,
        mask: Mask,
        source: &mut Source<'_>,
        encoder: &mut Encoder,
        (out, symbols): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> (usize, usize) {
        if encoder.symbols.is_some() {
            return self.put(row, mask, source, encoder, (out, symbols));
        }
        self.write_raw(row, mask, source, encoder);
        (encoder.values.len(), encoder.compress(out))
    }

    /// Encodes the samples in `mask` into `encoder.raw`; returns those that were there.
    fn write_raw(
        &mut self,
        row: &Passing<'_>,
        mask: Mask,
        source: &mut Source<'_>,
        encoder: &mut Encoder,
    ) -> Mask {
        self.want_blocks(row, source, encoder);
        // A series may have been forgotten since `mask` was made.
        let mask = mask & self.kept;
        let values = self.slice(row.values);
        encoder.raw.clear();
        encoder.values.clear();
        for column in columns(mask) {
            let block = self.blocks.as_ref().and_then(|blocks| blocks.get(column));
            if let (Some(block), Some(&value)) = (block, values.get(column)) {
                put_series(&mut encoder.raw, block, value, &row.at);
                encoder.values.push(encoder.raw.len() - value_offset_from_end(&row.at));
            }
        }
        mask
    }

    /// Appends the samples in `mask` as messages of protocol 2.0; returns how many they are.
    fn put_messages(
        &mut self,
        row: &Passing<'_>,
        mask: Mask,
        source: &mut Source<'_>,
        encoder: &mut Encoder,
        (out, texts): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> usize {
        self.want_blocks(row, source, encoder);
        let Some(symbols) = &mut encoder.symbols else { return 0 };
        symbols.begin(texts);
        let values = self.slice(row.values);
        let mut samples = 0;
        for column in columns(mask & self.kept) {
            let block = self.blocks.as_ref().and_then(|blocks| blocks.get(column));
            if let (Some(block), Some(&value)) = (block, values.get(column)) {
                let start_ms = row.start_ms(self.start + column);
                symbols.put_series(block, (value, &row.at), start_ms, texts, out);
                samples += 1;
            }
        }
        samples
    }

    /// Makes the label blocks anew, if they were given up.
    fn want_blocks(&mut self, row: &Passing<'_>, source: &mut Source<'_>, encoder: &mut Encoder) {
        if self.blocks.is_none() {
            self.learn(row.layout, source, encoder);
        }
    }

    /// Asks again for the labels of all columns: those of some may have become known.
    pub(crate) fn learn(
        &mut self,
        layout: LayoutRef,
        source: &mut Source<'_>,
        encoder: &mut Encoder,
    ) {
        let series = source.rows.columns(layout);
        let series = series.as_deref().and_then(|all| all.get(self.start..self.start + self.len));
        let series = series.unwrap_or_default();
        let made = Self::new(self.start, self.len, series, Some(self), source, encoder);
        // What was a template may lack a column now, or have it dropped.
        if made.kept != self.kept {
            self.template = None;
        }
        self.blocks = made.blocks;
        self.kept = made.kept;
        self.unknown = made.unknown;
        self.parts |= made.parts;
    }

    fn slice<'a>(&self, values: &'a [f64]) -> &'a [f64] {
        values.get(self.start..(self.start + self.len).min(values.len())).unwrap_or_default()
    }

    fn heap_bytes(&self) -> usize {
        let blocks = self.blocks.as_ref().map_or(0, |b| b.bytes.capacity() + 8 * b.ends.capacity());
        blocks + self.template.as_ref().map_or(0, Template::heap_bytes)
    }
}

impl Blocks {
    fn get(&self, column: usize) -> Option<&[u8]> {
        let start = match column.checked_sub(1) {
            Some(before) => self.ends.get(before).copied()?,
            None => 0,
        };
        self.ends.get(column).and_then(|&end| self.bytes.get(start..end))
    }
}

impl Encoder {
    /// Appends what is kept of a series: the labels in `self.builder`.
    fn put_block(&mut self, out: &mut Vec<u8>) {
        let Some(symbols) = &mut self.symbols else {
            put_labels(out, &self.builder);
            return;
        };
        let name = self.builder.get("__name__").unwrap_or_default();
        symbols.put_block(&self.builder, self.families.get(name), out);
    }

    /// What is kept of the series whose labels are in `self.builder`.
    pub(crate) fn block(&mut self) -> Vec<u8> {
        let mut block = Vec::new();
        self.put_block(&mut block);
        block
    }

    /// Has one series with a histogram in `self.raw`.
    pub(crate) fn put_series_of(&mut self, block: &[u8], message: &[u8]) {
        self.raw.clear();
        put_series_of(&mut self.raw, block, message);
    }

    /// Appends `self.raw`, compressed, to `out`; returns its length before.
    pub(crate) fn compress(&mut self, out: &mut Vec<u8>) -> usize {
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
fn columns(mut mask: Mask) -> impl Iterator<Item = usize> {
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
