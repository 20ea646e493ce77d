//! Commands: one file each, thin; they call the layers below or the HTTP interface.

pub mod check;
