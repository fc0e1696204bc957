//! Reading many series in one range.

use std::collections::HashMap;
use std::sync::Arc;

use narthex_model::{Hashing, TimeRange};

use super::series::HeadPart;
use super::{Samples, Series};
use crate::codec::Decoder;
use crate::head::glance::Glance;
use crate::head::layout::Sight;
use crate::{Error, LayoutRef};

/// Columns of a layout that are read one by one before its rows are taken as a whole.
const SINGLE_READS: u32 = 3;

/// Reads series in one range. What the series of a target share is found once; the series of one
/// snapshot only may be given to it.
#[derive(Debug)]
pub struct Reader {
    range: TimeRange,
    layouts: HashMap<LayoutRef, Seen, Hashing>,
}

/// What is known of a layout.
#[derive(Debug, Default)]
struct Seen {
    reads: u32,
    glance: Option<Glance>,
}

impl Reader {
    /// For the samples in `range`.
    pub fn new(range: TimeRange) -> Self {
        Self { range, layouts: HashMap::default() }
    }

    /// As [`Series::read`].
    pub fn read(&mut self, series: &Series, out: &mut Samples) -> Result<(), Error> {
        series.read_through(self.range, Some(self), out);
        Ok(())
    }

    /// Appends what the head has in one column, if the layout's rows were taken as a whole; gives
    /// the number of damaged chunks.
    pub(super) fn read_column(
        &mut self,
        part: &HeadPart,
        sight: Sight,
        decoder: &mut Decoder,
        out: &mut Samples,
    ) -> Option<usize> {
        let layout = Arc::as_ref(&part.layout);
        let seen = self.layouts.entry(layout.name).or_default();
        seen.reads = seen.reads.saturating_add(1);
        if seen.reads == SINGLE_READS + 1 {
            seen.glance = layout.glance(self.range, sight);
        }
        let glance = seen.glance.as_ref()?;
        Some(glance.read(part.column, decoder, &mut out.times, &mut out.values))
    }
}
