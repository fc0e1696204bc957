//! One scrape, from the body to the row: the state that a target keeps between scrapes.
//!
//! A body is laid under the target's stencil. Slots that changed go straight into the row; only a
//! slot that was never seen is resolved to a series. The row ends with one append to the store.
//! Nothing of a body is stored unless all of it could be read and no limit was broken.

mod exemplars;
mod renew;
mod slots;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use narthex_config::ScrapeConfig;
use narthex_expo::{Fit, Format, Limits, Slot, Stencil};
use narthex_model::{Hashing, Labels, LabelsBuilder, Metadata, Timestamp};
use narthex_store::{Error as StoreError, RowSeq, SeriesRef, SourceRef, Writer};
use parking_lot::Mutex;

use crate::columns::{Columns, column};
use crate::error::ScrapeError;
use crate::report::{self, Report};
use crate::timed::Timed;
use crate::translate::{LineExemplar, Translated};

/// Below this many dead columns a layout is not renewed.
const DEAD_COLUMNS_MIN: usize = 64;

/// Most series of one target, those that it had lately included. A body with more is refused as
/// soon as it is noticed, before anything of it is stored.
pub const TARGET_SERIES_MAX: usize = 250_000;

const LIMITS: Limits = Limits { line_bytes_max: 64 * 1024, slots_max: TARGET_SERIES_MAX };

/// After so many scrapes without a new series the look-up table from series to column is dropped.
const INDEX_IDLE_SCRAPES_MAX: u8 = 8;

/// A sample whose own timestamp is further behind the scrape is refused: receivers would refuse
/// it as well.
const LAG_MS_MAX: i64 = 3_600_000;

/// No column yet: the slot only ever came with timestamps, or lost its column to another slot.
const NO_COLUMN: u32 = u32::MAX;

/// Never a column: relabelling dropped the slot.
const DROPPED: u32 = u32::MAX - 1;

/// The slot of a column that no slot fills: the report's, and those whose slot is gone.
const NO_SLOT: Slot = Slot(u32::MAX);

/// Set in the column of a slot whose series another slot of the body fills.
const ALIAS: u32 = 1 << 31;

/// A body that was fetched.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    /// The bytes, decompressed.
    pub bytes: &'a [u8],
    /// The format that the target declared.
    pub format: Format,
    /// What the body was, if it was binary; the bytes are text all the same.
    pub translated: Option<Translated>,
    /// The exemplars of a binary body, by sample.
    pub exemplars: &'a [LineExemplar],
}

/// Samples that the store did not take, though their scrape succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// A second sample of a series at the same time.
    pub duplicate: u64,
    /// Older than the series' last.
    pub out_of_order: u64,
    /// Older than the store still takes, or too far ahead of the clock.
    pub out_of_bounds: u64,
    /// Exemplars older than the newest of their series.
    pub late_exemplars: u64,
}

impl Refused {
    /// Counts a row of `samples` that was refused for its time; other errors are handed on.
    /// Tells whether the row was taken.
    pub(crate) fn judge(
        &mut self,
        answer: Result<RowSeq, StoreError>,
        samples: usize,
    ) -> Result<bool, StoreError> {
        let samples = samples as u64;
        match answer {
            Ok(_) => return Ok(true),
            Err(StoreError::OutOfOrder { .. }) => self.out_of_order += samples,
            Err(StoreError::Duplicate { .. }) => self.duplicate += samples,
            Err(StoreError::TooOld { .. } | StoreError::TooFarAhead { .. }) => {
                self.out_of_bounds += samples;
            }
            Err(error) => return Err(error),
        }
        Ok(false)
    }
}

/// What came of one scrape.
#[derive(Debug)]
pub struct Outcome {
    /// Why it failed, if it did.
    pub error: Option<ScrapeError>,
    /// Samples that were not taken.
    pub refused: Refused,
    /// Samples in the body.
    pub scraped: u32,
    /// How long it took.
    pub duration: Duration,
}

/// What is known of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Unseen,
    Dropped,
    /// The same, of a line that is no sample of its own.
    DroppedExtra,
    Series(SeriesRef),
}

