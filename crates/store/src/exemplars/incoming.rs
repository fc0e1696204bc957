//! An exemplar that came, before anything is allocated for it.

use std::fmt;

use narthex_model::{Labels, Timestamp};

/// Most characters that the names and values of an exemplar's labels may have together, as
/// OpenMetrics has it.
pub const LABEL_CHARS_MAX: usize = 128;

/// Most labels: each has a name and a value of one character at least.
const LABELS_MAX: usize = LABEL_CHARS_MAX / 2;

/// An exemplar that came.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    /// What was observed.
    pub value: f64,
    /// When.
    pub at: Timestamp,
    /// Whether it brought its time itself; else it has that of its sample, and one with the same
    /// labels and value is the same, whatever the time.
    pub timed: bool,
    /// Sorted by name.
    pairs: [(&'a str, &'a str); LABELS_MAX],
    len: usize,
    chars: usize,
}

impl<'a> Incoming<'a> {
    /// An exemplar without labels.
    pub fn new(value: f64, at: Timestamp, timed: bool) -> Self {
        Self { value, at, timed, pairs: [("", ""); LABELS_MAX], len: 0, chars: 0 }
    }

    /// Adds a label, unless name or value is empty: such a label is none. Of equal names the last
    /// counts.
    pub fn label(&mut self, name: &'a str, value: &'a str) {
        if name.is_empty() || value.is_empty() {
            return;
        }
        self.chars += chars(name) + chars(value);
        let held = self.pairs.get(..self.len).unwrap_or_default();
        match held.binary_search_by(|(have, _)| (*have).cmp(name)) {
            Ok(at) => {
                if let Some(pair) = self.pairs.get_mut(at) {
                    pair.1 = value;
                }
            }
            Err(at) => {
                let len = self.len;
                if let Some(room) = self.pairs.get_mut(at..=len) {
                    room.rotate_right(1);
                    if let Some(pair) = room.first_mut() {
                        *pair = (name, value);
                    }
                    self.len += 1;
                }
            }
        }
    }

    /// Whether the labels are longer than they may be.
    pub fn is_too_long(&self) -> bool {
        self.chars > LABEL_CHARS_MAX
    }

    /// The labels, sorted.
    pub fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + '_ {
        self.pairs.get(..self.len).unwrap_or_default().iter().copied()
    }

    /// The labels in one piece.
    pub fn build(&self) -> Labels {
        Labels::from_sorted(self.labels())
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.build(), self.value, self.at)
    }
}

/// Characters of `text`, or of its beginning if that is too long already.
fn chars(text: &str) -> usize {
    // A character has four bytes at most.
    if text.len() > 4 * LABEL_CHARS_MAX { LABEL_CHARS_MAX + 1 } else { text.chars().count() }
}
