//! Laying the last body over the next one.
//!
//! Runs of equal bytes cost a comparison; a difference inside a hole costs the parsing of a
//! number; a difference anywhere else is resynchronised: the last body's next lines are tried in
//! turn, else one line is read in full and looked up. Whatever is doubtful (faults, repeated
//! series, timestamps that come or go) is left to the full reading, which decides everything.

use narthex_model::MetricKind;

use crate::format::{Format, Step};
use crate::metadata::Meta;
use crate::scan;
use crate::stencil::layout::{self, Layout, Line, NO_SLOT};
use crate::stencil::slots::{Slot, Slots};
use crate::stencil::{STORM_PAUSE_FITS, STORMS_MAX, Stencil, full};

/// Lines of the last body that are tried when a line is not the expected one.
const LOOK_AHEAD_LINES: usize = 16;

/// Failed look-aheads in a row after which lines are looked up at once.
const LOOK_AHEAD_MISSES_MAX: u32 = 8;

/// How far both bodies have been read.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    line: usize,
    old: usize,
    new: usize,
}

/// Why [`run`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Both bodies end here.
    Done,
    /// The next line of the new body is not the next line of the old one.
    Differs,
}

/// The full reading must decide.
#[derive(Clone, Copy, Debug)]
struct Doubt;

/// A walk that met lines in other places than before.
#[derive(Debug, Default)]
struct Edit {
    /// Lines of the last layout before this one are already in the next.
    copied: usize,
    misses: u32,
    /// Lines that were read in full.
    parsed: usize,
    kinds: Kinds,
    /// Per slot: the last layout's line behind its own, and where that begins in the last body;
    /// made when first needed, of the lines that were still ahead then.
    behind: Option<Vec<(u32, u32)>>,
}

/// The kind named last before a line of the next layout; remembers where it was asked last.
#[derive(Debug, Default)]
struct Kinds {
    lines: usize,
    at: usize,
    kind: MetricKind,
}

impl Stencil {
    /// Reads `body` along the last one; false if it must be read in full.
    pub(super) fn walk(&mut self, body: &[u8]) -> bool {
        let known = self.slots.len();
        let mut edit = None;
        let walked = self.steps(body, &mut edit);
        let Some(edit) = edit else {
            if walked.is_err() {
                self.take_back(known);
                return false;
            }
            self.rest_cache();
            self.storms = 0;
            self.last.keep(body);
            return true;
        };
        if edit.parsed * 4 > self.last.lines.len() + 32 {
            self.storms += 1;
            if self.storms >= STORMS_MAX {
                self.storms = 0;
                self.pause = STORM_PAUSE_FITS;
            }
        } else {
            self.storms = 0;
        }
        if walked.and_then(|()| self.finish_edit(body)).is_err() {
            self.take_back(known);
            return false;
        }
        true
    }

    /// Walks to the end of both bodies.
    fn steps(&mut self, body: &[u8], edit: &mut Option<Edit>) -> Result<(), Doubt> {
        let mut cursor = Cursor::default();
        let line_bytes_max = self.limits.line_bytes_max;
        loop {
            let Self { format, last, slots, .. } = self;
            if run(body, *format, line_bytes_max, last, slots, &mut cursor)? == Stop::Done {
                break;
            }
            if self.last.has_repeats() || self.slots.any_timed() {
                return Err(Doubt);
            }
            if edit.is_none() {
                self.lines_next.clear();
            }
            if self.differs(body, &mut cursor, edit.get_or_insert_default())? == Stop::Done {
                break;
            }
        }
        if let Some(edit) = edit {
            self.copy_lines(edit, cursor.line);
        }
        Ok(())
    }

    /// Gets over a place where the bodies differ.
    fn differs(
        &mut self,
        body: &[u8],
        cursor: &mut Cursor,
        edit: &mut Edit,
    ) -> Result<Stop, Doubt> {
        // Nothing may follow what followed the last sample.
        if cursor.line == self.last.lines.len()
            && self.last.lines.last().is_some_and(|l| l.is_tail())
        {
            return Err(Doubt);
        }
        if cursor.new == body.len() {
            // OpenMetrics has its end mark still to come.
            let ends = self.format == Format::Text;
            return if ends { Ok(Stop::Done) } else { Err(Doubt) };
        }
        if edit.misses < LOOK_AHEAD_MISSES_MAX {
            if let Some(found) = look_ahead(body, &self.last, *cursor) {
                self.copy_lines(edit, cursor.line);
                *cursor = found;
                edit.copied = found.line;
                edit.misses = 0;
                return Ok(Stop::Differs);
            }
            edit.misses += 1;
        }
        self.copy_lines(edit, cursor.line);
        self.read_line(body, cursor, edit)
    }

