//! Choosing a destination for a request, and the next one after a failed attempt.
//!
//! A selection walks the ranking of the usable members: the best tier that has one, in the order
//! of the set's algorithm, then the lower tiers. Nothing of the ranking is stored; each step looks
//! at the newest verdicts, so it never gives a destination that they call unusable. Never decides
//! whether another attempt is allowed.

use super::algorithm::{self, Candidates, Cursor, Request};
use super::{Basis, Set, Table, Verdicts};
use crate::facts::event::{SelectionFailure, SkipReason};
use crate::facts::{SetId, Target};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::Arc;

/// Chooses destinations for one worker; holds the cursors of its sets.
#[derive(Debug)]
pub struct Selector {
    table: Arc<Table>,
    offset: u64,
    /// By set.
    cursors: Vec<Cursor>,
}

/// One selection: enough to continue it after a failed attempt.
#[derive(Debug, Clone)]
pub struct Selection {
    set: SetId,
    basis: Basis,
    order: u64,
    is_keyed: bool,
    given: SmallVec<[Target; 4]>,
}

impl Selection {
    /// The set chosen from.
    pub fn set(&self) -> SetId {
        self.set
    }

    /// What it was made on.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Whether the order goes by a key of the request.
    pub fn is_keyed(&self) -> bool {
        self.is_keyed
    }

    /// The destinations given so far, in order.
    pub fn given(&self) -> &[Target] {
        &self.given
    }
}

impl Selector {
    /// Starts the cursor of every set at `offset`, which differs between workers so that they do
    /// not all begin with the same destination.
    pub fn new(table: Arc<Table>, offset: u64) -> Self {
        let mut selector = Self { table: Arc::default(), offset, cursors: vec![] };
        selector.reload(table);
        selector
    }

    /// Takes a new configuration; the cursors of sets that stay go on.
    pub fn reload(&mut self, table: Arc<Table>) {
        let fresh = Cursor { turns: self.offset, credits: vec![] };
        let mut cursors = vec![fresh; table.set_bound()];
        for set in table.sets() {
            let kept = self.table.set(set.id()).zip(self.cursors.get(set.id().index()));
            if let (Some((old_set, old)), Some(cursor)) = (kept, cursors.get_mut(set.id().index())) {
                cursor.turns = old.turns;
                cursor.credits = carry_credits(old_set, old, set, &table);
            }
        }
        self.cursors = cursors;
        self.table = table;
    }

    /// Chooses a destination for a new request. `key` is a hash of the parts that the basis looks at,
    /// if the request has any, `nonce` an unguessable number; algorithms that need neither ignore them.
    pub fn select(
        &mut self,
        set: SetId,
        basis: Basis,
        key: Option<u64>,
        nonce: u64,
        verdicts: &Verdicts,
    ) -> Result<(Selection, Target), SelectionFailure> {
        let members = self.table.set(set).filter(|set| !set.members().is_empty());
        let (Some(members), Some(cursor)) = (members, self.cursors.get_mut(set.index())) else {
            return Err(SelectionFailure::Empty);
        };
        let algorithm = algorithm::of(members, basis);
        for tier in 0..members.tiers().len() {
            let usable = usable(&self.table, members, tier, verdicts);
            let candidates = Candidates { set: members, usable: &usable };
            let first = algorithm.first(&candidates, Request { key, nonce }, cursor);
            if let Some((target, order)) = first {
                debug_assert!(verdicts.is_usable(target), "an unusable destination was selected");
                let given = SmallVec::from_slice(&[target]);
                return Ok((Selection { set, basis, order, is_keyed: key.is_some(), given }, target));
            }
        }
        Err(SelectionFailure::NoneUsable)
    }

    /// The next destination that is usable now, never one given before; `None` if none is left.
    pub fn next(&self, selection: &mut Selection, verdicts: &Verdicts) -> Option<Target> {
        let set = self.table.set(selection.set)?;
        let algorithm = algorithm::of(set, selection.basis);
        let target = (0..set.tiers().len()).find_map(|tier| {
            let usable = usable(&self.table, set, tier, verdicts);
            algorithm.next(&Candidates { set, usable: &usable }, selection.order, &selection.given)
        })?;
        debug_assert!(verdicts.is_usable(target), "an unusable destination was selected");
        selection.given.push(target);
        Some(target)
    }

