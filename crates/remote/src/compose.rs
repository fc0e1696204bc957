//! From rows to requests: keeps how the layouts look on the wire.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use narthex_model::Hashing;
use narthex_store::{LayoutRef, RowBuf};
use tokio::time::Instant;

use crate::batch::{Batch, Form, Origin, RAW_BYTES_MAX};
use crate::encode::TimeBytes;
use crate::layout::{Encoder, Outline, Passing, SEGMENT_COLUMNS_MAX, Source};
use crate::metadata::Families;
use crate::symbols::{Symbols, TEXT_BYTES_MAX};

/// A layout that had no row for this long is forgotten, and encoded anew when it has one.
const LAYOUT_IDLE: Duration = Duration::from_secs(15 * 60);

/// The same, in rows of other layouts: catching up, days pass in a minute.
const LAYOUT_IDLE_ROWS: u64 = 1 << 16;

/// How often it is looked for such layouts, in time and in rows.
const IDLE_CHECK: (Duration, u64) = (Duration::from_secs(20), 1 << 13);

/// Columns that changed come in so many rising runs at most, or are looked up one by one. Scrapes
/// have two runs: what the target exposes, and the report.
const RUNS_MAX: usize = 4;

/// Most columns that are sent in requests of their own.
const SUSPECTS_MAX: usize = 64;

/// Which version of the protocol a request is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Remote write 1.0: `prometheus.WriteRequest`.
    V1,
    /// Remote write 2.0: `io.prometheus.write.v2.Request`.
    V2,
}

/// How much a request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) samples: usize,
    /// Before compression.
    pub(crate) raw_bytes: usize,
}

/// Puts rows together into requests.
#[derive(Debug)]
pub(crate) struct Composer {
    layouts: HashMap<LayoutRef, Known, Hashing>,
    layouts_checked: (Instant, u64),
    /// Rows so far.
    rows: u64,
    encoder: Encoder,
    /// The request.
    pub(crate) batch: Batch,
    /// What goes into requests of its own after it.
    pub(crate) apart: Batch,
    suspects: Vec<(LayoutRef, usize)>,
}

#[derive(Debug)]
struct Known {
    outline: Outline,
    used: Instant,
    used_row: u64,
    /// The last row has not gone through all segments: the next brings all its values.
    stale: bool,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Composed {
    /// Where to go on in the row, when the request was full before its end.
    pub(crate) resume: Option<usize>,
    /// Samples that relabelling drops.
    pub(crate) dropped: u64,
    /// Samples of series that the store does not know any more.
    pub(crate) unknown: u64,
    /// Samples left out for their age.
    pub(crate) too_old: u64,
    /// Histograms with custom buckets, for which protocol 1.0 has no place.
    pub(crate) custom: u64,
}

impl Limits {
    pub(crate) fn new(samples: usize) -> Self {
        Self { samples, raw_bytes: RAW_BYTES_MAX }
    }
}

impl Composer {
    pub(crate) fn new(version: Version) -> Self {
        let form = match version {
            Version::V1 => Form::Elements,
            Version::V2 => Form::Messages,
        };
        let mut encoder = Encoder::default();
        encoder.symbols = (version == Version::V2).then(Symbols::default);
        Self {
            layouts: HashMap::default(),
            layouts_checked: (Instant::now(), 0),
            rows: 0,
            encoder,
            batch: Batch::new(form),
            apart: Batch::new(form),
            suspects: Vec::new(),
        }
    }

    /// The protocol that requests are made for.
    pub(crate) fn version(&self) -> Version {
        if self.encoder.symbols.is_some() { Version::V2 } else { Version::V1 }
    }

    /// Whether there is anything to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.apart.is_empty()
    }

    /// Samples that wait to be sent.
    pub(crate) fn samples(&self) -> usize {
        self.batch.samples() + self.apart.samples()
    }

