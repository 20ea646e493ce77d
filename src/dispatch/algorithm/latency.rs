//! `latency`: at random by weight, where a member slower than most gets less.
//!
//! What counts is the smoothed time to the first response, of probes and of INVITEs: an
//! exponentially weighted mean (Roberts, "Control chart tests based on geometric moving averages",
//! 1959). A member at twice the median of the set gets half its share, one at or below it all of it:
//! a ratio needs no setting in milliseconds, and what slows everybody down moves nothing. Nobody
//! gets less than a tenth, so that a member that has recovered is found out by calls too. (Kamailio's
//! algorithm 13 takes off one unit of priority for each multiple of the priority in milliseconds.)

use super::rendezvous::cost;
use super::{Algorithm, Candidates, Request};
use crate::facts::Target;
use smallvec::SmallVec;

/// Members that the median is taken of at most; of more, as many evenly spaced ones.
const SAMPLE: usize = 128;
/// The least share of a slow member.
const LEAST: f64 = 0.1;

/// By response time.
#[derive(Debug)]
pub struct Latency;

impl Algorithm for Latency {
    fn order(&self, request: Request) -> u64 {
        request.nonce
    }

    fn next(&self, candidates: &Candidates, order: u64, given: &[Target]) -> Option<Target> {
        let median = median(candidates);
        let mut best: Option<(f64, Target)> = None;
        for lot in candidates.lots().filter(|lot| !given.contains(&lot.target)) {
            let weight = f64::from(lot.weight) * share(seconds(candidates, lot.target), median);
            let cost = cost(lot, weight, order);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, lot.target));
            }
        }
        Some(best?.1)
    }
}

/// The part of its weight that a member keeps.
fn share(time: Option<f64>, median: Option<f64>) -> f64 {
    match (time, median) {
        (Some(time), Some(median)) => (median / time).clamp(LEAST, 1.0),
        // Nothing is held against a member that has not been measured.
        (None, _) | (_, None) => 1.0,
    }
}

fn seconds(candidates: &Candidates, target: Target) -> Option<f64> {
    Some(candidates.loads.response_time(target)?.as_secs_f64())
}

/// The lower median of the members that have been measured.
fn median(candidates: &Candidates) -> Option<f64> {
    let step = candidates.usable.len().div_ceil(SAMPLE).max(1);
    let sampled = candidates.targets().step_by(step);
    let mut times: SmallVec<[f64; SAMPLE]> =
        sampled.filter_map(|target| seconds(candidates, target)).collect();
    let middle = times.len().checked_sub(1)? / 2;
    let (_, median, _) = times.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*median)
}

#[cfg(test)]
mod tests {
    use super::super::tests::with_candidates;
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    /// How often each comes first when they respond within so many milliseconds, 0 for never.
    fn shares(times: &[u64]) -> BTreeMap<String, u32> {
        let names = ["a", "b", "c", "d"];
        let members: Vec<_> = names.into_iter().zip(times).map(|(name, _)| (name, 1)).collect();
        with_candidates(&members, |candidates, name| {
            for (target, time) in candidates.targets().zip(times).filter(|(_, time)| **time > 0) {
                candidates.loads.measure(target, Duration::from_millis(*time));
            }
            let mut shares = BTreeMap::new();
            for nonce in 0..3_000 {
                *shares.entry(name(Latency.next(candidates, nonce, &[]).unwrap())).or_default() += 1;
            }
            shares
        })
    }

    #[test]
    fn a_member_at_twice_the_median_gets_half_its_share() {
        let shares = shares(&[10, 10, 20]);
        assert!((520..680).contains(&shares["c"]), "a fifth of 3,000: {shares:?}");
    }

    #[test]
    fn what_slows_everybody_down_moves_nothing_and_the_slowest_keeps_a_tenth() {
        assert!((900..1_100).contains(&shares(&[900, 900, 900])["c"]));
        let slow = shares(&[1, 1, 4_000]);
        assert!((90..200).contains(&slow["c"]), "1 of 21: {slow:?}");
    }

    #[test]
    fn nothing_is_held_against_a_member_that_has_not_been_measured() {
        assert!((900..1_100).contains(&shares(&[10, 10, 0])["c"]));
    }
}
