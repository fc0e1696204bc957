//! What a query gives.

use narthex_model::{Labels, Sample, Timestamp};

use crate::ValueType;

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
}

/// What a query took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples read from the store and counted once per step that used them.
    pub samples_total: u64,
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
    Vector(Vec<(Labels, Sample)>),
    /// Samples over time, sorted by labels.
    Matrix(Vec<Series>),
}

impl Value {
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

/// The samples of one series; `times` and `values` have the same length.
#[derive(Clone, Debug)]
pub struct Series {
    /// The labels.
    pub labels: Labels,
    /// When, ascending.
    pub times: Vec<Timestamp>,
    /// What; compare by bits.
    pub values: Vec<f64>,
}

impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        let same_bits = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
        self.labels == other.labels
            && self.times == other.times
            && self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(same_bits)
    }
}
