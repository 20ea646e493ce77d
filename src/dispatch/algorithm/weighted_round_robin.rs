//! `weighted_round_robin`: in turn by weight, smoothly interleaved.
//!
//! The smooth weighted round robin of nginx (2012): with every selection each usable member earns
//! its weight, the richest is chosen and pays what all earned together. Weights 5, 1, 1 give
//! a a b a c a a and not five calls in a row to one. Members that are not usable neither earn nor
//! pay, so the rest share their part by weight at once. After a failed attempt the others follow at
//! random by weight, so that the load of a dead member spreads over all of them.
//!
//! Credits are counted in calls, not in weights as there: all together earn one call, whoever they
//! are. Else what is owed to a light member while a heavy one is there would be hundreds of calls in a
//! row once that is gone. And nobody is owed more than a call, however members come and go.

use super::{Algorithm, Candidates, Cursor, Request, rendezvous};
use crate::facts::Target;

/// The most selections that a worker's offset is played ahead: as many as there can be workers.
const MAX_OFFSET: u64 = 256;
/// One call, in the unit of credits: so fine that the error of a division never shows, and so coarse
/// that a part of it times any weight fits.
const CALL: i64 = 1 << 46;

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
    let weight = |position: &u32| i64::from(candidates.set.weight(*position));
    let total: i64 = candidates.usable.iter().map(weight).sum();
    let part = CALL.checked_div(total)?;
    let mut richest: Option<(i64, u32)> = None;
    for position in candidates.usable {
        let credit = credits.get_mut(*position as usize)?;
        *credit = (*credit).clamp(-CALL, CALL) + weight(position) * part;
        if richest.is_none_or(|(most, _)| *credit > most) {
            richest = Some((*credit, *position));
        }
    }
    let (_, position) = richest?;
    *credits.get_mut(position as usize)? -= total * part;
    Some(position)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ids, with_candidates};
    use super::*;
    use proptest::prelude::*;

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

    /// How often each of the members at `usable` is chosen in a row of selections.
    fn shares(candidates: &Candidates, usable: &[u32], count: u32, cursor: &mut Cursor) -> Vec<u32> {
        let mut shares = vec![0; candidates.set.members().len()];
        let candidates = Candidates { usable, ..*candidates };
        for _ in 0..count {
            let (target, _) =
                WeightedRoundRobin.first(&candidates, Request { key: None, nonce: 0 }, cursor).unwrap();
            let position = candidates.set.members().iter().position(|member| *member == target).unwrap();
            shares[position] += 1;
        }
        shares
    }

    #[test]
    fn what_the_light_are_owed_beside_a_heavy_one_is_no_run_when_it_dies_or_when_it_returns() {
        with_candidates(&[("heavy", 1_000), ("b", 1), ("c", 1)], |all, _| {
            let mut cursor = Cursor::default();
            for _ in 0..50 {
                shares(all, &[0, 1, 2], 777, &mut cursor);
                let light = shares(all, &[1, 2], 10, &mut cursor);
                assert!(light[1].abs_diff(light[2]) <= 2, "{light:?}");
            }
        });
    }

    #[test]
    fn among_many_the_period_is_the_sum_of_the_weights_too() {
        let ids: Vec<String> = (1..=100).map(|weight| format!("d{weight}")).collect();
        let members: Vec<(&str, u32)> = ids.iter().map(String::as_str).zip(1..).collect();
        with_candidates(&members, |all, _| {
            let mut cursor = Cursor { turns: 37, ..Cursor::default() };
            for _ in 0..3 {
                let found = shares(all, all.usable, 5_050, &mut cursor);
                assert_eq!(found, (1..=100).collect::<Vec<u32>>());
            }
        });
    }

    fn weights() -> impl Strategy<Value = Vec<u32>> {
        let weight = prop_oneof![4 => 1_u32..6, 2 => 1_u32..40, 1 => Just(300_u32)];
        proptest::collection::vec(weight, 2..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        /// Whoever has come and gone before: over as many selections as the weights add up to, each
        /// usable member gets its weight, give or take one.
        #[test]
        fn after_any_change_each_gets_its_share_within_one(
            weights in weights(),
            changes in proptest::collection::vec((any::<u8>(), 0_u32..50), 0..40),
            last in any::<u8>(),
            later in 0_u32..400,
        ) {
            let ids: Vec<String> = (0..weights.len()).map(|index| format!("d{index}")).collect();
            let members: Vec<(&str, u32)> =
                ids.iter().map(String::as_str).zip(weights.iter().copied()).collect();
            with_candidates(&members, |all, _| {
                let among = |mask: u8| -> Vec<u32> {
                    let some: Vec<u32> = all.usable.iter().copied().filter(|at| mask & (1 << at) != 0).collect();
                    if some.is_empty() { all.usable.to_vec() } else { some }
                };
                let mut cursor = Cursor::default();
                for (mask, count) in &changes {
                    shares(all, &among(*mask), *count, &mut cursor);
                }
                let usable = among(last);
                let window = usable.iter().map(|at| all.set.weight(*at)).sum();
                for skipped in [0, later] {
                    shares(all, &usable, skipped, &mut cursor);
                    let found = shares(all, &usable, window, &mut cursor);
                    for at in &usable {
                        let (found, weight) = (found[*at as usize], all.set.weight(*at));
                        prop_assert!(found.abs_diff(weight) <= 1, "{at} of {weights:?}: {found}, {changes:?} {usable:?}");
                    }
                }
                Ok(())
            })?;
        }
    }

    #[test]
    fn an_offset_starts_later_in_the_same_sequence() {
        let members = [("a", 5), ("b", 1), ("c", 1)];
        assert_eq!(turns(&members, 2, 7), turns(&members, 0, 9).split_off(2));
    }
}
