//! Choosing a destination for a request, and the next one after a failed attempt.
//!
//! A selection walks the ranking of the usable members: the best tier that has one, in the order
//! of the set's algorithm, then the lower tiers, then the sets that it falls back to. Nothing of the
//! ranking is stored; each step looks at the newest verdicts and counts of calls, so it never gives a
//! destination that they call unusable or full. Never decides whether another attempt is allowed.

mod narrow;
mod ranking;

use super::algorithm::{self, Candidates, Cursor, Request};
use super::load::{Call, Limits, Loads};
use super::{Basis, Set, Table, Verdicts};
use crate::facts::event::{SelectionFailure, SelectionReason, SkipReason};
use crate::facts::{SetId, Target, WhenAllDown};
use narrow::{conceivable, usable, without_full, without_slow};
pub use ranking::{Candidate, ranking};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Instant;

/// Tries at a tier whose members fill up between a look and the next, in another worker.
const TRIES: usize = 8;

/// Chooses destinations for one worker; holds the cursors of its sets.
#[derive(Debug)]
pub struct Selector {
    table: Arc<Table>,
    offset: u64,
    means: Means,
}

/// What changes with a selection.
#[derive(Debug, Clone)]
struct Means {
    loads: Arc<Loads>,
    /// Whether nothing that is chosen becomes a call.
    is_trial: bool,
    /// By set.
    cursors: Vec<Cursor>,
    /// Memory for those that are not full, and for those that do not start slowly.
    room: [Vec<u32>; 2],
}

/// What a request brings to its selection.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// What it is spread by.
    pub basis: Basis,
    /// A hash of the key parts that a set configures for that; `None` if the request has none of them.
    pub key_for: &'a dyn Fn(SetId) -> Option<u64>,
    /// An unguessable number; algorithms that need neither ignore both.
    pub nonce: u64,
    /// When.
    pub now: Instant,
    /// Whether it is a call, which is counted and limited.
    pub is_call: bool,
}

/// One selection: enough to continue it after a failed attempt.
#[derive(Debug)]
pub struct Selection {
    set: SetId,
    /// The set that the last destination was chosen from: the same or one that it falls back to.
    within: SetId,
    order: u64,
    is_keyed: bool,
    given: SmallVec<[Target; 4]>,
    is_anyway: bool,
    met_full: bool,
    call: Option<Call>,
}

impl Selection {
    fn new(set: SetId) -> Self {
        let given = SmallVec::new();
        let (is_keyed, is_anyway, met_full) = (false, false, false);
        Self { set, within: set, order: 0, is_keyed, given, is_anyway, met_full, call: None }
    }

    /// The set that the request was routed to.
    pub fn set(&self) -> SetId {
        self.set
    }

    /// Whether the order goes by a key of the request.
    pub fn is_keyed(&self) -> bool {
        self.is_keyed
    }

    /// The set that the last destination was chosen from: that one, or one that it falls back to.
    pub fn within(&self) -> SetId {
        self.within
    }

    /// Whether nobody is usable, and destinations are tried all the same.
    pub fn is_anyway(&self) -> bool {
        self.is_anyway
    }

    /// Why the last destination was selected: `otherwise`, unless it is from another set or not usable
    /// at all.
    pub fn reason(&self, otherwise: SelectionReason) -> SelectionReason {
        if self.is_anyway {
            SelectionReason::TryAnyway
        } else if self.within != self.set {
            SelectionReason::FallbackSet
        } else {
            otherwise
        }
    }

    /// Whether a usable destination was passed over in the last step because it is full.
    pub fn met_full(&self) -> bool {
        self.met_full
    }

    /// Which place of the order of a set comes next.
    fn turn_in(&self, set: SetId, table: &Table) -> Turn {
        let is_of = |target: &Target| table.destination(*target).is_some_and(|known| known.set == set);
        if set == self.within {
            Turn::Next
        } else if self.given.iter().any(is_of) {
            Turn::Again
        } else {
            Turn::First
        }
    }

    /// The destinations given so far, in order.
    pub fn given(&self) -> &[Target] {
        &self.given
    }

    /// Takes the call that is counted on the last destination, if the request is one. What is not
    /// taken is not counted any more when the next destination is given.
    pub fn take_call(&mut self) -> Option<Call> {
        self.call.take()
    }
}

/// What one step of a selection rests on.
#[derive(Clone, Copy)]
struct Step<'a> {
    table: &'a Table,
    verdicts: &'a Verdicts,
    ask: Ask<'a>,
    turn: Turn,
}

/// Which place of an order is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The first of a set that none has been given of.
    First,
    /// The next one of the set that the last one is of.
    Next,
    /// The next one of a set that the selection comes back to, whose order is not known any more.
    Again,
}