/// A target's state between scrapes.
#[derive(Debug)]
pub struct Cycle {
    config: Arc<ScrapeConfig>,
    labels: Labels,
    timeout: Duration,
    source: Option<SourceRef>,
    stencil: Stencil,
    columns: Option<Columns>,
    /// Per slot: what it is.
    known: Vec<Known>,
    /// Per slot: its column; from [`ALIAS`] on, why it fills none.
    column_of: Vec<u32>,
    /// Per column: the slot that fills it.
    owner: Vec<Slot>,
    /// Slots whose series another slot already fills.
    aliases: Vec<Slot>,
    /// From series to column, while new series keep coming.
    index: Option<HashMap<SeriesRef, u32, Hashing>>,
    index_idle: u8,
    /// Slots of the current body that relabelling dropped.
    dropped_live: u32,
    /// The bodies are translated, so lines may be parts of histograms.
    translated: bool,
    /// Lines of the body that are no samples of their own.
    extra_lines: u32,
    /// The last scrape failed or brought nothing: that a known slot appears tells nothing.
    forgotten: bool,
    timed: Timed,
    /// Where exemplars were kept last, in the order of the body: the slot and the place.
    exemplar_places: Vec<(Slot, u32)>,
    scratch: LabelsBuilder,
    /// Layouts of an earlier configuration, to be ended where the series did not come again.
    retired: Vec<Columns>,
    retired_timed: Vec<Timed>,
}

impl Cycle {
    /// A target that was never scraped.
    pub fn new(config: Arc<ScrapeConfig>, labels: Labels, timeout: Duration) -> Self {
        Self {
            config,
            labels,
            timeout,
            source: None,
            stencil: Stencil::new(Format::Text, LIMITS),
            columns: None,
            known: Vec::new(),
            column_of: Vec::new(),
            owner: Vec::new(),
            aliases: Vec::new(),
            index: None,
            index_idle: 0,
            dropped_live: 0,
            translated: false,
            extra_lines: 0,
            forgotten: false,
            timed: Timed::default(),
            exemplar_places: Vec::new(),
            scratch: LabelsBuilder::default(),
            retired: Vec::new(),
            retired_timed: Vec::new(),
        }
    }

    /// The metadata that the target's last bodies gave, and a number that grows when it changes.
    pub fn metadata(&self) -> (u64, impl Iterator<Item = (&str, &Metadata)>) {
        (self.stencil.metadata_version(), self.stencil.metadata())
    }

    /// Takes a new configuration: all series are resolved anew at the next scrape, and those that
    /// it no longer brings forth get their staleness marker then.
    pub fn reconfigure(&mut self, config: Arc<ScrapeConfig>, timeout: Duration) {
        self.config = config;
        self.timeout = timeout;
        self.start_over(self.stencil.format());
    }

    /// Absorbs the answer to one scrape that began at `at`: one row for the target, and one for
    /// each timestamp that the body's lines carry. `elapsed` is asked for the scrape's duration
    /// once the body has been read.
    ///
    /// # Errors
    /// Only when the store itself fails; a bad scrape is an [`Outcome`] with an error.
    pub fn absorb(
        &mut self,
        writer: &Mutex<Writer>,
        fetched: Result<Body<'_>, ScrapeError>,
        at: Timestamp,
        elapsed: impl FnOnce() -> Duration,
    ) -> Result<Outcome, StoreError> {
        let answer = self.try_absorb(writer, fetched, at, elapsed);
        if answer.is_err() {
            // What was half done is not worth telling apart: the next scrape begins anew.
            self.start_over(self.stencil.format());
        }
        answer
    }

