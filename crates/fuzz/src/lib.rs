//! Entries for fuzzing: each takes any bytes and must neither panic nor take long.
//!
//! `fuzz/fuzz_targets` gives each to libFuzzer. The test of this crate runs them over the corpus in
//! `fuzz/corpus` and over seeded mutations of it, so that a case that was found once is tried at
//! every test run, without any tool.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, reason = "a broken promise must be seen")]

mod disk;
mod exposition;
mod mutate;
mod otlp;
mod query;
mod yaml;

pub use mutate::Mutator;

/// One entry.
pub type Entry = fn(&[u8]);

/// All entries by name; the corpus of each is the folder of that name in `fuzz/corpus`.
pub const ENTRIES: &[(&str, Entry)] = &[
    ("wal", disk::wal),
    ("block", disk::block),
    ("cursors", disk::cursors),
    ("text", exposition::text),
    ("openmetrics", exposition::openmetrics),
    ("otlp", otlp::otlp),
    ("config", yaml::config),
    ("promql", query::promql),
    ("regex", query::regex),
];

/// The entry with this name.
///
/// # Panics
/// If there is none.
pub fn entry(name: &str) -> Entry {
    ENTRIES.iter().find(|(known, _)| *known == name).expect("no such entry").1
}
