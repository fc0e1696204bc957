//! narthex-net
