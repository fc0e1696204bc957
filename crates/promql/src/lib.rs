//! narthex-promql
