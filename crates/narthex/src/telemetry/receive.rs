//! Receiving, under narthex' own names and the one that Prometheus has.

use std::sync::atomic::Ordering::Relaxed;

use narthex_receive::Reason;
use narthex_receive::counters::Counters;

use super::text::Page;

/// Reasons that Prometheus counts as invalid labels.
const LABELS: [Reason; 7] = [
    Reason::NoName,
    Reason::EmptyName,
    Reason::DuplicateLabel,
    Reason::BadUtf8,
    Reason::TooManyLabels,
    Reason::LabelTooLong,
    Reason::BadSymbol,
];

/// Writes the figures of the remote-write receiver.
pub fn receive(page: &mut Page, counters: &Counters) {
    for (name, help, counter) in [
        ("narthex_write_requests_total", "Remote-write requests that came.", &counters.requests),
        (
            "narthex_write_requests_failed_total",
            "Remote-write requests that were refused as a whole.",
            &counters.failed,
        ),
        ("narthex_write_samples_total", "Samples that were received.", &counters.samples),
        (
            "narthex_write_histograms_total",
            "Native histograms that were received.",
            &counters.histograms,
        ),
        ("narthex_write_exemplars_total", "Exemplars that were received.", &counters.exemplars),
        (
            "narthex_write_exemplars_out_of_order_total",
            "Received exemplars that were older than the newest of their series.",
            &counters.late_exemplars,
        ),
    ] {
        page.family(name, "counter", help).count(&[], counter.load(Relaxed));
    }
    let help = "Series that samples were received for lately.";
    page.family("narthex_write_series", "gauge", help).count(&[], counters.series.load(Relaxed));
    let help = "Received samples that were refused.";
    let mut family = page.family("narthex_write_rejected_total", "counter", help);
    for reason in Reason::ALL {
        family.count(&[("reason", reason.label())], counters.refused(reason));
    }
    let name = "prometheus_api_remote_write_invalid_labels_samples_total";
    let help = "The total number of received remote write samples and histogram samples which \
                were rejected due to invalid labels.";
    let invalid = LABELS.iter().map(|&reason| counters.refused(reason)).sum();
    page.family(name, "counter", help).count(&[], invalid);
}
