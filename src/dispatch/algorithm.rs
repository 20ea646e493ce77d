//! The algorithms of selection.
