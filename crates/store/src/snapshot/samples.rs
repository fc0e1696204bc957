//! Samples as they are handed out.

use narthex_model::Timestamp;

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
