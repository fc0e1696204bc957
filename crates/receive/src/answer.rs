//! What came of a request.

use std::fmt::{self, Write as _};

use narthex_model::{Labels, Timestamp};

/// Longest description of the first series that was refused for a reason, in bytes.
const SHOWN_BYTES_MAX: usize = 300;

/// Why a sample was refused while the rest of its request was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// It is older than the newest of its series.
    OutOfOrder,
    /// Its series has another value at the same time.
    Duplicate,
    /// It is older than what the store still takes.
    TooOld,
    /// It lies too far ahead of the clock.
    TooFarAhead,
    /// Its labels have no `__name__`.
    NoName,
    /// A label has no name.
    EmptyName,
    /// A label has the name that the store keeps for itself.
    ReservedName,
    /// A label stands twice.
    DuplicateLabel,
    /// A label is not UTF-8.
    BadUtf8,
    /// There are more labels than a series may have.
    TooManyLabels,
    /// The name or the value of a label is longer than it may be.
    LabelTooLong,
    /// A reference to a symbol that is not there, or half a pair of them.
    BadSymbol,
    /// A native histogram that makes no sense: buckets without counts, or an unknown schema.
    BadHistogram,
    /// The store has as many series as it may.
    SeriesLimit,
    /// An exemplar is older than the newest of its series.
    LateExemplar,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::OutOfOrder,
        Self::Duplicate,
        Self::TooOld,
        Self::TooFarAhead,
        Self::NoName,
        Self::EmptyName,
        Self::ReservedName,
        Self::DuplicateLabel,
        Self::BadUtf8,
        Self::TooManyLabels,
        Self::LabelTooLong,
        Self::BadSymbol,
        Self::BadHistogram,
        Self::SeriesLimit,
        Self::LateExemplar,
    ];

    /// The value of the `reason` label of the counter.
    pub fn label(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out_of_order",
            Self::Duplicate => "duplicate",
            Self::TooOld => "too_old",
            Self::TooFarAhead => "too_far_ahead",
            Self::NoName => "no_metric_name",
            Self::EmptyName => "empty_label_name",
            Self::ReservedName => "reserved_label_name",
            Self::DuplicateLabel => "duplicate_label",
            Self::BadUtf8 => "bad_utf8",
            Self::TooManyLabels => "too_many_labels",
            Self::LabelTooLong => "label_too_long",
            Self::BadSymbol => "bad_symbol",
            Self::BadHistogram => "bad_histogram",
            Self::SeriesLimit => "series_limit",
            Self::LateExemplar => "exemplar_out_of_order",
        }
    }

    /// The reason in words; where Prometheus has the same one, in its words.
    pub fn text(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out of order sample",
            Self::Duplicate => "duplicate sample for timestamp",
            Self::TooOld => "too old sample",
            Self::TooFarAhead => "out of bounds: too far in the future",
            Self::NoName => "invalid labels: no metric name",
            Self::EmptyName => "invalid labels: empty label name",
            Self::ReservedName => "invalid labels: the label name \"\\x01\" is reserved",
            Self::DuplicateLabel => "invalid labels: duplicate label name",
            Self::BadUtf8 => "invalid labels: not valid UTF-8",
            Self::TooManyLabels => "invalid labels: too many labels",
            Self::LabelTooLong => "invalid labels: label name or value too long",
            Self::BadSymbol => "invalid labels: reference to a symbol that does not exist",
            Self::BadHistogram => "invalid native histogram",
            Self::SeriesLimit => "series limit reached",
            Self::LateExemplar => "out of order exemplar",
        }
    }
}

/// Why a request failed as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The body is not a compressed message. Nothing of it was stored.
    #[error("{0}")]
    Malformed(String),
    /// The message is larger than it may be. Nothing of it was stored.
    #[error("{0}")]
    TooLarge(String),
    /// The store failed. Some of the request may have been stored.
    #[error("{0}")]
    Store(#[from] narthex_store::Error),
}

/// How many samples were refused, by reason, and the first of each.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    counts: [u64; Reason::ALL.len()],
    first: Vec<(Reason, String)>,
}

impl Refusals {
    /// Takes note of samples that were refused.
    pub(crate) fn add(&mut self, reason: Reason, count: u64, first: impl FnOnce() -> String) {
        if let Some(counted) = self.counts.get_mut(reason as usize) {
            if *counted == 0 && !self.first.iter().any(|&(known, _)| known == reason) {
                self.first.push((reason, first()));
            }
            *counted += count;
        }
    }

    /// How many were refused for `reason`.
    pub fn of(&self, reason: Reason) -> u64 {
        self.counts.get(reason as usize).copied().unwrap_or(0)
    }

    /// How many were refused.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Whether none was refused.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (reason, first)) in self.first.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{} ({} refused", reason.text(), self.of(*reason))?;
            match first.as_str() {
                "" => f.write_char(')')?,
                first => write!(f, ", the first: {first})")?,
            }
        }
        Ok(())
    }
}

/// What was stored of a request, and what was refused.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Samples that are stored, those that had been before included.
    pub samples: u64,
    /// Native histograms that are stored.
    pub histograms: u64,
    /// Exemplars that are kept, those that had been before included; all that came, when none
    /// are kept.
    pub exemplars: u64,
    /// Exemplars older than the newest of their series. Protocol 2.0 refuses them, 1.0 leaves them
    /// out in silence.
    pub late_exemplars: u64,
    /// What was refused.
    pub refused: Refusals,
    /// What of a request of OTLP has no place in Prometheus and was left out; the first few things.
    pub notes: Vec<String>,
    /// What newer samples of its series in the same request have outrun. It is left out and counted,
    /// but told to the sender as written: Prometheus notices it when it commits the request.
    pub outrun: Refusals,
    /// How many native histograms are among these.
    pub outrun_histograms: u64,
}

impl Answer {
    /// Samples that the sender is told of as written.
    pub fn told_samples(&self) -> u64 {
        self.samples + self.outrun.total() - self.outrun_histograms
    }

    /// Native histograms that the sender is told of as written.
    pub fn told_histograms(&self) -> u64 {
        self.histograms + self.outrun_histograms
    }
}

/// A series and a time, cut to a length that fits an answer.
pub(crate) fn describe(labels: &Labels, at: Timestamp) -> String {
    let mut text = labels.to_string();
    if text.len() > SHOWN_BYTES_MAX {
        let end = text.floor_char_boundary(SHOWN_BYTES_MAX);
        text.truncate(end);
        text.push_str("...");
    }
    let _ = write!(text, " at {at}");
    text
}
