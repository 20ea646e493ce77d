//! What may appear that was not expected: an odd status code, an algorithm that a set used before.
//!
//! Decided when it first happened, and for as long as the configuration stands: a series that appears
//! does not vanish again.

use crate::telemetry::table::{Family, Kind, Spec};
use std::collections::HashMap;

/// A label set: the family, the position of its owner, and its own among all of the family.
type Key = (Family, usize, usize);

/// Who was admitted, and how much room is left.
#[derive(Debug, Default)]
pub struct Admission {
    generation: u64,
    room: u64,
    decided: HashMap<Key, bool, foldhash::fast::RandomState>,
}

impl Admission {
    /// Begins again for another configuration with so much room.
    pub fn follow(&mut self, generation: u64, room: u64) {
        if self.generation != generation {
            *self = Self { generation, room, ..Self::default() };
        }
    }

    /// Whether a label set that was not expected is exposed.
    pub fn admits(&mut self, spec: &Spec, owner: usize, combination: usize) -> bool {
        let lines = match spec.kind {
            Kind::Counter | Kind::Gauge => 1,
            Kind::Histogram(bounds) => u64::try_from(bounds.len()).unwrap_or(u64::MAX).saturating_add(3),
        };
        let Self { room, decided, .. } = self;
        *decided.entry((spec.family, owner, combination)).or_insert_with(|| {
            let fits = *room >= lines;
            *room -= if fits { lines } else { 0 };
            fits
        })
    }
}
