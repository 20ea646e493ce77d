//! Sets of destinations: which one a request goes to, and which state each is in.
//!
//! Two halves that meet only in [`Verdicts`]: [`Health`], the one owner of states, publishes who
//! is usable; a [`Selector`] per worker chooses among those. Knows no SIP, no clock, no sockets.

mod algorithm;
mod health;
mod load;
mod select;
mod settings;
mod table;
#[cfg(test)]
mod testing;
mod verdicts;

pub use algorithm::kamailio_hash;
pub use health::{Change, Health, ProbeVerdict, Reconciled};
pub use load::{Call, Limits, Loads};
pub use select::{Ask, Candidate, Selection, Selector, ranking, skipped};
pub use settings::{
    Basis, DestinationSettings, Endpoint, FailoverSettings, HashCompat, HashPart, Host, PassiveSettings,
    RetryAfterSettings, SetSettings, Thresholds,
};
pub use table::{Destination, Set, Table, Tier};
pub use verdicts::{Endpoints, Verdict, Verdicts};
