//! The series that tell how a scrape went, written in the same row as what it brought.

use narthex_model::Labels;

use crate::resolve::target_labels_with_name;

/// The columns of the report, first in every layout, in this order.
pub(crate) const NAMES: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// The columns that `extra_scrape_metrics` adds behind [`NAMES`].
pub(crate) const EXTRA_NAMES: [&str; 3] =
    ["scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes"];

/// What is reported of one scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// Whether the scrape succeeded.
    pub(crate) up: bool,
    /// How long it took, in seconds.
    pub(crate) duration_seconds: f64,
    /// Samples in the body; up to the broken line when it could not be read.
    pub(crate) scraped: u32,
    /// Samples left by metric relabelling.
    pub(crate) post_relabel: u32,
    /// Series that were not in the scrape before.
    pub(crate) added: u32,
    /// The target's timeout, in seconds.
    pub(crate) timeout_seconds: f64,
    /// The configured limit, or 0.
    pub(crate) sample_limit: u64,
    /// Bytes of the body, decompressed; -1 when it broke `body_size_limit`.
    pub(crate) body_bytes: f64,
}

impl Report {
    /// The values in the order of [`NAMES`] and [`EXTRA_NAMES`].
    #[expect(clippy::cast_precision_loss, reason = "a limit over 2^53 samples is no limit")]
    pub(crate) fn values(&self) -> [f64; NAMES.len() + EXTRA_NAMES.len()] {
        [
            f64::from(u8::from(self.up)),
            self.duration_seconds,
            f64::from(self.scraped),
            f64::from(self.post_relabel),
            f64::from(self.added),
            self.timeout_seconds,
            self.sample_limit as f64,
            self.body_bytes,
        ]
    }
}

/// The labels of the report's series for a target, in column order.
pub(crate) fn series(target_labels: &Labels, extra: bool) -> Vec<Labels> {
    let extra = if extra { EXTRA_NAMES.as_slice() } else { &[] };
    NAMES.iter().chain(extra).map(|name| target_labels_with_name(target_labels, name)).collect()
}
