//! Stand-ins and helpers for tests and benchmarks: never part of the program.
//!
//! [`recording`] reads recorded exporter bodies, a [`fleet`] of fake exporters replays them, a
//! [`receiver`] takes remote writes and remembers what came, a [`process`] is a program that is
//! started, watched and ended, [`background`] runs the stand-ins beside a test that blocks, [`http`] asks it questions, [`proto`] has the messages of remote write, and [`peers`] finds real software on
//! the machine. Everything listens on loopback.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests touch real files, clocks and processes: no seam applies here"
)]

pub mod background;
pub mod differ;
pub mod fleet;
pub mod http;
pub mod peers;
pub mod process;
pub mod proto;
pub mod receiver;
pub mod recording;
mod serve;
