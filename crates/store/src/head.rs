//! The rows of the windows that are not sealed yet.
