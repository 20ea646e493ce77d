//! `least_calls`: the member with the fewest calls for its weight.
//!
//! Weighted least-connection scheduling (Zhang, "Linux Virtual Server for scalable network
//! services", 2000): calls in progress divided by weight. Of equally loaded members one is drawn at
//! random by weight, so that a set at rest is used evenly. (Kamailio's algorithm 10 knows no
//! weights, takes the first of equals, and counts only what the script reports.)

use super::rendezvous::cost;
use super::{Algorithm, Candidates, Lot, Request, is_less_loaded};
use crate::facts::Target;

/// By calls in progress.
#[derive(Debug)]
pub struct LeastCalls;

impl Algorithm for LeastCalls {
    fn order(&self, request: Request) -> u64 {
        request.nonce
    }

    fn next(&self, candidates: &Candidates, order: u64, given: &[Target]) -> Option<Target> {
        let loads = candidates.loads;
        let cost = |lot: &Lot| cost(lot, f64::from(lot.weight), order);
        let mut best: Option<&Lot> = None;
        for lot in candidates.lots().filter(|lot| !given.contains(&lot.target)) {
            let wins = best.is_none_or(|leader| {
                let is_behind = is_less_loaded(loads, leader, lot);
                is_less_loaded(loads, lot, leader) || !is_behind && cost(lot) < cost(leader)
            });
            if wins {
                best = Some(lot);
            }
        }
        Some(best?.target)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ids, with_calls};
    use super::*;

    fn order(members: &[(&str, u32)], calls: &[u64], nonce: u64) -> Vec<String> {
        with_calls(members, calls, |candidates, name| {
            let mut given = Vec::new();
            while let Some(target) = LeastCalls.next(candidates, nonce, &given) {
                given.push(target);
            }
            given.into_iter().map(name).collect()
        })
    }

    #[test]
    fn the_least_loaded_comes_first_by_weight() {
        assert_eq!(order(&[("a", 1), ("b", 1), ("c", 1)], &[3, 1, 2], 7), ids(&["b", "c", "a"]));
        assert_eq!(order(&[("a", 1), ("b", 10)], &[1, 9], 7), ids(&["b", "a"]));
    }

    #[test]
    fn of_equals_one_is_drawn() {
        let firsts: Vec<_> =
            (0..100).map(|nonce| order(&[("a", 1), ("b", 2)], &[1, 2], nonce).swap_remove(0)).collect();
        assert!(firsts.contains(&"a".to_owned()) && firsts.contains(&"b".to_owned()));
    }
}
