//! A consistent view for queries.

use narthex_model::{Labels, Matcher, TimeRange, Timestamp};

use crate::Error;

/// A consistent view of the store: the rows that were visible when it was taken, whole rows only,
/// however long it is held. Holding one keeps memory and files of sealed windows in use.
#[derive(Clone, Debug)]
pub struct Snapshot {}

impl Snapshot {
    /// The series that satisfy all matchers and may have samples in `range`, sorted by labels.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Selection, Error> {
        let _ = (matchers, range);
        Ok(Selection::default())
    }

    /// The label names of the series that [`Snapshot::select`] would give, sorted.
    pub fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, Error> {
        let _ = (matchers, range);
        Ok(Vec::new())
    }

    /// The values of the label `name` on the series that [`Snapshot::select`] would give, sorted.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, Error> {
        let _ = (name, matchers, range);
        Ok(Vec::new())
    }
}

/// The outcome of [`Snapshot::select`].
#[derive(Debug, Default)]
pub struct Selection {
    /// The series, sorted by labels, each set of labels once.
    pub series: Vec<Series>,
    /// What could not be read, for the user's eyes.
    pub warnings: Vec<String>,
}

/// A series of a selection.
#[derive(Clone, Debug)]
pub struct Series {
    labels: Labels,
}

impl Series {
    /// Its labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Reads the samples in `range` into `out`, which is cleared first: in order of time, each
    /// instant once (the first sample stored wins), staleness markers included. A damaged chunk is
    /// left out and named in `out.warnings`.
    pub fn read(&self, range: TimeRange, out: &mut Samples) -> Result<(), Error> {
        let _ = range;
        out.clear();
        Ok(())
    }
}

/// Samples of one series, in order of time; buffers to be reused.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// The times, strictly rising.
    pub times: Vec<Timestamp>,
    /// The values, one per time.
    pub values: Vec<f64>,
    /// What could not be read, for the user's eyes.
    pub warnings: Vec<String>,
}

impl Samples {
    /// Empties the buffers and keeps their memory.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.warnings.clear();
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}
