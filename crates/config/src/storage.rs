//! `storage`.

use std::time::Duration;

use crate::section::section;

section! {
    /// `storage`.
    pub struct Storage as "config.StorageConfig" {
        /// The store.
        tsdb: Option<Tsdb>,
        /// Exemplars.
        exemplars: Option<Exemplars>,
    }
}

section! {
    /// `storage.tsdb`.
    pub struct Tsdb as "config.plain" {
        /// How far behind the newest sample others may come; zero: samples come in order.
        out_of_order_time_window: Duration,
        /// How long data is kept; wins over the flags.
        retention: Option<Retention>,
    }
}

section! {
    /// `storage.tsdb.retention`. Zero: the flags decide.
    pub struct Retention as "config.TSDBRetentionConfig" {
        /// The age of the oldest data.
        time: Duration,
        /// Most bytes on disk.
        size: u64 [bytes],
    }
}

section! {
    /// `storage.exemplars`; counts with `--enable-feature=exemplar-storage` only.
    pub struct Exemplars as "config.ExemplarsConfig" {
        /// Most exemplars, of all series together; none if it is not positive.
        max_exemplars: i64 = 100_000,
    }
}
