//! Keeps the verdicts that are published, and the counts of each set, in step with the facts.
//!
//! A change of one destination costs a look at that destination, and at its whole set only when
//! the first member comes up or the last goes. Owns no facts.

use super::facts::Facts;
use super::member::Member;
use crate::dispatch::{Destination, Endpoints, Set, Table, Verdict, Verdicts};
use crate::facts::event::SkipReason;
use crate::facts::{Admin, SetId, Target};
use std::sync::Arc;

/// The verdicts as they would be published.
#[derive(Debug, Default)]
pub struct Publication {
    verdicts: Verdicts,
    /// By set.
    groups: Vec<Group>,
    /// By target: what each counts for in its group.
    counted: Vec<Counted>,
    is_changed: bool,
    are_addresses_changed: bool,
}

/// Counts over the members of a set. One of weight 0 gets no new requests, as a draining one, and so
/// counts for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Group {
    enabled: u32,
    /// Of the enabled ones, those set aside on evidence of requests.
    ejected: u32,
    known_up: u32,
    /// Of those known up, the ejected and the paused ones.
    withheld: u32,
    unjudged: u32,
    usable: u32,
    all_down: bool,
}

impl Group {
    /// How many members may be ejected at a time.
    fn cap(&self, percent: u32) -> u32 {
        u32::try_from(u64::from(self.enabled) * u64::from(percent) / 100).unwrap_or(self.enabled)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    is_enabled: bool,
    is_ejected: bool,
    is_known_up: bool,
    is_withheld: bool,
    is_unjudged: bool,
    is_usable: bool,
}

impl Publication {
    /// Starts over with a table, whose sets are then to be added; those that stay remember whether all
    /// was down.
    pub fn start_over(&mut self, table: &Table) {
        let gone = Verdict { skip: Some(SkipReason::Admin), ..Verdict::default() };
        let Verdicts { by_target, usable, shape, .. } = &mut self.verdicts;
        *shape = table.shape();
        refill(by_target, table.target_bound(), gone);
        refill(usable, table.set_bound(), vec![]);
        refill(&mut self.counted, table.target_bound(), Counted::default());
        self.groups.resize(table.set_bound(), Group::default());
        for (index, group) in (0_u16..).zip(&mut self.groups) {
            let stays = table.set(SetId::new(index)).is_some();
            *group = Group { all_down: stays && group.all_down, ..Group::default() };
        }
        self.is_changed = true;
        self.are_addresses_changed = true;
    }

    /// Takes in the members of a set of the table.
    pub fn add(&mut self, table: &Table, set: &Set, members: &[Option<Member>]) {
        if let Some(tiers) = self.verdicts.usable.get_mut(set.id().index()) {
            *tiers = set.tiers().iter().map(|tier| Vec::with_capacity(tier.members.len())).collect();
        }
        let peers = || set.members().iter().filter_map(|target| table.destination(*target));
        peers().for_each(|destination| self.count(destination, members));
        peers().for_each(|destination| self.place(destination, members));
    }

    /// Takes in that the facts or the address of one destination changed.
    pub fn refresh(&mut self, table: &Table, members: &[Option<Member>], destination: &Destination) {
        let had_up = self.has_up(destination.set);
        self.count(destination, members);
        if self.has_up(destination.set) == had_up {
            self.place(destination, members);
        } else {
            let peers = table.set(destination.set).map_or(&[][..], |set| set.members());
            for peer in peers.iter().filter_map(|target| table.destination(*target)) {
                self.place(peer, members);
            }
        }
    }

    /// Takes in that some destination's addresses changed, even if not the one in use.
    pub fn note_addresses(&mut self) {
        self.is_changed = true;
        self.are_addresses_changed = true;
    }

    /// The verdicts, if any changed since the last call.
    pub fn take(&mut self, table: &Table, members: &[Option<Member>]) -> Option<Arc<Verdicts>> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        if std::mem::take(&mut self.are_addresses_changed) {
            self.verdicts.endpoints = endpoints(table, members);
        }
        self.verdicts.generation += 1;
        Some(Arc::new(self.verdicts.clone()))
    }

