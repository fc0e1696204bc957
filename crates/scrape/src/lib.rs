//! Asks each target in its turn and hands the row to the store.
//!
//! A [`Manager`] holds a [`pool`] for each scrape configuration, a pool a [`task`] for each
//! [`target`]. A task sleeps on its [`schedule`], [`fetch`]es the body and gives it to its
//! [`cycle`], which is where a body becomes a row; read that first. The series of new lines are
//! worked out by [`resolve`]; [`columns`] is the row being filled, [`report`] its first columns
//! (`up` and the `scrape_*` series), [`timed`] the rows of lines with timestamps of their own.
//!
//! All tasks run on one thread, the one that owns the store's writer: a scrape is stored without
//! waking another core.
#![forbid(unsafe_code)]

mod columns;
pub mod counters;
pub mod cycle;
mod error;
mod fetch;
mod manager;
mod pool;
mod report;
mod resolve;
mod schedule;
mod target;
mod task;
mod timed;
mod translate;

pub use error::ScrapeError;
pub use fetch::BODY_BYTES_MAX;
pub use manager::{Deps, FailureLog, Manager};
pub use pool::{PoolView, TargetView};
pub use resolve::ResolveError;
pub use target::{Target, TargetError};
pub use task::Health;
pub use translate::{LineExemplar, TranslateError, Translated};
