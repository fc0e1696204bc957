//! Bodies of targets. The first byte that is zero cuts the input: what is before is the body of
//! the scrape before.

use narthex_expo::{Format, Limits, Piece, Stencil, Walk};
use narthex_model::LabelsBuilder;

/// The text format.
pub(crate) fn text(bytes: &[u8]) {
    scrape(Format::Text, bytes);
}

/// OpenMetrics.
pub(crate) fn openmetrics(bytes: &[u8]) {
    scrape(Format::OpenMetrics, bytes);
}

fn scrape(format: Format, bytes: &[u8]) {
    let mut stencil = Stencil::new(format, Limits::default());
    let mut cold = Stencil::new(format, Limits::default());
    for body in bytes.splitn(2, |&byte| byte == 0) {
        let warm = stencil.fit(body);
        // A stencil that saw other bodies before comes to the same answer as a fresh one.
        cold.forget();
        assert_eq!(warm.is_ok(), cold.fit(body).is_ok(), "warm and cold disagree");
        walk(format, body, warm.is_ok());
        let Ok(fit) = warm else { continue };
        let present = stencil.values().iter().filter(|&&value| !narthex_model::is_absent(value));
        let distinct = fit.samples - fit.duplicates;
        assert_eq!(present.count(), distinct as usize, "samples and values disagree");
        let mut labels = LabelsBuilder::default();
        stencil.each_exemplar(|_, exemplar| exemplar.each_label(|_, _| {}));
        for &slot in stencil.appeared() {
            stencil.labels(slot, &mut labels);
        }
    }
}

/// A walk misses nothing, and finds a body faulty that the stencil refuses.
fn walk(format: Format, body: &[u8], good: bool) {
    let mut walk = Walk::new(body, format, Limits::default().line_bytes_max);
    let (mut labels, mut seen) = (LabelsBuilder::default(), Vec::new());
    while let Some(piece) = walk.next(&mut labels) {
        let (Piece::Between { text, .. } | Piece::Sample { line: text, .. }) = piece;
        seen.extend_from_slice(text);
    }
    let whole = walk.rest().is_empty();
    seen.extend_from_slice(walk.rest());
    assert_eq!(seen, body, "the walk left something out");
    // That `# EOF` is missing the walk leaves to others.
    let agreed = whole == good || (whole && format == Format::OpenMetrics);
    assert!(agreed, "the walk and the stencil disagree");
}
