//! The rows of a recording, for benchmarks that drive the store without scraping.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context, Result};
use narthex_expo::{Format, Limits, Stencil};
use narthex_model::{ABSENT, Labels, LabelsBuilder, is_absent};
use narthex_testkit::recording;

/// What a target answered, one row a body.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The labels of each column, as the body spells them.
    pub series: Vec<LabelsBuilder>,
    /// The rows, all of one width; [`ABSENT`] where a body lacks the column.
    pub rows: Vec<Vec<f64>>,
}

impl Rows {
    /// The rows of all bodies, in their order.
    ///
    /// # Errors
    /// When the recording cannot be read.
    pub fn recorded(path: &Path) -> Result<Self> {
        let frames =
            recording::read(path).with_context(|| format!("reading {}", path.display()))?;
        let mut stencil = Stencil::new(Format::Text, Limits::default());
        let mut rows = Vec::with_capacity(frames.len());
        for frame in &frames {
            stencil.fit(&frame.body)?;
            rows.push(stencil.values().to_vec());
        }
        let width = stencil.slot_count();
        for row in &mut rows {
            row.resize(width, ABSENT);
        }
        let mut series = Vec::with_capacity(width);
        for slot in 0..width {
            let mut labels = LabelsBuilder::default();
            stencil.labels(narthex_expo::Slot(u32::try_from(slot)?), &mut labels);
            series.push(labels);
        }
        Ok(Self { series, rows })
    }

    /// At least `count` rows that are `stride` bodies apart, so that the increments are as long
    /// as the stride: each pass over the recording begins one body later, and what only ever
    /// rises goes on from where the pass before ended.
    #[must_use]
    pub fn resampled(&self, stride: usize, count: usize) -> Self {
        let width = self.series.len();
        let column = |at: usize| self.rows.iter().map(move |row| row[at]);
        let counters: Vec<Option<usize>> = (0..width)
            .map(|at| {
                let rises = column(at).zip(column(at).skip(1)).all(|(a, b)| a <= b);
                rises.then(|| column(at).map(decimals).max().unwrap_or(0))
            })
            .collect();
        let mut offsets = vec![0.0; width];
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(count);
        for pass in 0.. {
            let phase = pass % stride;
            let mut bodies = self.rows.iter().skip(phase).step_by(stride);
            if let (Some(last), Some(first), true) = (rows.last(), bodies.next(), pass > 0) {
                for (at, offset) in offsets.iter_mut().enumerate() {
                    *offset = last[at] - first[at];
                }
            }
            for body in bodies {
                if rows.len() == count {
                    return Self { series: self.series.clone(), rows };
                }
                let moved = body.iter().zip(&counters).zip(&offsets);
                rows.push(
                    moved
                        .map(|((&value, counter), offset)| match counter {
                            Some(decimals) if *offset != 0.0 => round(value + offset, *decimals),
                            _ => value,
                        })
                        .collect(),
                );
            }
        }
        self.clone()
    }

    /// The labels of each column on the target `instance` of `job`.
    #[must_use]
    pub fn labels(&self, job: &str, instance: &str) -> Vec<Labels> {
        let of = |labels: &LabelsBuilder| {
            let mut labels = labels.clone();
            labels.set("job", job);
            labels.set("instance", instance);
            labels.build()
        };
        self.series.iter().map(of).collect()
    }

    /// Writes the rows to `path`, to be read one by one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = std::io::BufWriter::new(File::create(path)?);
        let numbers = [self.series.len(), self.rows.len()];
        for number in numbers {
            file.write_all(&u32::try_from(number)?.to_le_bytes())?;
        }
        for value in self.rows.iter().flatten() {
            file.write_all(&value.to_bits().to_le_bytes())?;
        }
        for labels in &self.series {
            for (name, text) in labels.iter() {
                write!(file, "{name}\t{text}\t")?;
            }
            writeln!(file)?;
        }
        file.flush()?;
        Ok(())
    }

    /// How many samples a row has on average.
    #[must_use]
    pub fn samples(&self) -> usize {
        let all = self.rows.iter().flatten().filter(|&&value| !is_absent(value)).count();
        all / self.rows.len().max(1)
    }

    /// Without the columns that are absent from more than half of the rows.
    #[must_use]
    pub fn without_rare(mut self) -> Self {
        let mut present: HashMap<usize, usize> = HashMap::new();
        for row in &self.rows {
            for (at, _) in row.iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
                *present.entry(at).or_default() += 1;
            }
        }
        let half = self.rows.len() / 2;
        let keeps = |at: usize| present.get(&at).is_some_and(|&count| count > half);
        for row in &mut self.rows {
            let mut at = 0..;
            row.retain(|_| at.next().is_some_and(keeps));
        }
        let mut at = 0..;
        self.series.retain(|_| at.next().is_some_and(keeps));
        self
    }
}

/// Rows that were [saved](Rows::save), so that they take no memory.
#[derive(Debug)]
pub struct SavedRows {
    file: File,
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub count: usize,
}

impl SavedRows {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let (mut width, mut count) = ([0; 4], [0; 4]);
        file.read_exact_at(&mut width, 0)?;
        file.read_exact_at(&mut count, 4)?;
        let (width, count) =
            (u32::from_le_bytes(width) as usize, u32::from_le_bytes(count) as usize);
        Ok(Self { file, width, count })
    }

    /// Reads the row `number`, counted round and round, into `values`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, number: usize, values: &mut Vec<f64>) -> Result<()> {
        let mut bytes = vec![0; self.width * 8];
        self.file.read_exact_at(&mut bytes, 8 + (number % self.count * self.width * 8) as u64)?;
        values.clear();
        values.extend(bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)));
        Ok(())
    }

    /// Calls `each` with the labels of every column on the target `instance` of `job`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn labels(
        &self,
        job: &str,
        instance: &str,
        mut each: impl FnMut(Labels) -> Result<()>,
    ) -> Result<()> {
        let mut file = std::io::BufReader::new(&self.file);
        file.seek(SeekFrom::Start(8 + (self.count * self.width * 8) as u64))?;
        for line in file.lines() {
            let mut labels = LabelsBuilder::default();
            let line = line?;
            let mut words = line.split('\t');
            while let (Some(name), Some(value)) = (words.next(), words.next()) {
                labels.set(name, value);
            }
            labels.set("job", job);
            labels.set("instance", instance);
            each(labels.build())?;
        }
        Ok(())
    }
}

/// Digits behind the point in the shortest form of `value`.
fn decimals(value: f64) -> usize {
    let text = value.to_string();
    text.split_once('.').map_or(0, |(_, digits)| digits.len())
}

fn round(value: f64, decimals: usize) -> f64 {
    format!("{value:.decimals$}").parse().unwrap_or(value)
}
