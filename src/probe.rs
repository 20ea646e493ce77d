//! Probing: who is due, one probe in flight per endpoint, what came back.

mod settings;

pub use settings::{CodeRanges, Settings};
