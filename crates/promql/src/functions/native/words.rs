//! Texts of annotations about histograms, as Prometheus words them.

use narthex_model::histogram::Incompatible;

use crate::options::Release;
use crate::plan::quoted;

/// How two histograms were put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Aggregate,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Add => "addition",
            Self::Subtract => "subtraction",
            Self::Aggregate => "aggregation",
        }
    }
}

/// Why histograms cannot be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// One has exponential buckets and the other custom bounds.
    Schemas,
    /// Their custom bounds differ.
    Bounds,
}

impl From<Incompatible> for Unfit {
    fn from(_: Incompatible) -> Self {
        Self::Schemas
    }
}

/// The warning about a metric whose histograms cannot be put together.
pub(crate) fn unfit(why: Unfit, name: &str) -> String {
    match why {
        Unfit::Schemas => mixed_schemas(name),
        Unfit::Bounds => format!(
            "vector contains histograms with incompatible custom buckets for metric name {}",
            quoted(name)
        ),
    }
}

pub(crate) fn reconciled(operation: Operation) -> String {
    format!("mismatched custom buckets were reconciled during {}", operation.as_str())
}

pub(crate) fn collision(operation: Operation) -> String {
    format!("conflicting counter resets during histogram {}", operation.as_str())
}

pub(crate) fn mixed_range(name: &str) -> String {
    format!("encountered a mix of histograms and floats for metric name {}", quoted(name))
}

pub(crate) fn mixed_schemas(name: &str) -> String {
    format!(
        "vector contains a mix of histograms with exponential and custom buckets schemas for \
         metric name {}",
        quoted(name)
    )
}

pub(crate) fn mixed_kinds(name: &str, release: Release) -> String {
    format!("vector contains a mix of classic and native histograms{}", of_metric(name, release))
}

pub(crate) fn ignored(aggregation: &str) -> String {
    format!("ignored histogram in {aggregation} aggregation")
}

/// ` for metric name "x"`, if there is one; 3.5 says it in any case.
pub(crate) fn of_metric(name: &str, release: Release) -> String {
    if name.is_empty() && release == Release::Newest {
        String::new()
    } else {
        format!(" for metric name {}", quoted(name))
    }
}
