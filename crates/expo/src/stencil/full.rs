//! Reading a whole body, line by line, through the line cache.

use std::collections::{HashMap, HashSet};

use narthex_model::{Hashing, MetricKind};

use crate::cache::Cache;
use crate::fault::{Fault, ParseError, ParseErrorKind};
use crate::format::{Format, Step, Suffix};
use crate::metadata::{Digest, Meta};
use crate::scan::line_end;
use crate::series::{self, Checked, Normalise};
use crate::stencil::layout::{Line, NO_SLOT};
use crate::stencil::slots::Slots;
use crate::stencil::{Fit, Limits, Stencil};

/// The shortest line with a sample, its newline included.
const SAMPLE_BYTES_MIN: usize = 4;

/// A sample's line, read but for its labels.
#[derive(Debug)]
pub(super) struct Sample<'a> {
    pub(super) text: &'a [u8],
    pub(super) hash: u64,
    /// What the rules said, if the series was not known.
    pub(super) checked: Option<Checked>,
    pub(super) value_at: usize,
    pub(super) suffix: Suffix,
}

/// Where the first line with a sample begins that is one more than `samples_max`, if there is one.
/// Only looks at the ends of lines: what is far too long need not be read to be refused.
fn first_beyond(body: &[u8], samples_max: usize) -> Option<usize> {
    if body.len() / SAMPLE_BYTES_MIN <= samples_max {
        return None;
    }
    let (mut at, mut samples) = (0, 0);
    while at < body.len() {
        let end = line_end(body, at);
        let line = body.get(at..end).unwrap_or_default();
        let first = line.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        samples += usize::from(first.is_some_and(|&byte| byte != b'#'));
        if samples > samples_max {
            return Some(at);
        }
        at = end;
    }
    None
}

/// Reads the sample whose series begins at `at`.
pub(super) fn sample<'a>(
    body: &'a [u8],
    at: usize,
    format: Format,
    limits: Limits,
    cache: &Cache,
) -> Result<Sample<'a>, Fault> {
    let rest = body.get(at..).unwrap_or_default();
    let window = rest.get(..limits.line_bytes_max).unwrap_or(rest);
    let mut text = series::likely_len(window, format).and_then(|len| window.get(..len));
    let mut hash = text.map_or(0, |text| cache.hash(text));
    let mut checked = None;
    let known = text.is_some_and(|text| {
        cache.find(hash, text, 0).or_else(|| cache.find(hash, text, 1)).is_some()
    });
    if !known {
        let found = series::check(window, format).map_err(|fault| {
            let cut = fault.at >= window.len() && window.len() < rest.len();
            let kind = if cut { ParseErrorKind::LineTooLong } else { fault.kind };
            Fault::new(at + fault.at, kind)
        })?;
        text = window.get(..found.len);
        hash = text.map_or(0, |text| cache.hash(text));
        checked = Some(found);
    }
    let text = text.unwrap_or_default();
    let value_at = format.value_start(body, at + text.len())?;
    let suffix = format.suffix(body, value_at)?;
    if suffix.end - at > limits.line_bytes_max {
        return Err(Fault::new(at, ParseErrorKind::LineTooLong));
    }
    Ok(Sample { text, hash, checked, value_at, suffix })
}

/// How the labels of a new series are to be spelt, given the kind its family was said to have.
pub(super) fn normalise(checked: Checked, kind: MetricKind) -> Normalise {
    match kind {
        MetricKind::Histogram if checked.has_le => Normalise::Le,
        MetricKind::Summary if checked.has_quantile => Normalise::Quantile,
        _ => Normalise::Nothing,
    }
}

/// Makes a new slot.
pub(super) fn new_slot(
    cache: &mut Cache,
    slots: &mut Slots,
    limits: Limits,
    (hash, text, variant): (u64, &[u8], u32),
    normalise: Normalise,
) -> Result<u32, ParseErrorKind> {
    if slots.len() >= limits.slots_max {
        return Err(ParseErrorKind::TooManySlots);
    }
    let slot = cache.push(hash, text, variant).ok_or(ParseErrorKind::TooManySlots)?;
    slots.push(variant > 0, normalise);
    Ok(slot)
}

/// Timed lines that repeat a series of the same body.
#[derive(Debug, Default)]
struct Repeats {
    /// By the slot of the first line: how many lines there were.
    counts: HashMap<u32, u32, Hashing>,
    /// By that slot and a timestamp.
    seen: HashSet<(u32, i64), Hashing>,
}

/// A body being read in full.
struct Reader<'a> {
    body: &'a [u8],
    format: Format,
    limits: Limits,
    cache: &'a mut Cache,
    slots: &'a mut Slots,
    lines: &'a mut Vec<Line>,
    repeats: Repeats,
    kind: MetricKind,
    fit: Fit,
}

