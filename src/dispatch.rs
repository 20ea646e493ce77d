//! Sets of destinations: which one a request goes to, and which state each is in.

mod settings;
mod verdicts;

pub use settings::{
    DestinationSettings, Endpoint, FailoverSettings, HashPart, Host, SetSettings, Thresholds,
};
pub use verdicts::{Endpoints, Verdict, Verdicts};