    /// Adds `row` to the request, from its segment `from` on, unless it is `too_old`. Whole rows
    /// go into a request, but for one that is larger than `limits` by itself.
    pub(crate) fn add(
        &mut self,
        row: &RowBuf,
        from: usize,
        too_old: bool,
        limits: Limits,
        source: &mut Source<'_>,
        now: Instant,
    ) -> Composed {
        let known = self.layouts.entry(row.layout).or_insert_with(|| Known {
            outline: Outline::default(),
            used: now,
            used_row: 0,
            stale: true,
        });
        self.rows += 1;
        (known.used, known.used_row) = (now, self.rows);
        let columns_max = limits.samples.clamp(1, SEGMENT_COLUMNS_MAX);
        known.outline.grow(row.layout, row.values.len(), columns_max, source, &mut self.encoder);
        if from == 0 {
            // ORDER: before the request can turn out to be full: each row is noted once.
            known.note(row);
        }
        let mut composed = Composed::default();
        if from == 0 && !too_old && !has_room(&self.batch, row.values.len(), limits) {
            composed.resume = Some(0);
            return composed;
        }
        let mut learned = false;
        let Outline { segments, composites, .. } = &mut known.outline;
        let at = TimeBytes::new(row.at);
        let passing = Passing { layout: row.layout, at, values: &row.values, composites };
        for (index, segment) in segments.iter_mut().enumerate().skip(from) {
            let mut share = segment.share();
            if share.unknown > 0 {
                segment.learn(row.layout, source, &mut self.encoder);
                learned = true;
                share = segment.share();
            }
            let samples = share.mask.count_ones() as usize;
            if !too_old && samples > 0 && !has_room(&self.batch, samples, limits) {
                composed.resume = Some(index);
                return composed;
            }
            composed.dropped += u64::from(share.dropped);
            composed.unknown += u64::from(share.unknown);
            if too_old {
                composed.too_old += u64::from((share.mask | share.apart).count_ones());
                continue;
            }
            let origin = Origin::of(row, segment.start(), share.mask);
            if samples > 0 {
                let (samples, raw_len) =
                    segment.put(&passing, share.mask, source, &mut self.encoder, self.batch.out());
                self.batch.close_part(raw_len, samples, origin);
            }
            let mut apart = share.apart;
            while apart != 0 {
                let mask = apart & apart.wrapping_neg();
                apart &= !mask;
                let out = self.apart.out();
                let (samples, raw_len) =
                    segment.put_once(&passing, mask, source, &mut self.encoder, out);
                self.apart.close_part(raw_len, samples, Origin { mask, ..origin });
            }
        }
        if learned {
            known.outline.gather(row.layout, source, &mut self.encoder);
        }
        if source.prepare.histograms {
            let from = from.saturating_sub(known.outline.segments.len());
            self.add_histograms(row, from, too_old, limits, &mut composed);
        }
        composed
    }

    /// Adds the histograms of `row`, from the number `from` on.
    fn add_histograms(
        &mut self,
        row: &RowBuf,
        from: usize,
        too_old: bool,
        limits: Limits,
        composed: &mut Composed,
    ) {
        let Some(known) = self.layouts.get_mut(&row.layout) else { return };
        let Outline { segments, composites, .. } = &mut known.outline;
        let at = TimeBytes::new(row.at);
        for (index, composite) in composites.histograms.iter_mut().enumerate().skip(from) {
            let Some(whole) = composite.of(&row.values) else { continue };
            let Some(block) = &composite.block else {
                composed.dropped += 1;
                continue;
            };
            if too_old {
                composed.too_old += 1;
                continue;
            }
            if whole.histogram.is_custom() && self.encoder.symbols.is_none() {
                composed.custom += 1;
                continue;
            }
            if !has_room(&self.batch, 1, limits) {
                composed.resume = Some(segments.len() + index);
                return;
            }
            let batch = if composite.suspect { &mut self.apart } else { &mut self.batch };
            let raw_len = self.encoder.put_whole(block, &whole, &at, batch.out());
            let origin = Origin { histogram: true, ..Origin::of(row, composite.count, 1) };
            batch.close_part(raw_len, 1, origin);
        }
    }

    /// A row of `layout` was left out.
    pub(crate) fn skip(&mut self, layout: LayoutRef) {
        if let Some(known) = self.layouts.get_mut(&layout) {
            known.stale = true;
        }
    }

