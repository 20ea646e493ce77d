//! The sets of one configuration, numbered and laid out for selection.
//!
//! Immutable; all workers share one in an `Arc`. Owns what is configured; never what is known of a
//! destination at run time.

use super::load::Limits;
use super::{
    Basis, DestinationSettings, Endpoints, FailoverSettings, HashCompat, HashPart, Host, PassiveSettings,
    RetryAfterSettings, SetSettings,
};
use crate::facts::lookup::Lookup;
use crate::facts::names::Names;
use crate::facts::{Algorithm, SetId, Target, WhenAllDown};
use ipnet::IpNet;
use siphasher::sip::SipHasher13;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hasher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The sets of one configuration.
#[derive(Debug, Default)]
pub struct Table {
    sets: Vec<Set>,
    by_id: Vec<Option<usize>>,
    by_name: HashMap<Arc<str>, SetId>,
    destinations: Vec<Option<Destination>>,
    lookups: BTreeMap<Lookup, Vec<Target>>,
    literal: Arc<Endpoints>,
    shape: u64,
}

/// One set.
#[derive(Debug)]
pub struct Set {
    id: SetId,
    settings: SetSettings,
    members: Vec<Target>,
    lots: Vec<Lot>,
    has_equal_weights: bool,
    /// By position; empty if no member has one.
    limits: Vec<Limits>,
    tiers: Vec<Tier>,
    /// Empty unless the slots of a hash go by it.
    ring: Vec<u32>,
    /// The sets that follow it, in order.
    fallbacks: Vec<SetId>,
}

/// What hashing needs of one member, side by side in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lot {
    /// [`Destination::seed`].
    pub seed: u64,
    /// Its weight.
    pub weight: u32,
    /// The member.
    pub target: Target,
}

/// The members of a set that share a priority, and a rank within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The priority; lower is tried first.
    pub priority: u32,
    /// The rank among those of one priority; lower is tried first.
    pub rank: u32,
    /// Positions in the set's file order, ascending.
    pub members: Vec<u32>,
}

/// One destination.
#[derive(Debug)]
pub struct Destination {
    /// Its target.
    pub target: Target,
    /// The set it belongs to.
    pub set: SetId,
    /// Its position in the set's file order.
    pub position: u32,
    /// Its tier, as an index into [`Set::tiers`].
    pub tier: usize,
    /// A hash of the names of set and destination, equal in every process and after every reload.
    pub seed: u64,
    /// Whether it gets new requests at all: its weight is not 0.
    pub has_weight: bool,
    /// What is configured.
    pub settings: Arc<DestinationSettings>,
}

impl Table {
    /// Lays out the sets in file order, numbering names that are new in `names`. Of sets with one
    /// name, and of destinations with one id, the first counts (configuration refuses the rest).
    pub fn new(sets: Vec<SetSettings>, names: &mut Names) -> Self {
        let mut table = Self::default();
        for settings in sets {
            let id = names.intern_set(&settings.name);
            if !table.by_name.contains_key(&settings.name) {
                table.add(id, settings, names);
            }
        }
        table.link_fallbacks();
        table.index_endpoints();
        table.shape = table.hash_shape();
        table
    }

    fn add(&mut self, id: SetId, mut settings: SetSettings, names: &mut Names) {
        let mut destinations = std::mem::take(&mut settings.destinations);
        let mut ids = HashSet::new();
        destinations.retain(|destination| ids.insert(Arc::clone(&destination.id)));
        let (tiers, ring) = match slots(&settings) {
            None => (tiers(&destinations), vec![]),
            Some(HashCompat::Kamailio) => one_tier(&destinations),
        };
        let (members, lots, has_equal_weights) = (vec![], vec![], has_equal_weights(&destinations));
        let limits: Vec<_> = destinations.iter().map(Limits::of).collect();
        let limits = if limits.iter().all(|limits| limits.is_none()) { vec![] } else { limits };
        let fallbacks = vec![];
        let mut set = Set { id, settings, members, lots, has_equal_weights, limits, tiers, ring, fallbacks };
        for (position, settings) in (0_u32..).zip(destinations) {
            let target = names.intern_target(id, &settings.id);
            let seed = seed(&set.settings.name, &settings.id);
            let place = (settings.priority, settings.rank);
            let tier = match slots(&set.settings) {
                None => set.tiers.partition_point(|tier| (tier.priority, tier.rank) < place),
                Some(HashCompat::Kamailio) => 0,
            };
            set.members.push(target);
            set.lots.push(Lot { seed, weight: settings.weight, target });
            let (has_weight, settings) = (settings.weight > 0, Arc::new(settings));
            let destination = Destination { target, set: id, position, tier, seed, has_weight, settings };
            *slot_at(&mut self.destinations, target.index()) = Some(destination);
        }
        self.by_name.insert(Arc::clone(&set.settings.name), id);
        *slot_at(&mut self.by_id, id.index()) = Some(self.sets.len());
        self.sets.push(set);
    }

