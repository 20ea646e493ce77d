//! `weighted_round_robin`: in turn by weight, smoothly interleaved.
//!
//! The smooth weighted round robin of nginx (2012): with every selection each usable member earns
//! its weight, the richest is chosen and pays what all earned together. Weights 5, 1, 1 give
//! a a b a c a a and not five calls in a row to one. Members that are not usable neither earn nor
//! pay, so the rest share their part by weight at once. After a failed attempt the others follow at
//! random by weight, so that the load of a dead member spreads over all of them.

use super::{Algorithm, Candidates, Cursor, Request, rendezvous};
use crate::facts::Target;

/// The most selections that a worker's offset is played ahead: as many as there can be workers.
const MAX_OFFSET: u64 = 256;

/// In turn, by weight.
#[derive(Debug)]
pub struct WeightedRoundRobin;

impl Algorithm for WeightedRoundRobin {
    fn order(&self, request: Request) -> u64 {
        request.nonce
    }

    fn first(&self, candidates: &Candidates, request: Request, cursor: &mut Cursor) -> Option<(Target, u64)> {
        let members = candidates.set.members().len();
        if cursor.credits.len() != members {
            cursor.credits = vec![0; members];
            for _ in 0..cursor.turns % MAX_OFFSET {
                take_turn(candidates, &mut cursor.credits);
            }
        }
        let chosen = take_turn(candidates, &mut cursor.credits)?;
        Some((candidates.set.member(chosen)?, request.nonce))
    }

    fn next(&self, candidates: &Candidates, order: u64, given: &[Target]) -> Option<Target> {
        rendezvous::best(candidates, order, given)
    }
}

/// The position that is chosen; of equally rich ones the first in file order.
fn take_turn(candidates: &Candidates, credits: &mut [i64]) -> Option<u32> {
    let mut total = 0;
    let mut richest: Option<(i64, u32)> = None;
    for position in candidates.usable {
        let weight = i64::from(candidates.set.weight(*position));
        let credit = credits.get_mut(*position as usize)?;
        *credit += weight;
        total += weight;
        if richest.is_none_or(|(most, _)| *credit > most) {
            richest = Some((*credit, *position));
        }
    }
    let (_, position) = richest?;
    *credits.get_mut(position as usize)? -= total;
    Some(position)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ids, with_candidates};
    use super::*;

    fn turns(members: &[(&str, u32)], offset: u64, count: usize) -> Vec<String> {
        with_candidates(members, |candidates, name| {
            let mut cursor = Cursor { turns: offset, ..Cursor::default() };
            let request = Request { key: None, nonce: 0 };
            let mut turn = || WeightedRoundRobin.first(candidates, request, &mut cursor);
            (0..count).map(|_| name(turn().unwrap().0)).collect()
        })
    }

    #[test]
    fn interleaves_five_one_one_as_nginx_does() {
        let expected = ids(&["a", "a", "b", "a", "c", "a", "a"]);
        assert_eq!(turns(&[("a", 5), ("b", 1), ("c", 1)], 0, 7), expected);
        let mut again = expected.clone();
        again.extend(expected);
        assert_eq!(turns(&[("a", 5), ("b", 1), ("c", 1)], 0, 14), again, "the period is the sum of weights");
    }

    #[test]
    fn an_offset_starts_later_in_the_same_sequence() {
        let members = [("a", 5), ("b", 1), ("c", 1)];
        assert_eq!(turns(&members, 2, 7), turns(&members, 0, 9).split_off(2));
    }
}
