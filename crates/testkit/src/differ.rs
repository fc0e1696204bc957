//! The same samples in two servers, the same questions to both, and what differs in the answers.
//!
//! [`data`] makes samples as the demo service of the compliance suite has them and pushes them by
//! remote write, [`compliance`] expands the suite's queries, [`grammar`] writes random ones, and
//! [`compare`] asks both servers and judges the answers.

pub mod compare;
pub mod compliance;
pub mod data;
pub mod grammar;
mod random;

pub use compare::{Comparison, Question, When, ask};
pub use data::Data;
pub use grammar::Grammar;
