//! Choosing a destination for a request, and the next one after a failed attempt.

use super::{Table, Verdicts};
use crate::facts::event::{SelectionFailure, SkipReason};
use crate::facts::{SetId, Target};
use smallvec::SmallVec;
use std::sync::Arc;

/// Chooses destinations for one worker; holds the cursors of its sets.
#[derive(Debug)]
pub struct Selector {
    table: Arc<Table>,
}

/// One selection: enough to continue it after a failed attempt.
#[derive(Debug, Clone)]
pub struct Selection {
    set: SetId,
    given: SmallVec<[Target; 4]>,
}

impl Selection {
    /// The set chosen from.
    pub fn set(&self) -> SetId {
        self.set
    }
    /// The destinations given so far, in order.
    pub fn given(&self) -> &[Target] {
        &self.given
    }
}

impl Selector {
    /// Starts the cursors of every set at `offset`, which differs between workers.
    pub fn new(table: Arc<Table>, offset: u64) -> Self {
        let _ = offset;
        Self { table }
    }

    /// Takes a new configuration; the cursors of sets that stay go on.
    pub fn reload(&mut self, table: Arc<Table>) {
        self.table = table;
    }

    /// Chooses a destination for a new request.
    pub fn select(
        &mut self,
        set: SetId,
        key: u64,
        nonce: u64,
        verdicts: &Verdicts,
    ) -> Result<(Selection, Target), SelectionFailure> {
        let _ = (set, key, nonce, verdicts);
        Err(SelectionFailure::NoneUsable)
    }

    /// The next destination after a failed attempt.
    pub fn next(&self, selection: &mut Selection, verdicts: &Verdicts) -> Option<Target> {
        let _ = (selection, verdicts, &self.table);
        None
    }

    /// A selection whose first destination was settled elsewhere.
    pub fn resume(&self, set: SetId, first: Target, key: u64, nonce: u64) -> Selection {
        let _ = (key, nonce);
        Selection { set, given: SmallVec::from_slice(&[first]) }
    }
}

/// Who is passed over in a set, and why.
pub fn skipped(
    table: &Table,
    set: SetId,
    verdicts: &Verdicts,
    given: &[Target],
) -> impl Iterator<Item = (Target, SkipReason)> {
    let members = table.set(set).map_or(&[][..], |set| set.members());
    members.iter().filter_map(move |target| {
        let reason = if given.contains(target) {
            Some(SkipReason::Tried)
        } else {
            verdicts.of(*target).map_or(Some(SkipReason::Unknown), |verdict| verdict.skip)
        };
        Some((*target, reason?))
    })
}