impl Selector {
    /// Starts the cursor of every set at `offset`, which differs between workers so that they do
    /// not all begin with the same destination. All workers share `loads`.
    pub fn new(table: Arc<Table>, loads: Arc<Loads>, offset: u64) -> Self {
        let means = Means { loads, is_trial: false, cursors: vec![], room: Default::default() };
        let mut selector = Self { table: Arc::default(), offset, means };
        selector.reload(table);
        selector
    }

    /// A copy that chooses as this one would, and counts no call: it changes nothing for anybody.
    pub fn trial(&self) -> Self {
        let means = Means { is_trial: true, ..self.means.clone() };
        Self { table: Arc::clone(&self.table), offset: self.offset, means }
    }

    /// What the destinations have to do.
    pub fn loads(&self) -> &Arc<Loads> {
        &self.means.loads
    }

    /// Takes a new configuration; the cursors of sets that stay go on.
    pub fn reload(&mut self, table: Arc<Table>) {
        let fresh = Cursor { turns: self.offset, credits: vec![] };
        let mut cursors = vec![fresh; table.set_bound()];
        for set in table.sets() {
            let kept = self.table.set(set.id()).zip(self.means.cursors.get(set.id().index()));
            if let (Some((old_set, old)), Some(cursor)) = (kept, cursors.get_mut(set.id().index())) {
                cursor.turns = old.turns;
                cursor.credits = carry_credits(old_set, old, set, &table);
            }
        }
        self.means.loads.reserve(table.target_bound());
        self.means.cursors = cursors;
        self.table = table;
    }

    /// Chooses a destination for a new request, from a set or those that it falls back to.
    pub fn select(
        &mut self,
        set: SetId,
        ask: Ask<'_>,
        verdicts: &Verdicts,
    ) -> Result<(Selection, Target), SelectionFailure> {
        let Self { table, means, .. } = self;
        let settings = table.set(set).filter(|set| !set.members().is_empty());
        let Some(settings) = settings else { return Err(SelectionFailure::Empty) };
        let step = Step { table, verdicts, ask, turn: Turn::First };
        let mut selection = Selection::new(set);
        let mut chain = std::iter::once(&set).chain(settings.fallbacks());
        let mut found = chain.find_map(|within| means.step(&mut selection, *within, step));
        let may_try_anyway = settings.when_all_down() == WhenAllDown::TryAnyway && !selection.met_full;
        if found.is_none() && may_try_anyway {
            selection.is_anyway = true;
            found = means.step(&mut selection, set, step);
        }
        match found {
            Some(target) => Ok((selection, target)),
            None if selection.met_full => Err(SelectionFailure::AllFull),
            None => Err(SelectionFailure::NoneUsable),
        }
    }

    /// The next destination that can be chosen now, never one given before; `None` if none is left.
    pub fn next(&mut self, selection: &mut Selection, ask: Ask<'_>, verdicts: &Verdicts) -> Option<Target> {
        let Self { table, means, .. } = self;
        selection.call = None;
        selection.met_full = false;
        let set = selection.set;
        // Who was tried although nobody was usable may be followed by one who is again.
        let was_anyway = std::mem::take(&mut selection.is_anyway);
        // The whole chain: a reload may have changed it, and affinity may have begun in the middle.
        let mut chain = std::iter::once(set).chain(table.set(set)?.fallbacks().iter().copied());
        let mut found = chain.find_map(|within| {
            let turn = selection.turn_in(within, table);
            means.step(selection, within, Step { table, verdicts, ask, turn })
        });
        if found.is_none() && was_anyway {
            selection.is_anyway = true;
            let turn = selection.turn_in(set, table);
            found = means.step(selection, set, Step { table, verdicts, ask, turn });
        }
        found
    }

    /// A selection whose first destination was settled elsewhere, by affinity; it takes no turn.
    /// `None` if that is full. `is_counted` says that its rate has been asked for, as for a call that the
    /// destination challenged and that comes again.
    pub fn resume(&self, set: SetId, first: Target, is_counted: bool, ask: Ask<'_>) -> Option<Selection> {
        let destination = self.table.destination(first)?;
        let within = self.table.set(destination.set)?;
        let request = Request { key: (ask.key_for)(within.id()), nonce: ask.nonce };
        let order = algorithm::of(within, ask.basis).order(request);
        let mut limits = Limits::of(&destination.settings);
        limits.rate = limits.rate.filter(|_| !is_counted);
        let call = match ask.is_call && !self.means.is_trial {
            true => Some(self.loads().admit(first, limits, ask.now)?),
            false => None,
        };
        let given = SmallVec::from_slice(&[first]);
        let is_keyed = request.key.is_some();
        Some(Selection { within: within.id(), order, is_keyed, given, call, ..Selection::new(set) })
    }
}

