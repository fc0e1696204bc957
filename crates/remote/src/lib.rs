//! Sends every row to the receivers, in order, however long they were away.
//!
//! Each `remote_write` section is a [`queue`] of its own with a place in the sequence of rows: a
//! [`lane`] follows the store behind the writer, in the log or in blocks, [`compose`] puts rows
//! together into requests of protocol 1.0 or 2.0, and the queue moves on when the receiver has
//! taken or refused them. The place is saved in the store, so that a restart goes on where it was;
//! the [`ledger`] keeps the end of the request that was under way, and what was refused.
//!
//! What a row costs on this way is mostly a copy: [`template`] explains how a request is
//! compressed once and then patched, [`layout`] when that is done.
#![forbid(unsafe_code)]

mod answer;
mod batch;
mod compose;
mod composite;
mod encode;
mod error;
mod exemplars;
mod find;
mod lane;
mod layout;
mod ledger;
mod manager;
pub mod metadata;
mod pace;
mod prepare;
mod queue;
mod requests;
mod retry;
mod spec;
pub mod stats;
mod symbols;
mod template;

pub use answer::Reason;
pub use compose::Version;
pub use error::Error;
pub use exemplars::ExemplarStats;
pub use ledger::Refused;
pub use manager::Manager;
pub use metadata::MetadataSource;
pub use requests::Requests;
pub use stats::QueueStats;
