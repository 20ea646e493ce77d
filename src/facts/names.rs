//! Names of sets, destinations and listeners, numbered once for the life of the process.
//!
//! An id is never given to another name, so a counter, a call or a state can never move to a
//! destination that took a removed one's place. Owns names only; never addresses or state.

use super::{SetId, Target};
use std::collections::HashMap;
use std::sync::Arc;

/// The names seen since start. Cloned when a reload adds to it; readers hold an `Arc` of one.
#[derive(Debug, Clone, Default)]
pub struct Names {
    sets: Vec<Arc<str>>,
    targets: Vec<(SetId, Arc<str>)>,
    by_id: HashMap<(SetId, Arc<str>), Target>,
}

impl Names {
    /// Returns the id of a set, numbering it if it is new. At most 65,535 sets can be numbered.
    pub fn intern_set(&mut self, name: &str) -> SetId {
        let index = self.sets.iter().position(|known| &**known == name).unwrap_or_else(|| {
            self.sets.push(name.into());
            self.sets.len() - 1
        });
        SetId::new(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// Returns the target of a destination of a set, numbering it if it is new.
    pub fn intern_target(&mut self, set: SetId, id: &str) -> Target {
        let id: Arc<str> = id.into();
        let next = Target::new(u32::try_from(self.targets.len()).unwrap_or(u32::MAX));
        let target = *self.by_id.entry((set, Arc::clone(&id))).or_insert(next);
        if target == next {
            self.targets.push((set, id));
        }
        target
    }

    /// The configured name of a set; empty for an id this table never gave out.
    pub fn set(&self, set: SetId) -> &str {
        self.sets.get(set.index()).map_or("", |name| name)
    }

    /// The configured id of a destination within its set; empty for an unknown target.
    pub fn target(&self, target: Target) -> &str {
        self.targets.get(target.index()).map_or("", |(_, id)| id)
    }

    /// The set of a target.
    pub fn set_of(&self, target: Target) -> Option<SetId> {
        self.targets.get(target.index()).map(|(set, _)| *set)
    }

    /// How many targets have been numbered; the length of a table indexed by [`Target`].
    pub fn target_count(&self) -> usize {
        self.targets.len()
    }

    /// How many sets have been numbered; the length of a table indexed by [`SetId`].
    pub fn set_count(&self) -> usize {
        self.sets.len()
    }
}
