//! Computes a `PromQL` expression over a snapshot of the store, as Prometheus does.
//!
//! [`parse`] reads a query into a [`Plan`]: a typed tree in which every node knows where in the
//! text it stands, for errors and annotations name that place. [`instant`] and [`range`] compute
//! it. An evaluation is **columnar**: a node gives one column per series, with a slot for each
//! step of the query, and a series' samples are read once for the whole range. Range functions
//! slide a window over those samples.
//!
//! Every query works within a budget: samples held, time, and a flag that cancels it. What is not
//! supported is an error that names it, never a wrong answer.
#![forbid(unsafe_code)]

mod aggregate;
mod annotation;
mod binary;
mod budget;
mod column;
mod error;
mod eval;
mod functions;
mod gomath;
mod gosort;
pub mod memory;

mod native;
mod numeric;
pub mod options;
mod output;
pub mod plan;
mod power;
#[cfg(any(test, feature = "script"))]
pub mod script;
mod select;
mod steps;
mod window;

pub use error::{Error, ErrorKind, ParseError};
pub use eval::{instant, range};
pub use options::{Options, Release};
pub use output::{Output, Point, Series, Stats, Value};
pub use plan::{Plan, ValueType, parse, parse_selector};