    /// Has a column sent in requests of its own from now on; `false` when there are too many.
    pub(crate) fn suspect(&mut self, layout: LayoutRef, column: usize) -> bool {
        if self.suspects.contains(&(layout, column)) {
            return true;
        }
        // Texts are numbered for one request at a time, so protocol 2.0 cannot fill two at once.
        if self.encoder.symbols.is_some() || self.suspects.len() >= SUSPECTS_MAX {
            return false;
        }
        self.suspects.push((layout, column));
        self.mark(layout, column, true);
        true
    }

    /// Sends the suspects together with the others again.
    pub(crate) fn trust(&mut self) {
        for (layout, column) in std::mem::take(&mut self.suspects) {
            self.mark(layout, column, false);
        }
    }

    pub(crate) fn suspects(&self) -> usize {
        self.suspects.len()
    }

    fn mark(&mut self, layout: LayoutRef, column: usize, yes: bool) {
        let Some(known) = self.layouts.get_mut(&layout) else { return };
        let Outline { segments, composites, .. } = &mut known.outline;
        if let Some(segment) = segments.iter_mut().find(|it| it.has(column)) {
            segment.suspect(column, yes);
        }
        let mut histograms = composites.histograms.iter_mut();
        if let Some(histogram) = histograms.find(|it| it.count == column) {
            histogram.suspect = yes;
        }
    }

    /// Takes over what the targets say about their metrics; series are encoded anew when it has
    /// changed. Only where the protocol sends it with the series.
    pub(crate) fn set_families(&mut self, families: Arc<Families>) {
        if self.encoder.symbols.is_some() && *families != *self.encoder.families {
            self.encoder.families = families;
            self.start_over();
        }
    }

    /// Gives up what is cached of layouts that have had no row for long, but not of `resuming`;
    /// tells how many bytes are cached, when it has looked. Only between two requests.
    pub(crate) fn forget_idle(&mut self, resuming: Option<LayoutRef>) -> Option<usize> {
        let (at, row) = self.layouts_checked;
        if at.elapsed() < IDLE_CHECK.0 && self.rows - row < IDLE_CHECK.1 {
            return None;
        }
        self.layouts_checked = (Instant::now(), self.rows);
        let texts = self.encoder.symbols.as_ref().map_or(0, Symbols::text_bytes);
        if texts > TEXT_BYTES_MAX && self.is_empty() {
            self.start_over();
        }
        let rows = self.rows;
        self.layouts.retain(|&layout, known| {
            let in_use =
                known.used.elapsed() < LAYOUT_IDLE && rows - known.used_row < LAYOUT_IDLE_ROWS;
            in_use || resuming == Some(layout)
        });
        let layouts = &self.layouts;
        self.suspects.retain(|(layout, _)| layouts.contains_key(layout));
        let outlines = self.layouts.values().map(|known| known.outline.heap_bytes());
        Some(texts + outlines.sum::<usize>())
    }

    /// Forgets how everything is encoded. The numbers of texts begin anew with the next request,
    /// for a request that was begun has numbers of its own.
    fn start_over(&mut self) {
        self.layouts.clear();
        self.suspects.clear();
        if self.is_empty() {
            self.encoder.symbols = self.encoder.symbols.take().map(|_| Symbols::default());
        }
    }
}

impl Known {
    /// Takes in the values of a row.
    fn note(&mut self, row: &RowBuf) {
        if std::mem::take(&mut self.stale) {
            for segment in &mut self.outline.segments {
                segment.note_all(&row.values);
            }
            return;
        }
        let mut changed = row.changed.as_slice();
        for _ in 0..RUNS_MAX {
            for segment in &mut self.outline.segments {
                changed = segment.note(&row.values, changed);
            }
            if changed.is_empty() {
                return;
            }
        }
        self.note_by_column(row);
    }

    /// The same where the columns that changed are in no order.
    #[cold]
    fn note_by_column(&mut self, row: &RowBuf) {
        let segments = &mut self.outline.segments;
        for column in &row.changed {
            let place = segments.partition_point(|segment| segment.end() <= column.index());
            if let Some(segment) = segments.get_mut(place) {
                segment.note(&row.values, std::slice::from_ref(column));
            }
        }
    }
}

fn has_room(batch: &Batch, samples: usize, limits: Limits) -> bool {
    batch.is_empty()
        || (batch.samples() + samples <= limits.samples && batch.raw_bytes() < limits.raw_bytes)
}