    /// Whether a destination may be chosen.
    pub fn is_usable(&self, target: Target) -> bool {
        self.counted.get(target.index()).is_some_and(|counted| counted.is_usable)
    }

    /// Whether a set is all down.
    pub fn is_all_down(&self, set: SetId) -> bool {
        self.groups.get(set.index()).is_some_and(|group| group.all_down)
    }

    /// Whether requests could still go to another member if this one got none.
    pub fn leaves_another(&self, destination: &Destination) -> bool {
        self.verdicts.available(destination.set) > u32::from(self.verdicts.is_usable(destination.target))
    }

    /// Whether a member may be ejected: it is usable, another one is, and the cap is not reached.
    pub fn may_eject(&self, destination: &Destination, percent: u32) -> bool {
        let group = self.groups.get(destination.set.index());
        self.verdicts.is_usable(destination.target)
            && self.leaves_another(destination)
            && group.is_some_and(|group| group.ejected < group.cap(percent))
    }

    /// Whether more members of a set are ejected than may be.
    pub fn is_beyond_cap(&self, set: SetId, percent: u32) -> bool {
        self.groups.get(set.index()).is_some_and(|group| group.ejected > group.cap(percent))
    }

    /// Whether nobody in a set can be chosen although ejections or pauses could be lifted.
    pub fn needs_last_resort(&self, set: SetId) -> bool {
        self.groups.get(set.index()).is_some_and(|group| group.withheld > 0)
            && self.verdicts.available(set) == 0
    }

    fn has_up(&self, set: SetId) -> bool {
        self.groups.get(set.index()).is_some_and(|group| group.known_up > 0)
    }

    /// Brings the counts that do not depend on other members up to date.
    fn count(&mut self, destination: &Destination, members: &[Option<Member>]) {
        let Some(facts) = facts(destination.target, members) else { return };
        let is_enabled = facts.admin == Admin::Enabled && destination.has_weight;
        let slot = self.counted.get_mut(destination.target.index());
        let (Some(counted), Some(group)) = (slot, self.groups.get_mut(destination.set.index())) else {
            return;
        };
        let is_known_up = is_enabled && facts.is_known_up();
        let after = Counted {
            is_enabled,
            is_ejected: is_enabled && facts.ejected_until.is_some(),
            // Only a member that could take its place keeps an unknown one from being used.
            is_known_up,
            is_withheld: is_known_up && facts.is_withheld(),
            is_unjudged: is_enabled && !facts.is_judged(),
            is_usable: counted.is_usable,
        };
        adjust(&mut group.enabled, counted.is_enabled, after.is_enabled);
        adjust(&mut group.ejected, counted.is_ejected, after.is_ejected);
        adjust(&mut group.withheld, counted.is_withheld, after.is_withheld);
        adjust(&mut group.known_up, counted.is_known_up, after.is_known_up);
        adjust(&mut group.unjudged, counted.is_unjudged, after.is_unjudged);
        *counted = after;
    }

    /// Brings the verdict of one destination up to date.
    fn place(&mut self, destination: &Destination, members: &[Option<Member>]) {
        let others_up = self.has_up(destination.set);
        let Some(facts) = facts(destination.target, members) else { return };
        let (index, set) = (destination.target.index(), destination.set.index());
        let (Some(counted), Some(group)) = (self.counted.get_mut(index), self.groups.get_mut(set)) else {
            return;
        };
        let unweighted = (!destination.has_weight).then_some(SkipReason::Admin);
        let skip = facts.skip(others_up).or(unweighted);
        adjust(&mut group.usable, counted.is_usable, skip.is_none());
        counted.is_usable = skip.is_none();
        let member = members.get(index).and_then(Option::as_ref);
        let verdict = Verdict {
            skip,
            address: member.and_then(Member::address),
            is_suspect: member.is_some_and(Member::is_suspect),
            returned: member.and_then(Member::returned),
        };
        let Some(published) = self.verdicts.by_target.get_mut(index) else { return };
        if *published == verdict {
            return;
        }
        self.is_changed = true;
        self.are_addresses_changed |= published.address != verdict.address;
        *published = verdict;
        let tiers = self.verdicts.usable.get_mut(set);
        let Some(list) = tiers.and_then(|tiers| tiers.get_mut(destination.tier)) else { return };
        match (list.binary_search(&destination.position), verdict.skip) {
            (Err(at), None) => list.insert(at, destination.position),
            (Ok(at), Some(_)) => {
                list.remove(at);
            }
            (Ok(_), None) | (Err(_), Some(_)) => {}
        }
    }

