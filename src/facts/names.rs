//! Names of sets, destinations and listeners, numbered for as long as anybody may know the number.
//!
//! A number is given to another name only after its own has been out of every configuration for so long
//! that no call, counter or state can be held under it any more; so none of these can move to a
//! destination that took a removed one's place. Owns names only; never addresses or state.

use super::{SetId, Target};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The names that have a number. Cloned when a reload adds to it; readers hold an `Arc` of one.
#[derive(Debug, Clone, Default)]
pub struct Names {
    sets: Vec<Option<Numbered<Arc<str>>>>,
    targets: Vec<Option<Numbered<Name>>>,
    by_id: HashMap<Name, Target>,
    /// Targets below the end that nobody has.
    free: BTreeSet<Target>,
}

/// The name of a destination: its set, and its id there.
type Name = (SetId, Arc<str>);

/// A name that has a number.
#[derive(Debug, Clone)]
struct Numbered<T> {
    name: T,
    /// Since when no configuration has it.
    gone: Option<Instant>,
}

impl<T> Numbered<T> {
    const fn new(name: T) -> Self {
        Self { name, gone: None }
    }

    /// Whether nobody has named it for long enough.
    fn is_over(&mut self, is_named: bool, now: Instant, after: Duration) -> bool {
        if is_named {
            self.gone = None;
            return false;
        }
        now.saturating_duration_since(*self.gone.get_or_insert(now)) >= after
    }
}

