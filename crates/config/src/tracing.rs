//! `tracing`. Accepted; nothing is traced.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::http::TlsConfig;
use crate::secret::Secret;
use crate::section::section;

section! {
    /// `tracing`.
    pub struct Tracing as "config.TracingConfig" {
        /// `grpc` or `http`.
        client_type: String = "grpc".to_owned(),
        /// Where traces would go.
        endpoint: String,
        /// Which part of all would go there.
        sampling_fraction: f64,
        /// Without TLS.
        insecure: bool,
        /// TLS.
        tls_config: TlsConfig,
        /// Further headers. Masked, for they often hold tokens.
        headers: BTreeMap<String, Secret>,
        /// `gzip` or nothing.
        compression: String,
        /// Longest time of one request.
        timeout: Duration,
    }
}