    /// Follows the fallback of each set to the end (configuration refuses those that never end, which
    /// end here where they would begin again).
    fn link_fallbacks(&mut self) {
        for index in 0..self.sets.len() {
            let mut chain = Vec::new();
            let mut at = self.sets.get(index);
            while let Some(set) = at {
                let next = set.settings.fallback.as_ref().and_then(|name| self.set_by_name(name));
                let next = next.and_then(|next| self.set(next));
                at = next.filter(|next| Some(next.id) != self.sets.get(index).map(Set::id));
                at = at.filter(|next| !chain.contains(&next.id));
                chain.extend(at.map(Set::id));
            }
            if let Some(set) = self.sets.get_mut(index) {
                set.fallbacks = chain;
            }
        }
    }

    /// Lists the literal addresses, and the names that the others are found by.
    fn index_endpoints(&mut self) {
        let mut lookups: BTreeMap<Lookup, Vec<Target>> = BTreeMap::new();
        let mut literal = Endpoints::default();
        for destination in self.destinations() {
            let settings = &destination.settings;
            if let Some(lookup) = &settings.lookup {
                lookups.entry(lookup.clone()).or_default().push(destination.target);
            }
            if let Host::Address(address) = settings.endpoint.host {
                let address = SocketAddr::new(address, settings.endpoint.port);
                literal.entry((settings.transport, address)).or_default().push(destination.target);
            }
        }
        (self.lookups, self.literal) = (lookups, Arc::new(literal));
    }

    /// Has the settings of a destination in common with the table before it where they are equal, so that
    /// whoever goes from one to the other sees at a glance what stays.
    pub fn share(&mut self, former: &Self) {
        for destination in self.destinations.iter_mut().flatten() {
            let known = former.destination(destination.target).map(|former| &former.settings);
            if let Some(known) = known.filter(|known| **known == destination.settings) {
                destination.settings = Arc::clone(known);
            }
        }
    }

    fn hash_shape(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        for set in &self.sets {
            hasher.write_usize(set.id.index());
            hasher.write_usize(set.members.len());
            for destination in set.members.iter().filter_map(|target| self.destination(*target)) {
                hasher.write_usize(destination.target.index());
                hasher.write_usize(destination.tier);
            }
        }
        hasher.finish() | 1
    }

    /// The set of this id; `None` if the configuration has none.
    pub fn set(&self, id: SetId) -> Option<&Set> {
        self.sets.get((*self.by_id.get(id.index())?)?)
    }

    /// The sets, in file order.
    pub fn sets(&self) -> impl Iterator<Item = &Set> {
        self.sets.iter()
    }

    /// The members of a set that belong to a configured id: one, or one for each address of its name.
    pub fn owned_by<'a>(&'a self, set: SetId, owner: &'a str) -> impl Iterator<Item = &'a Destination> {
        let members = self.set(set).map_or(&[][..], Set::members);
        let members = members.iter().filter_map(|target| self.destination(*target));
        members.filter(move |destination| &*destination.settings.owner == owner)
    }

    /// The names that addresses of destinations are found by, and of which destinations.
    pub fn lookups(&self) -> &BTreeMap<Lookup, Vec<Target>> {
        &self.lookups
    }

