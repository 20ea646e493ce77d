//! How a set chooses among the usable members of a tier: the trait, and one table of word and
//! implementation.
//!
//! An algorithm gives every request an *order* over the usable members and computes only as much
//! of it as is tried. To add one: a file here, a word in [`Word`], a row in [`of`]; the property
//! tests of `tests/algorithms.rs` run over every row.
//!
//! | word | in short |
//! |---|---|
//! | `round_robin` | turns |
//! | `weighted_round_robin` | turns by weight, smoothly interleaved |
//! | `hash` | weighted rendezvous hash; with `compat: kamailio` Kamailio's hash and slots |
//! | `random` | a weighted sample without replacement |
//! | `two_choices` | the less loaded of two drawn by weight |
//! | `priority` | file order |
//! | `least_calls` | the fewest calls for its weight |
//! | `latency` | a draw by weight, less for the slow |

mod hash;
mod kamailio;
mod latency;
mod least_calls;
mod priority;
mod random;
mod rendezvous;
mod round_robin;
mod two_choices;
mod weighted_round_robin;

use super::table::Lot;
use super::{Basis, HashCompat, Loads, Set};
use crate::facts::{Algorithm as Word, Target};
pub use kamailio::kamailio_hash;
pub use rendezvous::fraction;
use weighted_round_robin::WeightedRoundRobin;

/// An algorithm of selection; stateless but for the cursor it is given.
pub trait Algorithm: Sync {
    /// The number that stands for the order of a request when no turn is taken.
    fn order(&self, request: Request) -> u64;

    /// Chooses for a new request, moving the cursor; also gives the number of the order.
    fn first(&self, candidates: &Candidates, request: Request, cursor: &mut Cursor) -> Option<(Target, u64)> {
        let _ = cursor;
        let order = self.order(request);
        Some((self.next(candidates, order, &[])?, order))
    }

    /// The first candidate of an order that has not been given.
    fn next(&self, candidates: &Candidates, order: u64, given: &[Target]) -> Option<Target>;
}

/// What a request brings to a selection.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// A hash of the configured parts of the request; `None` if it has none of them.
    pub key: Option<u64>,
    /// An unguessable number.
    pub nonce: u64,
}

/// Where a set stands between two selections of one worker.
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    /// Turns taken, from the worker's offset.
    pub turns: u64,
    /// What each member is owed, in parts of a call, by position; empty until it is needed.
    pub credits: Vec<i64>,
}

/// The usable members of one tier.
#[derive(Debug, Clone, Copy)]
pub struct Candidates<'a> {
    /// Their set.
    pub set: &'a Set,
    /// Their positions in the set's file order, ascending.
    pub usable: &'a [u32],
    /// What they have to do.
    pub loads: &'a Loads,
}

impl Candidates<'_> {
    /// Each candidate, in file order.
    pub fn targets(&self) -> impl Iterator<Item = Target> {
        self.usable.iter().filter_map(|position| self.set.member(*position))
    }

    /// What hashing needs of each candidate, in file order.
    fn lots(&self) -> impl Iterator<Item = &Lot> {
        let lots = self.set.lots();
        self.usable.iter().filter_map(|position| lots.get(*position as usize))
    }
}

/// Whether one candidate has fewer calls for its weight than another.
fn is_less_loaded(loads: &Loads, one: &Lot, other: &Lot) -> bool {
    let (calls, others) = (loads.calls(one.target), loads.calls(other.target));
    calls.saturating_mul(u64::from(other.weight)) < others.saturating_mul(u64::from(one.weight))
}

/// The implementation that a set asks for on a basis.
pub fn of(set: &Set, basis: Basis) -> &'static dyn Algorithm {
    match set.algorithm_on(basis) {
        Word::RoundRobin => &round_robin::RoundRobin,
        Word::WeightedRoundRobin => &WeightedRoundRobin,
        Word::Hash => match set.hash_compat_on(basis) {
            None => &hash::Hash,
            Some(HashCompat::Kamailio) => &kamailio::Kamailio,
        },
        Word::Random => &random::Random,
        Word::TwoChoices => &two_choices::TwoChoices,
        Word::Priority => &priority::Priority,
        Word::LeastCalls => &least_calls::LeastCalls,
        Word::Latency => &latency::Latency,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::super::testing::{destination, set};
    use super::*;
    use crate::facts::names::Names;
    use std::time::Instant;

    /// Runs `test` on a tier of members with weights, all usable, and a function that names targets.
    pub fn with_candidates<R>(
        members: &[(&str, u32)],
        test: impl FnOnce(&Candidates, &dyn Fn(Target) -> String) -> R,
    ) -> R {
        let mut names = Names::default();
        let weighted = members.iter().map(|(id, weight)| {
            let mut destination = destination(id);
            destination.weight = *weight;
            destination
        });
        let mut settings = set("pbx", weighted.collect());
        settings.algorithm = Word::Hash;
        settings.hash_compat = Some(HashCompat::Kamailio);
        let table = Table::new(vec![settings], &mut names);
        let set = table.sets().next().unwrap();
        let loads = Loads::new(Instant::now());
        let candidates = Candidates { set, usable: &set.tiers()[0].members, loads: &loads };
        test(&candidates, &|target| names.target(target).to_owned())
    }

    /// The same with so many calls on each member.
    pub fn with_calls<R>(
        members: &[(&str, u32)],
        calls: &[u64],
        test: impl FnOnce(&Candidates, &dyn Fn(Target) -> String) -> R,
    ) -> R {
        with_candidates(members, |candidates, name| {
            let loads = Loads::new(Instant::now());
            let on = |(target, count): (Target, &u64)| (0..*count).map(move |_| target);
            let all = candidates.targets().zip(calls).flat_map(on);
            let _held: Vec<_> = all.map(|target| loads.begin(target)).collect();
            test(&Candidates { loads: &loads, ..*candidates }, name)
        })
    }

    /// The whole order of a request.
    pub fn order_of(algorithm: &dyn Algorithm, members: &[(&str, u32)], order: u64) -> Vec<String> {
        with_candidates(members, |candidates, name| {
            let mut given = Vec::new();
            while let Some(target) = algorithm.next(candidates, order, &given) {
                given.push(target);
            }
            given.into_iter().map(name).collect()
        })
    }

    pub fn ids(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn nothing_comes_out_of_an_empty_tier() {
        let row = |word: &Word| (*word, None);
        for (word, compat) in Word::ALL.iter().map(row).chain([(Word::Hash, Some(HashCompat::Kamailio))]) {
            let mut settings = set("pbx", vec![destination("a")]);
            (settings.algorithm, settings.hash_compat) = (word, compat);
            let table = Table::new(vec![settings], &mut Names::default());
            let set = table.sets().next().unwrap();
            let loads = Loads::new(Instant::now());
            let empty = Candidates { set, usable: &[], loads: &loads };
            for key in [None, Some(1)] {
                let request = Request { key, nonce: 2 };
                assert_eq!(of(set, Basis::Algorithm).first(&empty, request, &mut Cursor::default()), None);
            }
            assert_eq!(of(set, Basis::Algorithm).next(&empty, 3, &[]), None);
        }
    }
}