impl Means {
    /// Takes a step within one set: gives the first of its tiers that has somebody to choose.
    fn step(&mut self, selection: &mut Selection, within: SetId, step: Step<'_>) -> Option<Target> {
        let Step { table, verdicts, ask, turn } = step;
        let set = table.set(within)?;
        let key = if turn == Turn::Next { None } else { (ask.key_for)(within) };
        let request = Request { key, nonce: ask.nonce };
        for tier in 0..set.tiers().len() {
            let members = match selection.is_anyway {
                false => usable(table, set, tier, verdicts),
                true => conceivable(set, tier, verdicts),
            };
            for _ in 0..TRIES {
                let Some((target, order)) = self.rank(selection, set, &members, request, step) else { break };
                debug_assert!(
                    selection.is_anyway || verdicts.is_usable(target),
                    "an unusable destination was selected"
                );
                if ask.is_call && !self.is_trial {
                    let destination = table.destination(target)?;
                    let call = self.loads.admit(target, Limits::of(&destination.settings), ask.now);
                    if call.is_none() {
                        continue;
                    }
                    selection.call = call;
                }
                if turn != Turn::Next {
                    (selection.within, selection.order) = (within, order);
                    selection.is_keyed = request.key.is_some();
                }
                selection.given.push(target);
                return Some(target);
            }
        }
        None
    }

