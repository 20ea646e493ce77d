//! What a request showed of the destination that it was sent to.
//!
//! The worker that sent it tells the owner of states, which weighs it. One attempt is told of once,
//! apart from the pause that its answer may ask for.

use super::event::ProbeOutcome;
use super::trace::SpanRef;
use std::time::Duration;

/// How a probe, or an attempt at a request, ended, and what is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How it ended.
    pub outcome: ProbeOutcome,
    /// Its span; none if its request has been told of already.
    pub span: Option<SpanRef>,
}

impl From<ProbeOutcome> for Seen {
    fn from(outcome: ProbeOutcome) -> Self {
        Self { outcome, span: None }
    }
}

/// What an attempt at an initial request showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// It serves: a 101–199 came, or a final response that is no failure.
    Answers,
    /// It does not: no response, a transport error, 500, 502, 503 or 504, before any 101–199.
    Fails(Seen),
    /// Its 503 asked for a pause, with Retry-After.
    Pause {
        /// How long.
        wanted: Duration,
        /// The span of the attempt, as in [`Seen`].
        span: Option<SpanRef>,
    },
}