    /// A selection whose first destination was settled elsewhere, by affinity; it takes no turn.
    pub fn resume(&self, set: SetId, basis: Basis, first: Target, key: Option<u64>, nonce: u64) -> Selection {
        let request = Request { key, nonce };
        let order = self.table.set(set).map_or(nonce, |set| algorithm::of(set, basis).order(request));
        Selection { set, basis, order, is_keyed: key.is_some(), given: SmallVec::from_slice(&[first]) }
    }
}

/// Who is passed over in a set, in file order, and why.
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

/// The usable members of a tier, as positions. While a reload is under way the verdicts may belong
/// to another table: their positions mean others then, and only their word on each target counts.
fn usable<'v>(table: &Table, set: &Set, tier: usize, verdicts: &'v Verdicts) -> Cow<'v, [u32]> {
    if verdicts.shape == table.shape() {
        let lists = verdicts.usable.get(set.id().index());
        return Cow::Borrowed(lists.and_then(|tiers| tiers.get(tier)).map_or(&[], Vec::as_slice));
    }
    let members = set.tiers().get(tier).map_or(&[][..], |tier| &tier.members);
    let is_usable = |position: &u32| {
        set.weight(*position) > 0 && set.member(*position).is_some_and(|target| verdicts.is_usable(target))
    };
    members.iter().copied().filter(is_usable).collect()
}

