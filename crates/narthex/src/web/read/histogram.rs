//! Native histograms as messages of remote read.

use narthex_model::histogram::{Bar, Hint, to_spans};
use narthex_model::{Histogram, Timestamp};

use crate::web::proto::Message;

/// A `prometheus.Histogram`; with whole counts if they were whole at their source, for Prometheus
/// mistakes float histograms that come this way in ranges.
pub(super) fn message(histogram: &Histogram, whole: bool, at: Timestamp) -> Message {
    let mut message = Message::default();
    // Which of the two kinds of counts there is says which kind of histogram it is, zero or not.
    match whole {
        true => message.always_number(1, rounded(histogram.count)),
        false => message.always_double(2, histogram.count),
    }
    message.double(3, histogram.sum);
    message.signed(4, i64::from(histogram.schema));
    message.double(5, histogram.zero_threshold);
    match whole {
        true => message.always_number(6, rounded(histogram.zero_count)),
        false => message.always_double(7, histogram.zero_count),
    }
    put_bars(&mut message, &histogram.negative, whole, [8, 9, 10]);
    put_bars(&mut message, &histogram.positive, whole, [11, 12, 13]);
    let hint = match histogram.hint {
        Hint::Unknown => 0,
        Hint::Reset => 1,
        Hint::NotReset => 2,
        Hint::Gauge => 3,
    };
    message.number(14, hint);
    message.number(15, at.0);
    message.doubles(16, histogram.bounds.iter().copied());
    message
}

/// A count as the whole number that it is.
#[expect(clippy::cast_possible_truncation, reason = "a float that is too large saturates")]
fn rounded(count: f64) -> i64 {
    count as i64
}

/// Buckets of one sign: where they are, and how many each one holds, as differences of whole
/// numbers or as they are.
fn put_bars(message: &mut Message, bars: &[Bar], whole: bool, [spans, deltas, counts]: [u8; 3]) {
    for span in to_spans(bars) {
        let mut inner = Message::default();
        inner.signed(1, i64::from(span.offset));
        inner.number(2, i64::from(span.length));
        message.message(spans, &inner);
    }
    if whole {
        let mut before = 0;
        let differences = bars.iter().map(|bar| {
            let count = rounded(bar.count);
            count - std::mem::replace(&mut before, count)
        });
        message.all_signed(deltas, differences);
    } else {
        message.doubles(counts, bars.iter().map(|bar| bar.count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_with_two_runs_of_buckets() {
        let bar = |index, count| Bar { index, count };
        let histogram = Histogram {
            schema: 1,
            count: 3.0,
            positive: vec![bar(-1, 1.0), bar(2, 2.0)],
            bounds: [1.0].into(),
            ..Histogram::default()
        };
        let one = 1.0f64.to_le_bytes();
        let two = 2.0f64.to_le_bytes();
        let want = [
            &[0x11][..],
            &3.0f64.to_le_bytes(),
            &[0x20, 2, 0x39, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x5a, 4, 8, 1, 0x10, 1, 0x5a, 4, 8, 4, 0x10, 1, 0x6a, 16],
            &one,
            &two,
            &[0x78, 5, 0x82, 0x01, 8],
            &one,
        ];
        assert_eq!(message(&histogram, false, Timestamp(5)).as_bytes(), want.concat());
        let want = [
            &[8, 3, 0x20, 2, 0x30, 0][..],
            &[0x5a, 4, 8, 1, 0x10, 1, 0x5a, 4, 8, 4, 0x10, 1, 0x62, 2, 2, 2],
            &[0x78, 5, 0x82, 0x01, 8],
            &one,
        ];
        assert_eq!(message(&histogram, true, Timestamp(5)).as_bytes(), want.concat());
    }
}
