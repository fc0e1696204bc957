//! Buckets of OpenTelemetry's histograms as native ones have them.

use narthex_model::histogram::Bar;

/// Gaps of up to so many empty buckets are filled.
const FILLED_MAX: i64 = 2;

/// The buckets whose first has the number `offset`, `2^down` of which become one; `above` is how
/// far numbers of native buckets are above these. `None` if they have numbers beyond any.
#[expect(clippy::cast_precision_loss, reason = "counts are floats from here on")]
pub(super) fn bars(counts: &[u64], offset: i32, down: u32, above: i64) -> Option<Vec<Bar>> {
    let mut merged: Vec<(i64, u64)> = Vec::new();
    for (at, &count) in (i64::from(offset)..).zip(counts) {
        let index = (at >> down.min(63)) + above;
        match merged.last_mut() {
            Some((last, sum)) if *last == index => *sum = sum.wrapping_add(count),
            _ => merged.push((index, count)),
        }
    }
    let mut bars = Vec::new();
    let mut next = merged.first().map_or(0, |(index, _)| *index);
    let last = merged.len().saturating_sub(1);
    for (at, &(index, count)) in merged.iter().enumerate() {
        if count == 0 && at < last {
            continue;
        }
        if index - next <= FILLED_MAX {
            for empty in next..index {
                bars.push(Bar { index: i32::try_from(empty).ok()?, count: 0.0 });
            }
        }
        bars.push(Bar { index: i32::try_from(index).ok()?, count: count as f64 });
        next = index + 1;
    }
    Some(bars)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(counts: &[u64], offset: i32, down: u32, above: i64) -> Vec<(i32, f64)> {
        let bars = bars(counts, offset, down, above).unwrap();
        bars.into_iter().map(|bar| (bar.index, bar.count)).collect()
    }

    #[test]
    fn buckets_move_and_merge() {
        assert_eq!(shown(&[1, 2], -1, 0, 1), [(0, 1.0), (1, 2.0)]);
        // Short gaps are filled, long ones are not; the last one stays though it is empty.
        assert_eq!(
            shown(&[0, 0, 3, 0, 0, 0, 4, 0], 0, 0, 1),
            [(1, 0.0), (2, 0.0), (3, 3.0), (7, 4.0), (8, 0.0)]
        );
        assert_eq!(shown(&[1, 2, 3, 4], -3, 1, 1), [(-1, 1.0), (0, 5.0), (1, 4.0)]);
        assert_eq!(shown(&[0, 0, 3, 4], 0, 1, 0), [(0, 0.0), (1, 7.0)]);
        assert_eq!(shown(&[5, 6], 7, 40, 1), [(1, 11.0)]);
        assert!(shown(&[], 0, 0, 0).is_empty());
        assert!(bars(&[1], i32::MAX, 0, 1).is_none());
    }
}
