//! narthex-expo