fn carry_credits(old_set: &Set, old: &Cursor, set: &Set, table: &Table) -> Vec<i64> {
    if old.credits.is_empty() {
        return vec![];
    }
    let mut credits = vec![0; set.members().len()];
    for (target, credit) in old_set.members().iter().zip(&old.credits) {
        let kept = table.destination(*target).filter(|destination| destination.set == set.id());
        if let Some(slot) = kept.and_then(|destination| credits.get_mut(destination.position as usize)) {
            *slot = *credit;
        }
    }
    credits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::testing::{destination, set, verdicts};
    use crate::dispatch::{HashCompat, SetSettings};
    use crate::facts::Algorithm;
    use crate::facts::names::Names;

    struct Bench {
        table: Arc<Table>,
        selector: Selector,
        set: SetId,
    }

    fn bench(names: &mut Names, algorithm: Algorithm, members: &[(&str, u32)]) -> Bench {
        bench_of(table(names, algorithm, members))
    }

    fn bench_of(table: Table) -> Bench {
        let table = Arc::new(table);
        let set = table.set_by_name("pbx").unwrap();
        Bench { selector: Selector::new(Arc::clone(&table), 0), table, set }
    }

    /// A table of one set whose members are given with their tiers.
    fn table(names: &mut Names, algorithm: Algorithm, members: &[(&str, u32)]) -> Table {
        Table::new(vec![settings(algorithm, members)], names)
    }

    fn settings(algorithm: Algorithm, members: &[(&str, u32)]) -> SetSettings {
        let destinations = members.iter().map(|(id, priority)| {
            let mut destination = destination(id);
            destination.priority = *priority;
            destination
        });
        let mut settings = set("pbx", destinations.collect());
        settings.algorithm = algorithm;
        settings
    }

    impl Bench {
        fn target(&self, position: usize) -> Target {
            self.table.set(self.set).unwrap().members()[position]
        }
        fn verdicts(&self, down: &[usize]) -> Verdicts {
            let down: Vec<_> = down.iter().map(|position| self.target(*position)).collect();
            verdicts(&self.table, |target| down.contains(&target))
        }
    }

    #[test]
    fn round_robin_takes_turns_and_skips_the_unusable() {
        let mut bench = bench(&mut Names::default(), Algorithm::RoundRobin, &[("a", 0), ("b", 0), ("c", 0)]);
        let all = bench.verdicts(&[]);
        let mut turn = |verdicts: &Verdicts| {
            bench.selector.select(bench.set, Basis::Algorithm, None, 0, verdicts).unwrap().1.index()
        };
        let turns: Vec<_> = (0..4).map(|_| turn(&all)).collect();
        assert_eq!(turns, [0, 1, 2, 0]);
        let without = verdicts(&bench.table, |target| target.index() == 1);
        let mut turns: Vec<_> = (0..2)
            .map(|_| bench.selector.select(bench.set, Basis::Algorithm, None, 0, &without).unwrap().1.index())
            .collect();
        turns.sort_unstable();
        assert_eq!(turns, [0, 2]);
    }

    #[test]
    fn lower_tiers_follow_only_when_the_better_one_is_exhausted() {
        let members = [("low", 9), ("a", 0), ("b", 0)];
        let mut bench = bench(&mut Names::default(), Algorithm::RoundRobin, &members);
        let all = bench.verdicts(&[]);
        let (mut selection, first) =
            bench.selector.select(bench.set, Basis::Algorithm, None, 0, &all).unwrap();
        assert_eq!(first, bench.target(1));
        assert_eq!(bench.selector.next(&mut selection, &all), Some(bench.target(2)));
        assert_eq!(bench.selector.next(&mut selection, &all), Some(bench.target(0)));
        assert_eq!(bench.selector.next(&mut selection, &all), None);
        let low_only = bench.verdicts(&[1, 2]);
        assert_eq!(
            bench.selector.select(bench.set, Basis::Algorithm, None, 0, &low_only).unwrap().1,
            bench.target(0)
        );
    }

    #[test]
    fn the_newest_verdicts_decide_what_comes_next() {
        let mut bench = bench(&mut Names::default(), Algorithm::Priority, &[("a", 0), ("b", 0), ("c", 0)]);
        let (mut selection, _) =
            bench.selector.select(bench.set, Basis::Algorithm, None, 0, &bench.verdicts(&[])).unwrap();
        let next = bench.selector.next(&mut selection, &bench.verdicts(&[1]));
        assert_eq!(next, Some(bench.target(2)), "b died meanwhile");
        let next = bench.selector.next(&mut selection, &bench.verdicts(&[0, 2]));
        assert_eq!(next, Some(bench.target(1)), "b came back");
        assert_eq!(selection.given(), [bench.target(0), bench.target(2), bench.target(1)]);
    }

    #[test]
    fn a_resumed_selection_never_gives_its_first_destination_again() {
        for algorithm in Algorithm::ALL {
            let bench = bench(&mut Names::default(), *algorithm, &[("a", 0), ("b", 0), ("c", 1)]);
            let all = bench.verdicts(&[]);
            let mut selection =
                bench.selector.resume(bench.set, Basis::Algorithm, bench.target(1), Some(7), 8);
            let rest: Vec<_> =
                std::iter::from_fn(|| bench.selector.next(&mut selection, &all)).map(Target::index).collect();
            assert_eq!(rest, [0, 2], "{algorithm}");
        }
    }

    #[test]
    fn registrations_are_spread_by_their_key_whatever_the_algorithm() {
        let ranking = |algorithm, compat, basis, key| {
            let mut settings = settings(algorithm, &[("a", 0), ("b", 0), ("c", 0), ("d", 0)]);
            settings.hash_compat = compat;
            let mut bench = bench_of(Table::new(vec![settings], &mut Names::default()));
            let all = bench.verdicts(&[]);
            let (mut selection, first) = bench.selector.select(bench.set, basis, key, 9, &all).unwrap();
            assert_eq!((selection.basis(), selection.is_keyed()), (basis, key.is_some()));
            let rest = std::iter::from_fn(|| bench.selector.next(&mut selection, &all));
            std::iter::once(first).chain(rest).map(Target::index).collect::<Vec<_>>()
        };
        for algorithm in Algorithm::ALL {
            for compat in [None, Some(HashCompat::Kamailio)] {
                for key in (0..20).map(Some).chain([None]) {
                    let found = ranking(*algorithm, compat, Basis::Registration, key);
                    let plain = ranking(Algorithm::Hash, None, Basis::Algorithm, key);
                    assert_eq!(found, plain, "{algorithm} {compat:?} {key:?}");
                }
            }
        }
    }

    #[test]
    fn tells_an_unknown_set_from_one_without_a_usable_member() {
        let mut bench = bench(&mut Names::default(), Algorithm::Hash, &[("a", 0)]);
        let none = bench.verdicts(&[0]);
        let fails = |selector: &mut Selector, set| {
            selector.select(set, Basis::Algorithm, Some(0), 0, &none).unwrap_err()
        };
        assert_eq!(fails(&mut bench.selector, bench.set), SelectionFailure::NoneUsable);
        assert_eq!(fails(&mut bench.selector, SetId::new(9)), SelectionFailure::Empty);
        let skipped: Vec<_> = skipped(&bench.table, bench.set, &none, &[]).collect();
        assert_eq!(skipped, [(bench.target(0), SkipReason::Down)]);
    }

    #[test]
    fn verdicts_of_another_table_count_by_target_and_not_by_position() {
        for algorithm in Algorithm::ALL {
            let mut names = Names::default();
            let mut bench = bench(&mut names, *algorithm, &[("a", 0), ("b", 0), ("c", 0)]);
            let old = bench.verdicts(&[1]);
            let turned = table(&mut names, *algorithm, &[("new", 0), ("c", 0), ("b", 0), ("a", 3)]);
            bench.selector.reload(Arc::new(turned));
            let (mut selection, first) =
                bench.selector.select(bench.set, Basis::Algorithm, Some(1), 2, &old).unwrap();
            assert_eq!(names.target(first), "c", "{algorithm}: b is down, the new one is not known");
            let next = bench.selector.next(&mut selection, &old).unwrap();
            assert_eq!(names.target(next), "a");
            assert_eq!(bench.selector.next(&mut selection, &old), None);
        }
    }

    #[test]
    fn cursors_of_kept_sets_go_on_over_a_reload() {
        let mut names = Names::default();
        let mut bench = bench(&mut names, Algorithm::RoundRobin, &[("a", 0), ("b", 0), ("c", 0)]);
        let all = bench.verdicts(&[]);
        bench.selector.select(bench.set, Basis::Algorithm, None, 0, &all).unwrap();
        let same = table(&mut names, Algorithm::RoundRobin, &[("a", 0), ("b", 0), ("c", 0)]);
        bench.selector.reload(Arc::new(same));
        assert_eq!(
            bench.selector.select(bench.set, Basis::Algorithm, None, 0, &all).unwrap().1,
            bench.target(1)
        );
    }

    #[test]
    fn credits_follow_their_members_over_a_reload() {
        let word = Algorithm::WeightedRoundRobin;
        let mut names = Names::default();
        let mut bench = bench(&mut names, word, &[("a", 0), ("b", 0)]);
        let all = bench.verdicts(&[]);
        assert_eq!(
            bench.selector.select(bench.set, Basis::Algorithm, None, 0, &all).unwrap().1,
            bench.target(0)
        );
        let turned = Arc::new(table(&mut names, word, &[("b", 0), ("a", 0)]));
        bench.selector.reload(Arc::clone(&turned));
        let all = verdicts(&turned, |_| false);
        let (_, chosen) = bench.selector.select(bench.set, Basis::Algorithm, None, 0, &all).unwrap();
        assert_eq!(names.target(chosen), "b", "a has had its turn");
    }

    #[test]
    fn workers_start_at_different_destinations() {
        for algorithm in [Algorithm::RoundRobin, Algorithm::WeightedRoundRobin] {
            let bench = bench(&mut Names::default(), algorithm, &[("a", 0), ("b", 0), ("c", 0)]);
            let all = bench.verdicts(&[]);
            let first = |offset| {
                let mut selector = Selector::new(Arc::clone(&bench.table), offset);
                selector.select(bench.set, Basis::Algorithm, None, 0, &all).unwrap().1.index()
            };
            assert_eq!([first(0), first(1), first(2)], [0, 1, 2], "{algorithm}");
        }
    }
}
