//! Sends every row to the receivers, in order, however long they were away.
//!
//! Each `remote_write` section is a [`queue`] of its own with a place in the sequence of rows:
//! it follows the store's log behind the writer, puts rows together into requests of protocol
//! 1.0, and moves on when the receiver has taken or refused them. The place is saved in the store,
//! so that a restart goes on where it was; what was sent but not yet saved is sent again.
//!
//! What a row costs on this way is mostly a copy: [`template`] explains how a request is
//! compressed once and then patched, [`layout`] when that is done.
#![forbid(unsafe_code)]

mod batch;
mod encode;
mod error;
mod layout;
mod manager;
pub mod metadata;
pub mod proto;
mod queue;
mod retry;
mod spec;
pub mod stats;
mod template;

pub use error::Error;
pub use manager::Manager;
pub use metadata::MetadataSource;
pub use stats::QueueStats;
