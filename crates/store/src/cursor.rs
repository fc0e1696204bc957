//! Following the rows behind the writer.

use crate::{Error, RowBuf};

/// Reads the rows of the store in order, behind the writer.
#[derive(Debug)]
pub struct RowReader {}

impl RowReader {
    /// Reads the next row into `out`; `false` when there is none yet.
    pub fn next(&mut self, out: &mut RowBuf) -> Result<bool, Error> {
        let _ = out;
        Ok(false)
    }

    /// How many rows no longer existed when they were due.
    pub fn lost(&self) -> u64 {
        0
    }
}
