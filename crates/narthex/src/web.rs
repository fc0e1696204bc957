//! The HTTP side.

pub mod body;
pub mod error;
pub mod json;
pub mod params;
pub mod reply;
