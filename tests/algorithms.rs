//! Properties of every row of the table of algorithms, through the public interface. A new row is
//! held to all of them: exceptions are named where they are made.

#[path = "support/sets.rs"]
mod sets;

use proptest::prelude::*;
use sets::{Bench, Member, Row, flat, rows};
use sipwarden::dispatch::{Basis, HashCompat, HashPart, skipped};
use sipwarden::facts::event::SkipReason;
use sipwarden::facts::secret::{Nonces, Secret};
use sipwarden::facts::{Algorithm, Target};
use sipwarden::proxy::hash_key;
use std::collections::BTreeMap;

const ROUNDS: u32 = 20_000;
const KAMAILIO: Row = Row::like(HashCompat::Kamailio);

fn keys() -> impl Iterator<Item = u64> {
    let mut nonces = Nonces::new(Secret::new([9; 16]));
    (0..ROUNDS).map(move |_| nonces.next_u64())
}

/// How often each member comes first, over [`ROUNDS`] keys.
fn shares(bench: &mut Bench) -> BTreeMap<usize, u32> {
    let mut shares = BTreeMap::new();
    for key in keys() {
        *shares.entry(bench.select(key).expect("a member is usable").1).or_insert(0) += 1;
    }
    shares
}

/// Where each of [`ROUNDS`] requests goes.
fn homes(bench: &mut Bench) -> Vec<usize> {
    keys().map(|key| bench.select(key).expect("a member is usable").1).collect()
}

/// Whether counts fit the expected weights: none where the weight is 0, and elsewhere Pearson's
/// chi-squared at most four standard deviations above its mean.
fn fits(counts: &BTreeMap<usize, u32>, weights: &[u32]) -> bool {
    let total = f64::from(counts.values().sum::<u32>());
    let sum = f64::from(weights.iter().sum::<u32>());
    let count = |position: usize| counts.get(&position).copied().unwrap_or(0);
    if weights.iter().enumerate().any(|(position, weight)| *weight == 0 && count(position) > 0) {
        return false;
    }
    let weighted: Vec<_> = weights.iter().enumerate().filter(|(_, weight)| **weight > 0).collect();
    let terms = weighted.iter().map(|(position, weight)| {
        let expected = total * f64::from(**weight) / sum;
        (f64::from(count(*position)) - expected).powi(2) / expected
    });
    let freedom = (weighted.len() - 1) as f64;
    terms.sum::<f64>() <= freedom + 4.0 * (2.0 * freedom).sqrt() + 1e-9
}

/// What the shares of a row follow, for members of these weights: those, but for the exceptions.
fn expected_shares(row: Row, weights: &[u32]) -> Vec<u32> {
    let first = weights.iter().position(|weight| *weight > 0);
    let share = |(position, weight): (usize, &u32)| {
        if row == KAMAILIO {
            slots_of(weights, position)
        } else if row == Row::of(Algorithm::RoundRobin) {
            u32::from(*weight > 0)
        } else if row == Row::of(Algorithm::Priority) {
            u32::from(Some(position) == first)
        } else {
            *weight
        }
    };
    weights.iter().enumerate().map(share).collect()
}

/// How many of Kamailio's slots fall to a member: its own, and those before it that nobody takes.
fn slots_of(weights: &[u32], position: usize) -> u32 {
    let is_taken = |position: usize| weights.get(position).is_some_and(|weight| *weight > 0);
    let before = (1..weights.len()).map(|step| (position + weights.len() - step) % weights.len());
    let idle = before.take_while(|position| !is_taken(*position)).count();
    if is_taken(position) { 1 + u32::try_from(idle).expect("few members") } else { 0 }
}

/// Whether a row remembers the selections before, so that equal requests go to different members.
fn takes_turns(row: Row) -> bool {
    [Algorithm::RoundRobin, Algorithm::WeightedRoundRobin].map(Row::of).contains(&row)
}