    /// Reads one line in full and looks its series up.
    fn read_line(
        &mut self,
        body: &[u8],
        cursor: &mut Cursor,
        edit: &mut Edit,
    ) -> Result<Stop, Doubt> {
        edit.parsed += 1;
        let start = cursor.new;
        let mut said = None;
        let mut seen = |meta| {
            if let Meta::Kind(_, kind) = meta {
                said = Some(kind);
            }
        };
        let step = self.format.skip_meta(body, start, self.limits.line_bytes_max, &mut seen);
        let series_at = match step.map_err(|_| Doubt)? {
            Step::Sample(at) => at,
            Step::End(end) => {
                self.lines_next.push(Line::tail(end - start));
                edit.copied = cursor.line;
                return Ok(Stop::Done);
            }
        };
        self.need_cache();
        let cache = self.cache.as_mut().ok_or(Doubt)?;
        let sample = full::sample(body, series_at, self.format, self.limits, cache);
        let sample = sample.map_err(|_| Doubt)?;
        if sample.suffix.at.is_some() {
            return Err(Doubt);
        }
        let slot = match (cache.find(sample.hash, sample.text, 0), sample.checked) {
            (Some(slot), _) => slot,
            (None, Some(checked)) => {
                let kinds = &mut edit.kinds;
                let kind =
                    said.unwrap_or_else(|| kinds.before(body, &self.lines_next, self.format));
                let spelling = full::normalise(checked, kind);
                let key = (sample.hash, sample.text, 0);
                full::new_slot(cache, &mut self.slots, self.limits, key, spelling)
                    .map_err(|_| Doubt)?
            }
            (None, None) => return Err(Doubt),
        };
        self.slots.note(slot, sample.suffix.value);
        cursor.new = sample.suffix.end;
        self.lines_next.push(Line::new(body, [start, sample.value_at, cursor.new], slot));
        if self.skip_past(slot, cursor) || self.leap_past(slot, body, cursor, edit) {
            edit.misses = 0;
        }
        edit.copied = cursor.line;
        Ok(Stop::Differs)
    }

    /// Moves the old side past the line of `slot`, if that line comes soon.
    fn skip_past(&self, slot: u32, cursor: &mut Cursor) -> bool {
        let ahead = self.last.lines.get(cursor.line..).unwrap_or_default();
        let ahead = ahead.get(..LOOK_AHEAD_LINES).unwrap_or(ahead);
        let Some(index) = ahead.iter().position(|line| line.slot == slot) else { return false };
        cursor.old += ahead.iter().take(index + 1).map(|line| line.len()).sum::<usize>();
        cursor.line += index + 1;
        true
    }

    /// Moves the old side past the line of `slot` wherever it is ahead, if what follows there
    /// follows here as well: many lines have left, and one that only moved must not lead away.
    fn leap_past(&self, slot: u32, body: &[u8], cursor: &mut Cursor, edit: &mut Edit) -> bool {
        let behind = edit.behind.get_or_insert_with(|| self.lines_behind(*cursor));
        let Some(&(line, old)) = behind.get(slot as usize) else { return false };
        let (line, old) = (line as usize, old as usize);
        if line <= cursor.line {
            return false;
        }
        let prefix = self.last.lines.get(line).map_or(0, |next| next.prefix as usize);
        let follows = self.last.body.get(old..old + prefix).filter(|prefix| !prefix.is_empty());
        let here = body.get(cursor.new..).unwrap_or_default();
        let leaps = follows.is_some_and(|follows| here.starts_with(follows));
        if leaps {
            (cursor.line, cursor.old) = (line, old);
        }
        leaps
    }

    fn lines_behind(&self, cursor: Cursor) -> Vec<(u32, u32)> {
        let mut behind = vec![(0, 0); self.slots.len()];
        let mut old = cursor.old;
        for (number, line) in self.last.lines.iter().enumerate().skip(cursor.line) {
            old += line.len();
            if let Some(place) = behind.get_mut(line.slot as usize) {
                *place = (layout::offset(number + 1), layout::offset(old));
            }
        }
        behind
    }

    /// Copies the lines before `upto` that stayed where they were.
    fn copy_lines(&mut self, edit: &mut Edit, upto: usize) {
        let lines = self.last.lines.get(edit.copied..upto).unwrap_or_default();
        self.lines_next.extend_from_slice(lines);
        edit.copied = upto;
    }

