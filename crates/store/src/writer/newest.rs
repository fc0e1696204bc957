//! What a writer asks of the store before it appends.

use narthex_model::{Sample, TimeRange, Timestamp};

use super::Writer;
use crate::codec::Decoder;
use crate::head::late::LateMark;
use crate::head::layout::Sight;
use crate::head::sink::Sink;
use crate::{RowSeq, SeriesRef};

impl Writer {
    /// The clock that rows are judged by.
    pub fn now(&self) -> Timestamp {
        self.store.clock.now()
    }

    /// No row may be older: blocks have, or will have, the windows before and it is behind the
    /// window for late rows, or the retention would remove it at once.
    pub fn oldest_accepted(&self) -> Timestamp {
        let frozen = Timestamp(self.store.head.frozen_until());
        let late_from = self.store.head.late_from();
        let frozen = late_from.map_or(frozen, |late| late.min(frozen));
        let age = self.store.retention.lock().age;
        let Some(age_ms) = age.and_then(|age| i64::try_from(age.as_millis()).ok()) else {
            return frozen;
        };
        frozen.max(Timestamp(self.now().0.saturating_sub(age_ms)))
    }

    /// The newest sample of a series that is not older than [`Writer::oldest_accepted`] by what
    /// blocks have; `None` when the head has none.
    pub fn last_sample(&self, series: SeriesRef) -> Option<Sample> {
        let head = &self.store.head;
        let places = head.index.read().places(series.get()).to_vec();
        let from = Timestamp(head.frozen_until());
        let sight = Sight { sealed_until: from, seq: RowSeq(u64::MAX), late: LateMark::default() };
        let range = TimeRange::new(from, Timestamp::MAX);
        let (mut decoder, mut newest) = (Decoder::default(), None::<Sample>);
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for place in places {
            let Some(layout) = head.layout(place.layout) else { continue };
            times.clear();
            values.clear();
            let mut sink = Sink { times: &mut times, values: &mut values, seqs: None };
            layout.read(place.column, range, sight, &mut decoder, &mut sink);
            if let (Some(&at), Some(&value)) = (times.last(), values.last())
                && newest.is_none_or(|newest| newest.at < at)
            {
                newest = Some(Sample { at, value });
            }
        }
        newest
    }
}