    /// The destinations at literal addresses; those of one address in the order of
    /// [`Table::destinations`].
    pub fn literal(&self) -> &Arc<Endpoints> {
        &self.literal
    }

    /// Where a target comes in the order of [`Table::destinations`].
    pub fn order_of(&self, target: Target) -> Option<(usize, u32)> {
        let destination = self.destination(target)?;
        Some(((*self.by_id.get(destination.set.index())?)?, destination.position))
    }

    /// Finds a set by its name.
    pub fn set_by_name(&self, name: &str) -> Option<SetId> {
        self.by_name.get(name).copied()
    }

    /// The destination of this target; `None` if the configuration has none.
    pub fn destination(&self, target: Target) -> Option<&Destination> {
        self.destinations.get(target.index())?.as_ref()
    }

    /// The destinations, by set and in file order.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let members = self.sets.iter().flat_map(|set| &set.members);
        members.filter_map(|target| self.destination(*target))
    }

    /// One more than the highest index of a target; the length of a table indexed by [`Target`].
    pub fn target_bound(&self) -> usize {
        self.destinations.len()
    }

    /// One more than the highest index of a set; the length of a table indexed by [`SetId`].
    pub fn set_bound(&self) -> usize {
        self.by_id.len()
    }

    /// A hash of which position of which set is which target in which tier, never 0; verdicts
    /// carry that of the table they were made for, since their lists are positions.
    pub fn shape(&self) -> u64 {
        self.shape
    }
}

impl Set {
    /// Its id.
    pub fn id(&self) -> SetId {
        self.id
    }
    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }
    /// How it chooses.
    pub fn algorithm(&self) -> Algorithm {
        self.settings.algorithm
    }
    /// How it chooses on a basis.
    pub fn algorithm_on(&self, basis: Basis) -> Algorithm {
        match basis {
            Basis::Algorithm => self.settings.algorithm,
            Basis::Registration => Algorithm::Hash,
        }
    }
    /// What is hashed to choose on a basis; empty if nothing is.
    pub fn key_on(&self, basis: Basis) -> &[HashPart] {
        match basis {
            Basis::Registration => std::slice::from_ref(&self.settings.register_key),
            Basis::Algorithm if self.settings.algorithm == Algorithm::Hash => &self.settings.hash_key,
            Basis::Algorithm => &[],
        }
    }
    /// Whose way of hashing is repeated on a basis.
    pub fn hash_compat_on(&self, basis: Basis) -> Option<HashCompat> {
        self.settings.hash_compat.filter(|_| basis == Basis::Algorithm)
    }
    /// The call-setup objective as a ratio.
    pub fn objective(&self) -> f64 {
        self.settings.objective
    }
    /// The value of Retry-After in our own 503s.
    pub fn reject_retry_after(&self) -> Duration {
        self.settings.reject_retry_after
    }
    /// How it gives up on a destination.
    pub fn failover(&self) -> &FailoverSettings {
        &self.settings.failover
    }
    /// What failing requests do to its members.
    pub fn passive(&self) -> &PassiveSettings {
        &self.settings.passive
    }
    /// What Retry-After of its members does.
    pub fn retry_after(&self) -> &RetryAfterSettings {
        &self.settings.retry_after
    }
    /// Further networks whose requests count as coming from this set.
    pub fn sources(&self) -> &[IpNet] {
        &self.settings.sources
    }
    /// The sets that follow when none of its destinations can be chosen, in order.
    pub fn fallbacks(&self) -> &[SetId] {
        &self.fallbacks
    }
    /// What becomes of a request when neither it nor its fallbacks have a usable destination.
    pub fn when_all_down(&self) -> WhenAllDown {
        self.settings.when_all_down
    }
    /// Time over which a destination that has come back gets more and more of its share.
    pub fn slow_start(&self) -> Duration {
        self.settings.slow_start
    }
    /// Whether any of its members has a limit.
    pub fn is_limited(&self) -> bool {
        !self.limits.is_empty()
    }
    /// The limits of the member at a position.
    pub fn limits(&self, position: u32) -> Limits {
        self.limits.get(position as usize).copied().unwrap_or_default()
    }
    /// Its destinations, in file order.
    pub fn members(&self) -> &[Target] {
        &self.members
    }
    /// Its tiers, lowest priority value first.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }
    /// The member at a position of the file order.
    pub fn member(&self, position: u32) -> Option<Target> {
        self.members.get(position as usize).copied()
    }
    /// The weight of the member at a position; 0 beyond the end.
    pub fn weight(&self, position: u32) -> u32 {
        self.lots.get(position as usize).map_or(0, |lot| lot.weight)
    }
    /// What hashing needs of each member, in file order.
    pub(super) fn lots(&self) -> &[Lot] {
        &self.lots
    }
    /// Whether all weights but those of 0 are one.
    pub fn has_equal_weights(&self) -> bool {
        self.has_equal_weights
    }
    /// The positions by priority and then by file order, if the slots of a hash go by that.
    pub fn ring(&self) -> &[u32] {
        &self.ring
    }
}