impl Names {
    /// Returns the id of a set, numbering it if it is new. At most 65,535 sets can be numbered.
    pub fn intern_set(&mut self, name: &str) -> SetId {
        let is_it = |set: &Option<Numbered<Arc<str>>>| set.as_ref().is_some_and(|set| &*set.name == name);
        let known = self.sets.iter().position(is_it);
        let index = known.or_else(|| self.sets.iter().position(Option::is_none)).unwrap_or(self.sets.len());
        if known.is_none() {
            let numbered = Some(Numbered::new(name.into()));
            match self.sets.get_mut(index) {
                Some(free) => *free = numbered,
                None => self.sets.push(numbered),
            }
        }
        SetId::new(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// Returns the target of a destination of a set, numbering it if it is new.
    pub fn intern_target(&mut self, set: SetId, id: &str) -> Target {
        let name = (set, Arc::from(id));
        if let Some(known) = self.by_id.get(&name) {
            return *known;
        }
        let end = Target::new(u32::try_from(self.targets.len()).unwrap_or(u32::MAX));
        let target = self.free.pop_first().unwrap_or(end);
        let numbered = Some(Numbered::new(name.clone()));
        match self.targets.get_mut(target.index()) {
            Some(free) => *free = numbered,
            None => self.targets.push(numbered),
        }
        self.by_id.insert(name, target);
        target
    }

    /// Takes the number from each name that has been in no configuration for `after`; who is in the one
    /// that is in force is told by the functions. A name counts as gone from the first call on that finds
    /// it so.
    pub fn give_back(
        &mut self,
        has_target: impl Fn(Target) -> bool,
        has_set: impl Fn(SetId) -> bool,
        now: Instant,
        after: Duration,
    ) {
        let mut sets_in_use = BTreeSet::new();
        for (index, slot) in (0_u32..).zip(&mut self.targets) {
            let Some(numbered) = slot else { continue };
            if !numbered.is_over(has_target(Target::new(index)), now, after) {
                sets_in_use.insert(numbered.name.0);
            } else if let Some(numbered) = slot.take() {
                self.by_id.remove(&numbered.name);
                self.free.insert(Target::new(index));
            }
        }
        for (index, slot) in (0_u16..).zip(&mut self.sets) {
            let id = SetId::new(index);
            let is_named = has_set(id) || sets_in_use.contains(&id);
            if slot.as_mut().is_some_and(|set| set.is_over(is_named, now, after)) {
                *slot = None;
            }
        }
        while self.targets.pop_if(|slot| slot.is_none()).is_some() {}
        while self.sets.pop_if(|slot| slot.is_none()).is_some() {}
        let end = self.targets.len();
        self.free.retain(|target| target.index() < end);
    }

    /// The configured name of a set; empty for an id that nobody has.
    pub fn set(&self, set: SetId) -> &str {
        self.sets.get(set.index()).and_then(Option::as_ref).map_or("", |set| &*set.name)
    }

    /// The configured id of a destination within its set; empty for an unknown target.
    pub fn target(&self, target: Target) -> &str {
        self.targets.get(target.index()).and_then(Option::as_ref).map_or("", |target| &*target.name.1)
    }

    /// The set of a target.
    pub fn set_of(&self, target: Target) -> Option<SetId> {
        self.targets.get(target.index())?.as_ref().map(|target| target.name.0)
    }

    /// One more than the highest number of a target; the length of a table indexed by [`Target`].
    pub fn target_count(&self) -> usize {
        self.targets.len()
    }

    /// One more than the highest number of a set; the length of a table indexed by [`SetId`].
    pub fn set_count(&self) -> usize {
        self.sets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(3_600);

    /// Numbers these names and gives back what nobody has.
    fn configure(names: &mut Names, set: &str, ids: &[String], now: Instant) -> Vec<Target> {
        let set = names.intern_set(set);
        let targets: Vec<Target> = ids.iter().map(|id| names.intern_target(set, id)).collect();
        names.give_back(|target| targets.contains(&target), |id| id == set, now, AFTER);
        targets
    }

    fn ids(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_number_is_kept_for_its_name_until_nobody_can_hold_it() {
        let (mut names, start) = (Names::default(), Instant::now());
        let at = |minutes: u32| start + Duration::from_secs(60) * minutes;
        let all = configure(&mut names, "pbx", &ids(&["a", "b", "c"]), start);
        assert_eq!(configure(&mut names, "pbx", &ids(&["a", "c"]), at(1)), [all[0], all[2]]);
        let late = configure(&mut names, "pbx", &ids(&["a", "c", "d"]), at(60));
        assert_eq!((late[2].index(), names.target(all[1])), (3, "b"), "b may still have calls");
        let back = configure(&mut names, "pbx", &ids(&["a", "b", "d"]), at(60));
        assert_eq!(back, [all[0], all[1], late[2]], "what comes back has its number");
        configure(&mut names, "pbx", &ids(&["b", "d"]), at(62));
        assert_eq!(names.target(all[0]), "a");
        configure(&mut names, "pbx", &ids(&["b", "d"]), at(122));
        assert_eq!((names.target(all[0]), names.set_of(all[0])), ("", None));
        let reused = configure(&mut names, "pbx", &ids(&["b", "d", "e"]), at(123));
        assert_eq!((reused[2], names.target(all[0])), (all[0], "e"), "the lowest that is free");
    }

    #[test]
    fn the_number_of_a_set_outlives_those_of_its_destinations() {
        let (mut names, start) = (Names::default(), Instant::now());
        configure(&mut names, "old", &ids(&["a"]), start);
        for hour in 1..4 {
            configure(&mut names, "new", &ids(&["a"]), start + AFTER * hour);
        }
        assert_eq!((names.set(SetId::new(0)), names.set(SetId::new(1))), ("", "new"));
        assert_eq!(names.intern_set("newest"), SetId::new(0));
    }

    #[test]
    fn a_thousand_configurations_of_other_names_need_no_more_numbers_than_an_hour_of_them() {
        let (mut names, start) = (Names::default(), Instant::now());
        let mut most = (0, 0);
        for minute in 0..10_000_u32 {
            let own: Vec<String> = (0..10).map(|index| format!("d{minute}-{index}")).collect();
            let now = start + Duration::from_secs(60) * minute;
            let mut targets = configure(&mut names, &format!("set{minute}"), &own, now);
            targets.sort_unstable();
            targets.dedup();
            assert_eq!(targets.len(), 10);
            most = most.max((names.target_count(), names.set_count()));
        }
        assert!(most.0 <= 10 * 63 && most.1 <= 125, "{most:?}");
    }
}