impl Stencil {
    /// Reads `body` without the help of the last one.
    pub(super) fn fit_all(&mut self, body: &[u8]) -> Result<(), ParseError> {
        if let Some(at) = first_beyond(body, self.limits.slots_max) {
            self.forget();
            return Err(Fault::new(at, ParseErrorKind::TooManySlots).explain(body, 0));
        }
        self.need_cache();
        let Some(cache) = &mut self.cache else { return Ok(()) };
        let known = self.slots.len();
        self.lines_next.clear();
        self.slots.begin_reading();
        let mut reader = Reader {
            body,
            format: self.format,
            limits: self.limits,
            cache,
            slots: &mut self.slots,
            lines: &mut self.lines_next,
            repeats: Repeats::default(),
            kind: MetricKind::Unknown,
            fit: Fit::default(),
        };
        let read = reader.read(&self.hasher);
        let (fit, timed_repeats) = (reader.fit, !reader.repeats.seen.is_empty());
        let digest = match read {
            Ok(digest) => digest,
            Err(fault) => {
                cache.truncate(known);
                self.slots.truncate(known);
                self.forget();
                return Err(fault.explain(body, fit.samples));
            }
        };
        self.slots.finish_reading();
        self.slots.list_timed(self.lines_next.iter().map(|line| line.slot));
        std::mem::swap(&mut self.last.lines, &mut self.lines_next);
        self.last.fit = fit;
        self.last.timed_repeats = timed_repeats;
        self.commit(body, digest);
        Ok(())
    }
}

impl Reader<'_> {
    fn read(&mut self, hasher: &Hashing) -> Result<Digest, Fault> {
        let mut digest = Digest::default();
        let mut at = 0;
        loop {
            let start = at;
            let kind = &mut self.kind;
            let mut seen = |meta| {
                digest.add(meta, hasher);
                if let Meta::Kind(_, said) = meta {
                    *kind = said;
                }
            };
            let line_bytes_max = self.limits.line_bytes_max;
            match self.format.skip_meta(self.body, at, line_bytes_max, &mut seen)? {
                Step::End(end) => {
                    if end > start {
                        self.lines.push(Line::tail(end - start));
                    }
                    return Ok(digest);
                }
                Step::Sample(series) => {
                    let sample = sample(self.body, series, self.format, self.limits, self.cache)?;
                    at = sample.suffix.end;
                    let slot = self.slot(&sample).map_err(|kind| Fault::new(series, kind))?;
                    self.fit.samples += 1;
                    self.fit.duplicates += u32::from(slot.is_none());
                    let places = [start, sample.value_at, at];
                    self.lines.push(Line::new(self.body, places, slot.unwrap_or(NO_SLOT)));
                }
            }
        }
    }

    /// Finds or makes the slot of a sample and notes its value; `None` for a duplicate.
    fn slot(&mut self, sample: &Sample<'_>) -> Result<Option<u32>, ParseErrorKind> {
        let Suffix { value, at, .. } = sample.suffix;
        let slot = match at {
            None => self.untimed_slot(sample)?,
            Some(stamp) => self.timed_slot(sample, stamp)?,
        };
        let Some(slot) = slot else { return Ok(None) };
        self.slots.read(slot);
        match at {
            None => self.slots.note(slot, value),
            Some(stamp) => self.slots.note_timed(slot, value, stamp),
        }
        Ok(Some(slot))
    }

    fn untimed_slot(&mut self, sample: &Sample<'_>) -> Result<Option<u32>, ParseErrorKind> {
        let known = self.cache.find(sample.hash, sample.text, 0);
        if known.is_some_and(|slot| self.slots.was_read(slot)) {
            return Ok(None);
        }
        // As in Prometheus, a timed line of the series before it makes this one a duplicate.
        if self.slots.any_timed()
            && let Some(timed) = self.cache.find(sample.hash, sample.text, 1)
            && self.slots.was_read(timed)
        {
            return Ok(None);
        }
        match known {
            Some(slot) => Ok(Some(slot)),
            None => self.new_slot(sample, 0).map(Some),
        }
    }

    fn timed_slot(&mut self, sample: &Sample<'_>, at: i64) -> Result<Option<u32>, ParseErrorKind> {
        let first = match self.cache.find(sample.hash, sample.text, 1) {
            Some(slot) => slot,
            None => self.new_slot(sample, 1)?,
        };
        if !self.slots.was_read(first) {
            return Ok(Some(first));
        }
        let first_at = self.slots.stamp_reading(first).unwrap_or_default();
        self.repeats.seen.insert((first, first_at));
        if !self.repeats.seen.insert((first, at)) {
            return Ok(None);
        }
        let count = self.repeats.counts.entry(first).or_insert(1);
        *count += 1;
        let variant = *count;
        match self.cache.find(sample.hash, sample.text, variant) {
            Some(slot) => Ok(Some(slot)),
            None => self.new_slot(sample, variant).map(Some),
        }
    }

    fn new_slot(&mut self, sample: &Sample<'_>, variant: u32) -> Result<u32, ParseErrorKind> {
        // A variant of a known series was judged when the first one came.
        let checked = match sample.checked {
            Some(checked) => checked,
            None => series::check(sample.text, self.format).map_err(|fault| fault.kind)?,
        };
        let normalise = normalise(checked, self.kind);
        let key = (sample.hash, sample.text, variant);
        new_slot(self.cache, self.slots, self.limits, key, normalise)
    }
}