    /// Whether a set is all down, if that has changed.
    pub fn settle(&mut self, set: SetId) -> Option<bool> {
        let group = self.groups.get_mut(set.index())?;
        let all_down = group.enabled > 0 && group.usable == 0 && group.unjudged == 0;
        let is_changed = std::mem::replace(&mut group.all_down, all_down) != all_down;
        is_changed.then_some(all_down)
    }

    /// Counts everything again from the facts and compares; for debug checks.
    pub fn is_consistent(&self, table: &Table, members: &[Option<Member>], set: SetId) -> bool {
        let (Some(group), Some(peers)) = (self.groups.get(set.index()), table.set(set)) else { return false };
        let weighted = (0_u32..).zip(peers.members()).filter(|(position, _)| peers.weight(*position) > 0);
        let known: Vec<&Facts> = weighted.clone().filter_map(|(_, target)| facts(*target, members)).collect();
        let enabled = || known.iter().filter(|facts| facts.admin == Admin::Enabled);
        let others_up = enabled().any(|facts| facts.is_known_up());
        let usable = known.iter().filter(|facts| facts.skip(others_up).is_none()).count();
        let ejected = enabled().filter(|facts| facts.ejected_until.is_some()).count();
        let is_withheld = enabled().any(|facts| facts.is_known_up() && facts.is_withheld());
        let all_down = enabled().next().is_some() && usable == 0 && enabled().all(|facts| facts.is_judged());
        known.len() == weighted.count()
            && u32::try_from(usable) == Ok(group.usable)
            && self.verdicts.available(set) == group.usable
            && peers.members().iter().filter(|target| self.is_usable(**target)).count() == usable
            && group.all_down == all_down
            && u32::try_from(ejected) == Ok(group.ejected)
            && group.ejected <= group.cap(peers.passive().max_ejected_percent)
            && (usable > 0 || !is_withheld)
    }
}

fn facts(target: Target, members: &[Option<Member>]) -> Option<&Facts> {
    Some(members.get(target.index())?.as_ref()?.facts())
}

/// Those of the table, and what its names stand for.
fn endpoints(table: &Table, members: &[Option<Member>]) -> Arc<Endpoints> {
    let mut endpoints = Arc::clone(table.literal());
    let looked_up = table.lookups().values().flatten().filter_map(|target| table.destination(*target));
    for destination in looked_up.filter(|looked_up| looked_up.settings.endpoint.host.is_name()) {
        let member = members.get(destination.target.index()).and_then(Option::as_ref);
        for address in member.into_iter().flat_map(Member::sources) {
            let endpoints = Arc::make_mut(&mut endpoints);
            let targets = endpoints.entry((destination.settings.transport, address)).or_default();
            if !targets.contains(&destination.target) {
                targets.push(destination.target);
                targets.sort_unstable_by_key(|target| table.order_of(*target));
            }
        }
    }
    endpoints
}

/// Makes a list one of equal items, in the memory that it has.
fn refill<T: Clone>(list: &mut Vec<T>, length: usize, item: T) {
    list.clear();
    list.resize(length, item);
}

fn adjust(count: &mut u32, was: bool, is: bool) {
    match (was, is) {
        (false, true) => *count += 1,
        (true, false) => *count -= 1,
        (false, false) | (true, true) => {}
    }
}
