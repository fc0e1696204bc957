//! The HTTP side.

pub mod json;
