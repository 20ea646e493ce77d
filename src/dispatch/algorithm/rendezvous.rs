//! Rendezvous hashing with weights.
//!
//! Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998: each member
//! hashes the key with its own seed, and the best draw wins; so a member that goes takes only its
//! own keys with it. Weights as in Schindelhauer and Schomaker, "Weighted distributed hash tables"
//! (2005), logarithmic method: for u uniform in (0, 1), the smallest −ln u / w wins. These are
//! exponential variables of rate w, so a member wins with probability w / Σw exactly, and a changed
//! weight moves only keys to or from that member.
//!
//! Most members need no logarithm: −ln u ≥ 1 − u, so one whose (1 − u) / w is no better than the
//! leader's −ln u / w has lost. Of n members about ln n come past that.

use super::{Candidates, Lot};
use crate::facts::Target;

/// The best candidate for a key that has not been given; of equals the first in file order.
pub fn best(candidates: &Candidates, key: u64, given: &[Target]) -> Option<Target> {
    let key = mix(key);
    if candidates.set.has_equal_weights() {
        longest(candidates, key, given)
    } else {
        cheapest(candidates, key, given)
    }
}

/// The cost of a member for a key at another weight than the configured one: the least wins.
pub fn cost(lot: &Lot, weight: f64, key: u64) -> f64 {
    -(1.0 - rest(draw(lot.seed, mix(key)))).ln() / weight
}

/// A fraction between 0 and 1 that depends on a seed and a key alone.
pub fn fraction(seed: u64, key: u64) -> f64 {
    1.0 - rest(draw(seed, mix(key)))
}

/// Among equal weights the highest draw wins.
fn longest(candidates: &Candidates, key: u64, given: &[Target]) -> Option<Target> {
    let mut best: Option<(u64, Target)> = None;
    for lot in candidates.lots() {
        let bits = draw(lot.seed, key);
        if best.is_none_or(|(most, _)| bits > most) && !given.contains(&lot.target) {
            best = Some((bits, lot.target));
        }
    }
    best.map(|(_, target)| target)
}

fn cheapest(candidates: &Candidates, key: u64, given: &[Target]) -> Option<Target> {
    let mut least = f64::INFINITY;
    let mut best = None;
    for lot in candidates.lots() {
        let rest = rest(draw(lot.seed, key));
        let weight = f64::from(lot.weight);
        if rest >= least * weight {
            continue;
        }
        let cost = -(1.0 - rest).ln() / weight;
        if cost < least && !given.contains(&lot.target) {
            (least, best) = (cost, Some(lot.target));
        }
    }
    best
}

/// 52 bits, so that a half more than them is still exact below 1 as a fraction of 2⁵².
const fn draw(seed: u64, key: u64) -> u64 {
    mix(seed ^ key) >> 12
}

/// 1 − u for the u that the bits stand for; exact, and never 0 or 1.
fn rest(bits: u64) -> f64 {
    const SPAN: u64 = 1 << 52;
    ((SPAN - bits) as f64 - 0.5) / SPAN as f64
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): every input bit reaches every output
/// bit.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::tests::with_candidates;
    use super::*;

    const WEIGHTED: [(&str, u32); 6] = [("a", 3), ("b", 1), ("c", 65_535), ("d", 2), ("e", 1), ("f", 60_000)];

    #[test]
    fn the_ends_of_the_draw_have_finite_costs() {
        for bits in [0, (1 << 52) - 1] {
            let rest = rest(bits);
            assert!(rest > 0.0 && rest < 1.0);
            assert!(-(1.0 - rest).ln() > 0.0 && (1.0 - rest).ln().is_finite());
        }
    }

    #[test]
    fn the_short_cut_chooses_what_all_logarithms_choose() {
        with_candidates(&WEIGHTED, |candidates, name| {
            for key in 0..5_000 {
                let cost = |seed, weight| -(1.0 - rest(draw(seed, mix(key)))).ln() / f64::from(weight);
                let all = candidates.lots().map(|lot| (cost(lot.seed, lot.weight), lot.target));
                let (_, expected) = all.min_by(|(one, _), (other, _)| one.total_cmp(other)).unwrap();
                assert_eq!(best(candidates, key, &[]).map(name), Some(name(expected)));
            }
        });
    }

    #[test]
    fn equal_weights_choose_the_same_with_and_without_logarithms() {
        with_candidates(&[("a", 7), ("b", 7), ("c", 7), ("d", 7)], |candidates, _| {
            for key in 0..5_000 {
                assert_eq!(longest(candidates, key, &[]), cheapest(candidates, key, &[]));
            }
        });
    }
}
