//! Who would be tried, and who is passed over: a selection taken to its end, without a request.

use super::{Ask, Selector};
use crate::dispatch::Verdicts;
use crate::facts::event::{SelectionReason, SkipReason};
use crate::facts::{SetId, Target};
use std::collections::HashSet;

/// One destination that a selection looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The destination.
    pub target: Target,
    /// When it would be tried, counted from 1, and why; or why it is passed over.
    pub place: Result<(u32, SelectionReason), SkipReason>,
}

/// Every destination that a new request would be tried at if each of them failed, in order: those of
/// the set, then those of the sets that it falls back to. After them everybody in these sets who is
/// passed over, in file order. Changes nothing of the selector.
pub fn ranking(selector: &Selector, set: SetId, ask: Ask<'_>, verdicts: &Verdicts) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    let mut add = |target, rank, reason| candidates.push(Candidate { target, place: Ok((rank, reason)) });
    let mut trial = selector.trial();
    if let Ok((mut selection, first)) = trial.select(set, ask, verdicts) {
        add(first, 1, selection.reason(SelectionReason::Primary));
        for rank in 2.. {
            let Some(target) = trial.next(&mut selection, ask, verdicts) else { break };
            add(target, rank, selection.reason(SelectionReason::Failover));
        }
    }
    let ranked: HashSet<Target> = candidates.iter().map(|candidate| candidate.target).collect();
    let fallbacks = selector.table.set(set).map_or(&[][..], |set| set.fallbacks());
    for set in std::iter::once(set).chain(fallbacks.iter().copied()) {
        let passed_over = passed_over(selector, set, ask, verdicts, &ranked);
        candidates.extend(passed_over.map(|(target, reason)| Candidate { target, place: Err(reason) }));
    }
    candidates
}

