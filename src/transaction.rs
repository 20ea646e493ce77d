//! Transactions of RFC 3261 §17: matching, retransmissions, timers.

mod settings;

pub use settings::Settings;
