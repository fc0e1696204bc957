//! Turns the bytes of a scrape into numbers.
//!
//! A target answers nearly the same bytes at every scrape: the same lines in the same order, with
//! some of the numbers changed. A [`Stencil`] keeps a target's last body and lays it over the next
//! one: where both are equal nothing is parsed, where they differ inside a number that number is
//! parsed, and only where they differ elsewhere is a line read in full and looked up.
//!
//! Two formats are read, as Prometheus 3.5 reads them: the text format (0.0.4, and 1.0.0 with
//! quoted UTF-8 names) and OpenMetrics 1.0. Known and wanted differences: blanks before a metric
//! name are not part of it, `{name} 1` with an unquoted name is refused, and so is a NUL byte at
//! the start of a line (Prometheus silently ends the body there).
//!
//! The protobuf format is read too ([`protobuf`]), item by item: no target sends it alike twice.
//!
//! No I/O, no clock. Fitting a body whose lines are those of the last one allocates nothing and
//! hashes nothing.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod cache;
mod exemplar;
mod fault;
mod format;
mod lines;
mod metadata;
mod number;
mod openmetrics;
pub mod protobuf;
mod scan;
mod series;
mod stencil;
mod text;
mod walk;

pub use exemplar::Exemplar;
pub use fault::{ParseError, ParseErrorKind};
pub use format::Format;
pub use lines::{Line, Lines};
pub use stencil::{Fit, Limits, Slot, Stencil};
pub use walk::{Piece, Walk, bound};