/// Who of a set is not ranked, and why.
fn passed_over<'a>(
    selector: &'a Selector,
    set: SetId,
    ask: Ask<'a>,
    verdicts: &'a Verdicts,
    ranked: &'a HashSet<Target>,
) -> impl Iterator<Item = (Target, SkipReason)> + 'a {
    let set = selector.table.set(set);
    let members =
        set.into_iter().flat_map(|set| (0_u32..).zip(set.members()).map(move |(at, t)| (set, at, *t)));
    members.filter(|(.., target)| !ranked.contains(target)).filter_map(move |(set, position, target)| {
        let is_full = || ask.is_call && selector.loads().is_full(target, set.limits(position), ask.now);
        let skip = verdicts.of(target).map_or(Some(SkipReason::Unknown), |verdict| verdict.skip);
        Some((target, skip.or_else(|| is_full().then_some(SkipReason::Full))?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::testing::{destination, set, verdicts};
    use crate::dispatch::{Basis, Loads, SetSettings, Table};
    use crate::facts::names::Names;
    use crate::facts::{Algorithm, WhenAllDown};
    use std::sync::Arc;
    use std::time::Instant;

    struct Bench {
        table: Arc<Table>,
        selector: Selector,
        now: Instant,
    }

    fn bench(sets: Vec<SetSettings>) -> Bench {
        let table = Arc::new(Table::new(sets, &mut Names::default()));
        let now = Instant::now();
        Bench { selector: Selector::new(Arc::clone(&table), Loads::new(now), 0), table, now }
    }

    /// A set of destinations in tiers.
    fn tiered(name: &str, members: &[(&str, u32)]) -> SetSettings {
        let members = members.iter().map(|(id, priority)| {
            let mut member = destination(id);
            member.priority = *priority;
            member
        });
        set(name, members.collect())
    }

    impl Bench {
        fn id(&self, target: Target) -> String {
            self.table.destination(target).unwrap().settings.id.to_string()
        }
        fn verdicts(&self, down: &[&str]) -> Verdicts {
            let named = |target: &Target| down.contains(&&*self.id(*target));
            let down: Vec<Target> = self.table.destinations().map(|d| d.target).filter(named).collect();
            verdicts(&self.table, |target| down.contains(&target))
        }
        fn ask(&self, key: &'static dyn Fn(SetId) -> Option<u64>, nonce: u64) -> Ask<'static> {
            Ask { basis: Basis::Algorithm, key_for: key, nonce, now: self.now, is_call: true }
        }
        /// Who is looked at for a call to the first set, and the word for each.
        fn rank(&self, verdicts: &Verdicts) -> Vec<(String, String)> {
            let set = self.table.sets().next().unwrap().id();
            let candidates = ranking(&self.selector, set, self.ask(&|_| Some(1), 2), verdicts);
            let word = |candidate: &Candidate| match candidate.place {
                Ok((rank, reason)) => format!("{rank} {reason}"),
                Err(reason) => reason.to_string(),
            };
            candidates.iter().map(|candidate| (self.id(candidate.target), word(candidate))).collect()
        }
    }

    fn words(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(id, word)| ((*id).to_owned(), (*word).to_owned())).collect()
    }

    #[test]
    fn it_begins_with_the_next_choice_and_takes_no_turn() {
        for algorithm in Algorithm::ALL {
            let mut settings = tiered("pbx", &[("low", 9), ("a", 0), ("b", 0), ("c", 0), ("down", 0)]);
            settings.algorithm = *algorithm;
            let mut bench = bench(vec![settings]);
            let (verdicts, set) = (bench.verdicts(&["down"]), bench.table.set_by_name("pbx").unwrap());
            for nonce in 0..20 {
                let ask = bench.ask(&|_| Some(7), nonce);
                let ranked = ranking(&bench.selector, set, ask, &verdicts);
                let (mut selection, first) = bench.selector.select(set, ask, &verdicts).unwrap();
                let mut taken = vec![first];
                taken.extend(std::iter::from_fn(|| bench.selector.next(&mut selection, ask, &verdicts)));
                let order: Vec<Target> =
                    ranked.iter().filter(|one| one.place.is_ok()).map(|one| one.target).collect();
                assert_eq!(order, taken, "{algorithm} {nonce}");
                let last = ranked.last().unwrap();
                assert_eq!((ranked.len(), last.place), (5, Err(SkipReason::Down)), "{algorithm}");
            }
        }
    }

    #[test]
    fn it_goes_on_in_the_sets_that_the_set_falls_back_to() {
        let mut first = tiered("first", &[("a", 0), ("b", 0)]);
        first.fallback = Some("second".into());
        first.algorithm = Algorithm::Priority;
        let bench = bench(vec![first, tiered("second", &[("c", 0), ("d", 0)])]);
        let expected = [("a", "1 primary"), ("c", "2 fallback_set"), ("b", "down"), ("d", "down")];
        assert_eq!(bench.rank(&bench.verdicts(&["b", "d"])), words(&expected));
        let expected = [("c", "1 fallback_set"), ("d", "2 fallback_set"), ("a", "down"), ("b", "down")];
        assert_eq!(bench.rank(&bench.verdicts(&["a", "b"])), words(&expected));
    }

    #[test]
    fn a_limit_is_respected_and_nothing_is_counted() {
        let mut settings = tiered("pbx", &[("a", 0), ("b", 0)]);
        settings.algorithm = Algorithm::Priority;
        for member in &mut settings.destinations {
            (member.max_calls, member.max_cps) = (Some(1), Some(1));
        }
        let mut bench = bench(vec![settings]);
        let (all, set) = (bench.verdicts(&[]), bench.table.set_by_name("pbx").unwrap());
        for _ in 0..3 {
            assert_eq!(bench.rank(&all), words(&[("a", "1 primary"), ("b", "2 failover")]));
        }
        let ask = bench.ask(&|_| None, 0);
        let (mut selection, _) = bench.selector.select(set, ask, &all).unwrap();
        let call = selection.take_call();
        assert_eq!(bench.rank(&all), words(&[("b", "1 primary"), ("a", "full")]));
        drop(call);
    }

    #[test]
    fn those_that_are_tried_anyway_are_told_as_such() {
        let mut settings = tiered("pbx", &[("a", 0), ("b", 0)]);
        settings.algorithm = Algorithm::Priority;
        settings.when_all_down = WhenAllDown::TryAnyway;
        let bench = bench(vec![settings]);
        let mut none = bench.verdicts(&["a", "b"]);
        none.by_target[1].address = Some("192.0.2.1:5060".parse().unwrap());
        assert_eq!(bench.rank(&none), words(&[("b", "1 try_anyway"), ("a", "down")]));
    }
}
