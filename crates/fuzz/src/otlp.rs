//! Requests of OTLP. The first byte says how they are packed.

use std::sync::Arc;

use narthex_receive::Receiver;
use narthex_receive::otlp::{Form, Names, Promote, Settings};
use narthex_store::testing::memory_store;

/// Whatever comes, it is answered.
pub(crate) fn otlp(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let bit = |bit: u32| first >> bit & 1 == 1;
    let settings = Settings {
        names: Names { suffixes: bit(2), utf8: bit(3) },
        promote: if bit(4) { Promote::AllBut(Vec::new()) } else { Promote::Only(Vec::new()) },
        keep_identifying: bit(5),
        to_custom_buckets: bit(6),
        promote_scope: bit(7),
        lookback_ms: 300_000,
    };
    let form = Form { gzip: bit(0), json: bit(1) };
    let (_store, writer) = memory_store();
    let mut receiver = Receiver::new(Arc::new(parking_lot::Mutex::new(writer)));
    // Twice: the second time series are known.
    for _ in 0..2 {
        let _ = receiver.write_otlp(body, form, &settings);
    }
}
