//! One series of a selection, and how its samples are put together.

use std::sync::Arc;

use narthex_model::{Labels, TimeRange};

use super::Samples;
use crate::codec::Decoder;
use crate::head::layout::{Layout, Run, Sight};
use crate::view::View;
use crate::{Column, Error};

/// A series of a selection.
#[derive(Clone, Debug)]
pub struct Series {
    labels: Labels,
    sight: Sight,
    /// Keeps what the parts refer to.
    view: Arc<View>,
    head: Vec<HeadPart>,
}

/// A column of the head that has samples of the series.
#[derive(Clone, Debug)]
pub(super) struct HeadPart {
    pub(super) layout: Arc<Layout>,
    pub(super) column: Column,
}

impl Series {
    pub(super) fn new(labels: Labels, head: Vec<HeadPart>, view: Arc<View>, sight: Sight) -> Self {
        Self { labels, sight, view, head }
    }

    /// Its labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Reads the samples in `range` into `out`, which is cleared first: in order of time, each
    /// instant once (the first sample stored wins), staleness markers included. A damaged chunk is
    /// left out and named in `out.warnings`.
    pub fn read(&self, range: TimeRange, out: &mut Samples) -> Result<(), Error> {
        out.clear();
        let _ = &self.view;
        let mut decoder = Decoder::default();
        let mut run = Run::default();
        for part in &self.head {
            let damaged = part.layout.read(part.column, range, self.sight, &mut decoder, &mut run);
            if damaged > 0 {
                out.warnings.push(format!("{damaged} damaged chunks in memory: {}", self.labels));
            }
        }
        if self.head.len() > 1 {
            stitch(&mut run);
        }
        out.times.extend(run.keys.iter().map(|key| key.at));
        out.values.extend_from_slice(&run.values);
        Ok(())
    }
}

/// Brings samples of several columns into the order of time; of those at one instant the one
/// stored first stays.
fn stitch(run: &mut Run) {
    if run.keys.is_sorted_by(|a, b| a.at < b.at) {
        return;
    }
    let mut all: Vec<_> = run.keys.drain(..).zip(run.values.drain(..)).collect();
    all.sort_by_key(|(key, _)| (key.at, key.seq));
    all.dedup_by_key(|(key, _)| key.at);
    for (key, value) in all {
        run.keys.push(key);
        run.values.push(value);
    }
}