    fn try_absorb(
        &mut self,
        writer: &Mutex<Writer>,
        fetched: Result<Body<'_>, ScrapeError>,
        at: Timestamp,
        elapsed: impl FnOnce() -> Duration,
    ) -> Result<Outcome, StoreError> {
        let body_bytes = match &fetched {
            Ok(body) => {
                let bytes = body.translated.map_or(body.bytes.len(), |translated| translated.bytes);
                f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
            }
            Err(ScrapeError::BodyTooLarge) => -1.0,
            Err(_) => 0.0,
        };
        let exemplars = fetched.as_ref().map_or(&[][..], |body| body.exemplars);
        let fitted = fetched.and_then(|body| self.fit(body));
        let mut writer = writer.lock();
        self.open_layout(&mut writer)?;
        let mut refused = Refused::default();
        let mut report = Report {
            timeout_seconds: self.timeout.as_secs_f64(),
            sample_limit: self.config.sample_limit,
            body_bytes,
            ..Report::default()
        };
        let taken = match fitted {
            Ok(fit) => self.take(&mut writer, fit, at, &mut refused, &mut report),
            Err(error) => {
                report.scraped = error.samples_before();
                report.post_relabel = error.samples_before();
                Err(error)
            }
        };
        let error = match taken {
            Ok(()) => None,
            Err(ScrapeError::Store(error)) => return Err(error),
            Err(error) => {
                self.fail(&mut writer, at)?;
                Some(error)
            }
        };
        let duration = elapsed();
        report.up = error.is_none();
        report.duration_seconds = duration.as_secs_f64();
        self.finish(&mut writer, at, &report, &mut refused)?;
        if error.is_none() {
            self.keep_exemplars(&writer, exemplars, at, &mut refused);
        }
        if error.as_ref().is_some_and(ScrapeError::is_series_limit) {
            self.forget_slots();
        }
        Ok(Outcome { error, refused, scraped: report.scraped, duration })
    }

    /// The target is gone: everything it had ends at `at`, the report's series as well, but not
    /// the series in `taken_over`, which another target brings by now.
    ///
    /// # Errors
    /// Only when the store itself fails.
    pub fn end(
        &mut self,
        writer: &Mutex<Writer>,
        at: Timestamp,
        taken_over: &HashSet<SeriesRef, Hashing>,
    ) -> Result<(), StoreError> {
        let mut writer = writer.lock();
        let mut refused = Refused::default();
        if let Some(mut columns) = self.columns.take() {
            columns.begin();
            columns.end_except(taken_over);
            refused.judge(columns.append(&mut writer, at), 0)?;
            writer.drop_layout(columns.layout());
        }
        for mut old in self.retired.drain(..) {
            old.begin();
            old.end_except(taken_over);
            refused.judge(old.append(&mut writer, at), 0)?;
            writer.drop_layout(old.layout());
        }
        if self.config.track_timestamps_staleness {
            let source = self.source(&mut writer);
            self.timed.end(&mut writer, source, at, |_| true)?;
        }
        for timed in self.retired_timed.iter_mut().chain([&mut self.timed]) {
            timed.close(&mut writer);
        }
        Ok(())
    }

    /// The series that the target has now, of the common row.
    pub fn live_series(&self) -> HashSet<SeriesRef, Hashing> {
        self.columns.as_ref().map(Columns::live_series).unwrap_or_default()
    }

    /// Lets go of the layouts without a marker, for a shutdown.
    pub fn close(&mut self, writer: &Mutex<Writer>) {
        let mut writer = writer.lock();
        for columns in self.columns.take().into_iter().chain(self.retired.drain(..)) {
            writer.drop_layout(columns.layout());
        }
        self.timed.close(&mut writer);
    }

    fn fit(&mut self, body: Body<'_>) -> Result<Fit, ScrapeError> {
        // What is known of translated lines must not be believed of others.
        if body.format != self.stencil.format() || body.translated.is_some() != self.translated {
            self.translated = body.translated.is_some();
            self.start_over(body.format);
        }
        self.extra_lines = body.translated.map_or(0, |translated| translated.extra_lines);
        Ok(self.stencil.fit(body.bytes)?)
    }

    /// Forgets all slots, and gives their memory back. The columns stay: what comes again finds
    /// its own.
    fn forget_slots(&mut self) {
        self.retired_timed.push(std::mem::take(&mut self.timed));
        self.stencil = Stencil::new(self.stencil.format(), LIMITS);
        self.known = Vec::new();
        self.column_of = Vec::new();
        self.aliases = Vec::new();
        self.owner.fill(NO_SLOT);
        self.index = None;
        self.dropped_live = 0;
    }

    /// Forgets all slots and retires the layouts.
    fn start_over(&mut self, format: Format) {
        self.retired.extend(self.columns.take());
        self.retired_timed.push(std::mem::take(&mut self.timed));
        self.stencil = Stencil::new(format, LIMITS);
        self.known.clear();
        self.column_of.clear();
        self.owner.clear();
        self.aliases.clear();
        self.index = None;
        self.dropped_live = 0;
    }

