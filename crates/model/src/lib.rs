//! The words every other crate speaks: labels, samples, histograms, times, matchers, relabelling.
//!
//! Nothing here does I/O, reads a clock or spawns anything; nothing here depends on another crate
//! of the project. A word that two crates need lives here; a helper that one crate needs lives
//! with its user.
#![forbid(unsafe_code)]

pub mod hash;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod number;
pub mod regex;
pub mod relabel;
pub mod sample;
pub mod time;

pub use hash::Hashing;
pub use histogram::Histogram;
pub use labels::{Labels, LabelsBuilder, METRIC_NAME, PART};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{Metadata, MetricKind};
pub use sample::{ABSENT, STALE, Sample, is_absent, is_stale};
pub use time::{Clock, TimeRange, Timestamp};
