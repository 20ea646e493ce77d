//! `random`: at random, by weight, without memory.
//!
//! The order of a request is a weighted sample without replacement (Efraimidis and Spirakis,
//! "Weighted random sampling with a reservoir", 2006): each member draws a number from the
//! request's nonce and its own name, and the best score wins. That is rendezvous hashing with the
//! nonce as the key, so the rest of the order need not be kept.

use super::{Algorithm, Candidates, Request, rendezvous};
use crate::facts::Target;

/// At random, by weight.
#[derive(Debug)]
pub struct Random;

impl Algorithm for Random {
    fn order(&self, request: Request) -> u64 {
        request.nonce
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
    fn equal_nonces_give_equal_orders_and_others_differ() {
        let order = |nonce| order_of(&Random, &[("a", 1), ("b", 1), ("c", 1)], nonce);
        assert_eq!(order(4), order(4));
        assert!((0..100).any(|nonce| order(nonce) != order(4)));
    }
}
