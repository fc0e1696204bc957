//! Why remote write cannot be set up.

/// Why a `remote_write` section cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The HTTP client cannot be made.
    #[error("remote write {name:?}: {source}")]
    Client {
        /// The queue.
        name: String,
        /// Why.
        #[source]
        source: narthex_net::Error,
    },
    /// A header cannot be sent.
    #[error("remote write {name:?}: invalid header {header:?}")]
    Header {
        /// The queue.
        name: String,
        /// The header's name.
        header: String,
    },
    /// There is no such queue.
    #[error("remote write {name:?}: no such receiver")]
    UnknownQueue {
        /// The name that was asked for.
        name: String,
    },
    /// Rows cannot be read.
    #[error("remote write: {0}")]
    Store(#[from] narthex_store::Error),
    /// There is no address.
    #[error("remote write {name:?}: no url")]
    NoUrl {
        /// The queue.
        name: String,
    },
}
