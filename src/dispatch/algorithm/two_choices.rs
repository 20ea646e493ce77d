//! `two_choices`: of two members drawn at random by weight, the one with fewer calls for its weight.
//!
//! Azar, Broder, Karlin and Upfal, "Balanced allocations", 1994; Mitzenmacher, "The power of two
//! choices in randomized load balancing", 1996: the fullest member of n then has about log log n
//! calls more than the mean, where one random choice has log n / log log n. Unlike `least_calls` it
//! does not send everybody to the one that has just become the least loaded. After a failed attempt
//! two of the others are drawn.

use super::rendezvous::cost;
use super::{Algorithm, Candidates, Lot, Request, is_less_loaded};
use crate::facts::Target;

/// The less loaded of two.
#[derive(Debug)]
pub struct TwoChoices;

impl Algorithm for TwoChoices {
    fn order(&self, request: Request) -> u64 {
        request.nonce
    }

    fn next(&self, candidates: &Candidates, order: u64, given: &[Target]) -> Option<Target> {
        let mut drawn: [Option<(f64, &Lot)>; 2] = [None; 2];
        for lot in candidates.lots().filter(|lot| !given.contains(&lot.target)) {
            let cost = cost(lot, f64::from(lot.weight), order);
            let [first, second] = &mut drawn;
            if first.is_none_or(|(least, _)| cost < least) {
                (*second, *first) = (*first, Some((cost, lot)));
            } else if second.is_none_or(|(least, _)| cost < least) {
                *second = Some((cost, lot));
            }
        }
        let [first, second] = drawn.map(|drawn| drawn.map(|(_, lot)| lot));
        let first = first?;
        let better = second.filter(|second| is_less_loaded(candidates.loads, second, first));
        Some(better.unwrap_or(first).target)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::with_calls;
    use super::*;
    use std::collections::BTreeMap;

    fn shares(members: &[(&str, u32)], calls: &[u64]) -> BTreeMap<String, u32> {
        with_calls(members, calls, |candidates, name| {
            let mut shares = BTreeMap::new();
            for nonce in 0..3_000 {
                *shares.entry(name(TwoChoices.next(candidates, nonce, &[]).unwrap())).or_default() += 1;
            }
            shares
        })
    }

    #[test]
    fn the_fullest_is_never_chosen_and_the_emptiest_whenever_it_is_drawn() {
        let shares = shares(&[("a", 1), ("b", 1), ("c", 1)], &[9, 5, 0]);
        assert_eq!(shares.get("a"), None);
        assert!((1_900..2_100).contains(&shares["c"]), "two pairs of three hold c: {shares:?}");
    }

    #[test]
    fn calls_count_by_weight() {
        assert_eq!(shares(&[("a", 1), ("b", 4)], &[2, 7]).keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(shares(&[("a", 1), ("b", 4)], &[2, 9]).keys().collect::<Vec<_>>(), ["a"]);
    }
}
