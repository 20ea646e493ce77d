//! What survives a restart of a destination: the administrator's wish, and since when it is down.

use super::{Admin, State};
use std::sync::Arc;
use std::time::Instant;

/// What is remembered of one destination. Of one that is as configured, and not down, nothing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The name of its set.
    pub set: Arc<str>,
    /// Its configured id within the set, whatever addresses it stands for.
    pub id: Arc<str>,
    /// Its configured URI; a destination that is elsewhere now is not known to be down.
    pub uri: Arc<str>,
    /// The administrator's wish as configured; where that has changed, the wish at run time is void.
    pub configured: Admin,
    /// The administrator's wish.
    pub admin: Admin,
    /// Whether its probes failed.
    pub is_down: bool,
    /// Its state.
    pub state: State,
    /// Since when it is in that state.
    pub since: Instant,
}
