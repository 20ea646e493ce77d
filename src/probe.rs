//! Probing: who is due, one probe in flight per endpoint, what came back.

mod prober;
mod schedule;
mod settings;

pub use prober::{Due, Finished, ProbeId, Prober, Wanted};
pub use settings::{CodeRanges, Settings};