    /// Makes the edited layout the last one.
    fn finish_edit(&mut self, body: &[u8]) -> Result<(), Doubt> {
        self.slots.begin_reading();
        let mut samples = 0;
        for line in self.lines_next.iter().filter(|line| line.slot != NO_SLOT) {
            if !self.slots.read(line.slot) {
                return Err(Doubt);
            }
            samples += 1;
        }
        // ORDER: the cache is built from the last body, before that one goes.
        if self.slots.would_vanish() {
            self.need_cache();
        }
        self.slots.finish_reading();
        std::mem::swap(&mut self.last.lines, &mut self.lines_next);
        self.last.fit.samples = samples;
        let digest = layout::digest(body, &self.last.lines, self.format, &self.hasher);
        self.commit(body, digest);
        Ok(())
    }

    /// Undoes a walk, so that the full reading finds what the last fit left.
    fn take_back(&mut self, known: usize) {
        self.slots.take_back();
        self.slots.truncate(known);
        if let Some(cache) = &mut self.cache {
            cache.truncate(known);
        }
        let Self { last, slots, format, .. } = self;
        last.each_line(|line, at| {
            if line.slot != NO_SLOT
                && let Ok(value_at) = last.value_at(line, at, *format)
                && let Ok(suffix) = format.suffix(&last.body, value_at)
            {
                slots.restore(line.slot, suffix.value);
            }
        });
    }
}

/// Walks as long as the new body has the old one's lines in their order. Values and lengths of
/// holes are noted as they are found. A line without a slot is a duplicate without a timestamp,
/// and its value is nobody's: [`Slots`] takes no note of a slot that does not exist.
fn run(
    body: &[u8],
    format: Format,
    line_bytes_max: usize,
    last: &mut Layout,
    slots: &mut Slots,
    cursor: &mut Cursor,
) -> Result<Stop, Doubt> {
    let Layout { body: old_body, lines, .. } = last;
    let Cursor { mut line, mut old, mut new } = *cursor;
    let stop = loop {
        let old_rest = old_body.get(old..).unwrap_or_default();
        let new_rest = body.get(new..).unwrap_or_default();
        let equal = scan::common_prefix(old_rest, new_rest);
        let mut ahead = lines.get_mut(line..).unwrap_or_default().iter_mut();
        let mut skipped = 0;
        let differing = loop {
            let Some(next) = ahead.next() else { break None };
            if skipped + next.len() > equal {
                break Some(next);
            }
            skipped += next.len();
            line += 1;
        };
        old += skipped;
        new += skipped;
        let Some(next) = differing else {
            break if new == body.len() { Stop::Done } else { Stop::Differs };
        };
        let prefix = next.prefix as usize;
        if equal - skipped < prefix {
            break Stop::Differs;
        }
        let value_at = new + prefix;
        let suffix = format.suffix(body, value_at).map_err(|_| Doubt)?;
        if suffix.end - new > line_bytes_max {
            return Err(Doubt);
        }
        match (suffix.at, slots.is_timed(Slot(next.slot))) {
            (None, false) => slots.note(next.slot, suffix.value),
            (Some(stamp), true) => slots.note_timed(next.slot, suffix.value, stamp),
            _ => return Err(Doubt),
        }
        old += next.len();
        next.rest = layout::offset(suffix.end - value_at);
        new = suffix.end;
        line += 1;
    };
    *cursor = Cursor { line, old, new };
    Ok(stop)
}

/// Whether one of the next old lines stands at the new side's place; the cursor to go on from.
fn look_ahead(body: &[u8], last: &Layout, mut cursor: Cursor) -> Option<Cursor> {
    let here = body.get(cursor.new..)?;
    let mut lines = last.lines.get(cursor.line..)?.iter();
    cursor.old += lines.next()?.len();
    for line in lines.take(LOOK_AHEAD_LINES) {
        cursor.line += 1;
        if here.starts_with(last.body.get(cursor.old..cursor.old + line.prefix as usize)?) {
            return Some(cursor);
        }
        cursor.old += line.len();
    }
    None
}

impl Kinds {
    /// The kind named last in `body` before the end of `lines`.
    fn before(&mut self, body: &[u8], lines: &[Line], format: Format) -> MetricKind {
        for line in lines.get(self.lines..).unwrap_or_default() {
            if layout::has_meta(body, self.at) {
                let mut seen = |meta| {
                    if let Meta::Kind(_, kind) = meta {
                        self.kind = kind;
                    }
                };
                // A fault would have ended the walk.
                let _ = format.skip_meta(body, self.at, usize::MAX, &mut seen);
            }
            self.at += line.len();
        }
        self.lines = lines.len();
        self.kind
    }
}
