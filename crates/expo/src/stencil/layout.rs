//! A body and where its lines are.

use narthex_model::Hashing;

use crate::cache::Cache;
use crate::fault::Fault;
use crate::format::{Format, Step};
use crate::metadata::{Digest, Families};
use crate::stencil::slots::Slots;
use crate::stencil::{Fit, Limits, Slot};
use crate::{scan, series};

/// The slot of a line that has none: a duplicate, or what follows the last sample.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// One sample's bytes in a body: the comments before it, its series, its value and the rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Bytes before the hole: comments, series and blanks.
    pub(super) prefix: u32,
    /// Bytes of the hole: value, timestamp, exemplar, newline. 0 if the line is without a hole:
    /// whatever follows the last sample, or a series and a value with nothing between them.
    pub(super) rest: u32,
    pub(super) slot: u32,
}

impl Line {
    /// A line of the body: it starts at `start`, its value at `value`, and it ends at `end`.
    pub(super) fn new(body: &[u8], [start, value, end]: [usize; 3], slot: u32) -> Self {
        // The byte before a hole must end the series for certain: `a+1` could become `ab+1`.
        let before = value.checked_sub(1).and_then(|at| body.get(at));
        let hole = matches!(before, Some(b' ' | b'\t' | b'}'));
        let split = if hole { value } else { end };
        Self { prefix: offset(split - start), rest: offset(end - split), slot }
    }

    /// What follows the last sample.
    pub(super) fn tail(len: usize) -> Self {
        Self { prefix: offset(len), rest: 0, slot: NO_SLOT }
    }

    pub(super) fn is_tail(self) -> bool {
        self.rest == 0 && self.slot == NO_SLOT
    }

    pub(super) fn len(self) -> usize {
        self.prefix as usize + self.rest as usize
    }
}

/// A place or length in a body, which is shorter than 4 GiB.
#[expect(clippy::cast_possible_truncation, reason = "bodies of 4 GiB are refused")]
pub(super) fn offset(bytes: usize) -> u32 {
    bytes as u32
}

/// Where a series text is: start and length.
pub(super) type Span = (u32, u32);

/// The last good body and its lines.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) body: Vec<u8>,
    pub(super) lines: Vec<Line>,
    pub(super) fit: Fit,
    /// Whether the body ends with a newline.
    pub(super) ends_clean: bool,
    /// Whether a series stands in it more than once with different timestamps.
    pub(super) timed_repeats: bool,
}

impl Layout {
    /// Whether any series stands in the body more than once.
    pub(super) fn has_repeats(&self) -> bool {
        self.fit.duplicates > 0 || self.timed_repeats
    }

    /// Takes over the bytes of a new body.
    pub(super) fn keep(&mut self, body: &[u8]) {
        self.body.clear();
        if body.len() > self.body.capacity() {
            // A little more than needed, for the length of most bodies wavers.
            self.body.reserve_exact(body.len() + body.len() / 64 + 64);
        }
        self.body.extend_from_slice(body);
        self.ends_clean = body.last() == Some(&b'\n');
    }

    /// Goes over the lines with the place where each begins. Does not trust `rest`, which a walk
    /// may already have changed to that of the next body.
    pub(super) fn each_line(&self, mut seen: impl FnMut(Line, usize)) {
        let mut at = 0;
        for &line in &self.lines {
            seen(line, at);
            at += line.prefix as usize;
            if line.rest > 0 {
                at = scan::line_end(&self.body, at);
            }
        }
    }

    /// Where the value of a line begins that itself begins at `at`.
    pub(super) fn value_at(&self, line: Line, at: usize, format: Format) -> Result<usize, Fault> {
        if line.rest > 0 {
            return Ok(at + line.prefix as usize);
        }
        match format.skip_meta(&self.body, at, usize::MAX, &mut |_| {})? {
            Step::Sample(at) => {
                let text = self.body.get(at..).unwrap_or_default();
                format.value_start(&self.body, at + series::check(text, format)?.len)
            }
            Step::End(at) => Ok(at),
        }
    }

    /// Where each slot's series text is.
    pub(super) fn spans(&self, format: Format, slot_count: usize) -> Vec<Span> {
        let mut spans = vec![(0, 0); slot_count];
        self.each_line(|line, at| {
            let Some(span) = spans.get_mut(line.slot as usize) else { return };
            let Ok(Step::Sample(at)) = format.skip_meta(&self.body, at, usize::MAX, &mut |_| {})
            else {
                return;
            };
            let text = self.body.get(at..).unwrap_or_default();
            // The body was accepted, so there is a series.
            *span = (offset(at), offset(series::check(text, format).unwrap_or_default().len));
        });
        spans
    }

    /// The bytes of a span.
    pub(super) fn text(&self, (start, len): Span) -> &[u8] {
        self.body.get(start as usize..start as usize + len as usize).unwrap_or_default()
    }

    /// A line cache of all slots, each of which must be in this body once.
    pub(super) fn cache(&self, format: Format, hasher: Hashing, slots: &Slots) -> Cache {
        let mut cache = Cache::new(hasher);
        for (slot, span) in (0u32..).zip(self.spans(format, slots.len())) {
            let text = self.text(span);
            // The texts are part of one body, so there is room.
            let _ = cache.push(cache.hash(text), text, u32::from(slots.is_timed(Slot(slot))));
        }
        cache
    }

    /// Gives the lines the new numbers of their slots.
    pub(super) fn renumber(&mut self, map: &[Option<Slot>]) {
        for line in &mut self.lines {
            line.slot = map.get(line.slot as usize).copied().flatten().map_or(NO_SLOT, |s| s.0);
        }
    }

    /// Reads the metadata of the body.
    pub(super) fn families(&self, format: Format, limits: Limits) -> Families {
        let mut families = Families::default();
        self.each_line(|_, at| {
            if has_meta(&self.body, at) {
                let mut add = |meta| families.add(meta, format);
                // A fault would have refused the body.
                let _ = format.skip_meta(&self.body, at, limits.line_bytes_max, &mut add);
            }
        });
        families
    }
}

/// Whether something stands before the series of the line that begins at `at`.
pub(super) fn has_meta(body: &[u8], at: usize) -> bool {
    matches!(body.get(at), Some(b'#' | b' ' | b'\t' | b'\n'))
}

/// The digest of the metadata of `body`, whose lines are given.
pub(super) fn digest(body: &[u8], lines: &[Line], format: Format, hasher: &Hashing) -> Digest {
    let mut digest = Digest::default();
    let mut at = 0;
    for line in lines {
        if has_meta(body, at) {
            let _ = format.skip_meta(body, at, usize::MAX, &mut |meta| digest.add(meta, hasher));
        }
        at += line.len();
    }
    digest
}
