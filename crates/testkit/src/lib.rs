//! narthex-testkit
