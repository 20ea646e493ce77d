//! Properties of every row of the table of algorithms, through the public interface: states are
//! what real probes make them, nothing is set by hand.

use proptest::prelude::*;
use sipwarden::dispatch::{
    Basis, DestinationSettings, Endpoint, FailoverSettings, HashPart, Health, Host, Selection, Selector,
    SetSettings, Table, Thresholds, Verdicts, skipped,
};
use sipwarden::facts::event::{ProbeOutcome, SkipReason};
use sipwarden::facts::names::Names;
use sipwarden::facts::secret::{Nonces, Secret};
use sipwarden::facts::{Admin, Algorithm, SetId, Target, Transport};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 20_000;

#[derive(Debug, Clone, Copy)]
struct Member {
    weight: u32,
    priority: u32,
    is_up: bool,
}

struct Bench {
    table: Arc<Table>,
    set: SetId,
    selector: Selector,
    health: Health,
    verdicts: Arc<Verdicts>,
    nonces: Nonces,
}

fn bench(algorithm: Algorithm, members: &[Member]) -> Bench {
    let destinations = (1_u8..).zip(members).map(|(index, member)| DestinationSettings {
        id: format!("d{index}").into(),
        uri: format!("sip:192.0.2.{index}").into(),
        endpoint: Endpoint { host: Host::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, index))), port: 5060 },
        transport: Transport::Udp,
        weight: member.weight,
        priority: member.priority,
        admin: Admin::Enabled,
        listener: None,
        mtu: None,
        thresholds: Some(Thresholds { down_after: 1, up_after: 1 }),
    });
    let set = SetSettings {
        name: "pbx".into(),
        algorithm,
        hash_key: vec![HashPart::CallId],
        register_key: HashPart::To,
        objective: 0.999,
        reject_retry_after: Duration::from_secs(5),
        sources: vec![],
        destinations: destinations.collect(),
        failover: FailoverSettings::default(),
    };
    let table = Arc::new(Table::new(vec![set], &mut Names::default()));
    let set = table.set_by_name("pbx").expect("the table has one set");
    let mut health = Health::new(Arc::clone(&table), Instant::now());
    let verdicts = health.take_verdicts().expect("the first call gives verdicts");
    let selector = Selector::new(Arc::clone(&table), 0);
    let nonces = Nonces::new(Secret::new([5; 16]));
    let mut bench = Bench { table, set, selector, health, verdicts, nonces };
    for (position, member) in members.iter().enumerate() {
        bench.probe(position, member.is_up);
    }
    bench
}

/// Members of one tier with these weights, all up.
fn flat(weights: &[u32]) -> Vec<Member> {
    weights.iter().map(|weight| Member { weight: *weight, priority: 0, is_up: true }).collect()
}

impl Bench {
    fn members(&self) -> &[Target] {
        self.table.set(self.set).expect("the set is configured").members()
    }

    fn probe(&mut self, position: usize, is_up: bool) {
        let outcome = if is_up { ProbeOutcome::Accepted(200) } else { ProbeOutcome::Timeout };
        let target = *self.members().get(position).expect("the test names a member");
        self.health.on_probe(target, outcome, None, Instant::now());
        if let Some(verdicts) = self.health.take_verdicts() {
            self.verdicts = verdicts;
        }
    }

    fn position(&self, target: Target) -> usize {
        self.table.destination(target).expect("the target is configured").position as usize
    }

    fn select(&mut self, key: u64) -> Option<(Selection, usize)> {
        let nonce = self.nonces.next_u64();
        let (selection, target) =
            self.selector.select(self.set, Basis::Algorithm, key, nonce, &self.verdicts).ok()?;
        Some((selection, self.position(target)))
    }

    fn next(&self, selection: &mut Selection) -> Option<usize> {
        Some(self.position(self.selector.next(selection, &self.verdicts)?))
    }

    /// Everything a request could be tried at, in order.
    fn ranking(&mut self, key: u64) -> Vec<usize> {
        let Some((mut selection, first)) = self.select(key) else { return vec![] };
        let mut ranking = vec![first];
        ranking.extend(std::iter::from_fn(|| self.next(&mut selection)));
        ranking
    }

    /// How often each member comes first, over [`ROUNDS`] keys.
    fn shares(&mut self) -> BTreeMap<usize, u32> {
        let mut shares = BTreeMap::new();
        for key in keys() {
            *shares.entry(self.select(key).expect("a member is usable").1).or_insert(0) += 1;
        }
        shares
    }
}

fn keys() -> impl Iterator<Item = u64> {
    let mut nonces = Nonces::new(Secret::new([9; 16]));
    (0..ROUNDS).map(move |_| nonces.next_u64())
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

/// What the shares of an algorithm follow, for members of these weights.
fn expected_shares(algorithm: Algorithm, weights: &[u32]) -> Vec<u32> {
    let first = weights.iter().position(|weight| *weight > 0);
    let share = |(position, weight): (usize, &u32)| match algorithm {
        Algorithm::RoundRobin => u32::from(*weight > 0),
        Algorithm::Priority => u32::from(Some(position) == first),
        Algorithm::WeightedRoundRobin | Algorithm::Hash | Algorithm::Random => *weight,
    };
    weights.iter().enumerate().map(share).collect()
}

fn any_member() -> impl Strategy<Value = Member> {
    (0..4_u32, 0..3_u32, prop::bool::weighted(0.7)).prop_map(|(weight, priority, is_up)| Member {
        weight,
        priority,
        is_up,
    })
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL)
}

