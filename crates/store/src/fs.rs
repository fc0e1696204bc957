//! The seam to the file system.

use std::fmt::Debug;

/// A data directory. All paths are relative to it, with `/` between their parts.
pub trait Fs: Send + Sync + Debug {}