/// Whose slots a set has: priorities order them then, but make no tiers.
fn slots(settings: &SetSettings) -> Option<HashCompat> {
    settings.hash_compat.filter(|_| settings.algorithm == Algorithm::Hash)
}

fn has_equal_weights(destinations: &[DestinationSettings]) -> bool {
    let mut weights = destinations.iter().map(|destination| destination.weight).filter(|weight| *weight > 0);
    let first = weights.next();
    weights.all(|weight| Some(weight) == first)
}

/// All members as one tier, and the order of their slots.
fn one_tier(destinations: &[DestinationSettings]) -> (Vec<Tier>, Vec<u32>) {
    let members: Vec<u32> = (0_u32..).zip(destinations).map(|(position, _)| position).collect();
    let priority = destinations.iter().map(|destination| destination.priority).min().unwrap_or(0);
    let ring = tiers(destinations).into_iter().flat_map(|tier| tier.members).collect();
    (vec![Tier { priority, rank: 0, members }], ring)
}

fn tiers(destinations: &[DestinationSettings]) -> Vec<Tier> {
    let mut tiers: Vec<Tier> = Vec::new();
    for (position, destination) in (0_u32..).zip(destinations) {
        let (priority, rank) = (destination.priority, destination.rank);
        let at = tiers.partition_point(|tier| (tier.priority, tier.rank) < (priority, rank));
        match tiers.get_mut(at) {
            Some(tier) if (tier.priority, tier.rank) == (priority, rank) => tier.members.push(position),
            Some(_) | None => tiers.insert(at, Tier { priority, rank, members: vec![position] }),
        }
    }
    tiers
}

/// The key of the hash is fixed, so that a key of a request meets the same destination in every
/// process.
fn seed(set: &str, id: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_usize(set.len());
    hasher.write(set.as_bytes());
    hasher.write(id.as_bytes());
    hasher.finish()
}

