//! Sets of destinations: which one a request goes to, and which state each is in.

mod settings;

pub use settings::{
    DestinationSettings, Endpoint, FailoverSettings, HashPart, Host, SetSettings, Thresholds,
};
