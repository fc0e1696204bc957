//! The store as its readers and its upkeep see it.

use std::sync::Arc;

use narthex_model::Labels;

use crate::{
    Cardinality, Error, LayoutRef, Options, Retention, RowReader, RowSeq, SeriesRef, Snapshot,
    Stats, Upkeep,
};

/// An open data directory. Shared by all threads; rows enter through the one
/// [`crate::Writer`] that was made with it.
#[derive(Debug)]
pub struct Store {
    pub(crate) options: Options,
}

impl Store {
    /// A consistent view of all rows appended so far: whole rows only. Cheap.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {}
    }

    /// The labels of a series that rows still refer to.
    pub fn labels(&self, series: SeriesRef) -> Option<Labels> {
        let _ = series;
        None
    }

    /// The columns that a layout has so far.
    pub fn layout(&self, layout: LayoutRef) -> Option<Arc<[SeriesRef]>> {
        let _ = layout;
        None
    }

    /// A reader of the rows that follow `seq`, in order.
    pub fn rows_after(&self, seq: RowSeq) -> Result<RowReader, Error> {
        let _ = seq;
        Ok(RowReader {})
    }

    /// The last row that is visible.
    pub fn last_seq(&self) -> RowSeq {
        RowSeq(0)
    }

    /// Where the cursor `name` stands, if it was ever saved.
    pub fn cursor(&self, name: &str) -> Option<RowSeq> {
        let _ = name;
        None
    }

    /// Saves durably that the consumer `name` is done with all rows up to `seq`. The log keeps
    /// what a cursor has not passed, within the size limit of the retention.
    pub fn save_cursor(&self, name: &str, seq: RowSeq) -> Result<(), Error> {
        let _ = (name, seq);
        Ok(())
    }

    /// Forgets the cursor `name`.
    pub fn drop_cursor(&self, name: &str) {
        let _ = name;
    }

    /// Makes durable all that was appended before the call. Does not hold up the writer.
    pub fn sync(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Seals the windows that are due, applies the retention, shortens the log. To be called
    /// about every 10 s by one thread.
    pub fn upkeep(&self) -> Result<Upkeep, Error> {
        Ok(Upkeep::default())
    }

    /// Changes what is kept, from the next [`Store::upkeep`] on.
    pub fn set_retention(&self, retention: Retention) {
        let _ = (retention, &self.options);
    }

    /// The store's figures.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// What the head's series consist of: at most `limit` entries a list. Walks all series.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        let _ = limit;
        Cardinality::default()
    }

    /// Syncs, and refuses all further rows.
    pub fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}
