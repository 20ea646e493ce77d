//! `round_robin`: each usable member in turn, by file order.
//!
//! What a failed attempt falls back to also goes in turn: the others follow in file order from a
//! place that moves on by one with every round, so that the load of a dead member that is not yet
//! known to be down spreads over all the others instead of doubling its neighbour's.

use super::{Algorithm, Candidates, Cursor, Request};
use crate::facts::Target;

/// In turn.
#[derive(Debug)]
pub struct RoundRobin;

impl Algorithm for RoundRobin {
    fn order(&self, request: Request) -> u64 {
        request.nonce
    }

    fn first(
        &self,
        candidates: &Candidates,
        _request: Request,
        cursor: &mut Cursor,
    ) -> Option<(Target, u64)> {
        let turn = cursor.turns;
        cursor.turns = turn.wrapping_add(1);
        Some((self.next(candidates, turn, &[])?, turn))
    }

    fn next(&self, candidates: &Candidates, order: u64, given: &[Target]) -> Option<Target> {
        let count = u64::try_from(candidates.usable.len()).ok().filter(|count| *count > 0)?;
        let (round, turn) = (order / count, order % count);
        let others = count - 1;
        let following = (0..others).map(|step| turn + 1 + (round % others + step) % others);
        std::iter::once(turn).chain(following).find_map(|place| {
            let place = usize::try_from(place % count).ok()?;
            let target = candidates.set.member(*candidates.usable.get(place)?)?;
            (!given.contains(&target)).then_some(target)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ids, order_of};
    use super::*;

    #[test]
    fn the_others_follow_from_a_place_that_moves_with_each_round() {
        let order = |turn| order_of(&RoundRobin, &[("a", 1), ("b", 1), ("c", 1)], turn);
        assert_eq!(order(0), ids(&["a", "b", "c"]));
        assert_eq!(order(1), ids(&["b", "c", "a"]));
        assert_eq!(order(2), ids(&["c", "a", "b"]));
        assert_eq!(order(3), ids(&["a", "c", "b"]));
        assert_eq!(order(4), ids(&["b", "a", "c"]));
    }

    #[test]
    fn survives_the_end_of_the_counter() {
        assert_eq!(order_of(&RoundRobin, &[("a", 1), ("b", 1)], u64::MAX).len(), 2);
        assert_eq!(order_of(&RoundRobin, &[("a", 1)], u64::MAX), ids(&["a"]));
    }
}
