//! Many targets that answer with recorded values, without scraping them.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use narthex_model::Timestamp;
use narthex_store::{Column, LayoutRef, Row, Writer};

use crate::rows::{Rows, SavedRows};

/// The recordings that targets have in turn.
const NAMES: [&str; 2] = ["node", "vm"];

/// Columns that a target may have, unless it is told otherwise.
pub const WIDTH_MAX: usize = usize::MAX;

/// Targets and the time at which each has its turn.
#[derive(Debug)]
pub struct Fleet {
    recordings: Vec<SavedRows>,
    targets: Vec<Target>,
    interval_ms: i64,
    values: Vec<f64>,
    before: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Target {
    recording: usize,
    width: usize,
    layout: LayoutRef,
    first: usize,
}

impl Fleet {
    /// Prepares the recordings in `folder` for [`Fleet::open`] in another process, which so never
    /// has them in memory: `count` rows, `stride` seconds apart.
    ///
    /// # Errors
    /// When a recording cannot be read or the result not be written to `saved`.
    pub fn save(folder: &Path, saved: &Path, stride: usize, count: usize) -> Result<()> {
        for name in NAMES {
            let recorded = Rows::recorded(&folder.join(format!("{name}.rec.zst")))?;
            recorded.without_rare().resampled(stride, count).save(&saved.join(name))?;
        }
        Ok(())
    }

    /// No targets yet.
    ///
    /// # Errors
    /// When [`Fleet::save`] did not write to `saved`.
    pub fn open(saved: &Path, interval_ms: i64) -> Result<Self> {
        let path = |name: &&str| -> PathBuf { saved.join(name) };
        let recordings = NAMES.iter().map(|name| SavedRows::open(&path(name)));
        Ok(Self {
            recordings: recordings.collect::<Result<_>>()?,
            targets: Vec::new(),
            interval_ms,
            values: Vec::new(),
            before: Vec::new(),
        })
    }

    /// Adds a target with at most `width_max` columns; gives how many it has.
    ///
    /// # Errors
    /// When the store fails.
    pub fn add(&mut self, width_max: usize, writer: &mut Writer) -> Result<usize> {
        let number = self.targets.len();
        let recording = number % self.recordings.len();
        let rows = &self.recordings[recording];
        let width = rows.width.min(width_max);
        let source = writer.new_source();
        let layout = writer.new_layout(source)?;
        let mut series = Vec::with_capacity(width);
        rows.labels("bench", &format!("node-{number}.example:9100"), |labels| {
            if series.len() < width {
                series.push(writer.resolve(&labels)?);
            }
            Ok(())
        })?;
        ensure!(series.len() == width, "labels are missing");
        writer.add_columns(layout, &series)?;
        self.targets.push(Target { recording, width, layout, first: number * 7 % 200 });
        Ok(width)
    }

    /// How many targets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// How long after the start of an interval a target has its turn, in milliseconds.
    #[must_use]
    pub fn late(&self, target: usize) -> i64 {
        let position = i64::try_from(target).unwrap_or(0) * self.interval_ms;
        position / i64::try_from(self.targets.len().max(1)).unwrap_or(1)
    }

    /// Appends the row number `row` of a target; gives the number of its columns.
    ///
    /// # Errors
    /// When the store fails.
    pub fn append(
        &mut self,
        target: usize,
        row: usize,
        at: Timestamp,
        writer: &mut Writer,
    ) -> Result<usize> {
        let Target { recording, width, layout, first } = self.targets[target];
        let rows = &self.recordings[recording];
        rows.read(row + first, &mut self.values)?;
        self.values.truncate(width);
        let changed: Option<Vec<Column>> = if row > 0 {
            rows.read(row - 1 + first, &mut self.before)?;
            let pairs = (0..).zip(self.values.iter().zip(&self.before));
            let differ = pairs.filter(|(_, (a, b))| a.to_bits() != b.to_bits());
            Some(differ.map(|(at, _)| Column(at)).collect())
        } else {
            None
        };
        writer.append(&Row { layout, at, values: &self.values, changed: changed.as_deref() })?;
        Ok(width)
    }
}
