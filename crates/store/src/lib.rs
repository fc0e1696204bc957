//! Keeps rows safe on disk and finds them again.
//!
//! A **row** is one timestamp and one value per column of a **layout**; a layout is the list of
//! series that one source (a target, a rule group) fills at each turn. Everything that enters the
//! store is a row, and there is one way in: [`Writer::append`] writes the row to the write-ahead
//! log and then makes it visible in the head. Every two hours [`Store::upkeep`] seals the rows of
//! a window into an immutable block file.
//!
//! Readers take a [`Snapshot`], select series by matchers and read them one at a time; a snapshot
//! sees whole rows only, and keeps seeing what it saw while blocks come and go. Consumers that
//! want every row in order (remote write) follow [`Store::rows_after`] with a durable cursor.
//!
//! The store knows no HTTP, no YAML, no `PromQL` and no scraping: a source is a number to it.
#![deny(clippy::indexing_slicing)]

mod block;
mod codec;
mod cursor;
mod error;
pub mod exemplars;
pub mod fs;
mod head;
mod heap;
pub mod histogram;
mod ids;
mod import;
mod journal;
mod open;
mod options;
mod row;
mod rows;
mod snapshot;
mod stats;
mod store;
#[cfg(any(test, feature = "sim"))]
pub mod testing;
mod tombstones;
mod twin;
mod upkeep;
mod view;
mod wal;
mod writer;

pub use block::{Block, BlockEntry, BlockSizes, Meta as BlockMeta};
pub use cursor::inspect_cursors;
pub use error::Error;
pub use exemplars::{Exemplar, Exemplars};
pub use fs::Fs;
pub use head::files::{ChunkEntry, inspect_chunks};
pub use heap::give_back_freed_memory;
pub use histogram::{Histograms, Part};
pub use ids::{Column, LayoutRef, RowSeq, SeriesRef, SourceRef};
pub use import::{Import, ImportBlock};
pub use journal::Journal;
pub use journal::inspect_journal;
pub use open::open;
pub use options::{Options, Retention};
pub use row::{Row, RowBuf};
pub use rows::RowReader;
pub use snapshot::{Reader, Samples, Selection, Series, Snapshot};
pub use stats::{Cardinality, Stats, WalStats};
pub use store::Store;
pub use tombstones::inspect_tombstones;
pub use upkeep::Upkeep;
pub use wal::{Inspection, LogEntry, inspect, inspect_log};
pub use writer::Writer;
