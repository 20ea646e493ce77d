//! `hash`: a request with the same key goes to the same member as long as that one is usable.
//!
//! Rendezvous hashing with weights (see [`rendezvous`](super::rendezvous)): when a member dies only
//! its own keys move, and they spread over all the others. (Kamailio's algorithms 0 to 3, 5 and 7
//! hand them all to the neighbour.)

use super::{Algorithm, Candidates, Request, rendezvous};
use crate::facts::Target;

/// By a hash of the request's key.
#[derive(Debug)]
pub struct Hash;

impl Algorithm for Hash {
    fn order(&self, request: Request) -> u64 {
        request.key
    }

    fn next(&self, candidates: &Candidates, order: u64, given: &[Target]) -> Option<Target> {
        rendezvous::best(candidates, order, given)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::order_of;
    use super::*;

    #[test]
    fn a_key_keeps_the_order_of_the_members_that_stay() {
        for key in 0..500 {
            let mut all = order_of(&Hash, &[("a", 1), ("b", 2), ("c", 1), ("d", 5)], key);
            all.retain(|id| id != "c");
            assert_eq!(order_of(&Hash, &[("a", 1), ("b", 2), ("d", 5)], key), all);
        }
    }
}
