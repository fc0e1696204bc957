//! narthex-discovery
