//! The files of a Prometheus data directory, read and written: the way in and the way out.
//!
//! Everything here works on bytes that the caller has read, or gives bytes that the caller
//! writes: no file is opened, no clock is read. The formats are those of Prometheus 2.x and 3.x
//! (`tsdb/docs/format` of its sources): chunk segments with XOR chunks ([`chunks`], [`xor`]), the
//! block index version 2 ([`index`]), `meta.json` ([`meta`]), tombstones ([`tombstones`]), the
//! pages of the write-ahead log ([`wal`]) with their records ([`record`]), and the chunks that the
//! head has cut ([`head_chunks`]).
//!
//! Native histograms (chunk encodings 2 and 3, log records 7 to 10) are recognised and named, not
//! decoded. All input is taken as hostile: whatever the bytes are, the answer is a value or an
//! [`Error`] that names the offset.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod bits;
mod bytes;
pub mod chunks;
mod error;
pub mod head_chunks;
pub mod index;
pub mod meta;
pub mod record;
pub mod tombstones;
pub mod ulid;
pub mod wal;
pub mod xor;

pub use chunks::Encoding;
pub use error::Error;
