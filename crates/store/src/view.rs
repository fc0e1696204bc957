//! The blocks that are served at one moment.

use narthex_model::Timestamp;

/// Blocks and the time up to which they have the rows. Replaced as a whole; who holds one keeps
/// its blocks, and keeps the head from dropping what only later blocks have.
#[derive(Debug)]
pub(crate) struct View {
    /// Rows before this time are in blocks, later ones in the head.
    pub(crate) sealed_until: Timestamp,
}

impl Default for View {
    fn default() -> Self {
        Self { sealed_until: Timestamp::MIN }
    }
}
