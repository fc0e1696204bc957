//! Finds the rows of a time.

use narthex_model::{TimeRange, Timestamp};
use narthex_store::{RowBuf, RowSeq, Store};

use crate::ledger::Span;

/// Rows stand nearly in order of time: targets answer at different speed, and clocks are set.
const SLACK_MS: i64 = 15 * 60_000;

/// The rows that can have samples of `times`, none of them behind `last`.
pub(crate) fn span(
    store: &Store,
    times: TimeRange,
    last: RowSeq,
) -> Result<Span, narthex_store::Error> {
    let from = Timestamp(times.start.0.saturating_sub(SLACK_MS));
    let to = Timestamp(times.end.0.saturating_add(SLACK_MS));
    let after = first_from(store, from, last)?;
    let last = first_from(store, to, last)?;
    Ok(Span { after, last })
}

/// The last place of which the next row is before `at`, but not behind `last`.
fn first_from(store: &Store, at: Timestamp, last: RowSeq) -> Result<RowSeq, narthex_store::Error> {
    let (mut low, mut high) = (0, last.0);
    let mut row = RowBuf::default();
    while low < high {
        let middle = low + (high - low) / 2;
        let found = store.rows_after(RowSeq(middle))?.next(&mut row)?;
        if found && row.at < at && row.seq.0 <= high {
            low = row.seq.0.max(middle + 1);
        } else {
            high = middle;
        }
    }
    Ok(RowSeq(low.min(last.0)))
}

#[cfg(test)]
mod tests {
    use narthex_model::Labels;
    use narthex_store::Row;
    use narthex_store::testing::memory_store;

    use super::*;

    #[test]
    fn rows_are_found_by_their_time() {
        let (store, mut writer) = memory_store();
        let source = writer.new_source();
        let layout = writer.new_layout(source).unwrap();
        let series = writer.resolve(&Labels::from_pairs([("__name__", "a")])).unwrap();
        writer.add_columns(layout, &[series]).unwrap();
        for minute in 0..600 {
            let at = Timestamp(minute * 60_000);
            writer.append(&Row { layout, at, values: &[1.0], changed: None }).unwrap();
        }
        let last = store.last_seq();
        let minutes = |from: i64, to: i64| {
            let times = TimeRange::new(Timestamp(from * 60_000), Timestamp(to * 60_000));
            let span = span(&store, times, last).unwrap();
            let at =
                |seq: RowSeq| i64::try_from(seq.0).unwrap() - i64::try_from(last.0).unwrap() + 600;
            (at(span.after), at(span.last))
        };
        assert_eq!(minutes(100, 200), (85, 215));
        assert_eq!(minutes(-100, 5), (minutes(-200, -100).1, 20));
        assert_eq!(minutes(590, 9000).1, 600);
        assert_eq!(minutes(8000, 9000), (600, 600));
    }
}
