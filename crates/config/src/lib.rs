//! narthex-config