fn slot_at<T>(table: &mut Vec<Option<T>>, index: usize) -> &mut Option<T> {
    if table.len() <= index {
        table.resize_with(index + 1, || None);
    }
    table.get_mut(index).expect("the table was just grown to hold the index")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::DestinationSettings;
    use crate::dispatch::testing::{destination, set};

    fn table(names: &mut Names) -> Table {
        let mut low = destination("backup");
        low.priority = 7;
        let members = vec![destination("a"), low, destination("b")];
        Table::new(vec![set("pbx", members), set("other", vec![destination("a")])], names)
    }

    #[test]
    fn lays_tiers_out_in_ascending_priority_and_file_order() {
        let table = table(&mut Names::default());
        let set = table.set(table.set_by_name("pbx").unwrap()).unwrap();
        let tiers: Vec<_> = set.tiers().iter().map(|tier| (tier.priority, tier.members.clone())).collect();
        assert_eq!(tiers, [(0, vec![0, 2]), (7, vec![1])]);
        let backup = table.destination(set.member(1).unwrap()).unwrap();
        assert_eq!((backup.position, backup.tier, &*backup.settings.id), (1, 1, "backup"));
    }

    #[test]
    fn ranks_order_inside_a_tier_and_never_across() {
        let ranked = |id, priority, rank| DestinationSettings { priority, rank, ..destination(id) };
        let members = vec![ranked("a", 1, 1), ranked("b", 2, 0), ranked("c", 1, 0), ranked("d", 1, 1)];
        let table = Table::new(vec![set("pbx", members)], &mut Names::default());
        let tiers = table.sets().next().unwrap().tiers();
        let tiers: Vec<_> =
            tiers.iter().map(|tier| (tier.priority, tier.rank, tier.members.clone())).collect();
        assert_eq!(tiers, [(1, 0, vec![2]), (1, 1, vec![0, 3]), (2, 0, vec![1])]);
        assert_eq!(table.destinations().map(|d| d.tier).collect::<Vec<_>>(), [1, 2, 0, 1]);
    }

    #[test]
    fn keeps_ids_of_kept_names_and_forgets_removed_sets() {
        let mut names = Names::default();
        let first = table(&mut names);
        let pbx = first.set_by_name("pbx").unwrap();
        let other = first.set_by_name("other").unwrap();
        let second = Table::new(vec![set("other", vec![destination("a")])], &mut names);
        assert!(second.set(pbx).is_none());
        assert_eq!(second.set(other).unwrap().members(), first.set(other).unwrap().members());
        assert_eq!(second.destinations().count(), 1);
        assert_ne!(first.shape(), second.shape());
    }

    #[test]
    fn the_slots_of_kamailio_go_by_priority_but_there_is_one_tier() {
        let mut low = destination("a");
        low.priority = 7;
        let mut settings = set("pbx", vec![low, destination("b"), destination("c")]);
        (settings.algorithm, settings.hash_compat) = (Algorithm::Hash, Some(HashCompat::Kamailio));
        let table = Table::new(vec![settings.clone()], &mut Names::default());
        let pbx = table.sets().next().unwrap();
        assert_eq!(pbx.ring(), [1, 2, 0]);
        assert_eq!(pbx.tiers(), [Tier { priority: 0, rank: 0, members: vec![0, 1, 2] }]);
        assert!(table.destinations().all(|destination| destination.tier == 0));
        settings.algorithm = Algorithm::Random;
        let table = Table::new(vec![settings], &mut Names::default());
        assert_eq!(table.sets().next().unwrap().tiers().len(), 2, "`hash` is not in use");
    }

    #[test]
    fn the_seed_depends_on_names_alone() {
        let mut names = Names::default();
        names.intern_set("earlier");
        let (one, two) = (table(&mut Names::default()), table(&mut names));
        let seeds = |table: &Table| table.destinations().map(|d| d.seed).collect::<Vec<_>>();
        assert_eq!(seeds(&one), seeds(&two));
        let mut distinct = seeds(&one);
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 4, "the same id in two sets has two seeds");
    }

    #[test]
    fn fallbacks_are_followed_to_the_end_and_never_round() {
        let chained = |name, fallback: Option<&str>| {
            let mut settings = set(name, vec![destination("a")]);
            settings.fallback = fallback.map(Into::into);
            settings
        };
        let sets = vec![
            chained("a", Some("b")),
            chained("b", Some("c")),
            chained("c", None),
            chained("x", Some("y")),
            chained("y", Some("x")),
            chained("z", Some("z")),
        ];
        let table = Table::new(sets, &mut Names::default());
        let chain = |name: &str| {
            let set = table.set(table.set_by_name(name).unwrap()).unwrap();
            set.fallbacks().iter().map(|id| &**table.set(*id).unwrap().name()).collect::<Vec<_>>()
        };
        assert_eq!((chain("a"), chain("b"), chain("c")), (vec!["b", "c"], vec!["c"], vec![]));
        assert_eq!((chain("x"), chain("y"), chain("z")), (vec!["y"], vec!["x"], vec![]));
    }

    #[test]
    fn of_equal_names_and_ids_the_first_counts() {
        let mut second = destination("a");
        second.weight = 9;
        let sets = vec![set("pbx", vec![destination("a"), second]), set("pbx", vec![destination("z")])];
        let table = Table::new(sets, &mut Names::default());
        let weights: Vec<_> = table.destinations().map(|d| d.settings.weight).collect();
        assert_eq!(weights, [1]);
    }
}
