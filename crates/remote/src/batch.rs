//! The request that is being put together: parts that can be sent apart.

use std::ops::Range;

use narthex_model::{TimeRange, Timestamp};
use narthex_store::{LayoutRef, RowBuf, RowSeq};

use crate::encode::{VARINT_BYTES_MAX, put_varint, take_varint};
use crate::layout::Mask;

/// Largest request before compression: receivers refuse more than 32 MiB.
pub(crate) const RAW_BYTES_MAX: usize = 8 << 20;

/// Samples of several rows, waiting to be sent.
#[derive(Debug)]
pub(crate) struct Batch {
    form: Form,
    /// Compressed parts behind room for the length; or series as they are.
    out: Vec<u8>,
    /// The symbols of protocol 2.0, which every part refers to.
    pub(crate) symbols: Vec<u8>,
    parts: Vec<Part>,
    samples: usize,
    raw_bytes: usize,
    snap: Box<Snap>,
}

/// How the parts stand in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Snappy elements of protocol 1.0: parts are copied, not compressed again.
    Elements,
    /// Messages of protocol 2.0, compressed when they are sent.
    Messages,
}

/// One segment of one row.
#[derive(Clone, Copy, Debug)]
struct Part {
    end: usize,
    raw_len: usize,
    samples: usize,
    origin: Origin,
}

/// Where a part's samples come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) seq: RowSeq,
    pub(crate) at: Timestamp,
    pub(crate) layout: LayoutRef,
    /// The column that the lowest bit of `mask` stands for.
    pub(crate) start: usize,
    /// The columns that are in.
    pub(crate) mask: Mask,
    /// Whether it is one histogram; `start` is the column of its count.
    pub(crate) histogram: bool,
}

/// Some of a batch: neighbouring parts, or some series of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    parts: Range<usize>,
    /// Which series of the only part; `None` for all.
    series: Option<Range<usize>>,
    /// Of the parts only those of this column, which have no other.
    column: Option<(LayoutRef, usize)>,
}

struct Snap {
    encoder: snap::raw::Encoder,
    decoder: snap::raw::Decoder,
    /// The parts of a request that is not the whole batch.
    bytes: Vec<u8>,
    raw: Vec<u8>,
    body: Vec<u8>,
}

impl std::fmt::Debug for Snap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snap").finish_non_exhaustive()
    }
}

impl Batch {
    pub(crate) fn new(form: Form) -> Self {
        let snap = Snap {
            encoder: snap::raw::Encoder::new(),
            decoder: snap::raw::Decoder::new(),
            bytes: Vec::new(),
            raw: Vec::new(),
            body: Vec::new(),
        };
        Self {
            form,
            out: vec![0; VARINT_BYTES_MAX],
            symbols: Vec::new(),
            parts: Vec::new(),
            samples: 0,
            raw_bytes: 0,
            snap: Box::new(snap),
        }
    }

    /// Forgets the samples, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.out.truncate(VARINT_BYTES_MAX);
        self.symbols.clear();
        self.parts.clear();
        self.samples = 0;
        self.raw_bytes = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn samples(&self) -> usize {
        self.samples
    }

    /// Bytes before compression, without the symbols.
    pub(crate) fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    /// Where the bytes of the next part go, and the symbols; [`Batch::close_part`] must follow.
    pub(crate) fn out(&mut self) -> (&mut Vec<u8>, &mut Vec<u8>) {
        (&mut self.out, &mut self.symbols)
    }

    /// Ends the part whose bytes were appended to [`Batch::out`].
    pub(crate) fn close_part(&mut self, raw_len: usize, samples: usize, origin: Origin) {
        self.parts.push(Part { end: self.out.len(), raw_len, samples, origin });
        self.samples += samples;
        self.raw_bytes += raw_len;
    }

    /// The whole batch.
    pub(crate) fn all(&self) -> Slice {
        Slice { parts: 0..self.parts.len(), series: None, column: None }
    }

    /// A slice for each column; every part must have one column only.
    pub(crate) fn columns(&self) -> Vec<Slice> {
        let mut columns: Vec<_> = self.parts.iter().map(|part| part.origin.column()).collect();
        columns.sort_unstable();
        columns.dedup();
        columns.into_iter().map(|column| Slice { column: Some(column), ..self.all() }).collect()
    }

    /// Samples in `slice`.
    pub(crate) fn samples_in(&self, slice: &Slice) -> usize {
        match &slice.series {
            Some(series) => series.len(),
            None => self.parts_of(slice).map(|part| part.samples).sum(),
        }
    }

    /// Samples in `slice` that are histograms.
    pub(crate) fn histograms_in(&self, slice: &Slice) -> usize {
        self.parts_of(slice).filter(|part| part.origin.histogram).count()
    }

    /// The oldest and newest time in `slice`, and its first and last row; `None` when it is empty.
    pub(crate) fn extent(&self, slice: &Slice) -> Option<(TimeRange, RowSeq, RowSeq)> {
        let times = || self.parts_of(slice).map(|part| part.origin.at);
        let seqs = || self.parts_of(slice).map(|part| part.origin.seq);
        let range = TimeRange::new(times().min()?, times().max()?);
        Some((range, seqs().min()?, seqs().max()?))
    }

    /// Two halves of `slice`, the earlier rows first; `None` when it is a single sample.
    pub(crate) fn halves(&self, slice: &Slice) -> Option<(Slice, Slice)> {
        let Range { start, end } = slice.parts;
        if slice.column.is_some() {
            return None;
        }
        if end - start > 1 {
            let middle = start + (end - start) / 2;
            let half = |parts| Slice { parts, series: None, column: None };
            return Some((half(start..middle), half(middle..end)));
        }
        let Range { start, end } = match &slice.series {
            Some(series) => series.clone(),
            None => 0..self.parts_of(slice).next()?.samples,
        };
        let middle = start + (end - start) / 2;
        let half = |series| Slice { series: Some(series), ..slice.clone() };
        (middle > start).then(|| (half(start..middle), half(middle..end)))
    }