    /// The place that is wanted in the order of those that can be chosen.
    fn rank(
        &mut self,
        selection: &mut Selection,
        set: &Set,
        members: &[u32],
        request: Request,
        step: Step<'_>,
    ) -> Option<(Target, u64)> {
        let Self { loads, cursors, room: [not_full, not_slow], .. } = self;
        let Step { verdicts, ask, turn, .. } = step;
        let algorithm = algorithm::of(set, ask.basis);
        let open = match ask.is_call {
            true => without_full(set, members, loads, ask.now, not_full),
            false => members,
        };
        let candidates = |usable| Candidates { set, usable, loads };
        match turn {
            Turn::First => {
                selection.met_full |= open.len() < members.len();
                let key = request.key.unwrap_or(request.nonce);
                let usable = without_slow(set, open, verdicts, key, ask.now, not_slow);
                algorithm.first(&candidates(usable), request, cursors.get_mut(set.id().index())?)
            }
            Turn::Next | Turn::Again => {
                let order = if turn == Turn::Next { selection.order } else { algorithm.order(request) };
                let next = algorithm.next(&candidates(open), order, &selection.given);
                if next.is_none() && open.len() < members.len() {
                    let untried = |target: Target| !selection.given.contains(&target);
                    selection.met_full |=
                        members.iter().filter_map(|position| set.member(*position)).any(untried);
                }
                Some((next?, order))
            }
        }
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

/// What each member is owed.
fn carry_credits(old_set: &Set, old: &Cursor, set: &Set, table: &Table) -> Vec<i64> {
    if old.credits.is_empty() {
        return vec![];
    }
    let mut credits = vec![0; set.members().len()];
    for (target, credit) in old_set.members().iter().zip(&old.credits) {
        let kept = table.destination(*target).filter(|destination| destination.set == set.id());
        let Some(kept) = kept else { continue };
        if let Some(slot) = credits.get_mut(kept.position as usize) {
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
        Bench { selector: Selector::new(Arc::clone(&table), Loads::new(base()), 0), table, set }
    }

    fn base() -> Instant {
        static BASE: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *BASE.get_or_init(Instant::now)
    }

    /// What a request that is no call brings.
    fn ask() -> Ask<'static> {
        Ask { basis: Basis::Algorithm, key_for: &|_| Some(1), nonce: 2, now: base(), is_call: false }
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
        let mut turn =
            |verdicts: &Verdicts| bench.selector.select(bench.set, ask(), verdicts).unwrap().1.index();
        let turns: Vec<_> = (0..4).map(|_| turn(&all)).collect();
        assert_eq!(turns, [0, 1, 2, 0]);
        let without = verdicts(&bench.table, |target| target.index() == 1);
        let mut turns: Vec<_> =
            (0..2).map(|_| bench.selector.select(bench.set, ask(), &without).unwrap().1.index()).collect();
        turns.sort_unstable();
        assert_eq!(turns, [0, 2]);
    }

    #[test]
    fn lower_tiers_follow_only_when_the_better_one_is_exhausted() {
        let members = [("low", 9), ("a", 0), ("b", 0)];
        let mut bench = bench(&mut Names::default(), Algorithm::RoundRobin, &members);
        let all = bench.verdicts(&[]);
        let (mut selection, first) = bench.selector.select(bench.set, ask(), &all).unwrap();
        assert_eq!(first, bench.target(1));
        assert_eq!(bench.selector.next(&mut selection, ask(), &all), Some(bench.target(2)));
        assert_eq!(bench.selector.next(&mut selection, ask(), &all), Some(bench.target(0)));
        assert_eq!(bench.selector.next(&mut selection, ask(), &all), None);
        let low_only = bench.verdicts(&[1, 2]);
        assert_eq!(bench.selector.select(bench.set, ask(), &low_only).unwrap().1, bench.target(0));
    }

    #[test]
    fn the_newest_verdicts_decide_what_comes_next() {
        let mut bench = bench(&mut Names::default(), Algorithm::Priority, &[("a", 0), ("b", 0), ("c", 0)]);
        let (mut selection, _) = bench.selector.select(bench.set, ask(), &bench.verdicts(&[])).unwrap();
        let next = bench.selector.next(&mut selection, ask(), &bench.verdicts(&[1]));
        assert_eq!(next, Some(bench.target(2)), "b died meanwhile");
        let next = bench.selector.next(&mut selection, ask(), &bench.verdicts(&[0, 2]));
        assert_eq!(next, Some(bench.target(1)), "b came back");
        assert_eq!(selection.given(), [bench.target(0), bench.target(2), bench.target(1)]);
    }

    #[test]
    fn a_resumed_selection_never_gives_its_first_destination_again() {
        for algorithm in Algorithm::ALL {
            let mut bench = bench(&mut Names::default(), *algorithm, &[("a", 0), ("b", 0), ("c", 1)]);
            let all = bench.verdicts(&[]);
            let mut selection = bench.selector.resume(bench.set, bench.target(1), true, ask()).unwrap();
            let rest: Vec<_> = std::iter::from_fn(|| bench.selector.next(&mut selection, ask(), &all))
                .map(Target::index)
                .collect();
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
            let key_for = |_| key;
            let ask = Ask { basis, key_for: &key_for, nonce: 9, ..ask() };
            let (mut selection, first) = bench.selector.select(bench.set, ask, &all).unwrap();
            assert_eq!(selection.is_keyed(), key.is_some());
            let rest = std::iter::from_fn(|| bench.selector.next(&mut selection, ask, &all));
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
        let fails = |selector: &mut Selector, set| selector.select(set, ask(), &none).unwrap_err();
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
            let (mut selection, first) = bench.selector.select(bench.set, ask(), &old).unwrap();
            assert_eq!(names.target(first), "c", "{algorithm}: b is down, the new one is not known");
            let next = bench.selector.next(&mut selection, ask(), &old).unwrap();
            assert_eq!(names.target(next), "a");
            assert_eq!(bench.selector.next(&mut selection, ask(), &old), None);
        }
    }

    #[test]
    fn cursors_of_kept_sets_go_on_over_a_reload() {
        let mut names = Names::default();
        let mut bench = bench(&mut names, Algorithm::RoundRobin, &[("a", 0), ("b", 0), ("c", 0)]);
        let all = bench.verdicts(&[]);
        bench.selector.select(bench.set, ask(), &all).unwrap();
        let same = table(&mut names, Algorithm::RoundRobin, &[("a", 0), ("b", 0), ("c", 0)]);
        bench.selector.reload(Arc::new(same));
        assert_eq!(bench.selector.select(bench.set, ask(), &all).unwrap().1, bench.target(1));
    }

    #[test]
    fn credits_follow_their_members_over_a_reload() {
        let word = Algorithm::WeightedRoundRobin;
        let mut names = Names::default();
        let mut bench = bench(&mut names, word, &[("a", 0), ("b", 0)]);
        let all = bench.verdicts(&[]);
        assert_eq!(bench.selector.select(bench.set, ask(), &all).unwrap().1, bench.target(0));
        let turned = Arc::new(table(&mut names, word, &[("b", 0), ("a", 0)]));
        bench.selector.reload(Arc::clone(&turned));
        let all = verdicts(&turned, |_| false);
        let (_, chosen) = bench.selector.select(bench.set, ask(), &all).unwrap();
        assert_eq!(names.target(chosen), "b", "a has had its turn");
    }

    #[test]
    fn workers_start_at_different_destinations() {
        for algorithm in [Algorithm::RoundRobin, Algorithm::WeightedRoundRobin] {
            let bench = bench(&mut Names::default(), algorithm, &[("a", 0), ("b", 0), ("c", 0)]);
            let all = bench.verdicts(&[]);
            let first = |offset| {
                let mut selector = Selector::new(Arc::clone(&bench.table), Loads::new(base()), offset);
                selector.select(bench.set, ask(), &all).unwrap().1.index()
            };
            assert_eq!([first(0), first(1), first(2)], [0, 1, 2], "{algorithm}");
        }
    }
}
