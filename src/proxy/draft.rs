//! A snapshot that is taken a part at a time, so that no call waits for the whole of it.
//!
//! All of it tells of one moment: if a state changes between two parts, it begins again and takes the
//! rest at once.

use crate::facts::snapshot::{Detail, Snapshot};

/// A snapshot of which some sets and destinations may be missing yet.
#[derive(Debug)]
pub struct Draft {
    /// What there is so far.
    pub(super) snapshot: Snapshot,
    /// How much it is to hold.
    pub(super) detail: Detail,
    /// The version of the states that it tells of.
    pub(super) version: Option<u64>,
    /// Sets that are complete.
    pub(super) sets: usize,
    /// Destinations of the next one that are there.
    pub(super) members: usize,
}

impl Draft {
    /// One without sets.
    pub(super) const fn new(snapshot: Snapshot, detail: Detail) -> Self {
        Self { snapshot, detail, version: None, sets: 0, members: 0 }
    }

    /// Drops what tells of states that are no more; whether there was any.
    pub(super) fn begin_again(&mut self, version: u64) -> bool {
        let is_stale = self.version.is_some_and(|of| of != version);
        self.version = Some(version);
        if is_stale {
            self.snapshot.sets.clear();
            (self.sets, self.members) = (0, 0);
        }
        is_stale
    }

    /// The snapshot.
    pub fn finish(self) -> Snapshot {
        self.snapshot
    }
}