proptest! {
    #[test]
    fn a_ranking_is_a_permutation_of_the_usable_members_tier_by_tier(
        algorithm in any_algorithm(),
        members in prop::collection::vec(any_member(), 1..9),
        keys in prop::collection::vec(any::<u64>(), 1..20),
    ) {
        let mut bench = bench(algorithm, &members);
        for key in keys {
            let ranking = bench.ranking(key);
            let tiers: Vec<_> = ranking.iter().map(|position| members[*position].priority).collect();
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
        algorithm in any_algorithm(),
        members in prop::collection::vec(any_member(), 1..9),
        keys in prop::collection::vec(any::<u64>(), 1..20),
    ) {
        let (mut one, mut two) = (bench(algorithm, &members), bench(algorithm, &members));
        for key in keys {
            prop_assert_eq!(one.ranking(key), two.ranking(key));
        }
    }

    #[test]
    fn whatever_dies_and_returns_meanwhile_only_usable_members_come_and_none_twice(
        algorithm in any_algorithm(),
        members in prop::collection::vec(any_member(), 2..9),
        key in any::<u64>(),
        flips in prop::collection::vec((0..9_usize, any::<bool>()), 0..12),
    ) {
        let mut bench = bench(algorithm, &members);
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
        algorithm in any_algorithm(),
        members in prop::collection::vec(any_member(), 1..9),
        key in any::<u64>(),
    ) {
        let mut bench = bench(algorithm, &members);
        let given: Vec<Target> = bench.select(key).map_or(vec![], |(selection, _)| selection.given().to_vec());
        let skipped: BTreeMap<_, _> = skipped(&bench.table, bench.set, &bench.verdicts, &given).collect();
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
    for algorithm in Algorithm::ALL {
        for weights in [&[1, 1, 1][..], &[5, 1, 1], &[1, 0, 2, 3, 4], &[65_535, 65_535], &[30, 30, 40], &[7]]
        {
            let shares = bench(*algorithm, &flat(weights)).shares();
            let expected = expected_shares(*algorithm, weights);
            assert!(fits(&shares, &expected), "{algorithm} {weights:?}: {shares:?}");
        }
    }
}

#[test]
fn the_rest_share_the_part_of_a_dead_member_by_their_weights() {
    for algorithm in Algorithm::ALL {
        let mut bench = bench(*algorithm, &flat(&[2, 3, 1, 4]));
        bench.probe(1, false);
        let shares = bench.shares();
        let expected = expected_shares(*algorithm, &[2, 0, 1, 4]);
        assert!(fits(&shares, &expected), "{algorithm}: {shares:?}");
    }
}

#[test]
fn a_failed_attempt_moves_on_to_all_the_others_and_not_to_a_neighbour() {
    let weights = [2, 3, 1, 4];
    for algorithm in Algorithm::ALL {
        let mut bench = bench(*algorithm, &flat(&weights));
        let mut seconds: BTreeMap<usize, u32> = BTreeMap::new();
        for key in keys() {
            let (mut selection, first) = bench.select(key).expect("all are usable");
            if first == 1 {
                *seconds.entry(bench.next(&mut selection).expect("three are left")).or_insert(0) += 1;
            }
        }
        match algorithm {
            Algorithm::Priority => assert!(seconds.is_empty(), "the second in file order is never first"),
            Algorithm::RoundRobin | Algorithm::WeightedRoundRobin | Algorithm::Hash | Algorithm::Random => {
                let expected = expected_shares(*algorithm, &[2, 0, 1, 4]);
                assert!(fits(&seconds, &expected), "{algorithm}: {seconds:?}");
            }
        }
    }
}

#[test]
fn only_the_keys_of_a_dead_member_move_and_they_come_back_to_it() {
    let weights = [2, 3, 1, 4];
    let mut bench = bench(Algorithm::Hash, &flat(&weights));
    let homes = |bench: &mut Bench| -> Vec<usize> {
        keys().map(|key| bench.select(key).expect("a member is usable").1).collect()
    };
    let before = homes(&mut bench);
    bench.probe(3, false);
    let during = homes(&mut bench);
    let mut moved: BTreeMap<usize, u32> = BTreeMap::new();
    for (before, during) in before.iter().zip(&during) {
        if *before == 3 {
            *moved.entry(*during).or_insert(0) += 1;
        } else {
            assert_eq!(before, during, "the key of a living member moved");
        }
    }
    assert!(fits(&moved, &[2, 3, 1, 0]), "{moved:?}");
    bench.probe(3, true);
    assert_eq!(homes(&mut bench), before);
}

#[test]
fn a_changed_weight_moves_only_keys_to_that_member() {
    let mut light = bench(Algorithm::Hash, &flat(&[1, 1, 1]));
    let mut heavy = bench(Algorithm::Hash, &flat(&[1, 1, 3]));
    for key in keys() {
        let (before, after) = (light.select(key).unwrap().1, heavy.select(key).unwrap().1);
        assert!(before == after || after == 2, "{before} to {after}");
    }
}

#[test]
fn turns_are_exact_and_evenly_mixed() {
    let mut equal = bench(Algorithm::RoundRobin, &flat(&[1; 5]));
    let turns: Vec<_> = (0..15).map(|key| equal.select(key).unwrap().1).collect();
    assert_eq!(turns, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);

    let weights = [5, 2, 1];
    let mut weighted = bench(Algorithm::WeightedRoundRobin, &flat(&weights));
    let turns: Vec<_> = (0..80).map(|key| weighted.select(key).unwrap().1).collect();
    for period in turns.chunks(8) {
        for (position, weight) in weights.iter().enumerate() {
            assert_eq!(period.iter().filter(|turn| **turn == position).count(), *weight as usize);
        }
        assert!(period.windows(3).all(|run| run != [0, 0, 0]), "never three in a row: {period:?}");
    }
}
