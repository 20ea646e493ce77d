//! What a request showed of the destination that it was sent to.
//!
//! The worker that sent it tells the owner of states, which weighs it. One attempt is told of once,
//! apart from the pause that its answer may ask for.

use super::event::ProbeOutcome;
use std::time::Duration;

/// What an attempt at an initial request showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// It serves: a 101–199 came, or a final response that is no failure.
    Answers,
    /// It does not: no response, a transport error, 500, 502, 503 or 504, before any 101–199.
    Fails(ProbeOutcome),
    /// Its 503 asked for a pause of this length, with Retry-After.
    Pause(Duration),
}
