//! Native histograms and start times, kept as ordinary columns.
//!
//! A sample that is more than one number is stored as several series, its **parts**: the labels of
//! the series and one more, [`narthex_model::PART`], whose value names the part. Each part is a
//! column like any other, so rows, log, head, blocks and codec know nothing of histograms; a part
//! that a sample does not have (an empty bucket, a sum of the default) is a hole in its row.
//! Readers put the parts together again and never see the label.

use std::fmt;

use narthex_model::histogram::{Bar, Hint};
use narthex_model::{Histogram, Labels, LabelsBuilder, PART};

mod read;

pub use read::{Draft, Histograms};
pub(crate) use read::{PartSeries, attach};

/// The bit of [`Part::Flags`] that says that the counts were whole numbers at their source.
const INTEGER: u8 = 4;

/// Which number of a sample a series holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All observations: what makes a row a sample.
    Count,
    /// The sum of the observations.
    Sum,
    /// Observations in the zero bucket.
    ZeroCount,
    /// Half the width of the zero bucket.
    ZeroThreshold,
    /// The schema.
    Schema,
    /// What is known of resets, and whether the counts are whole numbers.
    Flags,
    /// When the counter started, in milliseconds since 1970: of a histogram or of a number.
    Start,
    /// The custom bound with this number.
    Bound(u16),
    /// The positive bucket with this index.
    Positive(i32),
    /// The negative bucket with this index.
    Negative(i32),
}

impl Part {
    /// Reads the value of [`PART`].
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "count" => Self::Count,
            "sum" => Self::Sum,
            "zero" => Self::ZeroCount,
            "threshold" => Self::ZeroThreshold,
            "schema" => Self::Schema,
            "flags" => Self::Flags,
            "start" => Self::Start,
            _ => match text.split_at_checked(1)? {
                ("p", index) => Self::Positive(index.parse().ok()?),
                ("n", index) => Self::Negative(index.parse().ok()?),
                ("b", index) => Self::Bound(index.parse().ok()?),
                _ => return None,
            },
        })
    }

    /// The labels of the series that holds this part of the series `whole`.
    pub fn labels(self, whole: &Labels) -> Labels {
        let mut builder = LabelsBuilder::from_labels(whole);
        builder.set(PART, &self.to_string());
        builder.build()
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count"),
            Self::Sum => f.write_str("sum"),
            Self::ZeroCount => f.write_str("zero"),
            Self::ZeroThreshold => f.write_str("threshold"),
            Self::Schema => f.write_str("schema"),
            Self::Flags => f.write_str("flags"),
            Self::Start => f.write_str("start"),
            Self::Bound(index) => write!(f, "b{index}"),
            Self::Positive(index) => write!(f, "p{index}"),
            Self::Negative(index) => write!(f, "n{index}"),
        }
    }
}

/// Gives the parts of `histogram` that differ from what a hole means, count and sum in any case.
/// `integer` says that its counts are whole numbers at their source. Custom bounds beyond the
/// 65,536th are left out.
pub fn parts(histogram: &Histogram, integer: bool, mut put: impl FnMut(Part, f64)) {
    if histogram.is_stale() {
        put(Part::Count, narthex_model::STALE);
        put(Part::Sum, narthex_model::STALE);
        return;
    }
    put(Part::Count, real(histogram.count));
    put(Part::Sum, real(histogram.sum));
    let hint: u8 = match histogram.hint {
        Hint::Unknown => 0,
        Hint::Reset => 1,
        Hint::NotReset => 2,
        Hint::Gauge => 3,
    };
    let flags = f64::from(hint | if integer { INTEGER } else { 0 });
    let numbers = [
        (Part::ZeroCount, histogram.zero_count),
        (Part::ZeroThreshold, histogram.zero_threshold),
        (Part::Schema, f64::from(histogram.schema)),
        (Part::Flags, flags),
    ];
    for (part, value) in numbers {
        if value.to_bits() != 0 {
            put(part, real(value));
        }
    }
    for (index, &bound) in (0..=u16::MAX).zip(&*histogram.bounds) {
        put(Part::Bound(index), real(bound));
    }
    for Bar { index, count } in &histogram.positive {
        put(Part::Positive(*index), real(*count));
    }
    for Bar { index, count } in &histogram.negative {
        put(Part::Negative(*index), real(*count));
    }
}

/// A value that is neither a hole nor the end of the series.
fn real(value: f64) -> f64 {
    if narthex_model::is_absent(value) || narthex_model::is_stale(value) {
        narthex_model::sample::NORMAL_NAN
    } else {
        value
    }
}

#[cfg(test)]
mod tests;
