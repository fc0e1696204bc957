//! Takes in what others send by remote write (1.0 and 2.0) and OTLP and hands it to the store as rows.
//!
//! A request is checked before anything is allocated for it ([`Receiver::write`]), [`wire`] walks
//! its protocol buffers where they lie, [`v1`] and [`v2`] know the two messages. A series is
//! known by a hash of the bytes that its labels are in the request ([`key`]): a sender repeats
//! them, so only a series that was never seen has its labels read ([`labels`]). [`table`] keeps
//! what is known of each series, [`lanes`] which rows its samples go into.
#![forbid(unsafe_code)]

mod answer;
mod batch;
pub mod counters;
mod exemplar;
mod histogram;
mod key;
mod labels;
mod lanes;
pub mod otlp;
mod read;
mod receiver;
mod slab;
mod table;
mod v1;
mod v2;
mod wire;

pub use answer::{Answer, Failure, Reason, Refusals};
pub use read::{READ_BODY_BYTES_MAX, ReadQuery, ReadRequest};
pub use receiver::{BODY_BYTES_MAX, Message, PLAIN_BYTES_MAX, Receiver};
