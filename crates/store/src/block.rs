//! Immutable block files.
