//! Who of a tier can be chosen: the usable members, less those that are full or start slowly.
//!
//! Full is not unusable: it is asked anew for each request, of counts that all workers share.

use crate::dispatch::algorithm::fraction;
use crate::dispatch::load::Loads;
use crate::dispatch::{Set, Table, Verdicts};
use std::borrow::Cow;
use std::time::Instant;

/// The usable members of a tier, as positions. While a reload is under way the verdicts may belong
/// to another table: their positions mean others then, and only their word on each target counts.
pub fn usable<'v>(table: &Table, set: &Set, tier: usize, verdicts: &'v Verdicts) -> Cow<'v, [u32]> {
    if verdicts.shape == table.shape() {
        let lists = verdicts.usable.get(set.id().index());
        return Cow::Borrowed(lists.and_then(|tiers| tiers.get(tier)).map_or(&[], Vec::as_slice));
    }
    members(set, tier, |position| set.member(position).is_some_and(|target| verdicts.is_usable(target)))
}

/// The members of a tier that can be tried when nobody is usable.
pub fn conceivable<'v>(set: &Set, tier: usize, verdicts: &Verdicts) -> Cow<'v, [u32]> {
    members(set, tier, |position| {
        let verdict = set.member(position).and_then(|target| verdicts.of(target));
        verdict.is_some_and(|verdict| verdict.is_conceivable())
    })
}

fn members<'v>(set: &Set, tier: usize, is_wanted: impl Fn(u32) -> bool) -> Cow<'v, [u32]> {
    let members = set.tiers().get(tier).map_or(&[][..], |tier| &tier.members);
    let is_wanted = |position: &u32| set.weight(*position) > 0 && is_wanted(*position);
    members.iter().copied().filter(is_wanted).collect()
}

/// Those of `usable` that are not full; whether all of them are is for the caller to see.
pub fn without_full<'a>(
    set: &Set,
    usable: &'a [u32],
    loads: &Loads,
    now: Instant,
    room: &'a mut Vec<u32>,
) -> &'a [u32] {
    if !set.is_limited() {
        return usable;
    }
    let is_full = |position: u32| {
        let limits = set.limits(position);
        !limits.is_none() && set.member(position).is_some_and(|target| loads.is_full(target, limits, now))
    };
    room.clear();
    room.extend(usable.iter().copied().filter(|position| !is_full(*position)));
    room
}

/// Those of `open` that take this request although they may have come back lately: each takes a part
/// of the requests that grows with time, told apart by `key`, so that a request which a member takes
/// stays its own. All of them if none would.
///
/// Slow start as in HAProxy and Envoy, for every algorithm alike, those without weights too.
pub fn without_slow<'a>(
    set: &Set,
    open: &'a [u32],
    verdicts: &Verdicts,
    key: u64,
    now: Instant,
    room: &'a mut Vec<u32>,
) -> &'a [u32] {
    if set.slow_start().is_zero() {
        return open;
    }
    let ramp = |position: u32| {
        let verdict = set.member(position).and_then(|target| verdicts.of(target));
        verdict.map_or(1.0, |verdict| verdict.ramp(set.slow_start(), now))
    };
    let seed = |position: u32| set.lots().get(position as usize).map_or(0, |lot| lot.seed);
    // The seed is turned round, or the draw would be that of the algorithm.
    let is_taken = |position: u32, ramp: f64| ramp >= 1.0 || fraction(!seed(position), key) < ramp;
    room.clear();
    room.extend(open.iter().copied().filter(|position| is_taken(*position, ramp(*position))));
    if room.is_empty() { open } else { room }
}

#[cfg(test)]
mod tests {
    use crate::dispatch::testing::{destination, set, verdicts};
    use crate::dispatch::{Ask, Basis, Call, Loads, Selection, Selector, SetSettings, Table, Verdicts};
    use crate::facts::event::{SelectionFailure, SkipReason};
    use crate::facts::names::Names;
    use crate::facts::{Algorithm, SetId, Target, WhenAllDown};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    struct Bench {
        table: Arc<Table>,
        selector: Selector,
        verdicts: Verdicts,
        now: Instant,
        nonce: u64,
    }

    fn bench(sets: Vec<SetSettings>) -> Bench {
        let table = Arc::new(Table::new(sets, &mut Names::default()));
        let now = Instant::now();
        let verdicts = verdicts(&table, |_| false);
        let selector = Selector::new(Arc::clone(&table), Loads::new(now), 0);
        Bench { table, selector, verdicts, now, nonce: 0 }
    }

    /// A set of destinations with so many calls at a time, 0 for any number.
    fn limited(name: &str, limits: &[(&str, u32)]) -> SetSettings {
        let members = limits.iter().map(|(id, most)| {
            let mut member = destination(id);
            member.max_calls = Some(*most).filter(|most| *most > 0);
            member
        });
        set(name, members.collect())
    }

