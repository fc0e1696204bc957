//! What a query gives.

use std::sync::Arc;

use narthex_model::{Histogram, Labels, Sample, Timestamp};

use crate::ValueType;
use crate::memory::Share;
use crate::native::{Natives, is_handle};

/// The outcome of a query.
#[derive(Clone, Debug)]
pub struct Output {
    /// The value.
    pub value: Value,
    /// What the user should not overlook, each text once, sorted: `PromQL warning: ...`.
    pub warnings: Vec<String>,
    /// What the user may want to know, each text once, sorted: `PromQL info: ...`.
    pub infos: Vec<String>,
    /// What the query took.
    pub stats: Stats,
    /// The memory that the value takes, given back when nobody holds this any more.
    pub share: Arc<Share>,
}

/// What a query took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples read from the store and counted once per step that used them; a histogram counts
    /// as several.
    pub samples_total: u64,
    /// The same for each step, where [`crate::Options::per_step_stats`] asks for it: the time of
    /// the first step, from one to the next in milliseconds, and how many.
    pub samples_per_step: Option<(Timestamp, i64, Arc<[u64]>)>,
    /// The most samples held at once.
    pub samples_peak: u64,
    /// Series selected.
    pub series: u64,
}

/// A value of one of `PromQL`'s types.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number at the time of the query.
    Scalar(Sample),
    /// A text at the time of the query.
    String(Timestamp, String),
    /// One sample per series. The order is the evaluation's and means something after `sort`.
    Vector(Vec<(Labels, Point)>),
    /// Samples over time, sorted by labels.
    Matrix(Vec<Series>),
}

impl Value {
    /// What the value takes in memory, about, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let of_series = |series: &Series| {
            let numbers = series.times.len() * size_of::<Sample>();
            let histograms = series.histograms.iter().map(|(_, h)| h.size() * size_of::<f64>());
            size_of::<Series>() + series.labels.heap_bytes() + numbers + histograms.sum::<usize>()
        };
        match self {
            Self::Scalar(_) => 0,
            Self::String(_, text) => text.len(),
            Self::Vector(items) => {
                let item = size_of::<(Labels, Point)>();
                items.iter().map(|(labels, _)| item + labels.heap_bytes()).sum()
            }
            Self::Matrix(items) => items.iter().map(of_series).sum(),
        }
    }

    /// The type of the value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Scalar(_) => ValueType::Scalar,
            Self::String(..) => ValueType::String,
            Self::Vector(_) => ValueType::Vector,
            Self::Matrix(_) => ValueType::Matrix,
        }
    }
}

/// A sample of a vector.
#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    /// A number.
    Number(Sample),
    /// A histogram.
    Histogram(Timestamp, Arc<Histogram>),
}

impl Point {
    pub(crate) fn new(at: Timestamp, value: f64, natives: &Natives) -> Self {
        match natives.get(value) {
            Some(histogram) => Self::Histogram(at, histogram),
            None => Self::Number(Sample { at, value }),
        }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(sample) => Some(sample.value),
            Self::Histogram(..) => None,
        }
    }
}

/// The samples of one series; `times` and `values` have the same length.
#[derive(Clone, Debug)]
pub struct Series {
    /// The labels.
    pub labels: Labels,
    /// When, ascending.
    pub times: Vec<Timestamp>,
    /// What; compare by bits.
    pub values: Vec<f64>,
    /// Samples that are histograms, ascending, at other times than the numbers.
    pub histograms: Vec<(Timestamp, Arc<Histogram>)>,
}

impl Series {
    /// Takes the handles out of `values`.
    pub(crate) fn new(
        labels: Labels,
        times: Vec<Timestamp>,
        values: Vec<f64>,
        natives: &Natives,
    ) -> Self {
        let mut series = Self { labels, times, values, histograms: Vec::new() };
        if natives.in_values(&series.values) {
            let pairs = series.times.iter().zip(&series.values);
            series.histograms =
                pairs.filter_map(|(&at, &value)| Some((at, natives.get(value)?))).collect();
            let numbers = series.times.iter().zip(&series.values);
            (series.times, series.values) =
                numbers.filter(|(_, value)| !is_handle(**value)).unzip();
        }
        series
    }
}

impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        let same_bits = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
        self.labels == other.labels
            && self.times == other.times
            && self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(same_bits)
            && self.histograms == other.histograms
    }
}