    /// `slice` without the parts at its start of which `old` is true.
    pub(crate) fn without(&self, slice: &Slice, old: impl Fn(Timestamp) -> bool) -> Slice {
        let parts = self.parts.get(slice.parts.clone()).unwrap_or_default();
        let count = parts.iter().take_while(|part| old(part.origin.at)).count();
        let series = slice.series.clone().filter(|_| count == 0);
        Slice { parts: slice.parts.start + count..slice.parts.end, series, ..slice.clone() }
    }

    /// The column of a slice that has only one.
    pub(crate) fn column(&self, slice: &Slice) -> Option<(LayoutRef, usize)> {
        if slice.column.is_some() {
            return slice.column;
        }
        let mut parts = self.parts_of(slice);
        let (Some(part), None) = (parts.next(), parts.next()) else { return None };
        let series = slice.series.clone().unwrap_or(0..part.samples);
        if series.len() != 1 {
            return None;
        }
        let mut mask = part.origin.mask;
        for _ in 0..series.start {
            mask &= mask.wrapping_sub(1);
        }
        (mask != 0).then(|| Origin { mask, ..part.origin }.column())
    }

    /// The body of a request of `slice`.
    pub(crate) fn body(&mut self, slice: &Slice) -> &[u8] {
        let mut length = Vec::with_capacity(VARINT_BYTES_MAX);
        put_varint(&mut length, self.parts_of(slice).map(|part| part.raw_len).sum());
        if self.form == Form::Elements && *slice == self.all() {
            // The length goes right in front of the elements: nothing is copied.
            let from = VARINT_BYTES_MAX - length.len();
            if let Some(room) = self.out.get_mut(from..VARINT_BYTES_MAX) {
                room.copy_from_slice(&length);
            }
            return self.out.get(from..).unwrap_or_default();
        }
        let mut bytes = std::mem::take(&mut self.snap.bytes);
        bytes.clear();
        if self.form == Form::Elements {
            bytes.extend_from_slice(&length);
        }
        for (index, part) in self.numbered(slice) {
            let start = match index.checked_sub(1) {
                None => VARINT_BYTES_MAX,
                Some(last) => self.parts.get(last).map_or(part.end, |before| before.end),
            };
            bytes.extend_from_slice(self.out.get(start..part.end).unwrap_or_default());
        }
        self.snap.bytes = bytes;
        match (self.form, &slice.series) {
            (Form::Elements, None) => &self.snap.bytes,
            (Form::Elements, Some(series)) => {
                let snap = &mut *self.snap;
                let plain = snap.decoder.decompress_vec(&snap.bytes).unwrap_or_default();
                snap.raw.clear();
                put_series_in(&plain, series, &mut snap.raw);
                snap.compress()
            }
            (Form::Messages, series) => {
                let snap = &mut *self.snap;
                snap.raw.clear();
                snap.raw.extend_from_slice(&self.symbols);
                match series {
                    None => snap.raw.extend_from_slice(&snap.bytes),
                    Some(series) => put_series_in(&snap.bytes, series, &mut snap.raw),
                }
                snap.compress()
            }
        }
    }

    fn parts_of(&self, slice: &Slice) -> impl Iterator<Item = &Part> {
        self.numbered(slice).map(|(_, part)| part)
    }

    fn numbered(&self, slice: &Slice) -> impl Iterator<Item = (usize, &Part)> {
        let parts = self.parts.get(slice.parts.clone()).unwrap_or_default();
        let column = slice.column;
        let chosen = move |part: &Part| column.is_none_or(|column| part.origin.column() == column);
        (slice.parts.start..).zip(parts).filter(move |(_, part)| chosen(part))
    }
}

impl Origin {
    /// The numbers of `row` in the columns `mask`, counted from `start`.
    pub(crate) fn of(row: &RowBuf, start: usize, mask: Mask) -> Self {
        let RowBuf { seq, at, layout, .. } = *row;
        Self { seq, at, layout, start, mask, histogram: false }
    }

    /// The first column that is in.
    fn column(&self) -> (LayoutRef, usize) {
        (self.layout, self.start + self.mask.trailing_zeros() as usize)
    }
}

impl Snap {
    /// `self.raw`, compressed.
    fn compress(&mut self) -> &[u8] {
        self.body.resize(snap::raw::max_compress_len(self.raw.len()), 0);
        // Fails only for a buffer too small or an input of 4 GiB; neither can be.
        let len = self.encoder.compress(&self.raw, &mut self.body).unwrap_or(0);
        self.body.get(..len).unwrap_or_default()
    }
}

/// Appends the series number `series` of `messages`, which are fields one after another.
fn put_series_in(messages: &[u8], series: &Range<usize>, out: &mut Vec<u8>) {
    let mut rest = messages;
    for index in 0..series.end {
        let before = rest;
        let Some(after) = skip_field(rest) else { return };
        rest = after;
        if index >= series.start {
            out.extend_from_slice(before.get(..before.len() - after.len()).unwrap_or_default());
        }
    }
}

/// What stands behind a field that has a length.
fn skip_field(bytes: &[u8]) -> Option<&[u8]> {
    let (_, bytes) = bytes.split_first()?;
    let (len, bytes) = take_varint(bytes)?;
    bytes.get(len..)
}
