//! Runs of buckets, as the exposition format, remote write and block files have them.

use super::Bar;

/// A run of buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The index of the first bucket in the first span; in later ones the gap behind the span
    /// before.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// The spans of buckets that come by rising index.
pub fn to_spans(bars: &[Bar]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = None;
    for bar in bars {
        match (spans.last_mut(), next) {
            (Some(span), Some(next)) if next == bar.index => span.length += 1,
            (_, next) => {
                let offset = bar.index.wrapping_sub(next.unwrap_or(0));
                spans.push(Span { offset, length: 1 });
            }
        }
        next = Some(bar.index.wrapping_add(1));
    }
    spans
}

/// The buckets that spans and counts describe; none if there are more or fewer counts than
/// buckets, a span goes back, or an index leaves the range of numbers.
pub fn from_spans(spans: &[Span], counts: impl IntoIterator<Item = f64>) -> Option<Vec<Bar>> {
    let mut counts = counts.into_iter();
    let mut bars = Vec::new();
    let mut index = 0_i32;
    for (number, span) in spans.iter().enumerate() {
        if number > 0 && span.offset < 0 {
            return None;
        }
        index = index.checked_add(span.offset)?;
        for _ in 0..span.length {
            bars.push(Bar { index, count: counts.next()? });
            index = index.checked_add(1)?;
        }
    }
    counts.next().is_none().then_some(bars)
}
