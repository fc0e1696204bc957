//! Relabelling: the rules of `relabel_configs`, applied one after another.