    impl Bench {
        fn set(&self, name: &str) -> SetId {
            self.table.set_by_name(name).unwrap()
        }
        fn is_down(&mut self, down: &[&str]) {
            let ids: Vec<Target> = self
                .table
                .destinations()
                .filter(|d| down.contains(&&*d.settings.id))
                .map(|d| d.target)
                .collect();
            self.verdicts = verdicts(&self.table, |target| ids.contains(&target));
        }
        fn id(&self, target: Target) -> String {
            self.table.destination(target).unwrap().settings.id.to_string()
        }
        fn ask(&mut self, is_call: bool) -> Ask<'static> {
            self.nonce += 1;
            Ask { basis: Basis::Algorithm, key_for: &|_| Some(7), nonce: self.nonce, now: self.now, is_call }
        }
        fn try_select(&mut self, name: &str) -> Result<(Selection, String), SelectionFailure> {
            let (set, ask) = (self.set(name), self.ask(true));
            let (selection, target) = self.selector.select(set, ask, &self.verdicts)?;
            Ok((selection, self.id(target)))
        }
        fn select(&mut self, name: &str) -> (Selection, String) {
            self.try_select(name).unwrap()
        }
        fn call(&mut self, name: &str) -> (Call, String) {
            let (mut selection, id) = self.select(name);
            (selection.take_call().unwrap(), id)
        }
        fn next(&mut self, selection: &mut Selection) -> Option<String> {
            let ask = self.ask(true);
            let next = self.selector.next(selection, ask, &self.verdicts)?;
            Some(self.id(next))
        }
    }

    #[test]
    fn a_full_destination_is_passed_over_until_a_call_on_it_ends() {
        for algorithm in Algorithm::ALL {
            let mut settings = limited("pbx", &[("a", 1), ("b", 1)]);
            settings.algorithm = *algorithm;
            let mut bench = bench(vec![settings]);
            let (first, one) = bench.call("pbx");
            let (second, other) = bench.call("pbx");
            assert_ne!(one, other, "{algorithm}");
            assert_eq!(bench.try_select("pbx").unwrap_err(), SelectionFailure::AllFull);
            let ask = bench.ask(false);
            let set = bench.set("pbx");
            assert!(bench.selector.select(set, ask, &bench.verdicts).is_ok(), "it is not for calls alone");
            drop(first);
            assert_eq!(bench.call("pbx").1, one, "{algorithm}");
            drop(second);
        }
    }

    #[test]
    fn calls_that_last_spread_by_weight() {
        for (algorithm, off) in [(Algorithm::LeastCalls, 1), (Algorithm::TwoChoices, 12)] {
            let mut settings = limited("pbx", &[("a", 0), ("b", 0), ("c", 0)]);
            settings.algorithm = algorithm;
            for (member, weight) in settings.destinations.iter_mut().zip([1, 2, 5]) {
                member.weight = weight;
            }
            let mut bench = bench(vec![settings]);
            let held: Vec<_> = (0..400).map(|_| bench.call("pbx").0).collect();
            let targets = bench.table.destinations().map(|destination| destination.target);
            let calls: Vec<u64> = targets.map(|target| bench.selector.loads().calls(target)).collect();
            let is_close = |(calls, share): (&u64, u64)| calls.abs_diff(share) <= off;
            assert!(calls.iter().zip([50, 100, 250]).all(is_close), "{algorithm}: {calls:?}");
            drop(held);
        }
    }

    #[test]
    fn full_is_told_from_down_and_tried() {
        let mut bench = bench(vec![limited("pbx", &[("a", 0), ("b", 1)])]);
        bench.is_down(&["a"]);
        let (_held, _) = bench.call("pbx");
        assert_eq!(bench.try_select("pbx").unwrap_err(), SelectionFailure::AllFull);
        bench.is_down(&["a", "b"]);
        assert_eq!(bench.try_select("pbx").unwrap_err(), SelectionFailure::NoneUsable);
        bench.is_down(&[]);
        let (mut selection, first) = bench.select("pbx");
        assert_eq!(first, "a");
        assert_eq!((bench.next(&mut selection), selection.met_full()), (None, true));
        bench.is_down(&["b"]);
        assert_eq!((bench.next(&mut selection), selection.met_full()), (None, false));
    }

    #[test]
    fn a_selection_that_moves_on_takes_its_call_along() {
        let mut bench = bench(vec![limited("pbx", &[("a", 1), ("b", 1)])]);
        let targets: Vec<Target> = bench.table.destinations().map(|d| d.target).collect();
        let calls =
            |bench: &Bench| targets.iter().map(|t| bench.selector.loads().calls(*t)).collect::<Vec<_>>();
        let (mut selection, _) = bench.select("pbx");
        assert_eq!(calls(&bench), [1, 0]);
        assert_eq!((bench.next(&mut selection), calls(&bench)), (Some("b".to_owned()), vec![0, 1]));
        assert_eq!((bench.next(&mut selection), calls(&bench)), (None, vec![0, 0]));
    }

    #[test]
    fn affinity_holds_unless_its_destination_is_full() {
        let mut bench = bench(vec![limited("pbx", &[("a", 1), ("b", 0)])]);
        let (held, _) = bench.call("pbx");
        let (set, ask) = (bench.set("pbx"), bench.ask(true));
        assert!(bench.selector.resume(set, held.target(), true, ask).is_none());
        let target = held.target();
        drop(held);
        let mut selection = bench.selector.resume(set, target, true, ask).unwrap();
        assert_eq!(bench.selector.loads().calls(target), 1);
        assert_eq!(bench.next(&mut selection).as_deref(), Some("b"));
    }

    #[test]
    fn a_set_is_followed_by_its_fallbacks_at_first_and_after_failures() {
        let mut first = limited("first", &[("a", 1)]);
        first.fallback = Some("second".into());
        let mut second = limited("second", &[("b", 0), ("c", 0)]);
        second.fallback = Some("third".into());
        let mut bench = bench(vec![first, second, limited("third", &[("d", 0)])]);
        let (mut selection, id) = bench.select("first");
        assert_eq!((id.as_str(), selection.within()), ("a", bench.set("first")));
        let rest: Vec<_> = std::iter::from_fn(|| bench.next(&mut selection)).collect();
        assert_eq!(rest, ["b", "c", "d"]);
        assert_eq!((selection.set(), selection.within()), (bench.set("first"), bench.set("third")));
        let (_held, _) = bench.call("first");
        assert_eq!(bench.call("first").1, "c", "a is full, and b had its turn");
        bench.is_down(&["a", "b", "c"]);
        assert_eq!(bench.call("first").1, "d");
        bench.is_down(&["a", "b", "c", "d"]);
        assert_eq!(bench.try_select("first").unwrap_err(), SelectionFailure::NoneUsable);
    }

    /// Sets of these names with these members, each falling back to the next one.
    fn chain(sets: &[(&str, &[(&str, u32)])]) -> Vec<SetSettings> {
        let next = sets.iter().skip(1).map(|(name, _)| Some((*name).into())).chain([None]);
        let settings = sets.iter().zip(next).map(|((name, members), fallback)| {
            let mut settings = limited(name, members);
            (settings.fallback, settings.algorithm) = (fallback, Algorithm::Priority);
            settings
        });
        settings.collect()
    }

    #[test]
    fn failover_goes_on_in_the_chain_that_a_reload_has_made() {
        let (a, b, c) = (("a", &[("a", 0), ("a2", 0)][..]), ("b", &[("b", 0)][..]), ("c", &[("c", 0)][..]));
        for (reloaded, expected) in [(vec![a, c, b], vec!["a2", "c"]), (vec![a, c], vec!["a2", "c"])] {
            let mut names = Names::default();
            let table = Arc::new(Table::new(chain(&[a, b, c]), &mut names));
            let (now, all_up) = (Instant::now(), verdicts(&table, |_| false));
            let selector = Selector::new(Arc::clone(&table), Loads::new(now), 0);
            let mut bench = Bench { table, selector, verdicts: all_up, now, nonce: 0 };
            bench.is_down(&["a2"]);
            let (mut selection, first) = bench.select("a");
            let second = bench.next(&mut selection).unwrap();
            assert_eq!((first.as_str(), second.as_str()), ("a", "b"));
            bench.table = Arc::new(Table::new(chain(&reloaded), &mut names));
            bench.selector.reload(Arc::clone(&bench.table));
            bench.is_down(&[]);
            let rest: Vec<_> = std::iter::from_fn(|| bench.next(&mut selection)).collect();
            assert_eq!(rest, expected, "{reloaded:?}");
        }
    }

    #[test]
    fn a_selection_resumed_in_a_fallback_goes_on_with_the_set_itself() {
        for algorithm in Algorithm::ALL {
            let mut sets = chain(&[("first", &[("a", 0)]), ("second", &[("b", 0), ("c", 0)])]);
            sets.iter_mut().for_each(|set| set.algorithm = *algorithm);
            let mut bench = bench(sets);
            let (set, ask) = (bench.set("first"), bench.ask(true));
            let target = bench.table.set(bench.set("second")).unwrap().members()[0];
            let mut selection = bench.selector.resume(set, target, true, ask).unwrap();
            assert_eq!(bench.next(&mut selection).as_deref(), Some("a"), "{algorithm}");
            assert_eq!(selection.within(), set);
            assert_eq!(bench.next(&mut selection).as_deref(), Some("c"), "{algorithm}: b has been tried");
            assert_eq!(bench.next(&mut selection), None);
        }
    }

    #[test]
    fn try_anyway_takes_those_in_service_when_nobody_is_usable() {
        let mut settings = limited("pbx", &[("a", 1), ("b", 0), ("c", 0)]);
        settings.when_all_down = WhenAllDown::TryAnyway;
        settings.algorithm = Algorithm::Priority;
        let mut bench = bench(vec![settings]);
        bench.is_down(&["a", "b", "c"]);
        assert_eq!(
            bench.try_select("pbx").unwrap_err(),
            SelectionFailure::NoneUsable,
            "nobody has an address"
        );
        for verdict in &mut bench.verdicts.by_target {
            verdict.address = Some("192.0.2.1:5060".parse().unwrap());
        }
        bench.verdicts.by_target[1].skip = Some(SkipReason::Admin);
        let (mut selection, id) = bench.select("pbx");
        assert_eq!((id.as_str(), selection.is_anyway()), ("a", true));
        assert_eq!(bench.next(&mut selection).as_deref(), Some("c"), "b is out of service");
        let (_held, _) = bench.call("pbx");
        assert_eq!(bench.call("pbx").1, "c", "a limit holds all the same");
        bench.verdicts.by_target[1].skip = None;
        bench.verdicts.usable[0][0].push(1);
        let (selection, id) = bench.select("pbx");
        assert_eq!((id.as_str(), selection.is_anyway()), ("b", false));
    }

    #[test]
    fn a_destination_that_has_come_back_gets_more_and_more_of_its_share() {
        for algorithm in Algorithm::ALL {
            let mut settings = limited("pbx", &[("a", 0), ("b", 0)]);
            settings.slow_start = Duration::from_secs(40);
            settings.algorithm = *algorithm;
            let mut bench = bench(vec![settings]);
            // The first in file order has all of `priority`, any member half of each other algorithm.
            let (position, full) = if *algorithm == Algorithm::Priority { (0, 2_000) } else { (1, 1_000) };
            let target = bench.table.set(bench.set("pbx")).unwrap().members()[position];
            bench.verdicts.by_target[target.index()].returned = Some(bench.now);
            let mut share = |seconds: u64| {
                let (set, now) = (bench.set("pbx"), bench.now + Duration::from_secs(seconds));
                let chosen = (0..2_000_u64).filter(|nonce| {
                    let ask = Ask {
                        basis: Basis::Algorithm,
                        key_for: &|_| Some(nonce * 7),
                        nonce: *nonce,
                        now,
                        is_call: false,
                    };
                    bench.selector.select(set, ask, &bench.verdicts).unwrap().1 == target
                });
                chosen.count()
            };
            let shares = [share(0), share(10), share(20), share(40), share(4_000)];
            // A part of the requests ask it, and its share of those go there.
            for (share, expected) in shares.into_iter().zip([0, full / 4, full / 2, full, full]) {
                assert!(share.abs_diff(expected) <= 75, "{algorithm}: {shares:?}");
            }
        }
    }

    #[test]
    fn while_one_starts_slowly_a_key_moves_to_it_once_and_for_all() {
        let mut settings = limited("pbx", &[("a", 0), ("b", 0)]);
        settings.slow_start = Duration::from_secs(40);
        settings.algorithm = Algorithm::Hash;
        let mut bench = bench(vec![settings]);
        let target = bench.table.set(bench.set("pbx")).unwrap().members()[1];
        bench.verdicts.by_target[target.index()].returned = Some(bench.now);
        let set = bench.set("pbx");
        for key in 0..500 {
            let at = |seconds: u64| {
                let now = bench.now + Duration::from_secs(seconds);
                let ask = Ask {
                    basis: Basis::Algorithm,
                    key_for: &|_| Some(key),
                    nonce: seconds,
                    now,
                    is_call: false,
                };
                bench.selector.select(set, ask, &bench.verdicts).unwrap().1 == target
            };
            let places: Vec<bool> = (0..=40).map(at).collect();
            assert!(places.is_sorted(), "{key}: {places:?}");
        }
    }

    #[test]
    fn one_that_starts_slowly_gets_everything_if_there_is_nobody_else() {
        let mut settings = limited("pbx", &[("a", 0), ("b", 0)]);
        settings.slow_start = Duration::from_secs(40);
        let mut bench = bench(vec![settings]);
        bench.is_down(&["a"]);
        for verdict in &mut bench.verdicts.by_target {
            verdict.returned = Some(bench.now);
        }
        assert_eq!(bench.call("pbx").1, "b");
    }
}
