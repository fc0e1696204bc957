//! How columns of values and times become bytes.