fn any_member() -> impl Strategy<Value = Member> {
    (0..4_u32, 0..3_u32, prop::bool::weighted(0.7)).prop_map(|(weight, priority, is_up)| Member {
        weight,
        priority,
        is_up,
    })
}

fn any_row() -> impl Strategy<Value = Row> {
    prop::sample::select(rows())
}

proptest! {
    #[test]
    fn a_ranking_is_a_permutation_of_the_usable_members_tier_by_tier(
        row in any_row(),
        members in prop::collection::vec(any_member(), 1..9),
        keys in prop::collection::vec(any::<u64>(), 1..20),
    ) {
        let mut bench = Bench::new(row, &members);
        for key in keys {
            let ranking = bench.ranking(key);
            let mut tiers: Vec<_> = ranking.iter().map(|position| members[*position].priority).collect();
            if row == KAMAILIO {
                // Its slots go round by priority and begin anywhere.
                let least = tiers.windows(2).position(|pair| pair[0] > pair[1]).map_or(0, |at| at + 1);
                tiers.rotate_left(least);
            }
            prop_assert!(tiers.is_sorted(), "{:?}", tiers);
            let mut sorted = ranking.clone();
            sorted.sort_unstable();
            let usable = |(position, member): (usize, &Member)| {
                (member.is_up && member.weight > 0).then_some(position)
            };
            let usable: Vec<_> = members.iter().enumerate().filter_map(usable).collect();
            prop_assert_eq!(sorted, usable);
        }
    }

    #[test]
    fn equal_input_gives_an_equal_order(
        row in any_row(),
        members in prop::collection::vec(any_member(), 1..9),
        keys in prop::collection::vec(any::<u64>(), 1..20),
    ) {
        let (mut one, mut two) = (Bench::new(row, &members), Bench::new(row, &members));
        for key in keys {
            prop_assert_eq!(one.ranking(key), two.ranking(key));
            // What follows is the same whatever was asked meanwhile.
            let (Some((mut first, _)), Some((mut second, _))) = (one.select(key), two.select(key)) else { continue };
            two.select(key);
            one.select(key);
            let rest = std::iter::from_fn(|| one.next(&mut first)).collect::<Vec<_>>();
            prop_assert_eq!(rest, std::iter::from_fn(|| two.next(&mut second)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn whatever_dies_and_returns_meanwhile_only_usable_members_come_and_none_twice(
        row in any_row(),
        members in prop::collection::vec(any_member(), 2..9),
        key in any::<u64>(),
        flips in prop::collection::vec((0..9_usize, any::<bool>()), 0..12),
    ) {
        let mut bench = Bench::new(row, &members);
        let Some((mut selection, _)) = bench.select(key) else { return Ok(()) };
        for (position, is_up) in flips {
            bench.probe(position % members.len(), is_up);
            let before = selection.given().to_vec();
            if let Some(next) = bench.next(&mut selection) {
                let target = bench.members()[next];
                prop_assert!(bench.verdicts.is_usable(target) && !before.contains(&target));
            } else {
                let left = bench.members().iter().filter(|target| bench.verdicts.is_usable(**target));
                prop_assert!(left.into_iter().all(|target| before.contains(target)));
            }
        }
    }

    #[test]
    fn each_member_is_either_a_choice_or_passed_over_with_a_reason(
        row in any_row(),
        members in prop::collection::vec(any_member(), 1..9),
        key in any::<u64>(),
    ) {
        let mut bench = Bench::new(row, &members);
        let given: Vec<Target> = bench.select(key).map_or(vec![], |(selection, _)| selection.given().to_vec());
        let skipped: BTreeMap<_, _> =
            skipped(&bench.table, bench.sets[0], &bench.verdicts, &given).collect();
        for (target, member) in bench.members().iter().zip(&members) {
            let expected = match (given.contains(target), member.is_up, member.weight) {
                (true, _, _) => Some(SkipReason::Tried),
                (false, false, _) => Some(SkipReason::Down),
                (false, true, 0) => Some(SkipReason::Admin),
                (false, true, _) => None,
            };
            prop_assert_eq!(skipped.get(target).copied(), expected);
        }
    }
}

#[test]
fn the_measure_of_fit_tells_right_shares_from_wrong_ones() {
    let counts = |counts: [u32; 3]| (0..3).zip(counts).collect::<BTreeMap<_, _>>();
    assert!(fits(&counts([5_020, 2_510, 2_470]), &[2, 1, 1]));
    assert!(!fits(&counts([5_300, 2_400, 2_300]), &[2, 1, 1]));
    assert!(!fits(&counts([5_000, 5_000, 1]), &[1, 1, 0]));
}

#[test]
fn shares_follow_the_weights() {
    for row in rows() {
        for weights in
            [&[1, 1, 1][..], &[5, 1, 1], &[1, 0, 2, 3, 4], &[65_535, 65_535], &[30, 30, 40], &[7], &[1; 40]]
        {
            let shares = shares(&mut Bench::new(row, &flat(weights)));
            let expected = expected_shares(row, weights);
            assert!(fits(&shares, &expected), "{row} {weights:?}: {shares:?}");
        }
    }
}

#[test]
fn the_rest_share_the_part_of_a_dead_member_by_their_weights() {
    for row in rows() {
        let mut bench = Bench::new(row, &flat(&[2, 3, 1, 4]));
        bench.probe(1, false);
        let shares = shares(&mut bench);
        let expected = expected_shares(row, &[2, 0, 1, 4]);
        assert!(fits(&shares, &expected), "{row}: {shares:?}");
    }
}

#[test]
fn a_failed_attempt_moves_on_to_all_the_others_and_not_to_a_neighbour() {
    for row in rows() {
        let mut bench = Bench::new(row, &flat(&[2, 3, 1, 4]));
        let mut seconds: BTreeMap<usize, u32> = BTreeMap::new();
        for key in keys() {
            let (mut selection, first) = bench.select(key).expect("all are usable");
            if first == 1 {
                *seconds.entry(bench.next(&mut selection).expect("three are left")).or_insert(0) += 1;
            }
        }
        if row == Row::of(Algorithm::Priority) {
            assert!(seconds.is_empty(), "the second in file order is never first");
        } else if row == KAMAILIO {
            assert!(seconds.keys().eq([&2]), "Kamailio's rule is the neighbour: {seconds:?}");
        } else {
            let expected = expected_shares(row, &[2, 0, 1, 4]);
            assert!(fits(&seconds, &expected), "{row}: {seconds:?}");
        }
    }
}

#[test]
fn only_the_requests_of_a_dead_member_move_and_they_come_back_to_it() {
    for row in rows().into_iter().filter(|row| !takes_turns(*row)) {
        // A new bench, so that the same requests bring the same unguessable numbers.
        let after = |probes: &[bool]| {
            let mut bench = Bench::new(row, &flat(&[2, 3, 1, 4]));
            probes.iter().for_each(|is_up| bench.probe(3, *is_up));
            homes(&mut bench)
        };
        let before = after(&[]);
        let mut moved: BTreeMap<usize, u32> = BTreeMap::new();
        for (before, during) in before.iter().zip(after(&[false])) {
            if *before == 3 {
                *moved.entry(during).or_insert(0) += 1;
            } else {
                assert_eq!(*before, during, "{row}: the request of a living member moved");
            }
        }
        if row == KAMAILIO {
            assert!(moved.keys().eq([&0]), "to the neighbour alone: {moved:?}");
        } else if row != Row::of(Algorithm::Priority) {
            assert!(fits(&moved, &expected_shares(row, &[2, 3, 1, 0])), "{row}: {moved:?}");
        }
        assert_eq!(after(&[false, true]), before, "{row}");
    }
}

/// Call-IDs as phones and PBXs make them.
fn call_ids() -> impl Iterator<Item = String> {
    let mut nonces = Nonces::new(Secret::new([4; 16]));
    (0..10_000).flat_map(move |number| {
        let (one, two) = (nonces.next_u64(), nonces.next_u128());
        [format!("{number}-4711@192.0.2.1"), format!("{one:016x}@pbx.example.com"), format!("{two:032x}")]
    })
}

#[test]
fn thirty_thousand_call_ids_of_one_dead_of_three_split_evenly_and_no_other_moves() {
    let homes = |bench: &mut Bench| -> Vec<usize> {
        let set = bench.sets[0];
        let home = |call_id: String| {
            let set_of_keys = bench.table.set(set).unwrap();
            let key = hash_key(set_of_keys, Basis::Algorithm, |part| {
                assert_eq!(*part, HashPart::CallId);
                call_id.as_bytes()
            });
            let (_, target) = bench.select_in(set, Some(key.unwrap())).unwrap();
            bench.position(target)
        };
        call_ids().map(home).collect()
    };
    for dead in 0..3 {
        let mut bench = Bench::new(Row::of(Algorithm::Hash), &flat(&[1, 1, 1]));
        let before = homes(&mut bench);
        bench.probe(dead, false);
        let during = homes(&mut bench);
        assert_eq!(before.len(), 30_000);
        let moved: Vec<_> = before.iter().zip(&during).filter(|(before, during)| before != during).collect();
        assert!(moved.iter().all(|(before, _)| **before == dead), "the key of a living member moved");
        assert_eq!(moved.len(), before.iter().filter(|home| **home == dead).count());
        let one = moved.iter().filter(|(_, during)| **during == (dead + 1) % 3).count();
        let share = one as f64 / moved.len() as f64;
        println!("{} keys of {dead} move, {:.1} % of them to one of the others", moved.len(), share * 100.0);
        assert!((0.47..=0.53).contains(&share), "{share}");
        bench.probe(dead, true);
        assert_eq!(homes(&mut bench), before);
    }
}

#[test]
fn a_changed_weight_moves_only_keys_to_that_member() {
    let mut light = Bench::new(Row::of(Algorithm::Hash), &flat(&[1, 1, 1]));
    let mut heavy = Bench::new(Row::of(Algorithm::Hash), &flat(&[1, 1, 3]));
    for key in keys() {
        let (before, after) = (light.select(key).unwrap().1, heavy.select(key).unwrap().1);
        assert!(before == after || after == 2, "{before} to {after}");
    }
}

#[test]
fn requests_without_any_part_of_the_key_go_in_turn() {
    for row in [Row::of(Algorithm::Hash), KAMAILIO] {
        let mut bench = Bench::new(row, &flat(&[1, 1, 1]));
        let set = bench.sets[0];
        let turns: Vec<_> = (0..9).map(|_| bench.select_in(set, None).unwrap().1.index()).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0, 1, 2], "{row}");
    }
}

#[test]
fn turns_are_exact_and_evenly_mixed() {
    let mut equal = Bench::new(Row::of(Algorithm::RoundRobin), &flat(&[1; 5]));
    let turns: Vec<_> = (0..15).map(|key| equal.select(key).unwrap().1).collect();
    assert_eq!(turns, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);

    let weights = [5, 2, 1];
    let mut weighted = Bench::new(Row::of(Algorithm::WeightedRoundRobin), &flat(&weights));
    let turns: Vec<_> = (0..80).map(|key| weighted.select(key).unwrap().1).collect();
    for period in turns.chunks(8) {
        for (position, weight) in weights.iter().enumerate() {
            assert_eq!(period.iter().filter(|turn| **turn == position).count(), *weight as usize);
        }
        assert!(period.windows(3).all(|run| run != [0, 0, 0]), "never three in a row: {period:?}");
    }
}