    /// Makes the layout, if there is none, with the report's columns first.
    fn open_layout(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        if self.columns.is_some() {
            return Ok(());
        }
        let source = self.source(writer);
        let mut columns = Columns::new(writer.new_layout(source)?);
        let series = report::series(&self.labels, self.config.extra_scrape_metrics)
            .iter()
            .map(|labels| writer.resolve(labels))
            .collect::<Result<Vec<_>, _>>()?;
        columns.add(writer, &series)?;
        self.owner = vec![NO_SLOT; series.len()];
        self.columns = Some(columns);
        Ok(())
    }

    fn source(&mut self, writer: &mut Writer) -> SourceRef {
        *self.source.get_or_insert_with(|| writer.new_source())
    }

    fn report_len(&self) -> usize {
        report::NAMES.len()
            + if self.config.extra_scrape_metrics { report::EXTRA_NAMES.len() } else { 0 }
    }

    /// Moves a body that was read into the row.
    fn take(
        &mut self,
        writer: &mut Writer,
        fit: Fit,
        at: Timestamp,
        refused: &mut Refused,
        report: &mut Report,
    ) -> Result<(), ScrapeError> {
        report.scraped = fit.samples.saturating_sub(self.extra_lines);
        report.post_relabel = report.scraped;
        let added = self.meet_newcomers(writer)?;
        self.forgotten = fit.samples == 0;
        self.count_dropped();
        report.post_relabel = report.scraped.saturating_sub(self.dropped_live);
        let limit = self.config.sample_limit;
        // A line that comes twice counts once here, though not in the report.
        if limit > 0 && u64::from(report.post_relabel.saturating_sub(fit.duplicates)) > limit {
            return Err(ScrapeError::SampleLimit);
        }
        report.added = added;
        refused.duplicate += u64::from(fit.duplicates);
        self.fill_row(writer)?;
        self.fill_aliases(refused);
        if !(self.stencil.timed().is_empty() && self.timed.is_empty()) {
            self.take_timed(writer, at, refused)?;
        }
        Ok(())
    }

    /// Samples with timestamps of their own leave the common row.
    fn take_timed(
        &mut self,
        writer: &mut Writer,
        at: Timestamp,
        refused: &mut Refused,
    ) -> Result<(), StoreError> {
        if !self.config.honor_timestamps {
            return Ok(());
        }
        let source = self.source(writer);
        if self.config.track_timestamps_staleness {
            let vanished = self.stencil.vanished();
            self.timed.end(writer, source, at, |slot| vanished.contains(&slot))?;
        }
        let known = &self.known;
        let series = |slot: Slot| match known.get(slot.0 as usize) {
            Some(&Known::Series(series)) => Some(series),
            _ => None,
        };
        let oldest = at.plus_millis(-LAG_MS_MAX.max(writer.out_of_order_window_ms()));
        self.timed.append(writer, source, &self.stencil, oldest, series, refused)
    }

    /// Nothing of the scrape counts: all that was there ends.
    fn fail(&mut self, writer: &mut Writer, at: Timestamp) -> Result<(), StoreError> {
        let first = self.report_len();
        self.stencil.forget();
        self.forgotten = true;
        self.dropped_live = 0;
        if let Some(columns) = &mut self.columns {
            columns.begin();
            columns.end_all(first);
        }
        if self.config.track_timestamps_staleness {
            let source = self.source(writer);
            self.timed.end(writer, source, at, |_| true)?;
        }
        Ok(())
    }

    /// Adds the report and hands the row over.
    fn finish(
        &mut self,
        writer: &mut Writer,
        at: Timestamp,
        report: &Report,
        refused: &mut Refused,
    ) -> Result<(), StoreError> {
        let report_len = self.report_len();
        if let Some(columns) = &mut self.columns {
            for (index, value) in report.values().into_iter().take(report_len).enumerate() {
                if columns.get(column(index)).to_bits() != value.to_bits() {
                    columns.set(column(index), value);
                }
            }
            let samples = columns.live();
            refused.judge(columns.append(writer, at), samples)?;
        }
        self.end_retired(writer, at)?;
        self.renew(writer)
    }
}

#[cfg(test)]
mod tests;
