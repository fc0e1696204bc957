//! narthex-remote
