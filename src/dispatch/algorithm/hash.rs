//! `hash`: a request with the same key goes to the same member as long as that one is usable.
//!
//! Rendezvous hashing with weights (see [`rendezvous`](super::rendezvous)): when a member dies only
//! its own keys move, and they spread over all the others. (Kamailio's algorithms 0 to 3, 5 and 7
//! hand them all to the neighbour; [`kamailio`](super::kamailio) does that, too.) A request that
//! brings no key goes in turn by weight, as Kamailio's algorithm 5 has it for one without digest
//! credentials.

use super::{Algorithm, Candidates, Cursor, Request, WeightedRoundRobin, rendezvous};
use crate::facts::Target;

/// By a hash of the request's key.
#[derive(Debug)]
pub struct Hash;

impl Algorithm for Hash {
    fn order(&self, request: Request) -> u64 {
        request.key.unwrap_or(request.nonce)
    }

    fn first(&self, candidates: &Candidates, request: Request, cursor: &mut Cursor) -> Option<(Target, u64)> {
        match request.key {
            Some(key) => Some((rendezvous::best(candidates, key, &[])?, key)),
            None => WeightedRoundRobin.first(candidates, request, cursor),
        }
    }

    fn next(&self, candidates: &Candidates, order: u64, given: &[Target]) -> Option<Target> {
        rendezvous::best(candidates, order, given)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ids, order_of, with_candidates};
    use super::*;

    #[test]
    fn a_key_keeps_the_order_of_the_members_that_stay() {
        for key in 0..500 {
            let mut all = order_of(&Hash, &[("a", 1), ("b", 2), ("c", 1), ("d", 5)], key);
            all.retain(|id| id != "c");
            assert_eq!(order_of(&Hash, &[("a", 1), ("b", 2), ("d", 5)], key), all);
        }
    }

    #[test]
    fn requests_without_a_key_go_in_turn() {
        with_candidates(&[("a", 2), ("b", 1)], |candidates, name| {
            let mut cursor = Cursor::default();
            let mut turn = |nonce| Hash.first(candidates, Request { key: None, nonce }, &mut cursor);
            let turns: Vec<_> = (0..6).map(|nonce| name(turn(nonce).unwrap().0)).collect();
            assert_eq!(turns, ids(&["a", "b", "a", "a", "b", "a"]));
        });
    }
}
