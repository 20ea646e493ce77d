//! Probing: who is due, one probe in flight per endpoint, what came back.

mod prober;
mod roster;
mod schedule;
mod settings;

pub use prober::{Due, Finished, ProbeId, Prober};
pub use roster::{Roster, Wanted, hash_of};
pub use settings::{CodeRanges, Settings};
