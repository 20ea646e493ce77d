//! `priority`: the first usable member in file order, always.
//!
//! A main destination and its stand-ins (Kamailio's algorithm 8 with tiers of one). Takes no turn
//! and looks at nothing of the request.

use super::{Algorithm, Candidates, Request};
use crate::facts::Target;

/// In file order.
#[derive(Debug)]
pub struct Priority;

impl Algorithm for Priority {
    fn order(&self, _request: Request) -> u64 {
        0
    }

    fn next(&self, candidates: &Candidates, _order: u64, given: &[Target]) -> Option<Target> {
        candidates.targets().find(|target| !given.contains(target))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ids, order_of};
    use super::*;

    #[test]
    fn goes_by_file_order_whatever_the_request() {
        assert_eq!(order_of(&Priority, &[("a", 1), ("b", 9), ("c", 1)], 7), ids(&["a", "b", "c"]));
        assert_eq!(order_of(&Priority, &[("c", 1), ("a", 1)], 8), ids(&["c", "a"]));
    }
}
